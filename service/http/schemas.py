"""What all bodies have in common: the base of requests, problems, and the JSON codec."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Struct

from service.errors import Faults
from service.http.fields import Amount, LinkId
from service.values.email import canonical, parse_email


class RequestBody(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A request body. msgspec checks the JSON types of its fields.

    The domain checks their rules, which the fields' schemas only describe.
    """

    def parse(self, now: datetime, faults: Faults | None = None) -> Any:
        """The request in the domain's terms.

        A field that could not be read is among ``faults``, and None if it is required.

        Raises:
            Invalid: there are faults, or fields break their rules.
        """
        if faults is not None:
            faults.raise_if_any()


class FieldError(Struct, frozen=True):
    field: str
    message: str


class Problem(Struct, frozen=True, kw_only=True):
    """Any error (RFC 9457). ``code`` is stable.

    ``errors`` is there where fields are at fault, ``link_id`` where another link is the reason.
    """

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    errors: list[FieldError] | msgspec.UnsetType = msgspec.UNSET
    link_id: LinkId | msgspec.UnsetType = msgspec.UNSET


def parse_recipient(email: str, faults: Faults | None) -> str:
    """The canonical form of ``email``.

    Raises:
        Invalid: there are faults, or it is no e-mail address.
    """
    faults = faults or Faults()
    faults.check(parse_email, email)
    faults.raise_if_any()
    return canonical(email)


def decode_hook(kind: type[Any], value: Any) -> Any:
    """Reads an ``Amount`` from a number, never from a string."""
    if kind is Amount and isinstance(value, int | Decimal) and not isinstance(value, bool):
        return Amount(value)
    raise ValueError("is no number")


def encode_hook(value: Any) -> Any:
    """Writes an ``Amount`` as a decimal."""
    if isinstance(value, Amount):
        return Decimal(value)
    raise TypeError(f"no JSON for {type(value).__name__}")


ENCODER = msgspec.json.Encoder(decimal_format="number", enc_hook=encode_hook)
"""Writes every response: amounts as numbers, digit for digit."""
