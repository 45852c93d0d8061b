"""The API's description (OpenAPI 3.1): what handlers declare, and how Litestar describes it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import msgspec
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example, Link, OpenAPIMediaType, Operation, Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType

from service import errors
from service.http.fields import Amount
from service.http.problems import (
    CODES,
    PROBLEM_MEDIA_TYPE,
    RequestTimeout,
    UnsupportedMediaType,
    describe,
    problem_body,
    status_of,
)
from service.http.schemas import ENCODER, Problem
from service.values.money import MAX_AMOUNT, MIN_AMOUNT

ADMIN_ONLY: list[dict[str, list[str]]] = [{"admin": []}]
"""``security`` of routes with ``require_admin`` or ``require_internal_admin``."""
ANYONE: list[dict[str, list[str]]] = [{}, {"customer": []}, {"admin": []}]
"""``security`` of routes that show a link: a gated one needs a customer's or admin's token."""
BODY_STATUSES = (400, 408, 413, 415, 422)
"""Statuses of the problems of routes that take a body."""
EXAMPLE_ERROR_BY_STATUS: dict[int, errors.PaymentLinkError] = {
    401: errors.TokenRequired(),
    403: errors.Forbidden("the token is another organization's"),
    404: errors.LinkNotFound(),
    409: errors.IdempotencyConflict(),
    412: errors.PreconditionFailed(),
    422: errors.Invalid("email", "An email address must have an @-sign."),
    429: errors.LimitReached("a code was sent to this e-mail a moment ago", timedelta(seconds=60)),
    503: errors.Unavailable(),
}
"""Errors whose problems are the examples of a status, unless a route gives another."""
HTTP_PROBLEMS: dict[int, tuple[str, str]] = {
    400: (CODES[400], "JSON is malformed: expected ',' or '}' (byte 31)"),
    408: (CODES[408], RequestTimeout.detail),
    413: (CODES[413], HTTPStatus(413).phrase),
    415: ("unsupported_media_type", UnsupportedMediaType.detail),
}
"""Code and detail of the problems that are not domain errors, by status."""
HEADERS = {"X-Request-ID": "The caller's, or a new one; logs name it."}
PROBLEM_HEADERS = {
    "401": {"WWW-Authenticate": "How to authenticate (RFC 6750)."},
    "429": {"Retry-After": "Seconds after which it may be tried again."},
    "503": {"Retry-After": "Seconds after which it may be tried again."},
}


def problem_responses(
    *statuses: int, examples: Sequence[errors.PaymentLinkError] = ()
) -> dict[int, ResponseSpec]:
    """Declares the problems that a route may answer with, beside 503, which any may.

    ``examples`` are errors that the route raises in place of the typical ones.
    """
    raised = EXAMPLE_ERROR_BY_STATUS | {status_of(error): error for error in examples}
    return {
        status: ResponseSpec(
            Problem,
            description=HTTPStatus(status).phrase,
            media_type=PROBLEM_MEDIA_TYPE,
            generate_examples=False,
            examples=[Example(id="Problem", value=_to_json(_problem(status, raised)))],
        )
        for status in (*statuses, 503)
    }


def text_media(media_type: str, description: str, example: str) -> dict[str, OpenAPIMediaType]:
    """A media type for ``extended_operation`` that is neither JSON nor binary."""
    schema = Schema(type=OpenAPIType.STRING, description=description)
    return {media_type: OpenAPIMediaType(schema, examples={"text": Example(value=example)})}


def binary_media(media_type: str, example: str | None = None) -> dict[str, OpenAPIMediaType]:
    """A media type for ``extended_operation`` that generated clients read as bytes."""
    schema = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)
    examples: Any = None if example is None else {"text": Example(value=example)}
    return {media_type: OpenAPIMediaType(schema, examples=examples)}


def extended_operation(
    *statuses: int,
    first: Mapping[str, OpenAPIMediaType] | None = None,
    last: Mapping[str, OpenAPIMediaType] | None = None,
    links: Mapping[str, Mapping[str, str]] | None = None,
) -> type[Operation]:
    """An ``operation_class`` whose responses have more than Litestar's decorators can declare.

    Args:
        statuses: The responses that are extended.
        first: Media types before JSON: generated clients take the first that they can read.
        last: Media types after JSON.
        links: By operation: which values of the response are which of its parameters.
    """

    @dataclass
    class ExtendedOperation(Operation):
        def __post_init__(self) -> None:
            for status in statuses:
                response: Any = (self.responses or {})[str(status)]
                response.content = {
                    **(first or {}),
                    **(response.content or {}),
                    **(first or {}),
                    **(last or {}),
                }
                response.links = {
                    operation_id: Link(operation_id=operation_id, parameters=dict(parameters))
                    for operation_id, parameters in (links or {}).items()
                } or None

    return ExtendedOperation


def complete_description(
    description: dict[str, Any], examples: Sequence[msgspec.Struct]
) -> dict[str, Any]:
    """``description`` as Litestar generates it, with what it leaves out.

    That is: schemas with all rules that msgspec checks, headers of problems, and ``examples``,
    of which there is one of each request body and answer.
    """
    components = description["components"]["schemas"]
    for schema in components.values():
        schema.pop("default", None)  # Litestar adds a parameter's default to the schema of its type
    components |= _schemas([*map(type, examples), Problem])
    examples_by_name = {type(example).__name__: _to_json(example) for example in examples}
    operations = [
        operation for path in description["paths"].values() for operation in path.values()
    ]
    for operation in operations:
        for parameter in operation.get("parameters", []):
            parameter["schema"] = _without_null(parameter["schema"])
        if body := operation.get("requestBody"):
            _complete_request_body(body, components, examples_by_name)
        for status, response in operation["responses"].items():
            _complete_response(status, response, examples_by_name)
    return description


def _problem(status: int, raised: Mapping[int, errors.PaymentLinkError]) -> Problem:
    if error := raised.get(status):
        return describe(error)
    return problem_body(status, *HTTP_PROBLEMS[status])


def _schemas(kinds: Sequence[type[msgspec.Struct]]) -> dict[str, Any]:
    """The schemas of ``kinds`` and of all types in them, by msgspec."""
    _, described = msgspec.json.schema_components(
        kinds, schema_hook=_schema_hook, ref_template="#/components/schemas/{name}"
    )
    for schema in described.values():
        if "enum" in schema:
            schema["type"] = "string"
        elif schema.get("additionalProperties") is False:  # a request's: it refuses unknown fields
            _describe_request(schema)
        else:
            _describe_answer(schema)
    return described


def _schema_hook(kind: type[Any]) -> dict[str, Any]:
    """The schema of an amount, the only type that msgspec does not know."""
    if issubclass(kind, Amount):
        return {
            "type": "number",
            "minimum": float(MIN_AMOUNT),
            "exclusiveMaximum": float(MAX_AMOUNT),
        }
    raise NotImplementedError


def _describe_request(schema: dict[str, Any]) -> None:
    """Moves a request's defaults to the descriptions: openapi-typescript requires such fields."""
    for field in schema["properties"].values():
        default = field.pop("default", None)
        if default is not None:
            text = f"{field.get('description', '')} Default: {json.dumps(default)}."
            field["description"] = text.strip()


def _describe_answer(schema: dict[str, Any]) -> None:
    """Describes decimals as the numbers that are encoded, and requires fields with defaults."""
    for field in schema["properties"].values():
        for option in field.get("anyOf", [field]):
            if option.get("format") == "decimal":
                option["type"] = "number"
                del option["format"]
    properties = schema["properties"]
    defaults = {name for name, field in properties.items() if field.pop("default", ...) is not ...}
    schema["required"] = [name for name in properties if name in defaults.union(schema["required"])]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of an optional parameter or body, which is left out, not sent as null."""
    options = [option for option in schema.pop("oneOf", []) if option != {"type": "null"}]
    return schema | options[0] if options else schema


def _complete_request_body(
    body: dict[str, Any], components: Mapping[str, Any], examples: Mapping[str, Any]
) -> None:
    content = body["content"]["application/json"]
    is_nullable = "oneOf" in content["schema"]
    content["schema"] = _without_null(content["schema"])
    name = content["schema"]["$ref"].rpartition("/")[2]
    body["required"] = not is_nullable or bool(components[name].get("required"))
    _add_examples(content, examples)


def _complete_response(status: str, response: dict[str, Any], examples: Mapping[str, Any]) -> None:
    headers = response.setdefault("headers", {})
    for name, text in (HEADERS | PROBLEM_HEADERS.get(status, {})).items():
        headers[name] = {"description": text, "required": True}
    for header in headers.values():
        header["schema"] = {"type": "string"}
    for content in response.get("content", {}).values():
        for example in content.get("examples", {}).values():
            example.pop("id", None)  # Litestar's own, unknown to OpenAPI
        schema = content["schema"]
        if "oneOf" in schema:  # schemas are open: what fits the longer one fits the shorter one too
            schema["anyOf"] = schema.pop("oneOf")
        _add_examples(content, examples)


def _add_examples(content: dict[str, Any], examples: Mapping[str, Any]) -> None:
    """Adds an example of each schema that ``content`` may have, unless it has examples."""
    options = content["schema"].get("anyOf", [content["schema"]])
    names = [option["$ref"].rpartition("/")[2] for option in options if "$ref" in option]
    if names and "examples" not in content:
        content["examples"] = {name: {"value": examples[name]} for name in names}


def _to_json(body: msgspec.Struct) -> Any:
    return json.loads(ENCODER.encode(body))
