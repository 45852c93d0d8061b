"""Problems (RFC 9457): every error has one shape, whatever went wrong."""

from collections.abc import Callable
from unittest.mock import patch

import httpx
import pytest

from service.storage import keys
from tests.http.raw_bodies import CREATE, LIMIT, send
from tests.support.api import (
    Api,
    assert_problem,
    bearer,
)
from tests.support.factories import UNKNOWN_LINK_ID

MakeApi = Callable[..., Api]


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
        pytest.param(
            "PUT", f"/payment-links/{UNKNOWN_LINK_ID}", {"GET", "PATCH", "DELETE"}, id="link"
        ),
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
        pytest.param(f"/payment-links/{UNKNOWN_LINK_ID}", "DELETE, GET, OPTIONS, PATCH", id="link"),
        pytest.param("/payment-links/otp", "OPTIONS, POST, PUT", id="otp"),
        pytest.param("/healthz", "GET, OPTIONS", id="healthz"),
    ],
)
def test_options_names_all_methods_of_a_path(api: Api, path: str, allowed: str) -> None:
    response = api.client.request("OPTIONS", path)
    assert (response.status_code, response.headers["allow"]) == (204, allowed)


def test_a_validation_names_the_field_and_what_is_wrong_with_it(api: Api) -> None:
    body = assert_problem(api.post_link(payment_amount=-1), 422, "validation_failed")
    assert [set(error) for error in body["errors"]] == [{"field", "message"}]
    assert body["errors"][0]["field"] == "payment_amount"


def test_a_validation_does_not_repeat_an_email_it_refuses(api: Api) -> None:
    """What is sent back may end in somebody's log."""
    assert "jané" not in api.post_link(email="jané@example.com").text
