"""GET /schema and GET /schema/openapi.json."""

import re
from typing import Any

import pytest

from tests.support.api import PROBLEM, Api

LINK_FIELDS = {
    "id",
    "url",
    "org_id",
    "email",
    "transaction_id",
    "description",
    "metadata",
    "payment_amount",
    "currency",
    "accept_partial",
    "amount_paid",
    "amount_due",
    "payments",
    "status",
    "otp_required",
    "locale",
    "scheduled_at",
    "created_at",
    "expires_at",
    "revoked_at",
    "paid_at",
    "checkout_started_at",
    "supersedes",
    "superseded_by",
    "reminders",
    "version",
    "delivery",
}
BODY = {400, 408, 413, 415, 422}
PAGE = "text/html"
ROUTES = [
    pytest.param("get", "/healthz", 200, set(), id="healthz"),
    pytest.param("get", "/readyz", 200, {503}, id="readyz"),
    pytest.param("post", "/payment-links", 201, BODY | {401, 403, 409, 503}, id="create"),
    pytest.param("delete", "/payment-links", 200, BODY | {401, 503}, id="revoke"),
    pytest.param("get", "/payment-links/{link_id}", 200, {401, 403, 404, 503}, id="read"),
    pytest.param(
        "patch",
        "/payment-links/{link_id}",
        200,
        BODY | {401, 403, 404, 409, 412, 503},
        id="change",
    ),
    pytest.param(
        "delete", "/payment-links/{link_id}", 200, BODY | {401, 403, 404, 503}, id="revoke by id"
    ),
    pytest.param("get", "/pay/{link_id}", 200, {401, 403, 404, 503}, id="pay"),
    pytest.param("post", "/payment-links/verify", 200, BODY | {404, 503}, id="verify"),
    pytest.param("post", "/payment-links/otp", 202, BODY | {429, 503}, id="send otp"),
    pytest.param("put", "/payment-links/otp", 200, BODY | {401, 429, 503}, id="submit otp"),
    pytest.param(
        "post", "/payment-links/scheduled", 200, BODY | {401, 403, 409, 503}, id="dispatch"
    ),
    pytest.param(
        "post",
        "/payment-links/{link_id}/resend",
        202,
        BODY | {401, 403, 404, 409, 429, 503},
        id="resend",
    ),
    pytest.param(
        "post",
        "/payment-links/{link_id}/payments",
        {200, 201},
        BODY | {401, 403, 404, 409, 503},
        id="record payment",
    ),
    pytest.param(
        "delete",
        "/payment-links/{link_id}/payments/{payment_id}",
        200,
        {400, 401, 403, 404, 422, 503},
        id="void payment",
    ),
    pytest.param(
        "post",
        "/orgs/{org_id}/resend-failed",
        202,
        BODY | {401, 403, 409, 503},
        id="resend failed",
    ),
    pytest.param("get", "/orgs/{org_id}/payment-links", 200, {401, 403, 422, 503}, id="list"),
    pytest.param(
        "get", "/payment-links/{link_id}/events", 200, {401, 403, 404, 422, 503}, id="events"
    ),
    pytest.param("get", "/orgs/{org_id}/events", 200, {401, 403, 422, 503}, id="events of all"),
    pytest.param("get", "/orgs/{org_id}/profile", 200, {401, 403, 422, 503}, id="profile"),
    pytest.param(
        "post",
        "/orgs/{org_id}/profile/test",
        202,
        BODY | {401, 403, 409, 429, 503},
        id="sample mail",
    ),
    pytest.param("get", "/orgs", 200, {401, 403, 422, 503}, id="organizations"),
    pytest.param("get", "/outbox", 200, {401, 403, 422, 503}, id="outbox"),
    pytest.param("get", "/payment-links/{link_id}/qr", 200, {404, 422, 503}, id="qr"),
    pytest.param("put", "/orgs/{org_id}/profile", 200, BODY | {401, 403, 503}, id="present"),
]


@pytest.fixture
def description(api: Api) -> dict[str, Any]:
    found: dict[str, Any] = api.client.get("/schema/openapi.json").json()
    return found


def schema_of(description: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = description["components"]["schemas"][name]
    return found


def types_of(schema: dict[str, Any]) -> set[str]:
    """The JSON types that ``schema`` allows."""
    if "oneOf" in schema or "anyOf" in schema:
        return set().union(
            *(types_of(part) for part in schema.get("oneOf", schema.get("anyOf", [])))
        )
    found = schema.get("type", [])
    return {found} if isinstance(found, str) else set(found)


def test_the_description_is_openapi_3_1(description: dict[str, Any]) -> None:
    assert description["openapi"].startswith("3.1.")


def test_the_description_is_said_to_be_one(api: Api) -> None:
    assert "json" in api.client.get("/schema/openapi.json").headers["content-type"]


def test_every_route_is_described_and_no_other(description: dict[str, Any]) -> None:
    described = {
        (method, path) for path, operations in description["paths"].items() for method in operations
    }
    assert described == {(case.values[0], case.values[1]) for case in ROUTES}


@pytest.mark.parametrize(("method", "path", "success", "problems"), ROUTES)
def test_every_answer_is_described(
    description: dict[str, Any],
    method: str,
    path: str,
    success: int | set[int],
    problems: set[int],
) -> None:
    responses = description["paths"][path][method]["responses"]
    successes = set(map(str, success if isinstance(success, set) else {success}))
    assert {*successes, *map(str, problems)} <= set(responses)
    assert {status for status in responses if status.startswith("2")} == successes


@pytest.mark.parametrize(
    ("method", "path"), [pytest.param(*case.values[:2], id=case.id) for case in ROUTES]
)
def test_every_error_is_described_as_a_problem(
    description: dict[str, Any], method: str, path: str
) -> None:
    responses = description["paths"][path][method]["responses"]
    kinds = {
        status: set(response["content"]) - {PAGE}
        for status, response in responses.items()
        if status >= "400"
    }
    assert {
        status: kind for status, kind in kinds.items() if kind != {PROBLEM} and status != "410"
    } == {}


def test_pages_are_described_where_there_are_any(description: dict[str, Any]) -> None:
    pages = {
        (path, status): list(response["content"])
        for path, operations in description["paths"].items()
        for operation in operations.values()
        for status, response in operation["responses"].items()
        if PAGE in response.get("content", {})
    }
    assert pages == {
        ("/pay/{link_id}", "200"): [PAGE, "application/json"],
        ("/pay/{link_id}", "410"): [PAGE],
        **{("/pay/{link_id}", status): [PAGE, PROBLEM] for status in ("400", "404", "503")},
    }


def test_a_problem_is_described_as_it_is(description: dict[str, Any]) -> None:
    problem = schema_of(description, "Problem")
    assert {"type", "title", "status", "detail", "code"} <= set(problem["properties"])


def test_a_link_is_described_as_it_is(description: dict[str, Any]) -> None:
    assert set(schema_of(description, "LinkBody")["properties"]) == LINK_FIELDS


@pytest.mark.parametrize("name", ["CreateLink", "PutProfile", "DispatchWindow", "RevokeLinks"])
def test_an_optional_field_is_described_as_nullable_and_not_required(
    description: dict[str, Any], name: str
) -> None:
    body = schema_of(description, name)
    optional = {
        field: schema
        for field, schema in body["properties"].items()
        if field not in body.get("required", [])
    }
    assert optional
    assert {field for field, schema in optional.items() if "null" not in types_of(schema)} == set()


@pytest.mark.parametrize("name", ["LinkBody", "CreateLink", "UpdateLink"])
def test_an_amount_is_described_as_a_number(description: dict[str, Any], name: str) -> None:
    assert types_of(schema_of(description, name)["properties"]["payment_amount"]) == {
        "number",
        "null",
    }


@pytest.mark.parametrize(
    ("method", "path"),
    [("delete", "/payment-links/{link_id}"), ("post", "/payment-links/scheduled")],
)
def test_a_body_that_may_be_left_out_is_not_described_as_required(
    description: dict[str, Any], method: str, path: str
) -> None:
    assert not description["paths"][path][method]["requestBody"].get("required", False)


def test_the_stream_of_links_is_described(description: dict[str, Any]) -> None:
    listed = description["paths"]["/orgs/{org_id}/payment-links"]["get"]["responses"]["200"]
    assert "application/x-ndjson" in listed["content"]


def test_only_what_a_route_takes_is_described(description: dict[str, Any]) -> None:
    assert description["paths"]["/payment-links"]["delete"].get("parameters", []) == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("post", "/payment-links"),
        ("delete", "/payment-links"),
        ("patch", "/payment-links/{link_id}"),
        ("delete", "/payment-links/{link_id}"),
        ("get", "/orgs"),
        ("get", "/orgs/{org_id}/payment-links"),
        ("get", "/outbox"),
        ("post", "/payment-links/scheduled"),
    ],
)
def test_admins_routes_are_described_as_theirs(
    description: dict[str, Any], method: str, path: str
) -> None:
    assert description["paths"][path][method]["security"] == [{"admin": []}]


@pytest.mark.parametrize("path", ["/payment-links/{link_id}", "/pay/{link_id}"])
def test_a_gated_link_is_described_as_open_to_customers_and_admins(
    description: dict[str, Any], path: str
) -> None:
    named = {name for option in description["paths"][path]["get"]["security"] for name in option}
    assert named == {"customer", "admin"}


def test_every_reference_leads_somewhere(api: Api, description: dict[str, Any]) -> None:
    text = api.client.get("/schema/openapi.json").text
    names = set(re.findall(r'"\$ref":"#/components/schemas/([^"]+)"', text))
    assert names
    assert names <= set(description["components"]["schemas"])


def test_operations_have_ids_of_their_own(description: dict[str, Any]) -> None:
    ids = [
        operation["operationId"]
        for operations in description["paths"].values()
        for operation in operations.values()
    ]
    assert len(ids) == len(set(ids))


# The page.


def test_the_page_is_html(api: Api) -> None:
    response = api.client.get("/schema")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")


def test_the_page_refers_to_no_other_host(api: Api) -> None:
    page = api.client.get("/schema").text
    references = re.findall(r"""(?:src|href|action|content|url)\s*[=(]\s*["']?([^"'\s>)]+)""", page)
    assert [reference for reference in references if "//" in reference] == []
    assert "http" not in page


def test_all_that_the_page_refers_to_is_served(api: Api) -> None:
    references = re.findall(r'(?:src|href)="(/[^"]+)"', api.client.get("/schema").text)
    assert {reference.rpartition(".")[2] for reference in references} == {"css", "js", "svg"}
    assert [api.client.get(reference).status_code for reference in references] == [200] * len(
        references
    )


def test_the_pages_own_script_refers_to_no_other_host(api: Api) -> None:
    script = api.client.get("/schema/assets/reference.js").text
    assert "/schema/openapi.json" in script
    assert "http" not in script


@pytest.mark.parametrize(
    ("name", "media_type"), [("swagger-ui.css", "text/css"), ("swagger-ui-bundle.js", "javascript")]
)
def test_an_asset_is_served_as_what_it_is(api: Api, name: str, media_type: str) -> None:
    """``nosniff`` has browsers refuse it otherwise."""
    assert media_type in api.client.get(f"/schema/assets/{name}").headers["content-type"]


def test_the_page_needs_no_token(api: Api) -> None:
    assert api.client.get("/schema/openapi.json").status_code == 200
