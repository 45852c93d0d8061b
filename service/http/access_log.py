"""What every request gets: an id, a line in the log, and headers for security and caching."""

import random
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from service.http.request import SENT_METHOD
from service.process.logs import current_request_id
from service.values.ids import is_link_id, truncate_id

log = structlog.get_logger("service.requests")

Send = Callable[[Any], Awaitable[None]]
_SAFE_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")
CACHEABLE_HEADERS = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer")]
"""Headers added to responses whose route sets ``Cache-Control``."""
PRIVATE_HEADERS = [*CACHEABLE_HEADERS, (b"cache-control", b"no-store")]
"""Headers added to all other responses."""
UNLOGGED_PATHS = {"/healthz", "/readyz"}
"""Requests of these are logged only if they fail: load balancers send them every few seconds."""


async def serve_logged(
    app: Callable[[Any, Any, Send], Awaitable[None]],
    scope: Any,
    receive: Any,
    send: Send,
    is_stopping: Callable[[], bool],
) -> None:
    """Serves a request by ``app``, and logs it."""
    request_id = _request_id(scope["headers"])
    started, status, outcome = time.perf_counter(), 0, {"aborted": True}
    method = scope[SENT_METHOD] = scope["method"]
    if method == "HEAD":  # as GET, without the content (RFC 9110, 9.3.2)
        scope["method"] = "GET"

    async def send_with_headers(message: Any) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
            headers = [*message["headers"], (b"x-request-id", request_id.encode())]
            headers += CACHEABLE_HEADERS if b"cache-control" in dict(headers) else PRIVATE_HEADERS
            if is_stopping():
                headers.append((b"connection", b"close"))
            message["headers"] = headers
        elif method == "HEAD":
            message["body"] = b""
        await send(message)

    token = current_request_id.set(request_id)
    try:
        await app(scope, receive, send_with_headers)
        outcome = {}
    finally:
        if scope["path"] not in UNLOGGED_PATHS or status >= 400:
            milliseconds = round((time.perf_counter() - started) * 1000, 1)
            log.info(
                "request", method=method, **_route(scope), status=status, ms=milliseconds, **outcome
            )
        current_request_id.reset(token)


def _route(scope: Any) -> dict[str, str]:
    """The route, and the beginning of the link's id.

    The path is not logged: it may hold addresses, tokens and whole ids, which open links.
    """
    route = {"route": scope.get("path_template", "none")}
    link_id = scope.get("path_params", {}).get("link_id")
    if link_id and is_link_id(link_id):
        route["link"] = truncate_id(link_id)
    return route


def _request_id(headers: Any) -> str:
    """The caller's ``X-Request-ID`` if it can be logged as it is; otherwise a new one.

    It is no secret, so ``random`` will do: ``secrets`` releases the GIL to the server's threads,
    and waits to get it back.
    """
    for name, value in headers:
        if name == b"x-request-id" and _SAFE_REQUEST_ID.fullmatch(value):
            return bytes(value).decode()
    return f"{random.getrandbits(64):016x}"
