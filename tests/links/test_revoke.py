"""DELETE /payment-links/{link_id} and DELETE /payment-links."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from service.storage import keys
from service.values.ids import partition_of
from tests.payments.requests import pay
from tests.support.api import (
    JANE,
    JOHN,
    JSON,
    Api,
    all_at_once,
    assert_invalid,
    assert_problem,
    stamp,
)
from tests.support.factories import UNKNOWN_LINK_ID


def revocation(*ids: str) -> dict[str, Any]:
    return {"revoked": len(ids), "links": [*ids], "unavailable": []}


def statuses(api: Api, *ids: str) -> list[str]:
    return [api.get(link_id, api.internal()).json()["status"] for link_id in ids]


def paid_link(api: Api) -> dict[str, Any]:
    """A new link to Jane that was paid."""
    link = api.create(payment_amount=10)
    assert pay(api, link["id"]).status_code == 201
    return link


def test_a_link_is_revoked_by_its_id(api: Api) -> None:
    link = api.create()
    response = api.revoke(link["id"])
    assert (response.status_code, response.json()) == (200, revocation(link["id"]))
    assert statuses(api, link["id"]) == ["revoked"]


def test_revoking_again_revokes_nothing(api: Api) -> None:
    link = api.create()
    api.revoke(link["id"])
    response = api.revoke(link["id"])
    assert (response.status_code, response.json()) == (200, revocation())


def test_revoking_again_keeps_the_first_moment(api: Api) -> None:
    link = api.create()
    api.revoke(link["id"])
    revoked_at = stamp(api.now)
    api.clock.advance(hours=1)
    api.revoke(link["id"])
    assert api.get(link["id"]).json()["revoked_at"] == revoked_at


def test_an_expired_link_is_not_revoked_any_more(api: Api) -> None:
    link = api.create()
    api.clock.advance(hours=72)
    assert api.revoke(link["id"]).json() == revocation()
    assert statuses(api, link["id"]) == ["expired"]


def test_a_paid_link_is_not_revoked_by_its_id(api: Api) -> None:
    link, others = paid_link(api), api.create()
    assert_problem(api.revoke(link["id"]), 409, "link_paid")
    assert_problem(api.revoke(link["id"], email=JANE), 409, "link_paid")
    assert statuses(api, link["id"], others["id"]) == ["paid", "active"]


def test_a_paid_link_that_would_have_expired_is_not_revoked_either(api: Api) -> None:
    link = paid_link(api)
    api.clock.advance(hours=72)
    assert_problem(api.revoke(link["id"]), 409, "link_paid")


def test_a_recipients_paid_links_are_passed_over(api: Api) -> None:
    paid, active = paid_link(api), api.create()
    assert api.revoke(email=JANE).json() == revocation(active["id"])
    assert statuses(api, paid["id"], active["id"]) == ["paid", "revoked"]


def test_a_link_of_which_a_part_is_paid_can_be_revoked(api: Api) -> None:
    link = api.create(payment_amount=10, accept_partial=True)
    assert pay(api, link["id"], amount=4).status_code == 201
    assert api.revoke(link["id"]).json()["revoked"] == 1
    assert statuses(api, link["id"]) == ["revoked"]


def test_each_revocation_is_logged_with_who_did_it(api: Api) -> None:
    links = [api.create()["id"] for _ in range(3)]
    api.revoke(links[0], api.org() | {"X-Request-ID": "request-1"})
    api.revoke(None, api.org() | {"X-Request-ID": "request-2"}, email=JANE)
    api.revoke(links[0])
    entries: Any = api.redis.xrange(keys.events("acme"))
    logged = [(each["type"], each["link"], each["actor"], each["request"]) for _, each in entries]
    assert logged[0] == ("revoked", keys.local_id(links[0]), "ada", "request-1")
    assert sorted(logged[1:]) == sorted(
        ("revoked", keys.local_id(link_id), "ada", "request-2") for link_id in links[1:]
    )


def test_a_revoked_link_reminds_nobody(api: Api) -> None:
    link = api.create(notify=False, reminders=[{"after_send": "24h"}])
    notices = keys.notices(partition_of("acme"))
    assert api.redis.zcard(notices) == 1
    api.revoke(link["id"])
    assert api.redis.zcard(notices) == 0


def test_a_revoked_link_is_no_longer_one_of_its_transaction(api: Api) -> None:
    link = api.create(transaction_id="invoice-7")
    transaction = keys.transaction("acme", "invoice-7")
    assert api.redis.zrange(transaction, 0, -1) == [keys.local_id(link["id"])]
    api.revoke(link["id"])
    assert not api.redis.exists(transaction)


def test_a_gated_link_is_revoked_without_its_customers_proof(api: Api) -> None:
    assert api.revoke(api.create(otp_required=True)["id"], api.org()).json()["revoked"] == 1


def test_a_revoked_link_owes_no_mail(api: Api) -> None:
    link = api.create(scheduled_at=stamp(api.now + timedelta(hours=1)))
    api.revoke(link["id"])
    partition = partition_of("acme")
    assert [
        api.redis.zcard(key)
        for key in (
            keys.scheduled(partition),
            keys.outbox(partition),
            keys.pending_since(partition),
        )
    ] == [
        0,
        0,
        0,
    ]


@pytest.mark.parametrize(
    "link_id", [UNKNOWN_LINK_ID, "x", "pl_zz" + "0" * 22], ids=["unknown", "short", "malformed"]
)
def test_a_link_that_does_not_exist_is_not_found(api: Api, link_id: str) -> None:
    assert_problem(api.revoke(link_id), 404, "link_not_found")


def test_all_active_links_of_a_recipient_are_revoked(api: Api) -> None:
    ids = {
        api.create()["id"],
        api.create(org_id="globex")["id"],
        api.create(otp_required=True)["id"],
    }
    response = api.revoke(email=JANE)
    assert response.status_code == 200
    assert response.json()["revoked"] == 3
    assert set(response.json()["links"]) == ids


@pytest.mark.parametrize(
    ("sent_to", "named"),
    [
        ("Jane@Example.com", "jANE@example.COM"),
        ("jane@bücher.example", "jane@xn--bcher-kva.example"),
    ],
    ids=["case", "idn"],
)
def test_a_recipient_may_be_written_otherwise(api: Api, sent_to: str, named: str) -> None:
    link = api.create(email=sent_to)
    assert api.revoke(email=named).json()["links"] == [link["id"]]


def test_other_recipients_keep_their_links(api: Api) -> None:
    link = api.create(email=JOHN)
    api.revoke(email=JANE)
    assert statuses(api, link["id"]) == ["active"]


def test_a_recipients_ended_links_are_not_newly_revoked(api: Api) -> None:
    expired = api.create(expires_at=stamp(api.now + timedelta(minutes=5)))
    revoked = api.create()
    api.revoke(revoked["id"])
    api.clock.advance(minutes=5)
    active = api.create()
    assert api.revoke(email=JANE).json() == revocation(active["id"])
    assert statuses(api, expired["id"], revoked["id"]) == ["expired", "revoked"]


def test_revoking_a_recipients_links_again_revokes_nothing(api: Api) -> None:
    api.create()
    api.revoke(email=JANE)
    assert api.revoke(email=JANE).json() == revocation()


def test_a_recipient_without_links_has_none_revoked(api: Api) -> None:
    response = api.revoke(email=JANE)
    assert (response.status_code, response.json()) == (200, revocation())


def test_more_links_than_are_read_at_once_are_all_revoked(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.links.operations.REVOKE_BATCH", 3)
    for org_id in ("acme", "globex"):
        for _ in range(8):
            api.create(org_id=org_id)
    assert api.revoke(email=JANE).json()["revoked"] == 16


def test_a_link_and_a_recipients_links_are_revoked_together(api: Api) -> None:
    johns = api.create(email=JOHN)
    janes = [api.create(), api.create()]
    response = api.revoke(johns["id"], email=JANE)
    assert response.json()["revoked"] == 3
    assert set(response.json()["links"]) == {johns["id"], *(link["id"] for link in janes)}


def test_a_link_that_is_also_the_recipients_counts_once(api: Api) -> None:
    link, other = api.create(), api.create()
    response = api.revoke(link["id"], email=JANE)
    assert response.json()["revoked"] == 2
    assert sorted(response.json()["links"]) == sorted([link["id"], other["id"]])


def test_an_unknown_link_revokes_nothing_of_the_recipients(api: Api) -> None:
    link = api.create()
    assert_problem(api.revoke(UNKNOWN_LINK_ID, email=JANE), 404, "link_not_found")
    assert statuses(api, link["id"]) == ["active"]


def test_neither_link_nor_recipient_is_refused(api: Api) -> None:
    assert_invalid(api.revoke(), "email")


@pytest.mark.parametrize(
    "body",
    ["{}", "null", "[]", '{"email":null}'],
    ids=["empty object", "null", "array", "null e-mail"],
)
def test_a_body_that_names_nobody_is_refused(api: Api, body: str) -> None:
    response = api.client.request(
        "DELETE", "/payment-links", content=body, headers=api.internal() | JSON
    )
    assert_problem(response, 422, "validation_failed")


def test_a_link_is_named_in_the_path_only(api: Api) -> None:
    link = api.create()
    response = api.client.delete(
        "/payment-links", params={"link_id": link["id"]}, headers=api.internal()
    )
    assert_invalid(response, "link_id")
    assert statuses(api, link["id"]) == ["active"]


def test_a_link_is_revoked_by_its_id_beside_an_empty_object(api: Api) -> None:
    """The e-mail in the body is optional."""
    link = api.create()
    response = api.client.request(
        "DELETE", f"/payment-links/{link['id']}", json={}, headers=api.internal()
    )
    assert (response.status_code, response.json()) == (200, revocation(link["id"]))


def test_what_is_no_recipient_is_refused(api: Api) -> None:
    assert_invalid(api.revoke(email="jane"), "email")


def test_an_unknown_field_is_refused(api: Api) -> None:
    link = api.create()
    assert_invalid(api.revoke(link["id"], email=JANE, org_id="acme"), "org_id")
    assert statuses(api, link["id"]) == ["active"]


def test_an_org_admin_revokes_its_own_link(api: Api) -> None:
    link = api.create()
    assert api.revoke(link["id"], api.org()).json() == revocation(link["id"])


def test_an_org_admin_is_forbidden_anothers_link(api: Api) -> None:
    link = api.create()
    assert_problem(api.revoke(link["id"], api.org("globex")), 403, "forbidden")
    assert statuses(api, link["id"]) == ["active"]


def test_of_a_recipients_links_an_org_admin_revokes_its_own(api: Api) -> None:
    ours, theirs = api.create(), api.create(org_id="globex")
    assert api.revoke(headers=api.org(), email=JANE).json() == revocation(ours["id"])
    assert statuses(api, theirs["id"]) == ["active"]


def test_an_org_admin_passes_over_others_that_share_its_partition(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Links of two organizations lie in one partition, more than are read at once."""
    monkeypatch.setattr("service.links.operations.REVOKE_BATCH", 2)
    neighbour = next(
        name for name in map(str, range(10_000)) if partition_of(name) == partition_of("acme")
    )
    theirs = [api.create(org_id=neighbour)["id"] for _ in range(5)]
    ours = [api.create()["id"] for _ in range(5)]
    assert sorted(api.revoke(headers=api.org(), email=JANE).json()["links"]) == sorted(ours)
    assert statuses(api, *theirs) == ["active"] * 5


def test_a_forbidden_link_revokes_nothing_of_the_recipients(api: Api) -> None:
    theirs, ours = api.create(org_id="globex"), api.create()
    assert_problem(api.revoke(theirs["id"], api.org(), email=JANE), 403, "forbidden")
    assert statuses(api, theirs["id"], ours["id"]) == ["active", "active"]


def test_of_twenty_revocations_at_once_one_revokes(make_api: Callable[..., Api]) -> None:
    processes = [make_api(), make_api()]
    link = processes[0].create()
    calls = [lambda api=processes[number % 2]: api.revoke(link["id"]) for number in range(10)]
    calls += [lambda api=processes[number % 2]: api.revoke(email=JANE) for number in range(10)]
    assert sum(response.json()["revoked"] for response in all_at_once(*calls)) == 1


def test_requests_that_revoke_a_recipient_at_once_leave_none_active(api: Api) -> None:
    for _ in range(350):
        api.create(notify=False)
    answers = all_at_once(*[lambda: api.revoke(email=JANE)] * 3)
    assert sum(answer.json()["revoked"] for answer in answers) == 350
    assert api.list(limit=1).json()["counts"] == {
        "active": 0,
        "expired": 0,
        "revoked": 350,
        "paid": 0,
    }
