"""Requests that may be repeated (``Idempotency-Key``): one mechanism for all routes that change something."""

import hmac
from typing import Annotated

import msgspec
from litestar.params import HeaderParameter

from service.errors import IdempotencyConflict, Invalid
from service.http.headers import header_values
from service.http.request import AnyRequest, context_of
from service.storage.idempotency import Earlier, Once

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
    """How the request with this ``key`` is remembered. ``meaning`` is what was understood of it.

    A key belongs to the organization, whatever the route: the same ``meaning`` on another route is another request.

    Raises:
        Invalid: the key came twice, and either of them may be the one that is repeated.
    """
    if len(header_values(request, HEADER.lower().encode())) > 1:
        raise Invalid(HEADER, "must not be given twice")
    secret = context_of(request).idempotency_key
    return Once(
        org_id,
        _digest(secret, [org_id, key]),
        _digest(secret, [request.method, request.scope["path"], meaning]),
    )


def require_same(request: Once, earlier: Earlier) -> None:
    """Lets a repeated request pass.

    Raises:
        IdempotencyConflict: what came with its key before meant something else.
    """
    if earlier.meaning != request.meaning:
        raise IdempotencyConflict


def _digest(secret: bytes, value: object) -> str:
    """Reveals nothing of ``value``, not even a code, of which there are only a million."""
    return hmac.digest(secret, msgspec.json.encode(value), "sha256").hex()[:32]
