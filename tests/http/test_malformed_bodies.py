"""Bodies that are no JSON, too large or of another media type."""

from collections.abc import Iterator

import pytest

from tests.http.raw_bodies import CREATE, LIMIT, send
from tests.support.api import (
    JANE,
    Api,
    Headers,
    assert_problem,
)
from tests.support.factories import UNKNOWN_LINK_ID

WITH_BODY = [
    pytest.param("POST", "/payment-links", id="create"),
    pytest.param("POST", "/payment-links/verify", id="verify"),
    pytest.param("POST", "/payment-links/otp", id="send otp"),
    pytest.param("PUT", "/payment-links/otp", id="submit otp"),
    pytest.param("PATCH", f"/payment-links/{UNKNOWN_LINK_ID}", id="change"),
    pytest.param("DELETE", "/payment-links", id="revoke"),
    pytest.param("DELETE", f"/payment-links/{UNKNOWN_LINK_ID}", id="revoke by id"),
    pytest.param("POST", "/payment-links/scheduled", id="dispatch"),
]


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
