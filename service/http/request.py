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

Connection = ASGIConnection[Any, Any, Any, Any]
AnyRequest = Request[Any, Any, Any]
PublicRequest = Request[None, None, State]
AdminRequest = Request[Admin, None, State]
"""A request that the guards have authenticated."""


def context_of(connection: Connection) -> Context:
    """The context of the application that serves ``connection``."""
    context: Context = connection.app.state.context
    return context


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
