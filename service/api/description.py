"""The API's description (OpenAPI 3.1): Litestar knows the routes, msgspec what is on the wire, this file what neither can tell."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
from litestar import Litestar
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, Schema, SecurityScheme
from litestar.plugins import OpenAPISchemaPlugin
from litestar.typing import FieldDefinition

from service.api import schemas
from service.domain.money import LARGEST_AMOUNT, SMALLEST_AMOUNT

TITLE = "Payment Link Service"
COMPONENTS = "#/components/schemas/{name}"
PROBLEM_HEADERS = {
    "401": {"WWW-Authenticate": "How to authenticate (RFC 6750)."},
    "429": {"Retry-After": "Seconds after which it may be tried again."},
    "503": {"Retry-After": "Seconds after which it may be tried again."},
}
HEADERS: dict[tuple[str, str], dict[str, str]] = {
    ("create_link", "201"): {"Location": "The link's path."},
}
PAGE = {"text/html": {"type": "string", "description": "A page, for a browser."}}
OTHER_FORMS: dict[tuple[str, str], dict[str, dict[str, str]]] = {
    **{("pay", status): PAGE for status in ("200", "400", "403", "404", "410", "503")},
    ("list_links", "200"): {"application/x-ndjson": {"type": "string", "description": "A LinkBody a line."}},
    ("get_qr", "200"): {"image/png": {"type": "string", "contentMediaType": "image/png"}},
}
"""What an answer is too, where it is asked for so."""
CREATED = {"link_id": "$response.body#/id"}
LINKS: dict[tuple[str, str], dict[str, dict[str, Any]]] = {
    ("create_link", "201"): {
        "get_link": {"parameters": CREATED},
        "pay": {"parameters": CREATED},
        "verify_link": {"requestBody": CREATED},
        "revoke_link": {"parameters": CREATED},
        "revoke_recipient": {"requestBody": {"email": "$response.body#/email"}},
        "list_links": {"parameters": {"org_id": "$response.body#/org_id"}},
    },
    ("list_links", "200"): {
        "list_links": {"parameters": {"org_id": "$request.path.org_id", "cursor": "$response.body#/next_cursor"}},
    },
}
"""What an answer's values are good for: the operations that take them."""


def describe(handlers: Sequence[Any], version: str) -> dict[str, Any]:
    """The OpenAPI description of ``handlers``."""
    described = Litestar(list(handlers), openapi_config=_config(version), plugins=[_Numbers()], logging_config=None)
    description = described.openapi_schema.to_schema()
    description["components"]["schemas"] = _schemas(description["components"]["schemas"])
    for operation in (operation for path in description["paths"].values() for operation in path.values()):
        for parameter in operation.get("parameters", []):
            parameter["schema"] = _without_null(parameter["schema"])
        if "requestBody" in operation:
            _describe_body(operation)
        for status, response in operation["responses"].items():
            _describe_response(operation["operationId"], status, response)
    return description


def _config(version: str) -> OpenAPIConfig:
    return OpenAPIConfig(
        title=TITLE,
        version=version,
        description="Creates, e-mails, verifies, gates, revokes and lists payment links. Errors are RFC 9457 problems.",
        operation_id_creator=lambda handler, *_: handler.handler_name,
        components=Components(
            security_schemes={
                "admin": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT", description="An admin's token."),
                "customer": SecurityScheme(
                    type="http", scheme="bearer", bearer_format="JWT", description="From PUT /payment-links/otp."
                ),
            }
        ),
    )


def _schemas(named: dict[str, Any]) -> dict[str, Any]:
    """What is on the wire, in the schemas of msgspec: they say all that it will check."""
    kinds = [kind for name in named if isinstance(kind := getattr(schemas, name, None), type)]
    _, described = msgspec.json.schema_components(kinds, schema_hook=_schema_of, ref_template=COMPONENTS)
    described["LinkBody"]["properties"]["payment_amount"] = {"anyOf": [{"type": "number"}, {"type": "null"}]}
    return described


def _schema_of(kind: type[Any]) -> dict[str, Any]:
    if issubclass(kind, schemas.Amount):
        return {"type": "number", "minimum": float(SMALLEST_AMOUNT), "exclusiveMaximum": float(LARGEST_AMOUNT)}
    raise NotImplementedError


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter's schema, or a body's: what may be left out is left out, and not sent as null."""
    options = [option for option in schema.pop("oneOf", []) if option != {"type": "null"}]
    return schema | options[0] if options else schema


def _describe_body(operation: dict[str, Any]) -> None:
    body = operation["requestBody"]
    content = body["content"]["application/json"]
    optional = {"type": "null"} in content["schema"].get("oneOf", [])
    content["schema"] = _without_null(content["schema"])
    body["required"] = not optional or operation["operationId"] == "revoke_recipient"


def _describe_response(operation_id: str, status: str, response: dict[str, Any]) -> None:
    headers = {
        "X-Request-ID": "The caller's, or a new one; logs name it.",
        **PROBLEM_HEADERS.get(status, {}),
        **HEADERS.get((operation_id, status), {}),
    }
    response["headers"] = {
        name: {"description": text, "required": True, "schema": {"type": "string"}} for name, text in headers.items()
    }
    for content in response.get("content", {}).values():
        if "oneOf" in content["schema"]:  # a schema is open, so what fits the longer fits the shorter too
            content["schema"]["anyOf"] = content["schema"].pop("oneOf")
    if links := LINKS.get((operation_id, status)):
        response["links"] = {target: {"operationId": target, **values} for target, values in links.items()}
    for media_type, schema in OTHER_FORMS.get((operation_id, status), {}).items():
        response.setdefault("content", {})[media_type] = {"schema": schema}


class _Numbers(OpenAPISchemaPlugin):
    """Decimals are numbers on the wire."""

    @staticmethod
    def is_plugin_supported_type(value: Any) -> bool:
        return isinstance(value, type) and issubclass(value, Decimal)

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: Any) -> Schema:
        return Schema()
