"""POST /payment-links/{link_id}/payments."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from service.outbox.doorbell import open_rq_queue
from service.outbox.queues import NOTICE_QUEUE
from service.storage import keys
from tests.payments.requests import (
    events,
    exact,
    indexes,
    notices,
    pay,
    queues,
    record,
    types,
    void,
)
from tests.support.api import JSON, Api, MakeApi, assert_invalid, assert_problem, stamp
from tests.support.factories import UNKNOWN_LINK_ID
from tests.support.servers import wait_until


def due(api: Api, **fields: Any) -> str:
    """The id of a new link of 125,000.50 NGN."""
    link_id: str = api.create(payment_amount=125000.50, currency="NGN", **fields)["id"]
    return link_id


def test_a_payment_is_answered_with_its_link(api: Api) -> None:
    link_id = due(api)
    api.clock.advance(minutes=5)
    response = pay(api, link_id, method="card")
    assert response.status_code == 201
    payment = exact(response)
    link = payment.pop("link")
    assert payment == {
        "payment_id": "ch_1",
        "amount": Decimal("125000.50"),
        "currency": "NGN",
        "paid_at": stamp(api.now),
        "recorded_at": stamp(api.now),
        "method": "card",
        "late": False,
        "duplicate": False,
        "voided_at": None,
    }
    assert link == exact(api.get(link_id, api.org()))
    assert (link["status"], link["paid_at"]) == ("paid", stamp(api.now))
    assert (link["amount_paid"], link["amount_due"]) == (Decimal("125000.50"), 0)
    assert link["payments"] == [payment]


def test_a_paid_link_is_not_valid(api: Api) -> None:
    link_id = due(api)
    record(api, link_id)
    verified = api.verify(link_id).json()
    assert (verified["valid"], verified["status"]) == (False, "paid")


def test_a_paid_link_is_counted_and_listed_as_such(api: Api) -> None:
    paid, other = due(api), due(api)
    record(api, paid)
    assert api.list().json()["counts"] == {"active": 1, "expired": 0, "revoked": 0, "paid": 1}
    assert [link["id"] for link in api.list(status="paid").json()["links"]] == [paid]
    assert [link["id"] for link in api.list(status="active").json()["links"]] == [other]
    assert indexes(api, paid) == {"org", "paid"}


def test_a_link_stays_paid_after_it_would_have_expired(api: Api) -> None:
    link_id = due(api)
    record(api, link_id)
    api.clock.advance(hours=100)
    assert api.get(link_id).json()["status"] == "paid"
    assert api.list().json()["counts"]["paid"] == 1


def test_others_see_how_much_was_paid_but_not_the_payments(api: Api) -> None:
    link_id = due(api)
    record(api, link_id)
    link = exact(api.get(link_id))
    assert link["amount_paid"] == Decimal("125000.50")
    assert "payments" not in link


@pytest.mark.parametrize("scheduled", [False, True])
def test_the_mail_of_a_paid_link_is_taken_back(api: Api, scheduled: bool) -> None:
    at = {"scheduled_at": stamp(api.now + timedelta(hours=1))} if scheduled else {}
    link_id = due(api, **at)
    assert queues(api, link_id) == {"scheduled" if scheduled else "outbox"}
    delivery = record(api, link_id)["link"]["delivery"]
    assert (delivery["state"], delivery["sends"]) == ("none", 1)
    assert queues(api, link_id) == set()


def test_the_mail_of_a_link_that_is_paid_in_part_stays_owed(api: Api) -> None:
    link_id = due(api, accept_partial=True)
    payment = record(api, link_id, amount=25000)
    assert exact(api.get(link_id))["amount_due"] == Decimal("100000.50")
    assert (payment["link"]["status"], payment["link"]["delivery"]["state"]) == (
        "active",
        "queued",
    )
    assert queues(api, link_id) == {"outbox"}


def test_the_reminders_of_a_paid_link_are_taken_back(api: Api) -> None:
    link_id = due(api, notify=False, reminders=[{"before_expiry": "24h"}])
    api.redis.zadd(
        keys.notices(keys.partition_of_link(link_id)), {f"reminder:{keys.local_id(link_id)}": 1}
    )
    record(api, link_id)
    assert notices(api, link_id) == set()


def test_a_payment_whose_receipt_cannot_be_queued_is_recorded_without(api: Api) -> None:
    api.put_profile(receipts=True)
    link_id = due(api)
    queue = keys.notices(keys.partition_of_link(link_id))
    api.redis.set(queue, "boom")
    assert record(api, link_id)["link"]["status"] == "paid"
    assert types(api) == ["payment_recorded", "paid"]
    assert api.redis.get(queue) == "boom"


@pytest.mark.parametrize("receipts", [False, True])
def test_a_paid_link_owes_a_receipt_where_its_organization_sends_them(
    api: Api, receipts: bool
) -> None:
    api.put_profile(receipts=receipts)
    link_id = due(api, accept_partial=True)
    record(api, link_id, "ch_1", amount=1)
    assert notices(api, link_id) == set()
    record(api, link_id, "ch_2")
    assert notices(api, link_id) == ({"receipt"} if receipts else set())


def test_the_worker_is_called_for_a_receipt(make_api: MakeApi) -> None:
    api = make_api()
    api.put_profile(receipts=True)
    link_id, queue = due(api, notify=False), open_rq_queue(NOTICE_QUEUE, api.redis)
    assert queue.count == 0
    record(api, link_id)
    wait_until(lambda: queue.count == 1, "the bell to ring")


def test_a_payment_is_recorded_although_the_profile_cannot_be_read(api: Api) -> None:
    link_id = due(api)
    api.redis.set(keys.profile("acme"), "no profile")
    assert record(api, link_id)["link"]["status"] == "paid"


def test_a_payment_and_what_it_pays_are_logged(api: Api) -> None:
    link_id = due(api, accept_partial=True)
    record(api, link_id, "ch_1", amount=25000.50)
    record(api, link_id, "ch_2")
    record(api, link_id, "ch_3")
    first, second, third = (
        {"payment_id": payment_id, "amount": amount, "currency": "NGN"}
        for payment_id, amount in [
            ("ch_1", "25000.5"),
            ("ch_2", "100000.0"),
            ("ch_3", "125000.5"),
        ]
    )
    in_time = {"late": False, "duplicate": False}
    assert events(api) == [
        ("payment_recorded", first | in_time),
        ("payment_recorded", second | in_time),
        ("paid", {"amount_paid": "125000.5", "currency": "NGN"}),
        ("payment_recorded", third | in_time | {"duplicate": True}),
        ("duplicate_payment", third),
    ]


def test_the_admin_and_the_request_are_logged(api: Api) -> None:
    link_id = due(api)
    response = pay(api, link_id)
    entries: Any = api.redis.xrange(keys.events("acme"))
    assert {(entry["actor"], entry["request"]) for _, entry in entries} == {
        ("ada", response.headers["x-request-id"])
    }


@pytest.mark.parametrize("again", [{}, {"amount": 125000.5}, {"currency": "ngn"}])
def test_the_same_payment_again_is_the_same(api: Api, again: dict[str, Any]) -> None:
    link_id = due(api)
    first = record(api, link_id, method="card")
    response = pay(api, link_id, **again)
    assert (response.status_code, response.json()) == (200, first)
    assert types(api) == ["payment_recorded", "paid"]


def test_the_same_payment_again_is_answered_as_it_is_now(api: Api) -> None:
    """As a duplicate that pays the link by now."""
    link_id = due(api)
    record(api, link_id)
    assert record(api, link_id, "ch_2")["duplicate"] is True
    void(api, link_id)
    again = pay(api, link_id, "ch_2").json()
    assert again["duplicate"] is False
    assert [bool(payment["voided_at"]) for payment in again["link"]["payments"]] == [True, False]


def test_the_same_id_with_another_amount_is_a_conflict(api: Api) -> None:
    link_id = due(api)
    record(api, link_id)
    assert_problem(pay(api, link_id, amount=1), 409, "payment_conflict")
    assert_problem(pay(api, link_id, currency="EUR"), 409, "payment_conflict")
    assert len(api.get(link_id, api.org()).json()["payments"]) == 1


def test_a_voided_payment_is_not_recorded_again(api: Api) -> None:
    link_id = due(api)
    record(api, link_id)
    void(api, link_id)
    assert_problem(pay(api, link_id), 409, "payment_voided")


def test_an_id_belongs_to_one_link(api: Api) -> None:
    for link_id in (due(api), due(api)):
        assert record(api, link_id)["link"]["id"] == link_id


def test_less_than_what_is_due_is_refused(api: Api) -> None:
    link_id = due(api)
    problem = assert_problem(pay(api, link_id, amount=125000.49), 422, "partial_not_accepted")
    assert [error["field"] for error in problem["errors"]] == ["amount"]
    assert types(api) == []
    assert queues(api, link_id) == {"outbox"}


def test_another_currency_is_refused(api: Api) -> None:
    problem = assert_problem(pay(api, due(api), currency="USD"), 422, "currency_mismatch")
    assert [error["field"] for error in problem["errors"]] == ["currency"]


def test_a_link_without_an_amount_is_paid_by_any(api: Api) -> None:
    link_id = api.create()["id"]
    assert_invalid(pay(api, link_id), "amount")
    link = record(api, link_id, amount=7, currency="usd")["link"]
    assert (link["status"], link["amount_paid"], link["amount_due"]) == ("paid", 7, None)


@pytest.mark.parametrize("end", ["expired", "revoked"])
def test_a_late_payment_pays_a_link_that_has_ended(api: Api, end: str) -> None:
    link_id = due(api)
    if end == "revoked":
        api.revoke(link_id)
    else:
        api.clock.advance(hours=72)
    assert api.get(link_id).json()["status"] == end
    payment = record(api, link_id)
    assert (payment["late"], payment["link"]["status"]) == (True, "paid")
    assert indexes(api, link_id) == {"org", "paid"}
    assert api.list().json()["counts"] == {"active": 0, "expired": 0, "revoked": 0, "paid": 1}


def test_a_payment_before_the_end_is_not_late_when_it_is_recorded_after_it(api: Api) -> None:
    link_id = due(api)
    paid_at = stamp(api.now + timedelta(hours=71))
    api.clock.advance(hours=80)
    payment = record(api, link_id, paid_at=paid_at)
    assert (payment["late"], payment["paid_at"], payment["link"]["paid_at"]) == (
        False,
        paid_at,
        paid_at,
    )


def test_a_late_payment_lets_the_link_be_readable_for_the_retention(api: Api) -> None:
    link_id = due(api)
    api.clock.advance(hours=24 * 80)
    record(api, link_id)
    ends_at: Any = api.redis.pexpiretime(keys.link(link_id))
    assert ends_at == (api.now + timedelta(days=90)).timestamp() * 1000


@pytest.mark.parametrize(
    ("currency", "amounts", "paid"),
    [
        ("KWD", ["1234567890.125", "0.001"], "1234567890.126"),
        ("USD", ["0.10", "0.20"], "0.30"),
        ("USD", ["999999999999.98", "0.01"], "999999999999.99"),
    ],
)
def test_sums_are_exact_to_the_last_digit(
    api: Api, currency: str, amounts: list[str], paid: str
) -> None:
    body = (
        f'{{"email":"jane@example.com","org_id":"acme","payment_amount":{paid},'
        f'"currency":"{currency}","accept_partial":true}}'
    )
    created = api.client.post("/payment-links", content=body, headers=api.org() | JSON)
    path = f"/payment-links/{created.json()['id']}/payments"
    for number, amount in enumerate(amounts):
        body = f'{{"payment_id":"ch_{number}","amount":{amount}}}'
        response = api.client.post(path, content=body, headers=api.org() | JSON)
    assert f'"amount_paid":{paid},' in response.text
    assert response.json()["link"]["status"] == "paid"
    assert events(api)[-1] == ("paid", {"amount_paid": paid, "currency": currency})


class TestIdempotencyKey:
    def test_a_repeated_request_gets_the_payment_as_it_is_now(self, api: Api) -> None:
        link_id = due(api)
        first = pay(api, link_id, key="k", amount=125000.5)
        assert "idempotency-replayed" not in first.headers
        void(api, link_id)
        again = pay(api, link_id, key="k", amount=125000.50)
        assert (again.status_code, again.headers["idempotency-replayed"]) == (200, "true")
        assert again.json()["voided_at"] == stamp(api.now)
        assert types(api) == ["payment_recorded", "paid", "payment_voided"]

    def test_with_another_payment_it_is_a_conflict(self, api: Api) -> None:
        link_id = due(api)
        pay(api, link_id, key="k")
        assert_problem(pay(api, link_id, "ch_2", key="k"), 409, "idempotency_conflict")

    def test_for_another_link_it_is_a_conflict(self, api: Api) -> None:
        pay(api, due(api), key="k")
        assert_problem(pay(api, due(api), key="k"), 409, "idempotency_conflict")

    def test_of_a_create_it_is_a_conflict(self, api: Api) -> None:
        created = api.post_link(api.org() | {"Idempotency-Key": "k"}, payment_amount=1)
        assert_problem(pay(api, created.json()["id"], key="k"), 409, "idempotency_conflict")

    def test_a_refused_request_does_not_use_it_up(self, api: Api) -> None:
        link_id = due(api)
        assert pay(api, link_id, key="k", amount=1).status_code == 422
        assert pay(api, link_id, key="k").status_code == 201


@pytest.mark.parametrize("link_id", [UNKNOWN_LINK_ID, "x"])
def test_an_unknown_link_is_not_found(api: Api, link_id: str) -> None:
    assert_problem(pay(api, link_id), 404, "link_not_found")


def test_a_link_of_another_organization_is_forbidden(api: Api) -> None:
    link_id = due(api)
    assert_problem(pay(api, link_id, headers=api.org("globex")), 403, "forbidden")
    assert types(api) == []


def test_all_faults_of_a_body_are_named_together(api: Api) -> None:
    response = pay(
        api, due(api), "", amount=0, currency="XXX", method="x" * 33, paid_at="9999-01-01", note=1
    )
    problem = assert_problem(response, 422, "validation_failed")
    assert {error["field"] for error in problem["errors"]} == {
        "payment_id",
        "amount",
        "currency",
        "method",
        "paid_at",
        "note",
    }


def test_null_is_as_good_as_absent(api: Api) -> None:
    record(api, due(api), amount=None, currency=None, paid_at=None, method=None)
    assert_invalid(pay(api, due(api), payment_id=None), "payment_id")  # type: ignore[arg-type]
