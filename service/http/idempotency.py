"""Requests that may be repeated: ``Idempotency-Key``, for all routes that change something."""

import hmac
from typing import Annotated

import msgspec
from litestar.datastructures import ResponseHeader
from litestar.params import HeaderParameter

from service.errors import Invalid
from service.http.request import AnyRequest, context_of, header_values
from service.storage.idempotency import IdempotentRequest

HEADER = "Idempotency-Key"
IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name=HEADER, pattern="^[!-~]{1,255}$", description="1 to 255 printable ASCII characters"
    ),
]
REPLAYED = {"Idempotency-Replayed": "true"}
"""The header of an answer to a request that was carried out before."""
REPLAYED_HEADER = ResponseHeader(
    "Idempotency-Replayed",
    documentation_only=True,
    description="`true` where the request was carried out before.",
)


def identify(
    request: AnyRequest, org_id: str, key: str | None, content: object
) -> IdempotentRequest | None:
    """The request with this idempotency ``key`` and parsed ``content``; None without a key.

    A key belongs to the organization, whatever the route. The same key and content on another
    route are a different request.

    Raises:
        Invalid: the header came twice.
    """
    if key is None:
        return None
    if len(header_values(request, HEADER.lower().encode())) > 1:
        raise Invalid(HEADER, "must not be given twice")
    secret = context_of(request).idempotency_key
    return IdempotentRequest(
        org_id,
        _digest(secret, [org_id, key]),
        _digest(secret, [request.method, request.scope["path"], content]),
    )


def _digest(secret: bytes, value: object) -> str:
    """A digest under a secret: the store must not reveal even a code of six digits."""
    return hmac.digest(secret, msgspec.json.encode(value), "sha256").hex()[:32]
