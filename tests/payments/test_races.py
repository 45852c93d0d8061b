"""Payments that meet each other, and whatever else changes their link at the same moment."""

from collections import Counter
from contextlib import closing
from decimal import Decimal
from functools import partial
from typing import Any

import httpx
import pytest

from service.links import mail_store
from service.links.model import Link
from service.storage.command import Command
from tests.payments.requests import (
    events,
    exact,
    indexes,
    notices,
    pay,
    queues,
    stored,
    types,
    void,
)
from tests.support.api import Api, MakeApi, all_at_once
from tests.support.factories import RETENTION
from tests.support.redis_client import RedisClient, create_client
from tests.support.servers import RedisServer

CALLERS = 200
ROUNDS = 20
"""How often two requests that race are sent: either may win."""


@pytest.fixture
def processes(make_api: MakeApi) -> list[Api]:
    """Two of them on one store."""
    return [make_api(), make_api()]


def statuses(responses: list[httpx.Response]) -> Counter[int]:
    return Counter(response.status_code for response in responses)


def due(api: Api, amount: str = "10", **fields: Any) -> str:
    """The id of a new link of so many USD."""
    link: dict[str, Any] = api.create(payment_amount=float(amount), currency="USD", **fields)
    return str(link["id"])


def payments_of(api: Api, link_id: str) -> list[dict[str, Any]]:
    payments: list[dict[str, Any]] = exact(api.get(link_id, api.org()))["payments"]
    return payments


def test_a_payment_that_200_callers_record_is_recorded_once(processes: list[Api]) -> None:
    api = processes[0]
    link_id = due(api)
    calls = [partial(pay, processes[each % 2], link_id) for each in range(CALLERS)]
    responses = all_at_once(*calls)
    assert statuses(responses) == {201: 1, 200: CALLERS - 1}
    assert len({response.text for response in responses}) == 1
    assert types(api) == ["payment_recorded", "paid"]
    assert len(payments_of(api, link_id)) == 1


def test_an_idempotency_key_that_callers_share_records_one_payment(processes: list[Api]) -> None:
    api = processes[0]
    link_id = due(api)
    calls = [partial(pay, processes[each % 2], link_id, key="k") for each in range(20)]
    assert statuses(all_at_once(*calls)) == {201: 1, 200: 19}
    assert types(api) == ["payment_recorded", "paid"]


def test_of_two_payments_at_once_one_is_a_duplicate(processes: list[Api]) -> None:
    first, second = processes
    for _ in range(ROUNDS):
        first.redis.flushdb()
        link_id = due(first)
        responses = all_at_once(
            partial(pay, first, link_id, "ch_1"), partial(pay, second, link_id, "ch_2")
        )
        assert statuses(responses) == {201: 2}
        assert sorted(each["duplicate"] for each in payments_of(first, link_id)) == [False, True]
        assert sorted(response.json()["duplicate"] for response in responses) == [False, True]
        assert types(first) == [
            "payment_recorded",
            "paid",
            "payment_recorded",
            "duplicate_payment",
        ]


def test_parts_of_an_amount_that_come_at_once_add_up(processes: list[Api]) -> None:
    """A hundred cents of a dollar, and two more."""
    api = processes[0]
    link_id = due(api, "1", accept_partial=True)
    responses = all_at_once(
        *[
            partial(pay, processes[each % 2], link_id, f"ch_{each}", amount=0.01)
            for each in range(102)
        ]
    )
    assert statuses(responses) == {201: 102}
    link = exact(api.get(link_id, api.org()))
    assert (link["amount_paid"], link["amount_due"]) == (Decimal("1.02"), 0)
    assert sum(each["duplicate"] for each in link["payments"]) == 2
    assert Counter(types(api)) == {"payment_recorded": 102, "paid": 1, "duplicate_payment": 2}
    assert [data for kind, data in events(api) if kind == "paid"] == [
        {"amount_paid": "1.00", "currency": "USD"}
    ]


def test_whole_payments_at_once_pay_a_link_once(processes: list[Api]) -> None:
    api = processes[0]
    link_id = due(api)
    calls = [partial(pay, processes[each % 2], link_id, f"ch_{each}") for each in range(20)]
    assert statuses(all_at_once(*calls)) == {201: 20}
    assert exact(api.get(link_id))["amount_paid"] == 200
    assert Counter(types(api)) == {"payment_recorded": 20, "paid": 1, "duplicate_payment": 19}


def test_of_different_amounts_with_one_id_one_is_recorded(processes: list[Api]) -> None:
    api = processes[0]
    link_id = due(api)
    calls = [partial(pay, processes[each % 2], link_id, amount=10 + each) for each in range(20)]
    assert statuses(all_at_once(*calls)) == {201: 1, 409: 19}
    assert len(payments_of(api, link_id)) == 1


def test_a_payment_and_a_revocation_at_once_leave_a_paid_link(processes: list[Api]) -> None:
    """It was paid before, or is paid late."""
    first, second = processes
    for _ in range(ROUNDS):
        link_id = due(first)
        paid, revoked = all_at_once(partial(pay, first, link_id), partial(second.revoke, link_id))
        assert paid.status_code == 201
        link = first.get(link_id, first.org()).json()
        was_revoked = revoked.status_code == 200 and revoked.json()["revoked"] == 1
        assert (link["status"], link["delivery"]["state"]) == ("paid", "none")
        assert (link["revoked_at"] is not None) == was_revoked == link["payments"][0]["late"]
        assert indexes(first, link_id) == {"org", "paid"}
        assert queues(first, link_id) == set()


def test_a_payment_and_its_voiding_at_once_leave_no_half(processes: list[Api]) -> None:
    first, second = processes
    for _ in range(ROUNDS):
        first.redis.flushdb()
        link_id = due(first)
        pay(first, link_id, "ch_1")
        recorded, voided = all_at_once(
            partial(pay, first, link_id, "ch_2"), partial(void, second, link_id, "ch_1")
        )
        assert (recorded.status_code, voided.status_code) == (201, 200)
        link = first.get(link_id, first.org()).json()
        assert (link["status"], link["amount_paid"]) == ("paid", 10)
        assert [each["duplicate"] for each in link["payments"]] == [False, False]
        assert indexes(first, link_id) == {"org", "paid"}
        was_duplicate = recorded.json()["duplicate"]
        assert Counter(types(first)) == Counter(
            payment_recorded=2,
            payment_voided=1,
            paid=1 if was_duplicate else 2,
            duplicate_payment=int(was_duplicate),
        )


def test_a_payment_and_another_amount_at_once_agree(processes: list[Api]) -> None:
    """The payment is of what was due when it was recorded; a paid link keeps its amount."""
    first, second = processes
    for _ in range(ROUNDS):
        link_id = due(first)
        changed, paid = all_at_once(
            partial(
                second.client.patch,
                f"/payment-links/{link_id}",
                json={"payment_amount": 20},
                headers=second.org(),
            ),
            partial(pay, first, link_id),
        )
        link = first.get(link_id, first.org()).json()
        assert paid.status_code == 201
        assert (link["status"], link["amount_paid"]) == ("paid", link["payment_amount"])
        assert changed.status_code == (200 if link["payment_amount"] == 20 else 409)


def test_a_payment_that_20_callers_void_is_voided_once(processes: list[Api]) -> None:
    api = processes[0]
    link_id = due(api)
    pay(api, link_id)
    calls = [partial(void, processes[each % 2], link_id) for each in range(20)]
    responses = all_at_once(*calls)
    assert statuses(responses) == {200: 20}
    assert types(api).count("payment_voided") == 1
    assert len({response.text for response in responses}) == 1


@pytest.mark.parametrize("outcome", ["sent", "deferred"])
def test_a_payment_and_the_record_of_a_mail_at_once_keep_both(
    processes: list[Api], valkey: RedisServer, outcome: str
) -> None:
    """A mail that was sent counts as sent; one that the server put off is not tried again."""
    api, client = processes[0], RedisClient(create_client(valkey.url))
    with closing(client):
        for _ in range(ROUNDS):
            link_id = due(api, reminders=[{"before_expiry": "24h"}])
            settle = partial(client.run, settling(stored(api, link_id), outcome))
            all_at_once(partial(pay, api, link_id), settle)
            link = stored(api, link_id)
            assert link.paid_at is not None
            assert link.delivery.state == ("sent" if outcome == "sent" else "none")
            assert queues(api, link_id) == notices(api, link_id) == set()


def settling(link: Link, outcome: str) -> Command[bool]:
    """Records the outcome of an attempt to send the mail of ``link``."""
    if outcome == "sent":
        return mail_store.mark_sent(link, now=link.created_at, retention=RETENTION)
    return mail_store.retry_later(link, error="450 later", at=link.created_at)
