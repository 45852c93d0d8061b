"""What generators of clients, and people who browse, need of GET /schema/openapi.json."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from tests.support.api import Api

REQUESTS = {
    "CreateLink",
    "UpdateLink",
    "VerifyLink",
    "RevokeLinks",
    "RevokeRecipient",
    "SendOtp",
    "SubmitOtp",
    "PutProfile",
    "DispatchWindow",
}
ROOT = Path(__file__).parents[2]
HAS_NO_TEXT = {"image/png", "application/octet-stream"}
"""Media types of which JSON, and so a description, can hold no example."""


@pytest.fixture(scope="module")
def description(application: tuple[Any, Any]) -> dict[str, Any]:
    found: dict[str, Any] = application[0].get("/schema/openapi.json").json()
    return found


def operations(description: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        operation["operationId"]: operation
        for operations in description["paths"].values()
        for operation in operations.values()
    }


def contents(description: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Where a body or an answer is described, its media type, and what is said of it."""
    for operation_id, operation in operations(description).items():
        bodies = {"request": operation.get("requestBody", {}), **operation["responses"]}
        for place, body in bodies.items():
            for media_type, content in body.get("content", {}).items():
                yield f"{operation_id} {place}", media_type, content


def schemas_in(node: Any) -> Iterator[dict[str, Any]]:
    """Every schema of ``node``, and every one in it."""
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from schemas_in(value)
    elif isinstance(node, list):
        for value in node:
            yield from schemas_in(value)


def test_every_operation_has_a_tag_a_summary_and_a_description(description: dict[str, Any]) -> None:
    tags = {tag["name"] for tag in description["tags"]}
    for operation_id, operation in operations(description).items():
        assert len(operation["tags"]) == 1, operation_id
        assert set(operation["tags"]) <= tags, operation_id
        assert " " in operation["summary"], operation_id
        assert not operation["summary"].endswith("."), operation_id
        assert operation["description"].endswith("."), operation_id


def test_every_tag_says_what_it_is_for_and_is_used(description: dict[str, Any]) -> None:
    assert all(tag["description"] for tag in description["tags"])
    assert {tag["name"] for tag in description["tags"]} == {
        tag for operation in operations(description).values() for tag in operation["tags"]
    }


def test_the_ids_of_operations_stay(description: dict[str, Any]) -> None:
    """Generated clients name their functions by them."""
    assert {
        "create_link",
        "dispatch_window",
        "get_link",
        "get_outbox",
        "get_profile",
        "get_qr",
        "healthz",
        "list_links",
        "list_orgs",
        "pay",
        "put_profile",
        "readyz",
        "record_payment",
        "revoke_link",
        "revoke_recipient",
        "update_link",
        "send_otp",
        "submit_otp",
        "verify_link",
        "void_payment",
    } <= set(operations(description))


def test_an_answer_is_described_in_words_of_its_own(description: dict[str, Any]) -> None:
    said = {
        operation_id: response["description"]
        for operation_id, operation in operations(description).items()
        for status, response in operation["responses"].items()
        if status.startswith("2")
    }
    assert [
        operation_id
        for operation_id, text in said.items()
        if "URL follows" in text or "document follows" in text
    ] == []


def test_every_body_and_answer_has_an_example(description: dict[str, Any]) -> None:
    without = [
        (place, media_type)
        for place, media_type, content in contents(description)
        if media_type not in HAS_NO_TEXT and not content.get("examples")
    ]
    assert without == []


def test_every_example_is_what_its_schema_describes(description: dict[str, Any]) -> None:
    found = 0
    for place, media_type, content in contents(description):
        for example in content.get("examples", {}).values():
            schema = content["schema"] | {"components": description["components"]}
            errors = jsonschema_rs.validator_for(schema, validate_formats=True).iter_errors(
                example["value"]
            )
            assert [error.message for error in errors] == [], (place, media_type)
            found += 1
    assert found > 100


def test_an_example_of_a_problem_has_the_status_it_is_answered_with(
    description: dict[str, Any],
) -> None:
    wrong = [
        (place, example["value"]["status"])
        for place, media_type, content in contents(description)
        if media_type == "application/problem+json"
        for example in content["examples"].values()
        if str(example["value"]["status"]) != place.rpartition(" ")[2]
    ]
    assert wrong == []


def test_every_operation_but_a_page_is_described_as_refusing_parameters_that_it_does_not_know(
    description: dict[str, Any],
) -> None:
    assert {
        name
        for name, operation in operations(description).items()
        if "422" not in operation["responses"]
    } == {"pay"}


@pytest.mark.parametrize(
    ("operation_id", "method", "path", "body"),
    [
        ("create_link", "POST", "/payment-links", {"email": "jane", "org_id": "acme"}),
        ("verify_link", "POST", "/payment-links/verify", {"link_id": 5}),
        ("list_links", "GET", "/orgs/acme/payment-links?limit=0", None),
        ("list_orgs", "GET", "/orgs?limit=0", None),
        ("get_outbox", "GET", "/outbox?limit=0", None),
        ("get_profile", "GET", "/orgs/a b/profile", None),
        ("put_profile", "PUT", "/orgs/acme/profile", {"display_name": " "}),
        ("dispatch_window", "POST", "/payment-links/scheduled", {"scheduled_at": "tomorrow"}),
        ("healthz", "GET", "/healthz?verbose=1", None),
    ],
)
def test_an_example_of_a_problem_is_what_is_answered(
    api: Api, description: dict[str, Any], operation_id: str, method: str, path: str, body: object
) -> None:
    answer = api.client.request(method, path, json=body, headers=api.internal()).json()
    content = operations(description)[operation_id]["responses"]["422"]["content"][
        "application/problem+json"
    ]
    assert content["examples"]["Problem"]["value"] == answer


def test_every_variant_of_an_answer_has_an_example(description: dict[str, Any]) -> None:
    answer = operations(description)["verify_link"]["responses"]["200"]["content"][
        "application/json"
    ]
    assert set(answer["examples"]) == {"Verification", "MaskedVerification"}


# What generators stumble over.


def test_a_link_between_operations_names_no_object_as_a_body(description: dict[str, Any]) -> None:
    """openapi-generator refuses the whole description, in every language."""
    bodies = [
        link["requestBody"]
        for operation in operations(description).values()
        for response in operation["responses"].values()
        for link in response.get("links", {}).values()
        if "requestBody" in link
    ]
    assert [body for body in bodies if not isinstance(body, str)] == []


def test_a_field_with_a_default_is_not_described_with_one(description: dict[str, Any]) -> None:
    """openapi-typescript has callers send all such fields."""
    found = [
        (name, field)
        for name, schema in description["components"]["schemas"].items()
        for field, of_field in schema.get("properties", {}).items()
        if "default" in of_field
    ]
    assert found == []


def test_what_an_answer_always_holds_is_required(description: dict[str, Any]) -> None:
    schemas = description["components"]["schemas"]
    assert {"type", "code"} <= set(schemas["Problem"]["required"])
    assert "errors" not in schemas["Problem"]["required"]
    assert {"state", "attempts", "sent_at"} <= set(schemas["DeliveryBody"]["required"])
    assert "error" not in schemas["DeliveryBody"]["required"]


def test_what_a_request_may_leave_out_is_not_required(description: dict[str, Any]) -> None:
    schemas = description["components"]["schemas"]
    assert schemas["CreateLink"]["required"] == ["email", "org_id"]
    assert schemas["CreateLink"]["properties"]["notify"]["description"].endswith("Default: true.")


def test_every_schema_says_its_type(description: dict[str, Any]) -> None:
    """What has none is ``unknown`` to TypeScript, and ``Any`` to Python."""
    vague = [
        schema
        for schema in schemas_in(description["components"]["schemas"])
        if {"enum", "format", "pattern"} & set(schema)
        and isinstance(schema.get("format", ""), str)
        and "type" not in schema
    ]
    assert vague == []


def test_only_what_may_be_null_has_alternatives(description: dict[str, Any]) -> None:
    alternatives = [
        schema["anyOf"]
        for schema in schemas_in(description["components"]["schemas"])
        if "anyOf" in schema
    ]
    assert [
        options for options in alternatives if len(options) != 2 or {"type": "null"} not in options
    ] == []


def test_a_time_is_described_as_one_wherever_it_is(description: dict[str, Any]) -> None:
    described = [
        (name, field, str(schema))
        for name, kind in description["components"]["schemas"].items()
        for field, schema in kind.get("properties", {}).items()
        if re.search(r"_at$|^from$|^to$", field)
    ]
    assert len(described) >= 12
    assert [
        (name, field) for name, field, schema in described if "'format': 'date-time'" not in schema
    ] == []


def test_an_operation_that_is_for_everybody_asks_for_nothing(description: dict[str, Any]) -> None:
    """Of one with alternatives, were it only ``{}``, openapi-python-client wants a token."""
    public = {
        operation_id
        for operation_id, operation in operations(description).items()
        if not operation.get("security")
    }
    assert public == {"healthz", "readyz", "send_otp", "submit_otp", "get_qr"}
    assert "security" not in description


def test_a_picture_is_described_as_bytes(description: dict[str, Any]) -> None:
    """The last is for clients that know no pictures, as openapi-python-client does not."""
    content = operations(description)["get_qr"]["responses"]["200"]["content"]
    assert list(content) == ["image/svg+xml", "image/png", "application/octet-stream"]
    assert all(
        {"type": "string", "format": "binary"}.items() <= picture["schema"].items()
        for picture in content.values()
    )


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/octet-stream", "application/octet-stream"),
        ("image/svg+xml, image/png, application/octet-stream", "image/svg+xml"),
        ("*/*", "image/svg+xml"),
        ("image/avif,image/webp,image/apng,image/*,*/*;q=0.8", "image/svg+xml"),
    ],
)
def test_a_picture_comes_as_what_is_asked_for(api: Api, accept: str, kind: str) -> None:
    answer = api.client.get(f"/payment-links/{api.create()['id']}/qr", headers={"Accept": accept})
    assert answer.headers["content-type"] == kind
    assert answer.content.startswith(b"<svg")


def test_a_repeated_creates_header_is_described_as_one_that_may_be_missing(
    description: dict[str, Any],
) -> None:
    headers = operations(description)["create_link"]["responses"]["201"]["headers"]
    assert {name: header["required"] for name, header in headers.items()} == {
        "Location": True,
        "X-Request-ID": True,
        "Idempotency-Replayed": False,
    }


def test_readme_lists_every_endpoint(description: dict[str, Any]) -> None:
    table = (ROOT / "README.md").read_text()
    described = {
        f"{method.upper()} {path}"
        for path, methods in description["paths"].items()
        for method in methods
    }
    assert set(re.findall(r"`((?:GET|POST|PUT|PATCH|DELETE) /[^`]*)`", table)) == described


@pytest.mark.parametrize(
    ("document", "head", "schema"),
    [
        ("service/http/README.md", "| optional field | meaning |", "CreateLink"),
        ("service/pages/README.md", "| field | effect |", "PutProfile"),
    ],
)
def test_every_optional_field_is_explained(
    description: dict[str, Any], document: str, head: str, schema: str
) -> None:
    table = (ROOT / document).read_text().partition(head)[2].partition("\n\n")[0]
    named = {
        name
        for row in re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    }
    described = description["components"]["schemas"][schema]
    assert named == set(described["properties"]) - set(described.get("required", ()))
