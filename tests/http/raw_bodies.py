"""Requests with any body."""

from typing import Any

import httpx

from tests.support.api import (
    JSON,
    Api,
    Headers,
)

LIMIT = 64 * 1024


CREATE = ("POST", "/payment-links")


def send(
    api: Api, method: str, path: str, content: Any, headers: Headers | None = None
) -> httpx.Response:
    """Sends ``content`` as an internal admin, as JSON where ``headers`` do not say otherwise."""
    return api.client.request(
        method,
        path,
        content=content,
        headers=api.internal() | (JSON if headers is None else headers),
    )
