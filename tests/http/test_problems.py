"""Problems (RFC 9457): every error has one shape, whatever went wrong."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import pytest
import redis
from litestar.testing import TestClient

from service.app import create_app
from service.storage import keys
from tests.support.api import (
    JANE,
    JSON,
    Api,
    FromPeer,
    Headers,
    assert_problem,
    bearer,
    settings_of,
)
from tests.support.clock import Clock
from tests.support.factories import UNKNOWN_LINK_ID
from tests.support.servers import RedisServer

MakeApi = Callable[..., Api]
LIMIT = 64 * 1024
CREATE = ("POST", "/payment-links")
WITH_BODY = [
    pytest.param("POST", "/payment-links", id="create"),
    pytest.param("POST", "/payment-links/verify", id="verify"),
    pytest.param("POST", "/payment-links/otp", id="send otp"),
    pytest.param("PUT", "/payment-links/otp", id="submit otp"),
    pytest.param("DELETE", "/payment-links", id="revoke"),
    pytest.param("DELETE", f"/payment-links/{UNKNOWN_LINK_ID}", id="revoke by id"),
    pytest.param("POST", "/payment-links/scheduled", id="dispatch"),
]


def send(
    api: Api, method: str, path: str, content: Any, headers: Headers | None = None
) -> httpx.Response:
    """Sends ``content`` as an internal admin, as JSON where ``headers`` do not say otherwise."""
    return api.client.request(
        method,
        path,
        content=content,
        headers=api.internal() | (JSON if headers is None else headers),
    )


def unreadable(api: Api) -> httpx.Response:
    """The store holds what it should not."""
    api.redis.rpush(keys.link(UNKNOWN_LINK_ID), "boom")
    return api.get(UNKNOWN_LINK_ID)


def fault(api: Api) -> httpx.Response:
    """What nobody thought of."""
    with patch("service.links.operations.find", side_effect=RuntimeError("redis://")):
        return api.get(UNKNOWN_LINK_ID)


def second_code(api: Api) -> httpx.Response:
    api.send_otp()
    return api.send_otp()


PROBLEMS: list[tuple[int, str, Callable[[Api], httpx.Response]]] = [
    (400, "malformed_request", lambda api: send(api, *CREATE, "{")),
    (401, "token_required", lambda api: api.client.get("/orgs/acme/payment-links")),
    (401, "token_invalid", lambda api: api.list(bearer("x"))),
    (403, "forbidden", lambda api: api.list(api.org("globex"))),
    (404, "not_found", lambda api: api.client.get("/nowhere")),
    (404, "link_not_found", lambda api: api.get(UNKNOWN_LINK_ID)),
    (405, "method_not_allowed", lambda api: api.client.patch("/payment-links")),
    (413, "body_too_large", lambda api: send(api, *CREATE, b" " * (LIMIT + 1))),
    (
        415,
        "unsupported_media_type",
        lambda api: send(api, *CREATE, "{}", {"Content-Type": "text/plain"}),
    ),
    (422, "validation_failed", lambda api: api.post_link(payment_amount=-1)),
    (429, "limit_reached", second_code),
    (500, "internal_error", fault),
    (500, "record_unreadable", unreadable),
]


@pytest.mark.parametrize(
    ("status", "code", "provoke"), [pytest.param(*case, id=case[1]) for case in PROBLEMS]
)
def test_a_problem_has_title_status_detail_and_a_code_of_its_own(
    api: Api, status: int, code: str, provoke: Callable[[Api], httpx.Response]
) -> None:
    """And a type: RFC 9457, 3.1.1 lets about:blank be left out, which our clients need not know."""
    problem = assert_problem(provoke(api), status, code)
    assert problem["type"]
    assert ("errors" in problem) == (code == "validation_failed")


@pytest.mark.parametrize(
    ("provoke", "code"), [(fault, "internal_error"), (unreadable, "record_unreadable")]
)
def test_a_fault_tells_nothing_of_itself(
    api: Api, provoke: Callable[[Api], httpx.Response], code: str
) -> None:
    response = provoke(api)
    assert_problem(response, 500, code)
    words = ("WRONGTYPE", "RuntimeError", "Traceback", "redis", "service/", UNKNOWN_LINK_ID)
    assert not [word for word in words if word in response.text]


# 400: no JSON.


@pytest.mark.parametrize(("method", "path"), WITH_BODY)
@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"{'email':1}",
        b"email=jane",
        b" ",
        b"\xff\xfe{\x00}\x00",
        b'{"\xe9":1}',
        b"\xef\xbb\xbf{",
        b"\xef\xbb\xbf" * 2 + b"{}",
    ],
    ids=[
        "open",
        "single quotes",
        "form",
        "blank",
        "utf-16",
        "latin-1",
        "open after a mark",
        "two byte order marks",
    ],
)
def test_a_body_that_is_no_json_is_malformed(
    api: Api, method: str, path: str, content: bytes
) -> None:
    assert_problem(send(api, method, path, content), 400, "malformed_request")


@pytest.mark.parametrize(
    "tail",
    ["", ",}", "}}", "}{}", "} x", ',"currency":}', ',"currency":"\n"}'],
    ids=["open", "comma", "brace", "two objects", "word", "no value", "raw newline"],
)
def test_a_body_that_ends_wrongly_is_malformed(api: Api, tail: str) -> None:
    content = f'{{"email":"{JANE}","org_id":"acme"' + tail
    assert_problem(send(api, *CREATE, content), 400, "malformed_request")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        case
        for case in WITH_BODY
        if case.values[0] != "DELETE" and "scheduled" not in str(case.values[1])
    ],
)
def test_no_body_is_no_json(api: Api, method: str, path: str) -> None:
    assert_problem(send(api, method, path, b""), 400, "malformed_request")


@pytest.mark.parametrize(
    "content",
    [
        '{"email":"\\ud800@example.com","org_id":"acme"}',
        '{"email":"jane@example.com","org_id":"acme","transaction_id":"\\ud800"}',
        '{"email":"jane@example.com","org_id":"acme","transaction_id":"\\udc00\\ud800"}',
        '{"\\ud800":1}',
    ],
    ids=["e-mail", "transaction", "reversed", "field"],
)
def test_a_lone_surrogate_is_refused(api: Api, content: str) -> None:
    response = send(api, *CREATE, content)
    assert response.status_code in {400, 422}
    assert_problem(response, response.status_code, response.json()["code"])


@pytest.mark.parametrize(
    "content",
    [
        '{"email":"jane\\u0000@example.com","org_id":"acme"}',
        '{"email":"jane@example.com","org_id":"ac\\u0000me"}',
    ],
)
def test_a_nul_is_refused(api: Api, content: str) -> None:
    assert_problem(send(api, *CREATE, content), 422, "validation_failed")


def test_a_nul_byte_is_malformed(api: Api) -> None:
    assert_problem(
        send(api, *CREATE, b'{"email":"jane\x00@example.com","org_id":"acme"}'),
        400,
        "malformed_request",
    )


@pytest.mark.parametrize("bracket", ["[", '{"a":'], ids=["arrays", "objects"])
@pytest.mark.parametrize(("method", "path"), WITH_BODY)
def test_200_000_nested_brackets_are_too_large(
    api: Api, method: str, path: str, bracket: str
) -> None:
    assert_problem(send(api, method, path, bracket * 200_000), 413, "body_too_large")


@pytest.mark.parametrize(
    "content",
    [
        "[" * 60_000,
        '{"a":' * 12_000,
        '{"email":' + "[" * 60_000,
        '{"payment_amount":' + "[" * 60_000,
        '{"payment_amount":' + '{"a":' * 12_000,
        '{"x":' + "[" * 60_000,
        "[" * 30_000 + "]" * 30_000,
        '{"payment_amount":' + "[" * 30_000 + "]" * 30_000 + "}",
    ],
    ids=[
        "arrays",
        "objects",
        "e-mail",
        "amount",
        "amount of objects",
        "unknown field",
        "closed",
        "closed amount",
    ],
)
def test_deep_nesting_is_refused(api: Api, content: str) -> None:
    response = send(api, *CREATE, content)
    assert response.status_code in {400, 422}
    assert_problem(response, response.status_code, response.json()["code"])


@pytest.mark.parametrize(
    "content",
    ["[]", "null", '"jane"', "42", "true"],
    ids=["array", "null", "string", "number", "bool"],
)
def test_json_that_is_no_object_is_refused(api: Api, content: str) -> None:
    assert_problem(send(api, *CREATE, content), 422, "validation_failed")


# 404, 405.


@pytest.mark.parametrize(
    "path",
    [
        "/nowhere",
        "/payment-links/a/b",
        "/orgs/acme",
        "/pay",
        "/schema/nothing",
        "/schema/assets/nothing.js",
    ],
)
def test_a_path_that_leads_nowhere_is_not_found(api: Api, path: str) -> None:
    assert_problem(api.client.get(path), 404, "not_found")


@pytest.mark.parametrize("path", ["%2e%2e/core.py", "own/%2e%2e%2fschemas.py", "%2fetc/passwd"])
def test_assets_lead_nowhere_else(api: Api, path: str) -> None:
    assert api.client.get(f"/schema/assets/{path}").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        pytest.param("GET", "/payment-links", {"POST", "DELETE"}, id="links"),
        pytest.param("PUT", f"/payment-links/{UNKNOWN_LINK_ID}", {"GET", "DELETE"}, id="link"),
        pytest.param("DELETE", f"/pay/{UNKNOWN_LINK_ID}", {"GET"}, id="pay"),
        pytest.param("GET", "/payment-links/verify", {"POST"}, id="verify"),
        pytest.param("GET", "/payment-links/otp", {"POST", "PUT"}, id="otp"),
        pytest.param("DELETE", "/payment-links/otp", {"POST", "PUT"}, id="delete otp"),
        pytest.param("GET", "/payment-links/scheduled", {"POST"}, id="scheduled"),
        pytest.param("POST", "/orgs/acme/payment-links", {"GET"}, id="list"),
        pytest.param("POST", "/healthz", {"GET"}, id="healthz"),
        pytest.param("POST", "/readyz", {"GET"}, id="readyz"),
        pytest.param("POST", "/schema", {"GET"}, id="schema"),
    ],
)
def test_a_method_that_a_path_has_not_is_answered_with_those_it_has(
    api: Api, method: str, path: str, allowed: set[str]
) -> None:
    response = api.client.request(method, path)
    assert_problem(response, 405, "method_not_allowed")
    assert (
        set(response.headers["allow"].replace(" ", "").split(",")) - {"OPTIONS", "HEAD"} == allowed
    )


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        pytest.param("/payment-links", "DELETE, OPTIONS, POST", id="links"),
        pytest.param(f"/payment-links/{UNKNOWN_LINK_ID}", "DELETE, GET, OPTIONS", id="link"),
        pytest.param("/payment-links/otp", "OPTIONS, POST, PUT", id="otp"),
        pytest.param("/healthz", "GET, OPTIONS", id="healthz"),
    ],
)
def test_options_names_all_methods_of_a_path(api: Api, path: str, allowed: str) -> None:
    response = api.client.request("OPTIONS", path)
    assert (response.status_code, response.headers["allow"]) == (204, allowed)


# 413.


def padded(size: int) -> bytes:
    return f'{{"email":"{JANE}","org_id":"acme"}}'.encode().ljust(size)


def test_a_body_of_64_kib_is_read(api: Api) -> None:
    assert send(api, *CREATE, padded(LIMIT)).status_code == 201


@pytest.mark.parametrize(("method", "path"), WITH_BODY)
def test_a_larger_body_is_too_large(api: Api, method: str, path: str) -> None:
    assert_problem(send(api, method, path, padded(LIMIT + 1)), 413, "body_too_large")


def test_a_larger_body_in_chunks_is_too_large(api: Api) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(65):
            yield b" " * 1024

    assert_problem(send(api, *CREATE, chunks()), 413, "body_too_large")


# 415.


@pytest.mark.parametrize(("method", "path"), WITH_BODY)
@pytest.mark.parametrize(
    "headers",
    [{}, {"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"}],
    ids=["none", "text", "form"],
)
def test_a_body_must_be_said_to_be_json(api: Api, method: str, path: str, headers: Headers) -> None:
    response = send(api, method, path, f'{{"email":"{JANE}"}}', headers)
    assert_problem(response, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "media_type",
    [
        "application/xml",
        "multipart/form-data; boundary=x",
        "application/jsonx",
        "application/json-seq",
        "json",
        "*/*",
        "",
    ],
)
def test_another_media_type_is_not_supported(api: Api, media_type: str) -> None:
    assert_problem(
        send(api, *CREATE, padded(0), {"Content-Type": media_type}), 415, "unsupported_media_type"
    )


@pytest.mark.parametrize(
    "media_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        "Application/JSON",
    ],
)
def test_json_may_be_said_in_more_than_one_way(api: Api, media_type: str) -> None:
    assert send(api, *CREATE, padded(0), {"Content-Type": media_type}).status_code == 201


@pytest.mark.parametrize(
    "types",
    [("application/json", "text/plain"), ("text/plain", "application/json")],
    ids=["json first", "json last"],
)
def test_a_body_of_two_media_types_is_not_supported(api: Api, types: tuple[str, str]) -> None:
    headers = [*api.internal().items(), *(("Content-Type", media_type) for media_type in types)]
    response = api.client.post("/payment-links", content=padded(0), headers=headers)
    assert_problem(response, 415, "unsupported_media_type")


# 422.


def test_a_validation_names_the_field_and_what_is_wrong_with_it(api: Api) -> None:
    body = assert_problem(api.post_link(payment_amount=-1), 422, "validation_failed")
    assert [set(error) for error in body["errors"]] == [{"field", "message"}]
    assert body["errors"][0]["field"] == "payment_amount"


def test_a_validation_does_not_repeat_an_email_it_refuses(api: Api) -> None:
    """What is sent back may end in somebody's log."""
    assert "jané" not in api.post_link(email="jané@example.com").text


# 503.


@pytest.fixture(scope="module")
def storeless(valkey: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A service whose store listens nowhere."""
    away = f"unix://{tmp_path_factory.mktemp('store')}/nobody"
    clock = Clock()
    app = create_app(settings_of(valkey, REDIS_URL=away), clock)
    with TestClient(FromPeer(app)) as client:
        yield Api(client, clock, redis.Redis.from_url(away))


READS = {"read", "pay", "verify", "list", "stream", "readyz"}
REQUESTS: dict[str, Callable[[Api], httpx.Response]] = {
    "create": lambda api: api.post_link(),
    "create with a key": lambda api: api.post_link(api.internal() | {"Idempotency-Key": "x"}),
    "create with an otp": lambda api: api.post_link(otp="123456"),
    "read": lambda api: api.get(UNKNOWN_LINK_ID),
    "pay": lambda api: api.client.get(
        f"/pay/{UNKNOWN_LINK_ID}", headers={"Accept": "application/json"}
    ),
    "verify": lambda api: api.verify(UNKNOWN_LINK_ID),
    "revoke": lambda api: api.revoke(UNKNOWN_LINK_ID),
    "revoke by e-mail": lambda api: api.revoke(email=JANE),
    "list": lambda api: api.list(),
    "stream": lambda api: api.list(api.internal() | {"Accept": "application/x-ndjson"}),
    "dispatch": lambda api: api.dispatch_window(),
    "send otp": lambda api: api.send_otp(),
    "submit otp": lambda api: api.submit_otp("123456"),
    "readyz": lambda api: api.client.get("/readyz"),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_without_its_store_the_service_is_unavailable(storeless: Api, name: str) -> None:
    response = REQUESTS[name](storeless)
    body = assert_problem(response, 503, "unavailable")
    assert int(response.headers["retry-after"]) >= 1
    assert "nobody" not in body["detail"]
    assert ("may have been carried out" in body["detail"]) == (name not in READS)


def test_without_its_store_the_process_still_lives(storeless: Api) -> None:
    assert storeless.client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        pytest.param(lambda api: api.list(bearer("x")), 401, id="401"),
        pytest.param(lambda api: api.list(api.org("globex")), 403, id="403"),
        pytest.param(lambda api: api.get("x"), 404, id="404"),
        pytest.param(lambda api: api.post_link(payment_amount=-1), 422, id="422"),
    ],
)
def test_what_needs_no_store_is_answered_without_it(
    storeless: Api, request_: Callable[[Api], httpx.Response], status: int
) -> None:
    assert request_(storeless).status_code == status


def test_a_store_that_does_not_answer_is_waited_for_2_seconds(
    make_api: MakeApi, tmp_path: Path
) -> None:
    path = str(tmp_path / "silent")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(path)
        silent.listen()
        api = make_api(REDIS_URL=f"unix://{path}")
        response = api.get(UNKNOWN_LINK_ID)
    assert_problem(response, 503, "unavailable")
    assert response.elapsed.total_seconds() < 4


def test_a_queue_that_is_away_holds_no_link_back(make_api: MakeApi, tmp_path: Path) -> None:
    """The mail is owed in the store; the queue only says so sooner."""
    api = make_api(QUEUE_REDIS_URL=f"unix://{tmp_path / 'nobody'}")
    link = api.create()
    assert api.redis.zrange(keys.outbox(keys.partition_of_link(link["id"])), 0, -1) == [
        keys.local_id(link["id"])
    ]


def test_a_queue_that_does_not_answer_holds_no_answer_back(
    make_api: MakeApi, tmp_path: Path
) -> None:
    path = str(tmp_path / "silent")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(path)
        silent.listen()
        api = make_api(QUEUE_REDIS_URL=f"unix://{path}")
        responses = [api.post_link(), api.post_link(), api.send_otp()]
    assert [response.status_code for response in responses] == [201, 201, 202]
    assert sum(response.elapsed.total_seconds() for response in responses) < 1


def test_a_store_that_refuses_for_now_is_unavailable(api: Api) -> None:
    """Out of memory: reads go on, writes are refused."""
    link = api.create()
    api.redis.config_set("maxmemory", "1")
    try:
        response = api.post_link()
        read = api.get(link["id"])
    finally:
        api.redis.config_set("maxmemory", "0")
    assert_problem(response, 503, "unavailable")
    assert "retry-after" in response.headers
    assert read.status_code == 200
