"""Reads JSON bodies: by msgspec at once or, if that fails, field by field, to name all faults."""

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from itertools import islice
from typing import Any, NamedTuple, cast

import msgspec
from msgspec import inspect

from service.errors import MAX_QUOTED_NAME_CHARACTERS, Faults
from service.http.schemas import RequestBody, decode_hook
from service.values.text import describe_character
from service.values.time import parse_time

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MAX_UNKNOWN_FIELDS = 100
"""Limits how many unknown fields a response names: a body has room for thousands."""
INTEGER_LIMIT = 10**15
_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


TYPE_RULES: dict[type[inspect.Type], str] = {
    inspect.BoolType: "must be true or false",
    inspect.IntType: "must be a whole number",
    inspect.CustomType: "must be a number",
    inspect.DateTimeType: "must be a time or a date, such as 2026-12-01T09:00:00Z or 2026-12-01",
    inspect.StrType: "must be text",
}
"""Messages for values of a wrong type, by the type of the field."""


class Field(NamedTuple):
    """A field of a body, and how to decode its value alone."""

    is_required: bool
    kind: inspect.Type
    decode: Callable[[bytes], Any]

    def read(self, text: bytes) -> Any:
        """The field's value.

        Raises:
            ValueError: it is not of the field's type.
        """
        try:
            return self.decode(text)
        except msgspec.ValidationError:
            match self.kind:
                case inspect.DateTimeType():
                    return parse_time(msgspec.json.decode(text, type=str))
                case inspect.IntType():
                    return _to_integer(_decoder(Any).decode(text))
            raise


def read_body(model: type[RequestBody], body: bytes, now: datetime) -> RequestBody:
    """Decodes ``body`` as ``model``.

    Raises:
        msgspec.DecodeError, UnicodeDecodeError, RecursionError: the body is not JSON.
        Invalid: it is JSON, but its fields are not the model's.
    """
    body = body.removeprefix(BYTE_ORDER_MARK)
    try:
        decoded: RequestBody = _decoder(model).decode(body)
    except msgspec.ValidationError:
        return _read_fields(model, body, now)
    except msgspec.DecodeError:
        _reject_surrogates(model, body)
        raise
    return _read_fields(model, body, now) if _may_repeat(model, body) else decoded


def _read_fields(model: type[RequestBody], body: bytes, now: datetime) -> RequestBody:
    """Decodes ``body`` field by field: accepts more forms than msgspec, and names all faults."""
    faults, fields = Faults(), _fields(model)
    try:
        sent = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError:
        faults.add("", "must be a JSON object")
        faults.raise_if_any()
        raise
    repeated = _repeated(body) if _may_repeat(model, body) else set()
    values: dict[str, Any] = {}
    for name, field in fields.items():
        text = bytes(sent.pop(name, b"null"))
        if name in repeated:
            faults.add(name, "must not be given twice")
        elif text != b"null":
            try:
                values[name] = field.read(text)
            except ValueError:
                faults.add(name, TYPE_RULES.get(type(field.kind), "has the wrong form"))
        elif field.is_required:
            faults.add(name, "is required")
        if field.is_required:
            values.setdefault(name)
    for name in islice(sent, MAX_UNKNOWN_FIELDS):
        faults.add(name[:MAX_QUOTED_NAME_CHARACTERS], "is not a known field")
    decoded = model(**values)
    if faults.found:
        decoded.parse(now, faults)
    return decoded


def _may_repeat(model: type[RequestBody], body: bytes) -> bool:
    """Whether ``body`` may hold a field twice. If False, it does not."""
    return b"\\" in body or any(body.count(name) > 1 for name in _field_names_as_json(model))


def _repeated(body: bytes) -> set[str]:
    """Names that the object holds twice. RFC 8259 leaves open which of the values counts."""
    return {
        name for name, count in Counter(name for name, _ in _members(body)).items() if count > 1
    }


def _reject_surrogates(model: type[RequestBody], body: bytes) -> None:
    """Names the fields that hold half of a surrogate pair, as text that was cut in JavaScript may.

    Raises:
        Invalid: there are such fields. For msgspec they are malformed JSON.
    """
    faults = Faults()
    if _ESCAPED_SURROGATE.search(body):
        with suppress(ValueError):
            for name, value in _members(body):
                if (
                    name in _fields(model)
                    and isinstance(value, str)
                    and (found := _SURROGATE.search(value))
                ):
                    faults.add(name, f"must not contain {describe_character(found[0])}")
    faults.raise_if_any()


def _members(body: bytes) -> Sequence[tuple[str, Any]]:
    """All names and values of the JSON object ``body``; msgspec keeps only one value of a name."""
    outermost = json.loads(body, object_pairs_hook=tuple, parse_int=str, parse_float=str)
    return outermost if isinstance(outermost, tuple) else ()


def _to_integer(number: object) -> int:
    """``number`` as an integer, if it is one written another way (``24.0``, ``2.4e1``)."""
    if not isinstance(number, Decimal) or abs(number) >= INTEGER_LIMIT or number != int(number):
        raise ValueError("not an integer")
    return int(number)


def _without_null(kind: inspect.Type) -> inspect.Type:
    """The type without null, and without the metadata of its schema."""
    if isinstance(kind, inspect.Metadata):
        return _without_null(kind.type)
    if isinstance(kind, inspect.UnionType):
        return _without_null(
            next(option for option in kind.types if not isinstance(option, inspect.NoneType))
        )
    return kind


def _float_hook(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError("is out of range") from None


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind, dec_hook=decode_hook, float_hook=_float_hook)


@cache
def _field_names_as_json(model: type[RequestBody]) -> list[bytes]:
    return [f'"{name}"'.encode() for name in _fields(model)]


@cache
def _fields(model: type[RequestBody]) -> dict[str, Field]:
    """The fields of ``model``, by their names on the wire."""
    described = cast("inspect.StructType", inspect.type_info(model))
    types = {field.name: field.type for field in msgspec.structs.fields(model)}
    return {
        field.encode_name: Field(
            field.required, _without_null(field.type), _decoder(types[field.name]).decode
        )
        for field in described.fields
    }
