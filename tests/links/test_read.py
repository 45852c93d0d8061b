"""GET /payment-links/{link_id}, its alias /pay/{link_id}, and POST /payment-links/verify."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.support.api import (
    JANE,
    JOHN,
    Api,
    Headers,
    assert_invalid,
    assert_problem,
    bearer,
    in_public,
    stamp,
)
from tests.support.factories import UNKNOWN_LINK_ID

JSON = {"Accept": "application/json"}
MASKED = "j***@example.com"
MALFORMED_IDS = [
    pytest.param("x", id="short"),
    pytest.param("pl_", id="prefix"),
    pytest.param(UNKNOWN_LINK_ID[:-1], id="a character short"),
    pytest.param(UNKNOWN_LINK_ID + "0", id="a character long"),
    pytest.param("pl_zz" + "0" * 22, id="partition not hex"),
    pytest.param("pl_AB" + "0" * 22, id="partition in capitals"),
    pytest.param("PL_00" + "0" * 22, id="prefix in capitals"),
    pytest.param("pl_00" + "0" * 21 + "-", id="another character"),
    pytest.param("pl_00" + "0" * 21 + "é", id="outside ascii"),
    pytest.param(UNKNOWN_LINK_ID + "%0A", id="newline"),
    pytest.param(UNKNOWN_LINK_ID + "%00", id="nul"),
    pytest.param("%ff", id="no utf-8"),
    pytest.param("*", id="pattern"),
    pytest.param("x" * 1000, id="long"),
]


def gated(api: Api, **fields: Any) -> dict[str, Any]:
    return api.create(otp_required=True, **fields)


def test_a_link_is_read_as_it_was_created(api: Api) -> None:
    link = api.create(payment_amount=10.5, currency="NGN", transaction_id="x")
    response = api.get(link["id"])
    assert (response.status_code, response.json()) == (200, in_public(link))
    assert api.get(link["id"], api.org()).json() == link


def test_a_link_expires_at_the_moment_it_ends(api: Api) -> None:
    link = api.create()
    api.clock.advance(hours=72)
    response = api.get(link["id"])
    assert (response.status_code, response.json()) == (200, in_public(link) | {"status": "expired"})


def test_a_link_is_active_a_second_before_it_ends(api: Api) -> None:
    link = api.create()
    api.clock.advance(hours=72, seconds=-1)
    assert api.get(link["id"]).json()["status"] == "active"


def test_a_revoked_link_is_read_with_its_final_status(api: Api) -> None:
    link = api.create()
    api.clock.advance(hours=1)
    api.revoke(link["id"])
    final = {
        "status": "revoked",
        "revoked_at": stamp(api.now),
        "delivery": link["delivery"] | {"state": "none"},
    }
    response = api.get(link["id"])
    assert (response.status_code, response.json()) == (200, in_public(link | final))


def test_a_revoked_link_stays_revoked_after_its_end(api: Api) -> None:
    link = api.create()
    api.revoke(link["id"])
    api.clock.advance(days=30)
    assert api.get(link["id"]).json()["status"] == "revoked"


def test_an_ended_link_is_gone_after_its_retention(api: Api) -> None:
    """Made 94 days ago, ended 91 days ago."""
    api.clock.advance(days=-94)
    link = api.create()
    api.clock.advance(days=94)
    assert_problem(api.get(link["id"]), 404, "link_not_found")


def test_an_ended_link_is_there_until_its_retention_ends(api: Api) -> None:
    """Made 92 days ago, ended 89 days ago."""
    api.clock.advance(days=-92)
    link = api.create()
    api.clock.advance(days=92)
    assert api.get(link["id"]).json()["status"] == "expired"


def test_a_scheduled_link_is_active_before_it_is_sent(api: Api) -> None:
    link = api.create(scheduled_at=stamp(api.now + timedelta(days=1)))
    assert api.get(link["id"]).json()["status"] == "active"


def test_the_links_url_leads_to_it(api: Api) -> None:
    link = api.create()
    assert api.client.get(link["url"], headers=JSON).json() == in_public(link)


@pytest.mark.parametrize("path", ["/payment-links/", "/pay/"], ids=["payment-links", "pay"])
@pytest.mark.parametrize("link_id", [pytest.param(UNKNOWN_LINK_ID, id="unknown"), *MALFORMED_IDS])
def test_no_such_link(api: Api, path: str, link_id: str) -> None:
    assert_problem(api.client.get(path + link_id, headers=JSON), 404, "link_not_found")


@pytest.mark.parametrize("path", ["/payment-links/", "/pay/"], ids=["payment-links", "pay"])
def test_an_id_that_is_longer_than_any_path_of_ours_is_not_even_looked_at(
    api: Api, path: str
) -> None:
    assert_problem(api.client.get(path + "x" * 3000, headers=JSON), 404, "not_found")


def test_a_token_that_nobody_needs_is_not_looked_at(api: Api) -> None:
    assert api.get(api.create()["id"], bearer("garbage")).status_code == 200


# Gated links.


def test_a_gated_link_asks_for_proof(api: Api) -> None:
    response = api.get(gated(api)["id"])
    assert_problem(response, 401, "otp_required")
    assert response.headers["www-authenticate"] == "Bearer"


def test_an_answer_that_asks_for_proof_tells_nothing_of_the_link(api: Api) -> None:
    link = gated(api, payment_amount=4242, transaction_id="order-42")
    text = api.get(link["id"]).text
    assert not [
        secret
        for secret in ("example.com", "4242", "order-42", "acme", link["id"])
        if secret in text
    ]


def test_a_gated_link_opens_to_its_customer(api: Api) -> None:
    link = gated(api)
    token = api.submit_otp(api.new_code()).json()["token"]
    response = api.get(link["id"], bearer(token))
    assert (response.status_code, response.json()) == (200, in_public(link))


def test_one_proof_opens_all_of_the_customers_links(api: Api) -> None:
    token = api.submit_otp(api.new_code()).json()["token"]
    links = [gated(api), gated(api, org_id="globex"), gated(api, email="JANE@Example.com")]
    assert [api.get(link["id"], bearer(token)).status_code for link in links] == [200, 200, 200]


@pytest.mark.parametrize(
    ("sent_to", "proved"),
    [
        ("Jane@Example.com", "jane@example.COM"),
        ("jane@bücher.example", "JANE@xn--bcher-kva.example"),
    ],
    ids=["case", "idn"],
)
def test_a_gated_link_opens_to_the_same_email_written_otherwise(
    api: Api, sent_to: str, proved: str
) -> None:
    link = gated(api, email=sent_to)
    token = api.submit_otp(api.new_code(proved), proved).json()["token"]
    assert api.get(link["id"], bearer(token)).status_code == 200


def test_a_gated_link_is_forbidden_to_another_customer(api: Api) -> None:
    link = gated(api)
    token = api.submit_otp(api.new_code(JOHN), JOHN).json()["token"]
    assert_problem(api.get(link["id"], bearer(token)), 403, "forbidden")


def test_a_customers_token_opens_links_for_24_hours(api: Api) -> None:
    link, headers = gated(api), api.customer()
    api.clock.advance(hours=23, minutes=59)
    assert api.get(link["id"], headers).status_code == 200


def test_a_customers_token_opens_links_no_longer(api: Api) -> None:
    link, headers = gated(api), api.customer()
    api.clock.advance(hours=24)
    response = api.get(link["id"], headers)
    assert_problem(response, 401, "token_invalid")
    assert response.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("who", [Api.org, Api.internal], ids=["org-admin", "internal-admin"])
def test_a_gated_link_opens_to_admins_of_its_organization(
    api: Api, who: Callable[[Api], Headers]
) -> None:
    link = gated(api)
    assert api.get(link["id"], who(api)).json() == link


def test_a_gated_link_is_forbidden_to_another_organizations_admin(api: Api) -> None:
    assert_problem(api.get(gated(api)["id"], api.org("globex")), 403, "forbidden")


@pytest.mark.parametrize(
    "header",
    ["Bearer", "Bearer ", "Basic amFuZTpwdw==", "garbage", "Bearer é"],
    ids=["no token", "empty token", "basic", "garbage", "outside ascii"],
)
def test_a_gated_link_wants_a_bearer_token(api: Api, header: str) -> None:
    link = gated(api)
    response = api.client.get(
        f"/payment-links/{link['id']}", headers=[(b"authorization", header.encode())]
    )
    assert_problem(response, 401, "token_invalid")
    assert response.headers["www-authenticate"].startswith("Bearer")


def test_the_scheme_bearer_may_be_written_in_any_case(api: Api) -> None:
    headers = {"Authorization": api.customer()["Authorization"].replace("Bearer", "bEARER")}
    assert api.get(gated(api)["id"], headers).status_code == 200


@pytest.mark.parametrize("ended", ["expired", "revoked"])
def test_an_ended_gated_link_still_asks_for_proof(api: Api, ended: str) -> None:
    link = gated(api)
    end(api, link, ended)
    assert_problem(api.get(link["id"]), 401, "otp_required")
    assert api.get(link["id"], api.customer()).json()["status"] == ended


def test_pay_asks_for_proof_too(api: Api) -> None:
    assert_problem(api.client.get(f"/pay/{gated(api)['id']}", headers=JSON), 401, "otp_required")


def test_pay_opens_to_the_customer_too(api: Api) -> None:
    link = gated(api)
    assert api.client.get(f"/pay/{link['id']}", headers=api.customer() | JSON).json() == in_public(
        link
    )


# Verify.


def end(api: Api, link: dict[str, Any], how: str) -> None:
    if how == "revoked":
        api.revoke(link["id"])
    elif how == "expired":
        api.clock.now = datetime.fromisoformat(link["expires_at"])


@pytest.mark.parametrize(
    ("status", "valid"), [("active", True), ("expired", False), ("revoked", False)]
)
def test_a_link_is_valid_until_it_ends(api: Api, status: str, *, valid: bool) -> None:
    link = api.create()
    end(api, link, status)
    response = api.verify(link["id"])
    assert response.status_code == 200
    assert response.json() == {"valid": valid, "status": status, "link": api.get(link["id"]).json()}


@pytest.mark.parametrize(
    ("status", "valid"), [("active", True), ("expired", False), ("revoked", False)]
)
def test_of_a_gated_link_strangers_learn_what_needs_no_proof(
    api: Api, status: str, *, valid: bool
) -> None:
    link = gated(api, payment_amount=10.5, transaction_id="x")
    end(api, link, status)
    masked = {
        "id": link["id"],
        "status": status,
        "expires_at": link["expires_at"],
        "otp_required": True,
        "email": MASKED,
    }
    response = api.verify(link["id"])
    assert response.status_code == 200
    assert response.json() == {"valid": valid, "status": status, "link": masked}


@pytest.mark.parametrize(
    ("email", "masked"),
    [
        ("jane@example.com", "j***@example.com"),
        ("j@example.com", "j***@example.com"),
        ("Jane@Example.com", "J***@Example.com"),
        ("o'brien+tag@sub.example.com", "o***@sub.example.com"),
    ],
)
def test_an_email_is_masked(api: Api, email: str, masked: str) -> None:
    assert api.verify(gated(api, email=email)["id"]).json()["link"]["email"] == masked


@pytest.mark.parametrize(
    "who", [Api.customer, Api.org, Api.internal], ids=["customer", "org-admin", "internal-admin"]
)
def test_of_a_gated_link_whoever_may_read_it_learns_all(
    api: Api, who: Callable[[Api], Headers]
) -> None:
    link = gated(api)
    seen = in_public(link) if who is Api.customer else link
    assert api.verify(link["id"], who(api)).json() == {
        "valid": True,
        "status": "active",
        "link": seen,
    }


@pytest.mark.parametrize(
    "headers",
    [
        lambda api: api.customer(JOHN),
        lambda api: api.org("globex"),
        lambda _: bearer("garbage"),
        lambda _: {"Authorization": "Basic amFuZTpwdw=="},
    ],
    ids=["another customer", "another organization", "garbage", "basic"],
)
def test_of_a_gated_link_others_are_strangers(api: Api, headers: Callable[[Api], Headers]) -> None:
    response = api.verify(gated(api)["id"], headers(api))
    assert (response.status_code, response.json()["link"]["email"]) == (200, MASKED)


@pytest.mark.parametrize(
    "link_id",
    [
        UNKNOWN_LINK_ID,
        "",
        "x",
        UNKNOWN_LINK_ID + "\n",
        UNKNOWN_LINK_ID + "\u0000",
        "pl_zz" + "0" * 22,
        JANE,
        "x" * 2000,
    ],
    ids=["unknown", "empty", "short", "newline", "nul", "partition not hex", "email", "long"],
)
def test_an_id_that_does_not_exist_is_not_found(api: Api, link_id: str) -> None:
    assert_problem(api.verify(link_id), 404, "link_not_found")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        pytest.param({}, "link_id", id="missing"),
        pytest.param({"link_id": None}, "link_id", id="null"),
        pytest.param({"link_id": 42}, "link_id", id="number"),
        pytest.param({"link_id": UNKNOWN_LINK_ID, "id": 1}, "id", id="unknown field"),
    ],
)
def test_a_body_that_names_no_link_is_refused(api: Api, body: dict[str, Any], field: str) -> None:
    assert_invalid(api.client.post("/payment-links/verify", json=body), field)
