"""Reads JSON bodies: by msgspec at once or, if that fails, field by field, to name all faults."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from itertools import islice
from typing import Any, NamedTuple, cast

import msgspec
from msgspec import inspect

from service.errors import MAX_QUOTED_NAME_CHARACTERS, Fault, Faults
from service.http.schemas import RequestBody, decode_hook
from service.values.text import describe_character
from service.values.time import parse_time

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MAX_NAMED_FAULTS = 100
"""Limits how many unknown fields, and parts of a field, a response names: a body has room for
thousands."""
INTEGER_LIMIT = 10**15
_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


TYPE_RULES: dict[type[inspect.Type], str] = {
    inspect.BoolType: "must be true or false",
    inspect.IntType: "must be a whole number",
    inspect.CustomType: "must be a number",
    inspect.DateTimeType: "must be a time or a date, such as 2026-12-01T09:00:00Z or 2026-12-01",
    inspect.StrType: "must be text",
    inspect.DictType: "must be an object whose values are text",
    inspect.ListType: "must be a list",
    inspect.StructType: "must be an object",
}
"""Messages for values of a wrong type, by the type of the field."""


class Field(NamedTuple):
    """A field of a body, and how to decode its value alone."""

    is_required: bool
    is_nullable: bool
    is_patch: bool
    """Whether null is a value of its own, not as good as absent."""
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
        text = bytes(sent.pop(name, b""))
        if name in repeated:
            faults.add(name, "must not be given twice")
        elif text not in {b"", b"null"}:
            try:
                values[name] = field.read(text)
            except ValueError:
                found = islice(_find_faults(name, field.kind, text), MAX_NAMED_FAULTS)
                faults.found += [*found] or [Fault(name, _rule_of(field.kind))]
        elif text and field.is_patch and field.is_nullable:
            values[name] = None
        else:
            _check_absent(faults, name, field, is_null=bool(text))
        if field.is_required:
            values.setdefault(name)
    for name in islice(sent, MAX_NAMED_FAULTS):
        faults.add(name[:MAX_QUOTED_NAME_CHARACTERS], "is not a known field")
    decoded = model(**values)
    if faults.found:
        decoded.parse(now, faults)
    return decoded


def _check_absent(faults: Faults, name: str, field: Field, *, is_null: bool) -> None:
    if field.is_required:
        faults.add(name, "is required")
    elif is_null and field.is_patch:
        faults.add(name, "must not be null")


def _find_faults(name: str, kind: inspect.Type, text: bytes) -> Iterator[Fault]:
    """The parts of a field's value that are not of their types: ``reminders[0].after_send``."""
    match kind:
        case inspect.DictType() | inspect.ListType() | inspect.StructType():
            yield from _find_nested_faults(name, kind, _decoder(Any).decode(text))


def _find_nested_faults(name: str, kind: inspect.Type, value: object) -> Iterator[Fault]:
    match kind, value:
        case inspect.DictType(value_type=part), dict():
            for key, each in value.items():
                named = f"{name}[{str(key)[:MAX_QUOTED_NAME_CHARACTERS]}]"
                yield from _find_nested_faults(named, _without_null(part), each)
        case inspect.ListType(item_type=part), list():
            for index, each in enumerate(value):
                yield from _find_nested_faults(f"{name}[{index}]", _without_null(part), each)
        case inspect.StructType(fields=fields), dict():
            types = {field.encode_name: field.type for field in fields}
            for key, each in value.items():
                named = f"{name}.{key[:MAX_QUOTED_NAME_CHARACTERS]}"
                if key not in types:
                    yield Fault(named, "is not a known field")
                elif each is not None:
                    yield from _find_nested_faults(named, _without_null(types[key]), each)
        case inspect.StrType(), str():
            pass
        case _:
            yield Fault(name, _rule_of(kind))


def _rule_of(kind: inspect.Type) -> str:
    """The message for a value that is not of ``kind``."""
    if isinstance(kind, inspect.EnumType):
        return f"must be one of {', '.join(kind.cls)}"
    return TYPE_RULES.get(type(kind), "has the wrong form")


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
                if name in _fields(model) and (found := _find_surrogate(value)):
                    faults.add(name, f"must not contain {describe_character(found)}")
    faults.raise_if_any()


def _find_surrogate(value: object) -> str | None:
    """The first half of a surrogate pair in a value of ``_members``, or in its parts."""
    if isinstance(value, str):
        found = _SURROGATE.search(value)
        return found and found[0]
    if isinstance(value, list | tuple):
        return next(filter(None, map(_find_surrogate, value)), None)
    return None


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
    declared = msgspec.structs.fields(model)
    types = {field.name: field.type for field in declared}
    defaults = {field.name: field.default for field in declared}
    return {
        field.encode_name: Field(
            field.required,
            _is_nullable(field.type),
            defaults[field.name] is msgspec.UNSET,
            _without_null(field.type),
            _decoder(types[field.name]).decode,
        )
        for field in described.fields
    }


def _is_nullable(kind: inspect.Type) -> bool:
    return isinstance(kind, inspect.UnionType) and any(
        isinstance(option, inspect.NoneType) for option in kind.types
    )
