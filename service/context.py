"""What controllers work with. The composition root makes one; it lives as long as the application."""

import ipaddress
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import msgspec
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.datastructures import State

from service.auth.tokens import Admin, CustomerTokens, VerificationKey
from service.links.listed import Lister
from service.otps.model import Policy
from service.outbox.doorbell import Doorbell
from service.storage.pipeline import AutoPipeline

Connection = ASGIConnection[Any, Any, Any, Any]
AnyRequest = Request[Any, Any, Any]
PublicRequest = Request[None, None, State]
AdminRequest = Request[Admin, None, State]
"""One whose sender the guards let pass."""


class Context(msgspec.Struct, kw_only=True):
    """The store, the doorbell, keys and limits."""

    pipeline: AutoPipeline
    doorbell: Doorbell
    clock: Callable[[], datetime]
    find_admin_key: Callable[[str], Awaitable[VerificationKey]]
    admin_issuer: str | None
    customer_tokens: CustomerTokens
    otp_key: bytes
    idempotency_key: bytes
    otp_policy: Policy
    link_ttl: timedelta
    retention: timedelta
    public_url: str
    lister: Lister
    checkout_url: str | None
    describe_disk_shortage: Callable[[], str | None]
    """How little of the disk is free that the service writes to, where that is too little."""
    trusted_proxies: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]

    @property
    def root(self) -> str:
        """The path of ``public_url``, which begins every path that is written; a proxy strips it from those that are asked for."""
        return urlsplit(self.public_url).path


def context_of(connection: Connection) -> Context:
    """The context of the application that serves ``connection``."""
    context: Context = connection.app.state.context
    return context


def cookie_value(connection: Connection, name: str) -> str | None:
    """What the cookie called ``name`` holds. Litestar's own parser keeps 1,024 whole headers, whatever was sent."""
    for line in header_values(connection, b"cookie"):
        for pair in line.split(";"):
            found, _, value = pair.strip().partition("=")
            if found == name:
                return value
    return None


def header_values(connection: Connection, name: bytes) -> list[str]:
    """What the request's headers called ``name`` (in lower case) say, one after the other."""
    return [value.decode("latin-1") for sent, value in connection.scope["headers"] if sent == name]
