"""Headers that every answer carries, and those for browsers on other origins."""

import re
from collections.abc import Callable

import httpx
import pytest

from tests.support.api import Api, bearer

ORIGIN = "https://shop.example.com"
ANSWERS = [
    pytest.param("GET", "/healthz", id="200"),
    pytest.param("GET", "/schema", id="page"),
    pytest.param("GET", "/schema/assets/swagger-ui.css", id="asset"),
    pytest.param("GET", "/payment-links/x", id="404 of a route"),
    pytest.param("GET", "/nowhere", id="404 of none"),
    pytest.param("PATCH", "/payment-links", id="405"),
    pytest.param("POST", "/payment-links", id="401"),
    pytest.param("POST", "/payment-links/otp", id="4xx of a body"),
    pytest.param("OPTIONS", "/payment-links", id="options"),
]


@pytest.mark.parametrize(("method", "path"), ANSWERS)
def test_every_answer_keeps_private_what_is_private(api: Api, method: str, path: str) -> None:
    headers = api.client.request(method, path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(("method", "path"), [answer for answer in ANSWERS if answer.id != "asset"])
def test_no_answer_is_kept_on_the_way(api: Api, method: str, path: str) -> None:
    assert api.client.request(method, path).headers.get_list("cache-control") == ["no-store"]


def test_a_page_runs_and_loads_nothing_but_its_own(api: Api) -> None:
    policy = api.client.get("/schema").headers["content-security-policy"].split("; ")
    assert {
        "default-src 'none'",
        "script-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    } <= set(policy)
    assert "unsafe" not in " ".join(policy)


def test_assets_may_be_kept(api: Api) -> None:
    assert "max-age" in api.client.get("/schema/assets/swagger-ui.css").headers["cache-control"]


@pytest.mark.parametrize(
    "path", ["/schema/assets/swagger-ui.css", "/pay/assets/pay.css", "/console/assets/console.js"]
)
def test_an_asset_that_is_still_the_same_is_not_sent_again(api: Api, path: str) -> None:
    etag = api.client.get(path).headers["etag"]
    same = api.client.get(path, headers={"If-None-Match": f'"other", {etag}'})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", etag)
    assert "max-age" in same.headers["cache-control"]
    assert api.client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize(("method", "path"), ANSWERS)
def test_every_answer_has_a_request_id(api: Api, method: str, path: str) -> None:
    assert re.fullmatch("[0-9a-f]{16}", api.client.request(method, path).headers["x-request-id"])


def test_two_requests_have_two_ids(api: Api) -> None:
    assert len({api.client.get("/healthz").headers["x-request-id"] for _ in range(2)}) == 2


@pytest.mark.parametrize(
    "request_id", ["12345678", "a" * 64, "0b5f2c1e-2f6a-4d6c-9c3e-111111111111", "A.b_c-1234"]
)
def test_a_callers_request_id_is_kept(api: Api, request_id: str) -> None:
    assert (
        api.client.get("/healthz", headers={"X-Request-ID": request_id}).headers["x-request-id"]
        == request_id
    )


@pytest.mark.parametrize(
    "request_id",
    [b"", b"1234567", b"a" * 65, b"two words", b"a\tb456789", "é2345678".encode(), b"12345678{}"],
    ids=["empty", "7", "65", "space", "tab", "outside ascii", "braces"],
)
def test_a_request_id_that_is_unfit_for_a_log_is_replaced(api: Api, request_id: bytes) -> None:
    answered = api.client.get("/healthz", headers=[(b"x-request-id", request_id)]).headers[
        "x-request-id"
    ]
    assert re.fullmatch("[0-9a-f]{16}", answered)


def test_no_origin_may_call_where_none_is_set(api: Api) -> None:
    response = api.client.get("/healthz", headers={"Origin": ORIGIN})
    assert not [name for name in response.headers if name.startswith("access-control-")]


@pytest.mark.parametrize(
    "path", ["/healthz", "/nowhere", "/payment-links/x", "/orgs/acme/payment-links"]
)
def test_an_origin_that_is_set_may_read_answers_and_problems(
    make_api: Callable[..., Api], path: str
) -> None:
    api = make_api(CORS_ORIGINS=f"{ORIGIN}, https://other.example.com")
    assert (
        api.client.get(path, headers={"Origin": ORIGIN}).headers["access-control-allow-origin"]
        == ORIGIN
    )


def test_another_origin_may_not(make_api: Callable[..., Api]) -> None:
    api = make_api(CORS_ORIGINS=ORIGIN)
    response = api.client.get("/healthz", headers={"Origin": "https://evil.example.com"})
    assert response.headers.get("access-control-allow-origin") not in {
        "*",
        "https://evil.example.com",
    }


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/payment-links"), ("PUT", "/payment-links/otp"), ("DELETE", "/payment-links")],
)
def test_a_preflight_allows_what_the_api_takes(
    make_api: Callable[..., Api], method: str, path: str
) -> None:
    api = make_api(CORS_ORIGINS=ORIGIN)
    sent = ["authorization", "content-type", "idempotency-key"]
    asked = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": ", ".join(sent),
    }
    response = api.client.options(path, headers=asked)
    assert response.status_code == 204
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert set(sent) <= allowed_headers(response)


def allowed_headers(response: httpx.Response) -> set[str]:
    return {
        name.strip().lower() for name in response.headers["access-control-allow-headers"].split(",")
    }


def test_credentials_are_not_for_other_origins(make_api: Callable[..., Api]) -> None:
    """Tokens are sent by scripts, never by the browser itself."""
    api = make_api(CORS_ORIGINS=ORIGIN)
    response = api.client.get("/orgs/acme/payment-links", headers=bearer("x") | {"Origin": ORIGIN})
    assert response.headers.get("access-control-allow-credentials") != "true"


def test_an_origin_that_is_set_may_send_any_header(make_api: Callable[..., Api]) -> None:
    api = make_api(CORS_ORIGINS=ORIGIN)
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    asked["Access-Control-Request-Headers"] = "authorization, traceparent, x-client-version"
    response = api.client.options("/payment-links", headers=asked)
    assert response.status_code == 204
    assert {"authorization", "traceparent", "x-client-version"} <= allowed_headers(response)


def test_another_origin_may_send_none(make_api: Callable[..., Api]) -> None:
    api = make_api(CORS_ORIGINS=ORIGIN)
    asked = {
        "Origin": "https://evil.example.com",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x",
    }
    response = api.client.options("/payment-links", headers=asked)
    assert response.status_code == 400
    assert not [name for name in response.headers if name.startswith("access-control-")]


def test_a_script_may_read_what_it_needs(make_api: Callable[..., Api]) -> None:
    api = make_api(CORS_ORIGINS=ORIGIN)
    exposed = (
        api.client.get("/healthz", headers={"Origin": ORIGIN})
        .headers["access-control-expose-headers"]
        .lower()
    )
    assert {
        "location",
        "retry-after",
        "x-request-id",
        "idempotency-replayed",
        "www-authenticate",
    } <= set(exposed.split(", "))
