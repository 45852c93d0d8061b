"""RequestBody bodies: nothing in them is guessed at."""

import asyncio
import re
import time
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
import pytest
from litestar.types import HTTPReceiveMessage

from service.errors import Invalid
from service.http.body import MAX_BODY_BYTES, LimitedRequest
from service.http.json_reader import read_body
from service.http.problems import RequestTimeout
from service.http.schemas import RequestBody
from service.links.schemas import CreateLink, DispatchWindow, RevokeLinks, VerifyLink
from service.orgs.schemas import PutProfile
from tests.support.api import JANE, JSON, Api, assert_problem
from tests.support.factories import UNKNOWN_LINK_ID

TWICE = [
    pytest.param(
        "POST",
        "/payment-links",
        f'{{"email":"{JANE}","org_id":"acme","email":"john@example.com"}}',
        "email",
        id="create",
    ),
    pytest.param(
        "POST",
        "/payment-links",
        f'{{"email":"{JANE}","org_id":"acme","\\u006frg_id":"acme"}}',
        "org_id",
        id="escaped",
    ),
    pytest.param(
        "POST",
        "/payment-links",
        f'{{"email":"{JANE}","org_id":"acme","notify":true,"notify":true}}',
        "notify",
        id="same",
    ),
    pytest.param(
        "POST",
        "/payment-links/verify",
        f'{{"link_id":"{UNKNOWN_LINK_ID}","link_id":"x"}}',
        "link_id",
        id="verify",
    ),
    pytest.param(
        "POST",
        "/payment-links/otp",
        f'{{"email":"{JANE}","email":"{JANE}"}}',
        "email",
        id="send otp",
    ),
    pytest.param(
        "PUT",
        "/payment-links/otp",
        f'{{"email":"{JANE}","otp":"000000","otp":"000001"}}',
        "otp",
        id="submit otp",
    ),
    pytest.param(
        "PATCH",
        f"/payment-links/{UNKNOWN_LINK_ID}",
        f'{{"email":"{JANE}","email":null}}',
        "email",
        id="change",
    ),
    pytest.param(
        "DELETE", "/payment-links", f'{{"email":"{JANE}","email":null}}', "email", id="revoke"
    ),
    pytest.param(
        "POST", "/payment-links/scheduled", '{"period":1,"period":24}', "period", id="dispatch"
    ),
]


@pytest.mark.parametrize(("method", "path", "content", "field"), TWICE)
def test_a_field_that_is_given_twice_is_refused(
    api: Api, method: str, path: str, content: str, field: str
) -> None:
    response = api.client.request(method, path, content=content, headers=api.internal() | JSON)
    assert_problem(response, 422, "validation_failed")
    assert [error["field"] for error in response.json()["errors"]] == [field]


@pytest.mark.parametrize(
    ("coding", "status"), [("gzip", 415), ("br", 415), ("gzip, identity", 415), ("Identity", 201)]
)
def test_a_body_comes_as_it_is(api: Api, coding: str, status: int) -> None:
    """Whatever its bytes are: who says that they are packed does not mean them."""
    content = f'{{"email":"{JANE}","org_id":"acme"}}'
    response = api.client.post(
        "/payment-links",
        content=content,
        headers=api.internal() | JSON | {"Content-Encoding": coding},
    )
    assert response.status_code == status


def faults(response: httpx.Response) -> dict[str, str]:
    """What is said of each field."""
    errors = assert_problem(response, 422, "validation_failed")["errors"]
    assert len({error["field"] for error in errors}) == len(errors)
    return {error["field"]: error["message"] for error in errors}


WRONG: list[tuple[str, str, dict[str, Any], set[str]]] = [
    (
        "POST",
        "/payment-links",
        {"email": "jane", "org_id": "acme", "currency": "NG", "payment_amount": 0},
        {"email", "currency", "payment_amount"},
    ),
    (
        "POST",
        "/payment-links",
        {"email": 42, "payment_amount": "10", "locale": "tlh", "amount": 10},
        {"email", "org_id", "payment_amount", "locale", "amount"},
    ),
    (
        "POST",
        "/payment-links",
        {
            "org_id": "a b",
            "transaction_id": "",
            "scheduled_at": "2001-01-01",
            "expires_at": "soon",
            "otp": "12345",
        }
        | {"notify": 1, "otp_required": "no"},
        {
            "email",
            "org_id",
            "transaction_id",
            "scheduled_at",
            "expires_at",
            "otp",
            "notify",
            "otp_required",
        },
    ),
    (
        "POST",
        "/payment-links",
        {"email": JANE, "org_id": None, "currency": 5, "payment_amount": 1.2345},
        {"org_id", "currency"},
    ),
    ("POST", "/payment-links/verify", {"id": UNKNOWN_LINK_ID}, {"link_id", "id"}),
    ("POST", "/payment-links/otp", {"email": "jane", "mail": JANE}, {"email", "mail"}),
    ("PUT", "/payment-links/otp", {"email": "jane", "otp": "12345a"}, {"email", "otp"}),
    ("PUT", "/payment-links/otp", {"email": "jane", "otp": 123456}, {"email", "otp"}),
    ("DELETE", "/payment-links", {"email": "jane", "org_id": "acme"}, {"email", "org_id"}),
    (
        "DELETE",
        f"/payment-links/{UNKNOWN_LINK_ID}",
        {"email": [], "reason": None},
        {"email", "reason"},
    ),
    (
        "POST",
        "/payment-links/scheduled",
        {"period": 0, "scheduled_at": "2026-13-01", "until": 1},
        {"period", "scheduled_at", "until"},
    ),
    (
        "PUT",
        "/orgs/acme/profile",
        {
            "display_name": " ",
            "colour": "red",
            "logo": "é",
            "reply_to": "help",
            "locale": 5,
            "name": "Acme",
        },
        {"display_name", "colour", "logo", "reply_to", "locale", "name"},
    ),
]


@pytest.mark.parametrize(("method", "path", "body", "fields"), WRONG)
def test_all_that_is_wrong_with_a_body_is_told_at_once(
    api: Api, method: str, path: str, body: dict[str, Any], fields: set[str]
) -> None:
    assert (
        set(faults(api.client.request(method, path, json=body, headers=api.internal()))) == fields
    )


@pytest.mark.parametrize(("method", "path", "body"), [case[:3] for case in WRONG])
def test_a_fault_is_told_in_words_for_clerks(
    api: Api, method: str, path: str, body: dict[str, Any]
) -> None:
    messages = faults(api.client.request(method, path, json=body, headers=api.internal())).values()
    jargon = re.compile(r"[`$^\\]|\[A-Z|Expected|regex|`?str`|\bint\b|\bbool\b|null|object|Object")
    assert [message for message in messages if jargon.search(message)] == []


def test_three_mistakes_are_three_sentences(api: Api) -> None:
    assert faults(api.post_link(email="jane", currency="NG", payment_amount=-1)) == {
        "email": "An email address must have an @-sign.",
        "currency": "must be an ISO 4217 code, such as NGN or USD",
        "payment_amount": "must be above 0 and below 1000000000000",
    }


def test_a_field_that_is_given_twice_is_told_beside_other_faults(api: Api) -> None:
    content = '{"email":"jane","org_id":"acme","currency":"NGN","currency":"USD","x":1}'
    response = api.client.post("/payment-links", content=content, headers=api.internal() | JSON)
    assert set(faults(response)) == {"email", "currency", "x"}


def test_a_name_that_is_twice_in_the_text_but_once_in_the_object_is_no_fault(api: Api) -> None:
    content = f'{{"email":"{JANE}","org_id":"acme","transaction_id":"\\"org_id\\""}}'
    response = api.client.post("/payment-links", content=content, headers=api.internal() | JSON)
    assert (response.status_code, response.json()["transaction_id"]) == (201, '"org_id"')


def test_an_answer_names_a_hundred_unknown_fields_at_most_and_repeats_no_long_names(
    api: Api,
) -> None:
    many = {f"field {number}": 1 for number in range(3000)}
    assert list(faults(api.client.post("/payment-links", json=many, headers=api.internal()))) == [
        *("email", "org_id"),
        *[f"field {number}" for number in range(100)],
    ]
    long = api.client.post(
        "/payment-links/verify", json={"link_id": UNKNOWN_LINK_ID, "x" * 60_000: 1}
    )
    assert len(long.content) < 1000


LABORIOUS = {
    "names": "{" + ",".join(f'"{number}":1' for number in range(6500)) + "}",
    "one name": "{" + ",".join(['"link_id":1'] * 5000) + "}",
    "objects": '{"x":["\\\\"' + ",{}" * 21_000 + "]}",
    "objects for a text": '{"link_id":["\\\\"' + ",{}" * 21_000 + "]}",
    "halves of characters": '{"link_id":"' + "\\ud83d" * 10_000 + '"}',
}
"""Bodies that anybody may send, as large as they may be."""


@pytest.mark.parametrize("name", LABORIOUS)
def test_no_body_stops_the_process(name: str) -> None:
    durations = []
    for _ in range(5):
        began = time.process_time()
        with pytest.raises(Invalid):
            read_body(VerifyLink, LABORIOUS[name].encode(), datetime.now(UTC))
        durations.append(time.process_time() - began)
    assert len(LABORIOUS[name]) < MAX_BODY_BYTES
    assert min(durations) < 0.005


@pytest.mark.parametrize("text", [r"\ud83d", r"Jane \uD83D", r"\ude00 Jane", r"\ud83d\u0041"])
def test_half_a_character_is_named_with_its_field(api: Api, text: str) -> None:
    """What JavaScript makes of a text that was cut inside an emoji."""
    content = f'{{"email":"{JANE}","org_id":"acme","transaction_id":"{text}"}}'
    response = api.client.post("/payment-links", content=content, headers=api.internal() | JSON)
    half = "U+DE00" if "de00" in text else "U+D83D"
    assert faults(response) == {"transaction_id": f"must not contain {half} SURROGATE"}


def test_half_a_character_in_malformed_json_is_malformed_json(api: Api) -> None:
    response = api.client.post(
        "/payment-links", content=r'{"email":"\ud83d"', headers=api.internal() | JSON
    )
    assert_problem(response, 400, "malformed_request")


NULLS = [
    pytest.param(
        "POST", "/payment-links", {"email": JANE, "org_id": "acme"}, CreateLink, 201, id="create"
    ),
    pytest.param("PUT", "/orgs/acme/profile", {}, PutProfile, 200, id="profile"),
    pytest.param("POST", "/payment-links/scheduled", {}, DispatchWindow, 200, id="dispatch"),
    pytest.param(
        "DELETE", f"/payment-links/{UNKNOWN_LINK_ID}", {}, RevokeLinks, 404, id="revoke by id"
    ),
]


@pytest.mark.parametrize(("method", "path", "body", "model", "status"), NULLS)
def test_null_is_as_good_as_absent(
    api: Api, method: str, path: str, body: dict[str, Any], model: type[RequestBody], status: int
) -> None:
    optional = {
        field.encode_name: None for field in msgspec.structs.fields(model) if not field.required
    }
    assert optional
    absent, null = (
        api.client.request(method, path, json=sent, headers=api.internal())
        for sent in (body, optional | body)
    )
    own = {"id": "", "url": ""}
    assert (absent.status_code, null.status_code) == (status, status)
    assert absent.json() | own == null.json() | own


def test_null_is_as_good_as_absent_where_a_field_is_required(api: Api) -> None:
    assert faults(api.post_link(email=None, org_id=None)) == {
        "email": "is required",
        "org_id": "is required",
    }


def test_a_byte_order_mark_is_skipped(api: Api) -> None:
    content = f'\ufeff{{"email":"{JANE}","org_id":"acme"}}'.encode()
    assert (
        api.client.post(
            "/payment-links", content=content, headers=api.internal() | JSON
        ).status_code
        == 201
    )


def test_all_parameters_that_are_wrong_are_told_at_once_in_words(api: Api) -> None:
    assert faults(api.list(limit=0, status="gone")) == {
        "limit": "must be a whole number from 1 to 1000",
        "status": "must be one of active, expired, revoked, paid",
    }
    assert faults(api.list(limit="many", cursor="x" * 129)) == {
        "limit": "must be a whole number from 1 to 1000",
        "cursor": "must be the next_cursor of a page",
    }


def test_a_wrong_header_is_told_in_words(api: Api) -> None:
    response = api.post_link(api.internal() | {"Idempotency-Key": "two words"})
    assert faults(response) == {"Idempotency-Key": "must be 1 to 255 printable ASCII characters"}


class TestTimeout:
    """A body that does not arrive, read without a server."""

    @staticmethod
    def read() -> "asyncio.Task[bytes]":
        async def receive() -> HTTPReceiveMessage:
            never: asyncio.Future[HTTPReceiveMessage] = asyncio.get_running_loop().create_future()
            return await never

        scope: Any = {"type": "http", "headers": []}
        return asyncio.create_task(LimitedRequest(scope, receive=receive).body())

    def test_it_ends_the_request(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("service.http.body.BODY_TIMEOUT_SECONDS", 0.01)

        async def run() -> int:
            task = self.read()
            with pytest.raises(RequestTimeout):
                await task
            return task.cancelling()

        assert asyncio.run(run()) == 0

    @pytest.mark.parametrize("seconds", [0.01, 5], ids=["at the same time", "before"])
    def test_a_request_that_is_canceled_stays_canceled(
        self, monkeypatch: pytest.MonkeyPatch, seconds: float
    ) -> None:
        monkeypatch.setattr("service.http.body.BODY_TIMEOUT_SECONDS", seconds)

        async def run() -> None:
            task = self.read()
            await asyncio.sleep(0)
            asyncio.get_running_loop().call_later(0.01, task.cancel)
            time.sleep(0.02)  # noqa: ASYNC251 - both timers are due in the same turn of the loop
            await task

        with pytest.raises(asyncio.CancelledError):
            asyncio.run(run())
