"""The API's description (OpenAPI 3.1): Litestar knows the routes, msgspec what is on the wire, this file what neither can tell."""

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
from litestar import Litestar
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, Schema, SecurityScheme, Server, Tag
from litestar.plugins import OpenAPISchemaPlugin
from litestar.typing import FieldDefinition

from service.http.fields import Amount
from service.http.problem_examples import problem_example
from service.http.problems import PROBLEM_MEDIA_TYPE
from service.http.schemas import ENCODER, Problem, RequestBody
from service.values.money import MAX_AMOUNT, MIN_AMOUNT

TITLE = "Payment Link Service"
COMPONENTS = "#/components/schemas/{name}"
PROBLEM_HEADERS = {
    "401": {"WWW-Authenticate": "How to authenticate (RFC 6750)."},
    "429": {"Retry-After": "Seconds after which it may be tried again."},
    "503": {"Retry-After": "Seconds after which it may be tried again."},
}
HEADERS: dict[tuple[str, str], dict[str, str]] = {
    ("create_link", "201"): {
        "Location": "The link's path.",
        "Idempotency-Replayed": "`true` where the request was carried out before.",
    },
}
OPTIONAL_HEADERS = {"Idempotency-Replayed"}
TAGS = {
    "Payment links": "Create, read, verify, revoke and list payment links.",
    "One-time passwords": "How customers prove that a mailbox is theirs.",
    "Organizations": "Who sends links, and how they present themselves.",
    "Operations": "Health, outgoing mail, and windows of scheduled links.",
}
PAGE = {"text/html": {"type": "string", "description": "A page, for a browser."}}
PICTURE = {"type": "string", "format": "binary"}
OTHER_FORMS: dict[tuple[str, str], dict[str, dict[str, str]]] = {
    **{("pay", status): PAGE for status in ("200", "400", "404", "410", "503")},
    ("get_qr", "200"): {
        "image/svg+xml": PICTURE,
        "image/png": PICTURE,
        "application/octet-stream": PICTURE,
    },
}
"""What an answer is unless JSON is asked for. Clients that are generated take the first that they can read."""
STREAMS: dict[tuple[str, str], dict[str, dict[str, str]]] = {
    ("list_links", "200"): {
        "application/x-ndjson": {"type": "string", "description": "A LinkBody a line."}
    },
}
"""What an answer is where it is asked for so."""
TEXTS = {
    "text/html": "<!doctype html>…",
    "image/svg+xml": '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 37 37">…</svg>',
}
"""Examples of answers that are not JSON, by media type."""
CREATED = {"link_id": "$response.body#/id"}
LINKS: dict[tuple[str, str], dict[str, dict[str, str]]] = {
    ("create_link", "201"): {
        "get_link": CREATED,
        "pay": CREATED,
        "get_qr": CREATED,
        "revoke_link": CREATED,
        "list_links": {"org_id": "$response.body#/org_id"},
    },
    ("list_links", "200"): {
        "list_links": {"org_id": "$request.path.org_id", "cursor": "$response.body#/next_cursor"},
    },
}
"""What an answer's values are good for: the parameters of other operations. Of bodies, openapi-generator takes no objects."""


def describe(
    handlers: Sequence[Any], examples: Sequence[msgspec.Struct], version: str, public_url: str
) -> dict[str, Any]:
    """The OpenAPI description of ``handlers``, which are reached by ``public_url``.

    ``examples`` holds one of every request body and answer.
    """
    described = Litestar(
        list(handlers),
        openapi_config=_config(version, public_url),
        plugins=[_Numbers()],
        logging_config=None,
    )
    description = described.openapi_schema.to_schema()
    schemas = description["components"]["schemas"]
    for schema in schemas.values():
        schema.pop("default", None)
    schemas |= _schemas([*map(type, examples), Problem])
    encoded = {type(example).__name__: ENCODER.encode(example) for example in examples}
    texts = TEXTS | {"application/x-ndjson": f"{encoded['LinkBody'].decode()}\n"}
    written = {name: json.loads(example) for name, example in encoded.items()}
    for operation in (
        operation for path in description["paths"].values() for operation in path.values()
    ):
        for parameter in operation.get("parameters", []):
            parameter["schema"] = _without_null(parameter["schema"])
        if "requestBody" in operation:
            _describe_body(operation)
            _add_examples(operation["requestBody"], written, texts)
        for status, response in operation["responses"].items():
            _describe_response(operation["operationId"], status, response)
            if PROBLEM_MEDIA_TYPE in response.get("content", {}):
                written["Problem"] = problem_example(operation["operationId"], int(status))
            _add_examples(response, written, texts)
    return description


def _config(version: str, public_url: str) -> OpenAPIConfig:
    return OpenAPIConfig(
        title=TITLE,
        version=version,
        description="Creates, e-mails, verifies, gates, revokes and lists payment links. Errors are RFC 9457 problems. "
        f"For generators of clients: [openapi.json]({public_url}/schema/openapi.json).",
        operation_id_creator=lambda handler, *_: handler.handler_name,
        servers=[Server(public_url)],
        use_handler_docstrings=True,
        tags=[Tag(name, description=text) for name, text in TAGS.items()],
        components=Components(
            security_schemes={
                "admin": SecurityScheme(
                    type="http",
                    scheme="bearer",
                    bearer_format="JWT",
                    description="An admin's token.",
                ),
                "customer": SecurityScheme(
                    type="http",
                    scheme="bearer",
                    bearer_format="JWT",
                    description="From PUT /payment-links/otp.",
                ),
            }
        ),
    )


def _schemas(kinds: Sequence[type[msgspec.Struct]]) -> dict[str, Any]:
    """The schemas of ``kinds`` and all in them, by msgspec: they hold every rule that it checks."""
    _, described = msgspec.json.schema_components(
        kinds, schema_hook=_schema_of, ref_template=COMPONENTS
    )
    requests = {kind.__name__ for kind in kinds if issubclass(kind, RequestBody)}
    for name, schema in described.items():
        if "enum" in schema:
            schema["type"] = "string"
        elif name in requests:
            _describe_defaults(schema)
        else:
            _require_defaults(schema)
    described["LinkBody"]["properties"]["payment_amount"] = {
        "anyOf": [{"type": "number"}, {"type": "null"}]
    }
    return described


def _describe_defaults(schema: dict[str, Any]) -> None:
    """Says in words what a request's fields are where they are left out: openapi-typescript requires those with a default."""
    for field in schema["properties"].values():
        default = field.pop("default", None)
        if default is not None:
            field["description"] = (
                f"{field.get('description', '')} Default: {json.dumps(default)}.".strip()
            )


def _require_defaults(schema: dict[str, Any]) -> None:
    """An answer has all its fields, but those that may be unset."""
    properties = schema["properties"]
    always = {
        name for name, field in properties.items() if field.pop("default", ...) is not ...
    } | set(schema["required"])
    schema["required"] = [name for name in properties if name in always]


def _schema_of(kind: type[Any]) -> dict[str, Any]:
    if issubclass(kind, Amount):
        return {
            "type": "number",
            "minimum": float(MIN_AMOUNT),
            "exclusiveMaximum": float(MAX_AMOUNT),
        }
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
        name: {
            "description": text,
            "required": name not in OPTIONAL_HEADERS,
            "schema": {"type": "string"},
        }
        for name, text in headers.items()
    }
    content = response.get("content", {})
    for body in content.values():
        if (
            "oneOf" in body["schema"]
        ):  # a schema is open, so what fits the longer fits the shorter too
            body["schema"]["anyOf"] = body["schema"].pop("oneOf")
    if links := LINKS.get((operation_id, status)):
        response["links"] = {
            target: {"operationId": target, "parameters": values}
            for target, values in links.items()
        }
    first, last = (
        _content(forms.get((operation_id, status), {})) for forms in (OTHER_FORMS, STREAMS)
    )
    if first or last:
        response["content"] = (
            first | {kind: body for kind, body in content.items() if kind not in first} | last
        )


def _content(schemas_by_type: dict[str, dict[str, str]]) -> dict[str, Any]:
    return {media_type: {"schema": dict(schema)} for media_type, schema in schemas_by_type.items()}


def _add_examples(
    body: dict[str, Any], examples: dict[str, Any], texts_by_type: dict[str, str]
) -> None:
    """Gives each media type an example of every schema that it may have."""
    for media_type, content in body.get("content", {}).items():
        names = [
            option["$ref"].rpartition("/")[2]
            for option in content["schema"].get("anyOf", [content["schema"]])
            if "$ref" in option
        ]
        texts = {"text": texts_by_type[media_type]} if media_type in texts_by_type else {}
        found = texts or {name: examples[name] for name in names}
        if found:
            content["examples"] = {name: {"value": value} for name, value in found.items()}


class _Numbers(OpenAPISchemaPlugin):
    """Decimals are numbers on the wire."""

    @staticmethod
    def is_plugin_supported_type(value: Any) -> bool:
        return isinstance(value, type) and issubclass(value, Decimal)

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: Any) -> Schema:
        return Schema()
