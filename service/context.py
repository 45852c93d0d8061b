"""What controllers work with, made once when the application starts."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from urllib.parse import urlsplit

import msgspec

from config.settings import Settings
from service.auth.jwks import KeySet
from service.auth.tokens import (
    CustomerTokens,
    JwtKey,
    derive_key,
    load_public_key,
    own_admin_key,
)
from service.outbox.doorbell import Doorbell
from service.process.disk import describe_shortage, is_data_dir_used
from service.storage.pipeline import AutoPipeline


class Context(msgspec.Struct, kw_only=True):
    """The settings, and what is made of them: keys, and connections to the store and the queue."""

    settings: Settings
    pipeline: AutoPipeline
    doorbell: Doorbell
    clock: Callable[[], datetime]
    find_admin_key: Callable[[str], Awaitable[JwtKey]]
    """Finds the key that an admin token must be signed with."""
    customer_tokens: CustomerTokens
    otp_key: bytes
    idempotency_key: bytes
    describe_disk_shortage: Callable[[], str | None]
    """Describes how little space is left on the disk that the service writes to; None if enough."""

    @property
    def base_path(self) -> str:
        """The path of ``PUBLIC_URL``: it begins every path in an answer, and a proxy strips it."""
        return urlsplit(self.settings.public_url).path


def create_context(
    settings: Settings, pipeline: AutoPipeline, doorbell: Doorbell, clock: Callable[[], datetime]
) -> Context:
    """The context of an application that ``settings`` describe."""
    uses_disk = is_data_dir_used(
        settings.data_dir, settings.redis_url, has_smtp=settings.smtp is not None
    )
    return Context(
        settings=settings,
        pipeline=pipeline,
        doorbell=doorbell,
        clock=clock,
        find_admin_key=_admin_key_finder(settings),
        customer_tokens=CustomerTokens(settings.secret_key),
        otp_key=derive_key(settings.secret_key, "otp"),
        idempotency_key=derive_key(settings.secret_key, "idempotency"),
        describe_disk_shortage=partial(describe_shortage, settings.data_dir)
        if uses_disk
        else lambda: None,
    )


def _admin_key_finder(settings: Settings) -> Callable[[str], Awaitable[JwtKey]]:
    """Admin tokens are signed by the identity provider where one is set, and by us otherwise."""
    if settings.admin_jwks_url:
        return KeySet(settings.admin_jwks_url).find_for_token
    pem = settings.admin_jwt_public_key
    key = load_public_key(pem) if pem else own_admin_key(settings.secret_key)

    async def find(_: str) -> JwtKey:
        return key

    return find
