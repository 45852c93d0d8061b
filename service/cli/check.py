"""``payment-links check``: whether the settings, Redis and the mail server serve."""

import asyncio
from collections.abc import Iterator, Mapping

from config.settings import Settings, SettingsError, load
from service.auth.jwks import KeySet, KeySetError
from service.auth.tokens import load_public_key
from service.cli.check_mail import check_mail
from service.cli.check_redis import check_queue_commands, check_queue_redis, check_redis
from service.cli.check_result import CheckResult, failure, ok, warning
from service.process.disk import describe_shortage, is_data_dir_used


def check_all(environ: Mapping[str, str], *, recipient: str | None = None) -> Iterator[CheckResult]:
    """Checks everything that ``environ`` configures; and if the mail server takes ``recipient``."""
    try:
        settings = load(environ)
    except SettingsError as error:
        yield failure("settings", str(error))
        return
    yield ok("settings", "complete")
    yield _check_admin_keys(settings)
    yield from check_redis(settings.redis_url)
    if settings.queue_redis_url != settings.redis_url:
        yield from check_queue_redis(settings.queue_redis_url)
    yield from check_queue_commands(settings.queue_redis_url)
    yield check_mail(settings, recipient)
    if is_data_dir_used(settings.data_dir, settings.redis_url, has_smtp=settings.smtp is not None):
        shortage = describe_shortage(settings.data_dir)
        has_room = ok("disk", f"{settings.data_dir.absolute()} has room")
        yield warning("disk", shortage) if shortage else has_room


def _check_admin_keys(settings: Settings) -> CheckResult:
    owner = "our own, HS256"
    try:
        if settings.admin_jwt_public_key:
            key = load_public_key(settings.admin_jwt_public_key)
            owner = f"the identity provider's, {key.algorithm}"
        elif settings.admin_jwks_url:
            keys = asyncio.run(KeySet(settings.admin_jwks_url).fetch())
            count = len({id(key) for key in keys.values()})
            owner = f"the identity provider's, {count} keys"
    except ValueError as error:
        return failure("admin tokens", f"ADMIN_JWT_PUBLIC_KEY: {error}")
    except KeySetError as error:
        return failure("admin tokens", f"ADMIN_JWKS_URL: the keys cannot be fetched: {error}")
    return ok("admin tokens", owner)
