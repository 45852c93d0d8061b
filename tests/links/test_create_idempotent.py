"""POST /payment-links with an Idempotency-Key: a request may be repeated, and makes one link."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import httpx
import pytest

from service.links.controller import LinkController
from service.storage import keys
from tests.support.api import (
    JANE,
    JOHN,
    JSON,
    Api,
    all_at_once,
    assert_problem,
    different_code,
    stamp,
)


def keyed(api: Api, key: str = "order-42", **fields: Any) -> httpx.Response:
    return api.post_link(api.internal() | {"Idempotency-Key": key}, **fields)


def test_a_repeated_request_gives_the_link_it_made(api: Api) -> None:
    first, again = keyed(api, payment_amount=10.5), keyed(api, payment_amount=10.5)
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers


def test_a_repeated_request_makes_no_second_link(api: Api) -> None:
    for _ in range(3):
        keyed(api)
    assert api.list().json()["total"] == 1


def test_a_repeated_request_may_be_written_in_another_order(api: Api) -> None:
    first = keyed(api, transaction_id="x")
    body = f'{{ "transaction_id": "x", "org_id": "acme", "email": "{JANE}" }}'
    again = api.client.post(
        "/payment-links",
        content=body,
        headers=api.internal() | JSON | {"Idempotency-Key": "order-42"},
    )
    assert again.json() == first.json()


@pytest.mark.parametrize("name", ["scheduled_at", "expires_at"])
def test_a_repeated_request_may_write_a_time_in_another_way(api: Api, name: str) -> None:
    moment = api.clock.now.replace(microsecond=0) + timedelta(hours=3)
    east = moment.astimezone(timezone(timedelta(hours=2)))
    written = [
        moment.isoformat(),
        stamp(moment),
        moment.replace(tzinfo=None).isoformat(),
        east.isoformat(),
    ]
    first, *again = [keyed(api, **{name: each}) for each in written]
    assert first.status_code == 201
    assert [response.json() for response in again] == [first.json()] * 3
    assert_problem(
        keyed(api, **{name: stamp(moment + timedelta(milliseconds=1))}), 409, "idempotency_conflict"
    )


def test_a_repeated_request_sees_what_became_of_the_link(api: Api) -> None:
    link = keyed(api).json()
    api.revoke(link["id"])
    assert keyed(api).json()["status"] == "revoked"


SAME: list[tuple[str, str]] = [
    ('"payment_amount":10,"currency":"USD"', '"payment_amount":10.0,"currency":"usd"'),
    ('"payment_amount":10', '"payment_amount":1e1'),
    ('"payment_amount":10.50', '"payment_amount":10.5'),
    ('"payment_amount":1000,"currency":"JPY"', '"payment_amount":1000.00,"currency":"jPy"'),
    ('"email":"jane@example.com"', '"email":"JANE@Example.com"'),
    ('"email":"ann@bücher.example"', '"email":"ann@xn--bcher-kva.example"'),
    ('"locale":"pt-BR"', '"locale":"PT-br"'),
    ('"notify":true', '"notify":null'),
    ('"notify":true,"otp_required":false,"currency":null', '"transaction_id":null'),
    ('"expires_at":"2091-01-01T00:00:00Z"', '"expires_at":"2091-01-01"'),
    ('"scheduled_at":"2090-12-01T10:00Z"', '"scheduled_at":"20901201T110000.000+01"'),
]
"""Two ways to say the same."""


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_request_in_other_words_is_the_same(api: Api, one: str, other: str) -> None:
    api.clock.now = datetime(2090, 11, 25, 9, 30, tzinfo=UTC)
    headers = api.internal() | JSON | {"Idempotency-Key": "order-42"}

    def send(fields: str) -> httpx.Response:
        email = "" if "email" in fields else f'"email":"{JANE}",'
        return api.client.post(
            "/payment-links",
            content=f'{{{email}"org_id":"acme",{fields}}}'.encode(),
            headers=headers,
        )

    first, again, back = send(one), send(other), send(one)
    assert [response.status_code for response in (first, again, back)] == [201, 201, 201]
    assert first.json() == again.json() == back.json()


def test_a_repeated_request_whose_end_depends_on_now_is_the_same(api: Api) -> None:
    first = keyed(api)
    api.clock.advance(seconds=7)
    again = keyed(api)
    assert again.json() == first.json()


def test_a_repeated_request_is_the_same_whatever_a_later_release_calls_its_handler(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = keyed(api)
    monkeypatch.setattr(LinkController.create_link.fn, "__name__", "make_link")
    again = keyed(api)
    assert (again.status_code, again.json()) == (201, first.json())


def test_a_repeated_request_may_end_in_a_slash(api: Api) -> None:
    first = keyed(api)
    again = api.client.post(
        "/payment-links/", json={"email": JANE, "org_id": "acme"}, headers=first.request.headers
    )
    assert (again.status_code, again.json()) == (201, first.json())


def test_a_code_is_part_of_what_is_asked_for(api: Api) -> None:
    codes = [api.new_code(), api.new_code()]
    api.submit_otp(codes[1])
    assert keyed(api, otp=codes[1]).status_code == 201
    assert keyed(api, otp=codes[1], otp_required=True).headers["idempotency-replayed"] == "true"
    assert_problem(keyed(api, otp=different_code(codes[1])), 409, "idempotency_conflict")
    assert_problem(keyed(api, otp_required=True), 409, "idempotency_conflict")


def test_a_key_is_forgotten_after_24_hours_and_makes_a_new_link_then(api: Api) -> None:
    api.clock.advance(hours=-25)
    first = keyed(api).json()
    api.clock.advance(hours=25)
    second = keyed(api)
    assert second.status_code == 201
    assert "idempotency-replayed" not in second.headers
    assert second.json()["id"] != first["id"]


def test_a_key_whose_link_is_gone_makes_a_new_one(make_api: Callable[..., Api]) -> None:
    """A short RETENTION forgets links that their keys outlive."""
    api = make_api(RETENTION="1m")
    first = keyed(api).json()["id"]
    api.redis.delete(keys.link(first))
    second = keyed(api)
    assert second.status_code == 201
    assert second.json()["id"] != first
    assert "idempotency-replayed" not in second.headers
    again = keyed(api)
    assert (again.json()["id"], again.headers["idempotency-replayed"]) == (
        second.json()["id"],
        "true",
    )


def test_the_store_knows_neither_key_nor_code(api: Api) -> None:
    code = api.new_code()
    api.submit_otp(code)
    assert keyed(api, "order-1138-of-jane", otp=code).status_code == 201
    [key] = [key for key in api.redis.scan_iter() if "idempotency" in key]
    kept = key + str(api.redis.hgetall(key))
    assert not [secret for secret in ("order-1138", code, JANE) if secret in kept]


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


@pytest.mark.parametrize(
    "key",
    ["", "x" * 256, "two words", "é".encode()],
    ids=["empty", "256", "space", "outside ascii"],
)
def test_a_key_that_is_not_printable_is_refused(api: Api, key: str | bytes) -> None:
    headers = [(name.encode(), value.encode()) for name, value in (api.internal() | JSON).items()]
    headers.append((b"Idempotency-Key", key if isinstance(key, bytes) else key.encode()))
    response = api.client.post(
        "/payment-links", content=f'{{"email":"{JANE}","org_id":"acme"}}', headers=headers
    )
    assert_problem(response, 422, "validation_failed")


def test_a_key_of_255_characters_is_taken(api: Api) -> None:
    assert keyed(api, "x" * 255).status_code == 201


def test_a_hundred_requests_with_one_key_at_once_make_one_link_and_one_mail(
    make_api: Callable[..., Api],
) -> None:
    processes = [make_api(), make_api()]
    responses = all_at_once(
        *[lambda api=processes[number % 2]: keyed(api) for number in range(100)]
    )
    assert {response.status_code for response in responses} == {201}
    [link_id] = {response.json()["id"] for response in responses}
    assert (
        len([response for response in responses if "idempotency-replayed" not in response.headers])
        == 1
    )
    assert processes[0].list().json()["total"] == 1
    assert processes[0].redis.zrange(keys.outbox(keys.partition_of_link(link_id)), 0, -1) == [
        keys.local_id(link_id)
    ]


def test_two_requests_with_one_key_at_once_make_one_link_and_a_conflict(
    make_api: Callable[..., Api],
) -> None:
    processes = [make_api(), make_api()]
    responses = all_at_once(
        lambda: keyed(processes[0], payment_amount=1),
        lambda: keyed(processes[1], payment_amount=2),
    )
    assert sorted(response.status_code for response in responses) == [201, 409]


def test_two_keys_are_refused(api: Api) -> None:
    """Either of them may be the one that is repeated."""
    headers = [
        *api.internal().items(),
        ("Idempotency-Key", "order-42"),
        ("Idempotency-Key", "order-43"),
    ]
    response = api.client.post(
        "/payment-links", json={"email": JANE, "org_id": "acme"}, headers=headers
    )
    assert_problem(response, 422, "validation_failed")
