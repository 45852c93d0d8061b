"""Requests that may be repeated: ``Idempotency-Key``, for all routes that change something."""

import hmac
from typing import Annotated

import msgspec
from litestar.params import HeaderParameter

from service.errors import Invalid
from service.http.headers import header_values
from service.http.request import AnyRequest, context_of
from service.storage.idempotency import Once

HEADER = "Idempotency-Key"
IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name=HEADER, pattern="^[!-~]{1,255}$", description="1 to 255 printable ASCII characters"
    ),
]
REPLAYED = {"Idempotency-Replayed": "true"}
"""The header of an answer to a request that was carried out before."""


def once(request: AnyRequest, org_id: str, key: str, meaning: object) -> Once:
    """The record of a request with this ``key`` and ``meaning``, its parsed content.

    A key belongs to the organization, whatever the route. The same key and meaning on another
    route are another request.

    Raises:
        Invalid: the header came twice.
    """
    if len(header_values(request, HEADER.lower().encode())) > 1:
        raise Invalid(HEADER, "must not be given twice")
    secret = context_of(request).idempotency_key
    return Once(
        org_id,
        _digest(secret, [org_id, key]),
        _digest(secret, [request.method, request.scope["path"], meaning]),
    )


def _digest(secret: bytes, value: object) -> str:
    """A digest under a secret: the store must not reveal even a code of six digits."""
    return hmac.digest(secret, msgspec.json.encode(value), "sha256").hex()[:32]
