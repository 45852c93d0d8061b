"""Types of requests, their headers, and the context of the application that serves them.

Headers are read from the scope: Litestar's own parsers cache up to 1,024 whole headers, whatever a
client sends.
"""

from typing import Any

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.datastructures import State

from service.auth.tokens import Admin
from service.context import Context
from service.process.logs import current_request_id
from service.storage.event_log import CUSTOMER, Actor

Connection = ASGIConnection[Any, Any, Any, Any]
AnyRequest = Request[Any, Any, Any]
PublicRequest = Request[None, None, State]
AdminRequest = Request[Admin, None, State]
"""A request that the guards have authenticated."""
SENT_METHOD = "payment_links.sent_method"
"""The key of a scope for the method that the client sent: HEAD is served as GET."""
PURPOSE_HEADERS = (b"sec-purpose", b"purpose", b"x-moz")
"""Headers with which browsers mark prefetches: the standard one, and older ones."""


def context_of(connection: Connection) -> Context:
    """The context of the application that serves ``connection``."""
    context: Context = connection.app.state.context
    return context


def actor_of(request: AdminRequest) -> Actor:
    """The admin who makes the request, as the log of events names it."""
    return Actor(request.user.subject, current_request_id.get(None))


def current_customer() -> Actor:
    """The customer who makes the current request, without a name."""
    return Actor(CUSTOMER, current_request_id.get(None))


def is_head(connection: Connection) -> bool:
    """Whether the client wants no more than the headers of the answer."""
    scope: Any = connection.scope
    return bool(scope.get(SENT_METHOD) == "HEAD")


def is_prefetch(connection: Connection) -> bool:
    """Whether a browser fetches an address in advance, which its user may never open."""
    return any(
        "prefetch" in value.lower()
        for name in PURPOSE_HEADERS
        for value in header_values(connection, name)
    )


def header_values(connection: Connection, name: bytes) -> list[str]:
    """The values of all headers called ``name`` (in lower case), in their order."""
    return [value.decode("latin-1") for sent, value in connection.scope["headers"] if sent == name]


def cookie_value(connection: Connection, name: str) -> str | None:
    """The value of the first cookie called ``name``."""
    for line in header_values(connection, b"cookie"):
        for pair in line.split(";"):
            found, _, value = pair.strip().partition("=")
            if found == name:
                return value
    return None
