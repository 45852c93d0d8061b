"""E-mails, organizations, callers and notations for tests that compare with a model."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import httpx
import msgspec

from service.values.ids import partition_of
from tests.support.api import stamp

JANE, JOHN, ANN = "jane@example.com", "john@example.com", "ann@xn--bcher-kva.example"
SPELLINGS = {
    "jane@example.com": JANE,
    "JANE@Example.COM": JANE,
    "john@example.com": JOHN,
    "John@example.com": JOHN,
    "ann@bücher.example": ANN,
    "ann@xn--bcher-kva.example": ANN,
    "ANN@xn--bcher-kva.example": ANN,
}
"""How an e-mail may be written, and whose it is."""
ORGS = [
    "acme",
    next(
        name
        for number in range(9999)
        if partition_of(name := f"acme:{number}") == partition_of("acme")
    ),
    "org:acme",
]
"""Two share a partition; one looks like a key."""
WRITTEN: list[Callable[[datetime], str]] = [
    stamp,
    lambda moment: moment.astimezone(timezone(timedelta(hours=2))).isoformat(),
    lambda moment: moment.replace(tzinfo=None).isoformat(),
]
"""How a time may be written."""


@dataclass(frozen=True)
class Caller:
    """A caller: ``public``, ``customer``, ``org-admin``, ``internal-admin``, or ``forged``."""

    role: str
    name: str = ""
    token: str = ""
    until: datetime | None = None


@dataclass
class Pagination:
    """A list that is read page by page, while other things happen."""

    org_id: str
    status: str | None
    limit: int
    wanted: set[str]
    """Links that were in the list all the time: each must be met."""
    seen: set[str] = field(default_factory=set)
    cursor: str | None = None
    last: datetime | None = None


def may(caller: Caller, org_id: str) -> bool:
    return caller.role == "internal-admin" or caller.name == org_id


def decode(response: httpx.Response) -> Any:
    return json.loads(response.text, parse_float=Decimal)


def encode(body: dict[str, Any], write: Callable[[datetime], str]) -> bytes:
    values = {
        name: write(value) if isinstance(value, datetime) else value for name, value in body.items()
    }
    return msgspec.json.Encoder(decimal_format="number").encode(values)


def written(moment: datetime | None) -> str | None:
    return None if moment is None else stamp(moment)
