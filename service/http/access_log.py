"""Around every request: an id, a line in the log, and headers that keep what is private private."""

import random
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from service.process.logs import REQUEST_ID
from service.values.ids import is_link_id, truncate_id

log = structlog.get_logger("service.requests")

Send = Callable[[Any], Awaitable[None]]
FIT_FOR_LOG = re.compile(rb"[A-Za-z0-9._-]{8,64}")
PUBLIC = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer")]
PRIVATE = [*PUBLIC, (b"cache-control", b"no-store")]
"""What every response says of itself, unless its route says that it may be kept."""
CLOSING = (b"connection", b"close")
QUIET = {"/healthz", "/readyz"}


async def observe(
    app: Callable[[Any, Any, Send], Awaitable[None]],
    scope: Any,
    receive: Any,
    send: Send,
    is_stopping: Callable[[], bool],
) -> None:
    """Serves one request of ``app``. Logs hold the beginning of a link's id only, for whoever has all of it can open the link."""
    request_id = _request_id(scope["headers"])
    started, status, outcome = time.perf_counter(), 0, {"aborted": True}
    method = scope["method"]
    if method == "HEAD":  # as GET, without the content (RFC 9110, 9.3.2)
        scope["method"] = "GET"

    async def send_observed(message: Any) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
            headers = [*message["headers"], (b"x-request-id", request_id.encode())]
            headers += PUBLIC if b"cache-control" in dict(headers) else PRIVATE
            if is_stopping():
                headers.append(CLOSING)
            message["headers"] = headers
        elif method == "HEAD":
            message["body"] = b""
        await send(message)

    token = REQUEST_ID.set(request_id)
    try:
        await app(scope, receive, send_observed)
        outcome = {}
    finally:
        if scope["path"] not in QUIET or status >= 400:
            milliseconds = round((time.perf_counter() - started) * 1000, 1)
            log.info(
                "request", method=method, **_route(scope), status=status, ms=milliseconds, **outcome
            )
        REQUEST_ID.reset(token)


def _route(scope: Any) -> dict[str, str]:
    """The route, and the beginning of the link's id. The path itself may hold anything: addresses, tokens, whole ids."""
    route = {"route": scope.get("path_template", "none")}
    link_id = scope.get("path_params", {}).get("link_id")
    if link_id and is_link_id(link_id):
        route["link"] = truncate_id(link_id)
    return route


def _request_id(headers: Any) -> str:
    """The caller's ``X-Request-ID``, if it is fit for a log; else a new one.

    It need be no secret. Asking the system for one gives Python's lock to the server's threads, and waits to have it back.
    """
    for name, value in headers:
        if name == b"x-request-id" and FIT_FOR_LOG.fullmatch(value):
            return bytes(value).decode()
    return f"{random.getrandbits(64):016x}"
