"""Types of requests, and the context of the application that serves them."""

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
