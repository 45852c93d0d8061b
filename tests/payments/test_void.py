"""DELETE /payment-links/{link_id}/payments/{payment_id}."""

from typing import Any

import pytest

from service.storage import keys
from tests.payments.requests import (
    events,
    exact,
    indexes,
    notices,
    pay,
    queues,
    record,
    stored,
    types,
    void,
)
from tests.support.api import Api, assert_problem, stamp
from tests.support.factories import UNKNOWN_LINK_ID


def paid(api: Api, payment_id: str = "ch_1", **fields: Any) -> str:
    """The id of a new link of 10 USD, which is paid."""
    link_id: str = api.create(payment_amount=10, currency="USD", **fields)["id"]
    record(api, link_id, payment_id)
    return link_id


def test_the_link_is_answered_as_it_is_then(api: Api) -> None:
    link_id = paid(api)
    api.clock.advance(minutes=5)
    response = void(api, link_id)
    link = exact(response)
    assert (response.status_code, link) == (200, exact(api.get(link_id, api.org())))
    assert (link["status"], link["paid_at"], link["amount_paid"], link["amount_due"]) == (
        "active",
        None,
        0,
        10,
    )
    assert [payment["voided_at"] for payment in link["payments"]] == [stamp(api.now)]
    assert api.verify(link_id).json()["valid"] is True
    assert indexes(api, link_id) == {"org", "active", "email"}


def test_it_is_voided_once(api: Api) -> None:
    link_id = paid(api)
    first = void(api, link_id)
    api.clock.advance(minutes=5)
    again = void(api, link_id)
    assert (again.status_code, again.json()) == (200, first.json())
    assert types(api) == ["payment_recorded", "paid", "payment_voided"]
    assert events(api)[-1][1] == {"payment_id": "ch_1", "amount": "10", "currency": "USD"}


def test_its_mail_stays_taken_back(api: Api) -> None:
    link_id = paid(api)
    assert void(api, link_id).json()["delivery"]["state"] == "none"
    assert queues(api, link_id) == set()


def test_its_mail_can_be_asked_for_again(api: Api) -> None:
    link_id = paid(api)
    void(api, link_id)
    response = api.client.post(f"/payment-links/{link_id}/resend", headers=api.org())
    assert (response.status_code, response.json()["sends"]) == (202, 2)
    assert queues(api, link_id) == {"outbox"}


def test_its_reminders_come_back(api: Api) -> None:
    link_id = paid(api, notify=False, reminders=[{"before_expiry": "24h"}])
    void(api, link_id)
    assert notices(api, link_id) == {"reminder"}


def test_a_receipt_that_is_not_out_is_taken_back(api: Api) -> None:
    api.put_profile(receipts=True)
    link_id = paid(api)
    void(api, link_id)
    assert notices(api, link_id) == set()


def test_a_link_that_has_expired_meanwhile_is_expired(api: Api) -> None:
    link_id = paid(api)
    api.clock.advance(hours=72)
    assert void(api, link_id).json()["status"] == "expired"
    assert api.list().json()["counts"] == {"active": 0, "expired": 1, "revoked": 0, "paid": 0}


@pytest.mark.parametrize("end", ["expires", "is revoked"])
def test_a_link_is_listed_and_readable_for_the_retention_after_its_last_payment_was_voided(
    api: Api, end: str
) -> None:
    link_id = api.create(payment_amount=10)["id"]
    if end == "is revoked":
        api.revoke(link_id)
    status = "revoked" if end == "is revoked" else "expired"
    api.clock.advance(days=60)
    record(api, link_id)
    api.clock.advance(days=60)
    void(api, link_id)
    api.clock.advance(days=89)
    assert [link["id"] for link in api.list(status=status).json()["links"]] == [link_id]
    api.clock.advance(days=1)
    assert api.list().json()["total"] == 0
    ends_at: Any = api.redis.pexpiretime(keys.link(link_id))
    assert ends_at == api.now.timestamp() * 1000


def test_a_revoked_link_that_was_paid_late_is_revoked_again(api: Api) -> None:
    link_id: str = api.create(payment_amount=10, currency="USD")["id"]
    api.revoke(link_id)
    record(api, link_id)
    assert void(api, link_id).json()["status"] == "revoked"
    assert indexes(api, link_id) == {"org", "revoked"}


def test_a_duplicate_takes_its_place(api: Api) -> None:
    link_id = paid(api)
    api.clock.advance(hours=1)
    record(api, link_id, "ch_2")
    link = void(api, link_id).json()
    assert (link["status"], link["paid_at"]) == ("paid", stamp(api.now))
    assert [payment["duplicate"] for payment in link["payments"]] == [False, False]
    settled_at = stored(api, link_id).settled_at
    assert settled_at is not None
    score = api.redis.zscore(keys.paid("acme"), keys.local_id(link_id))
    assert score == settled_at.timestamp() * 1000


def test_voiding_a_duplicate_changes_nothing_else(api: Api) -> None:
    link_id = paid(api)
    before = api.get(link_id).json()
    record(api, link_id, "ch_2", amount=3)
    void(api, link_id, "ch_2")
    assert api.get(link_id).json() == before


def test_an_unknown_payment_is_not_found(api: Api) -> None:
    assert_problem(void(api, paid(api), "ch_2"), 404, "payment_not_found")


def test_a_payment_of_another_link_is_not_found(api: Api) -> None:
    paid(api, "ch_1")
    assert_problem(void(api, paid(api, "ch_2"), "ch_1"), 404, "payment_not_found")


@pytest.mark.parametrize("link_id", [UNKNOWN_LINK_ID, "x"])
def test_an_unknown_link_is_not_found(api: Api, link_id: str) -> None:
    assert_problem(void(api, link_id), 404, "link_not_found")


def test_a_payment_of_another_organization_is_forbidden(api: Api) -> None:
    link_id = paid(api)
    assert_problem(void(api, link_id, headers=api.org("globex")), 403, "forbidden")
    assert api.get(link_id).json()["status"] == "paid"


IDS = [
    "a/b",
    "a%2Fb",
    "/a",
    "a/",
    "a//b",
    "../a",
    "a b",
    " a ",
    "a?b=c",
    "a#b",
    "a+b",
    "a;b",
    "%",
    "ü😀\u200d",
    "\u0627\u0644",
    "😀" * 128,
    "payments/a",
]


@pytest.mark.parametrize("payment_id", IDS)
def test_an_id_may_hold_any_character(api: Api, payment_id: str) -> None:
    link_id = paid(api, payment_id)
    record(api, link_id, "other")
    assert pay(api, link_id, payment_id).json()["payment_id"] == payment_id
    payments = void(api, link_id, payment_id).json()["payments"]
    assert [(each["payment_id"], bool(each["voided_at"])) for each in payments] == [
        (payment_id, True),
        ("other", False),
    ]


@pytest.mark.parametrize("path", ["%ff", "ch_1/", "CH_1", "%00"])
def test_what_is_no_id_of_a_payment_is_not_found(api: Api, path: str) -> None:
    link_id = paid(api)
    response = api.client.delete(f"/payment-links/{link_id}/payments/{path}", headers=api.org())
    assert_problem(response, 404, "payment_not_found")


def test_an_unknown_parameter_is_refused(api: Api) -> None:
    link_id = paid(api)
    response = api.client.delete(
        f"/payment-links/{link_id}/payments/ch_1", params={"force": "1"}, headers=api.org()
    )
    assert_problem(response, 422, "validation_failed")
    assert api.get(link_id).json()["status"] == "paid"
