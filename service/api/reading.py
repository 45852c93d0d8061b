"""Reads a JSON body into its Struct: straight with msgspec, and, where that fails, field by field, to name all faults."""

import json
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any, NamedTuple, cast

import msgspec
from msgspec import inspect

from service.api.request_bodies import Request, decode_hook
from service.domain.errors import Faults
from service.domain.time import parse_time

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MAX_NAME = 64
"""Characters of an unknown field's name that an answer repeats."""
MAX_INTEGER = 10**15


RULES: dict[type[inspect.Type], str] = {
    inspect.BoolType: "must be true or false",
    inspect.IntType: "must be a whole number",
    inspect.CustomType: "must be a number",
    inspect.DateTimeType: "must be a time or a date, such as 2026-12-01T09:00:00Z or 2026-12-01",
    inspect.StrType: "must be text",
}
"""In words, what values of a type must be."""


class Field(NamedTuple):
    """How a field of a body is read by itself."""

    name: str
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
                    return _whole(_decoder(Any).decode(text))
            raise


def read_body(model: type[Request], body: bytes, now: datetime) -> Request:
    """The ``model`` that ``body`` is.

    Raises:
        msgspec.DecodeError, UnicodeDecodeError, RecursionError: it is no JSON.
        Invalid: it is JSON, but not what is asked for.
    """
    body = body.removeprefix(BYTE_ORDER_MARK)
    try:
        decoded: Request = _decoder(model).decode(body)
    except msgspec.ValidationError:
        return _read_fields(model, body, now)
    if b"\\" in body or any([body.count(b'"%b"' % name) > 1 for name in _fields(model)]):  # noqa: C419 - is short
        return _read_fields(model, body, now)
    return decoded


def _read_fields(model: type[Request], body: bytes, now: datetime) -> Request:
    """The same field by field: in the forms that msgspec does not read, or with all faults told."""
    faults, fields = Faults(), _fields(model)
    try:
        sent = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError:
        faults.add("", "must be a JSON object")
        faults.raise_if_any()
        raise
    values: dict[str, Any] = {}
    for name, text in sent.items():
        field = fields.get(name.encode())
        if field is None:
            faults.add(name[:MAX_NAME], "is not a known field")
        elif bytes(text) != b"null" or not field.is_required:
            try:
                values[name] = field.read(bytes(text))
            except ValueError:
                faults.add(name, RULES.get(type(field.kind), "has the wrong form"))
    for name in _repeated(body):
        faults.add(name[:MAX_NAME], "must not be given twice")
    for field in fields.values():
        if field.is_required and values.setdefault(field.name) is None and field.name not in faults:
            faults.add(field.name, "is required")
    decoded = model(**values)
    if faults.found:
        decoded.check(now, faults)
    return decoded


def _repeated(body: bytes) -> list[str]:
    """Names that stand in the object twice. RFC 8259 leaves open which of two values counts, so a caller may mean either."""
    names: list[str] = []

    def notice(members: list[tuple[str, Any]]) -> None:
        counts = Counter(name for name, _ in members)
        names[:] = [name for name, count in counts.items() if count > 1]  # the outermost object comes last

    json.loads(body, object_pairs_hook=notice, parse_int=str, parse_float=str)
    return names


def _whole(number: object) -> int:
    """``number``, if it is an integer written as another number is: JSON knows no difference (``24.0``, ``2.4e1``)."""
    if not isinstance(number, Decimal) or abs(number) >= MAX_INTEGER or number != int(number):
        raise ValueError("is not whole")
    return int(number)


def _without_null(kind: inspect.Type) -> inspect.Type:
    """What a type that may be null is otherwise, without what its schema says beside."""
    if isinstance(kind, inspect.Metadata):
        return _without_null(kind.type)
    if isinstance(kind, inspect.UnionType):
        return _without_null(next(option for option in kind.types if not isinstance(option, inspect.NoneType)))
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
def _fields(model: type[Request]) -> dict[bytes, Field]:
    """By the name that each has on the wire."""
    described = cast("inspect.StructType", inspect.type_info(model))
    types = {field.name: field.type for field in msgspec.structs.fields(model)}
    return {
        field.encode_name.encode(): Field(
            field.encode_name, field.required, _without_null(field.type), _decoder(types[field.name]).decode
        )
        for field in described.fields
    }
