"""Query parameters: those that a route does not know are refused, and do nothing."""

from typing import Any

import pytest

from tests.support.api import JANE, Api, assert_invalid, assert_problem
from tests.support.factories import UNKNOWN_LINK_ID

API = [
    pytest.param("POST", "/payment-links", {"email": JANE, "org_id": "acme"}, id="create"),
    pytest.param("GET", "/payment-links/{link_id}", None, id="read"),
    pytest.param("POST", "/payment-links/verify", {"link_id": UNKNOWN_LINK_ID}, id="verify"),
    pytest.param("PATCH", "/payment-links/{link_id}", {}, id="change"),
    pytest.param("DELETE", "/payment-links/{link_id}", None, id="revoke by id"),
    pytest.param("DELETE", "/payment-links", {"email": JANE}, id="revoke"),
    pytest.param("POST", "/payment-links/otp", {"email": JANE}, id="send otp"),
    pytest.param("PUT", "/payment-links/otp", {"email": JANE, "otp": "123456"}, id="submit otp"),
    pytest.param("POST", "/payment-links/scheduled", {}, id="dispatch"),
    pytest.param("POST", "/payment-links/{link_id}/resend", None, id="resend"),
    pytest.param("POST", "/orgs/acme/resend-failed", {}, id="resend failed"),
    pytest.param(
        "POST", "/payment-links/{link_id}/payments", {"payment_id": "pay-1", "amount": 10}, id="pay"
    ),
    pytest.param("DELETE", "/payment-links/{link_id}/payments/pay-1", None, id="void"),
    pytest.param("GET", "/payment-links/{link_id}/events", None, id="events"),
    pytest.param("GET", "/orgs/acme/events", None, id="events of all"),
    pytest.param("POST", "/orgs/acme/profile/test", {}, id="sample mail"),
    pytest.param("GET", "/payment-links/{link_id}/qr", None, id="qr"),
    pytest.param("GET", "/orgs/acme/payment-links", None, id="list"),
    pytest.param("GET", "/orgs/acme/profile", None, id="profile"),
    pytest.param("PUT", "/orgs/acme/profile", {}, id="present"),
    pytest.param("GET", "/orgs", None, id="organizations"),
    pytest.param("GET", "/outbox", None, id="outbox"),
    pytest.param("GET", "/healthz", None, id="healthz"),
    pytest.param("GET", "/readyz", None, id="readyz"),
]
"""Every route of the API's description but the page."""


@pytest.mark.parametrize(("method", "path", "body"), API)
def test_an_unknown_parameter_is_refused(api: Api, method: str, path: str, body: Any) -> None:
    path = path.format(link_id=api.create()["id"]) + "?fbclid=1"
    assert_invalid(api.client.request(method, path, json=body, headers=api.internal()), "fbclid")


def test_no_route_of_the_api_is_left_out(api: Api) -> None:
    paths = api.client.get("/schema/openapi.json").json()["paths"]
    described = {
        (method.upper(), path) for path, methods in paths.items() for method in methods
    } - {("GET", "/pay/{link_id}")}
    assert len(described) == len(API)


@pytest.mark.parametrize("path", ["/payment-links", "/payment-links/{link_id}"])
def test_an_email_in_the_query_revokes_nothing(api: Api, path: str) -> None:
    link = api.create()
    response = api.client.delete(
        path.format(link_id=link["id"]), params={"email": JANE}, headers=api.internal()
    )
    assert_invalid(response, "email")
    assert api.get(link["id"]).json()["status"] == "active"


@pytest.mark.parametrize(
    "path",
    [
        "/pay/{link_id}",
        "/pay/{link_id}/code",
        "/pay/assets/pay.js",
        "/console",
        "/schema",
        "/schema/openapi.json",
    ],
)
def test_pages_take_whatever_people_add(api: Api, path: str) -> None:
    response = api.client.get(
        path.format(link_id=api.create()["id"]), params={"fbclid": "1"}, follow_redirects=False
    )
    assert response.status_code in {200, 303}


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("cursor=", {"cursor"}),
        ("status=", {"status"}),
        ("limit=", {"limit"}),
        ("cursor=null", {"cursor"}),
        ("limit=1&limit=2", {"limit"}),
        ("limit=0&status=gone&cursor=", {"limit", "status", "cursor"}),
        ("limit=0&page=2&status=active&status=expired", {"limit", "page", "status"}),
        ("Limit=1&%00=1&%ff=1&=1", {"Limit", "\0", "\ufffd", ""}),
    ],
)
def test_all_that_is_wrong_with_a_query_is_told_at_once(
    api: Api, query: str, fields: set[str]
) -> None:
    response = api.client.get(f"/orgs/acme/payment-links?{query}", headers=api.internal())
    errors = assert_problem(response, 422, "validation_failed")["errors"]
    assert {error["field"] for error in errors} == fields
    assert len(errors) == len(fields)


@pytest.mark.parametrize("query", ["limit=0", "limit=0&page=2"])
def test_a_wrong_path_is_told_beside_a_wrong_query(api: Api, query: str) -> None:
    response = api.client.get(f"/orgs/a%20b/payment-links?{query}", headers=api.internal())
    errors = {
        error["field"]: error["message"]
        for error in assert_problem(response, 422, "validation_failed")["errors"]
    }
    assert errors.keys() == {"org_id", *(part.partition("=")[0] for part in query.split("&"))}
    assert errors["org_id"] == "must be 1 to 64 of A-Z a-z 0-9 . _ : -, and neither . nor .."


def test_whoever_may_not_learns_nothing_of_parameters(api: Api) -> None:
    assert_problem(api.client.get("/orgs/acme/payment-links?x=1"), 401, "token_required")
    assert_problem(api.client.get("/outbox?x=1", headers=api.org()), 403, "forbidden")


def test_a_name_is_not_repeated_at_length(api: Api) -> None:
    assert len(api.client.get(f"/healthz?{'x' * 5000}=1").content) < 1000
