"""POST /payment-links with an Idempotency-Key: a request may be repeated, and makes one link."""

from collections.abc import Callable
from datetime import timedelta, timezone
from typing import Any

import httpx
import pytest

from tests.api.helpers import JANE, JOHN, JSON, Api, all_at_once, assert_problem, stamp


def keyed(api: Api, key: str = "order-42", **fields: Any) -> httpx.Response:
    return api.post_link(api.internal() | {"Idempotency-Key": key}, **fields)


def test_a_repeated_request_gives_the_link_it_made(api: Api) -> None:
    first, again = keyed(api, payment_amount=10.5), keyed(api, payment_amount=10.5)
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["location"] == first.headers["location"]


def test_a_repeated_request_makes_no_second_link(api: Api) -> None:
    for _ in range(3):
        keyed(api)
    assert api.list().json()["total"] == 1


def test_a_repeated_request_may_be_written_in_another_order(api: Api) -> None:
    first = keyed(api, transaction_id="x")
    body = f'{{ "transaction_id": "x", "org_id": "acme", "email": "{JANE}" }}'
    again = api.client.post("/payment-links", content=body, headers=api.internal() | JSON | {"Idempotency-Key": "order-42"})
    assert again.json() == first.json()


@pytest.mark.parametrize("name", ["scheduled_at", "expires_at"])
def test_a_repeated_request_may_write_a_time_in_another_way(api: Api, name: str) -> None:
    moment = api.clock.now.replace(microsecond=0) + timedelta(hours=3)
    east = moment.astimezone(timezone(timedelta(hours=2)))
    written = [moment.isoformat(), stamp(moment), moment.replace(tzinfo=None).isoformat(), east.isoformat()]
    first, *again = [keyed(api, **{name: each}) for each in written]
    assert first.status_code == 201
    assert [response.json() for response in again] == [first.json()] * 3
    assert_problem(keyed(api, **{name: stamp(moment + timedelta(milliseconds=1))}), 409, "idempotency_conflict")


def test_a_repeated_request_sees_what_became_of_the_link(api: Api) -> None:
    link = keyed(api).json()
    api.revoke(link["id"])
    assert keyed(api).json()["status"] == "revoked"


def test_a_request_may_be_repeated_after_its_schedule_has_passed(api: Api) -> None:
    at = stamp(api.now + timedelta(minutes=1))
    first = keyed(api, scheduled_at=at)
    api.clock.advance(hours=1)
    again = keyed(api, scheduled_at=at)
    assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])


@pytest.mark.parametrize(
    "changed",
    [{"email": JOHN}, {"payment_amount": 2}, {"otp_required": True}, {"transaction_id": "y"}],
    ids=["email", "amount", "gate", "transaction"],
)
def test_the_same_key_with_another_request_is_a_conflict(api: Api, changed: dict[str, Any]) -> None:
    keyed(api)
    assert_problem(keyed(api, **changed), 409, "idempotency_conflict")


def test_another_key_makes_another_link(api: Api) -> None:
    assert keyed(api, "one").json()["id"] != keyed(api, "two").json()["id"]


def test_organizations_do_not_share_keys(api: Api) -> None:
    assert keyed(api, org_id="acme").json()["id"] != keyed(api, org_id="globex").json()["id"]


def test_a_key_whose_request_was_refused_is_free(api: Api) -> None:
    assert keyed(api, payment_amount=-1).status_code == 422
    assert keyed(api, payment_amount=1).status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 256, "two words", "é".encode()], ids=["empty", "256", "space", "outside ascii"])
def test_a_key_that_is_not_printable_is_refused(api: Api, key: str | bytes) -> None:
    headers = [(name.encode(), value.encode()) for name, value in (api.internal() | JSON).items()]
    headers.append((b"Idempotency-Key", key if isinstance(key, bytes) else key.encode()))
    response = api.client.post("/payment-links", content=f'{{"email":"{JANE}","org_id":"acme"}}', headers=headers)
    assert_problem(response, 422, "validation_failed")


def test_a_key_of_255_characters_is_taken(api: Api) -> None:
    assert keyed(api, "x" * 255).status_code == 201


def test_forty_requests_with_one_key_at_once_make_one_link(make_api: Callable[..., Api]) -> None:
    processes = [make_api(), make_api()]
    responses = all_at_once(*[lambda api=processes[number % 2]: keyed(api) for number in range(40)])
    assert {response.status_code for response in responses} == {201}
    assert len({response.json()["id"] for response in responses}) == 1
    assert processes[0].list().json()["total"] == 1


def test_two_requests_with_one_key_at_once_make_one_link_and_a_conflict(make_api: Callable[..., Api]) -> None:
    processes = [make_api(), make_api()]
    responses = all_at_once(
        lambda: keyed(processes[0], payment_amount=1),
        lambda: keyed(processes[1], payment_amount=2),
    )
    assert sorted(response.status_code for response in responses) == [201, 409]


def test_two_keys_are_refused(api: Api) -> None:
    """Either of them may be the one that is repeated."""
    headers = [*api.internal().items(), ("Idempotency-Key", "order-42"), ("Idempotency-Key", "order-43")]
    response = api.client.post("/payment-links", json={"email": JANE, "org_id": "acme"}, headers=headers)
    assert_problem(response, 422, "validation_failed")
