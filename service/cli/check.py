"""``payment-links check``: what is wrong with the configuration, Redis and the mail server."""

import asyncio
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import redis
from redis.cluster import RedisCluster
from redis.exceptions import RedisError, ResponseError

from config.settings import Settings, SettingsError, load
from service.auth.jwks import KeySet, KeySetError
from service.auth.tokens import load_public_key
from service.cli.finding import Finding, Verdict
from service.errors import Unavailable
from service.outbox import doorbell as jobs
from service.process.disk import describe_shortage, folder_in_use
from service.storage import data_version
from service.storage.client import AWAY, Client, connect, connect_queue
from service.storage.clock import MAX_CLOCK_SKEW
from service.storage.failure import describe_failure
from service.storage.probe import find_refused
from tasks.mail.mailer import Deferred, SmtpMailer

OLDEST_REDIS = (7, 0)
"""PEXPIREAT … GT is used, which came with 7.0; Valkey has it from its first release."""


def check(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Looks at everything that ``environ`` configures."""
    try:
        settings = load(environ)
    except SettingsError as error:
        yield Finding(Verdict.FAILURE, "settings", str(error))
        return
    yield Finding(Verdict.OK, "settings", "complete")
    yield from _admin_keys(settings)
    yield from _redis("redis", settings.redis_url)
    if settings.queue_redis_url != settings.redis_url:
        yield from _redis("queue redis", settings.queue_redis_url, durable=False)
    yield from _queue_commands(settings.queue_redis_url)
    yield from _mail(settings)
    yield from _disk(settings)


def _admin_keys(settings: Settings) -> Iterator[Finding]:
    if settings.admin_jwt_public_key:
        try:
            key = load_public_key(settings.admin_jwt_public_key)
        except ValueError as error:
            yield Finding(Verdict.FAILURE, "admin tokens", f"ADMIN_JWT_PUBLIC_KEY: {error}")
        else:
            yield Finding(Verdict.OK, "admin tokens", f"the identity provider's, {key.algorithm}")
    elif settings.admin_jwks_url:
        try:
            keys = asyncio.run(KeySet(settings.admin_jwks_url).fetch())
        except KeySetError as error:
            yield Finding(
                Verdict.FAILURE, "admin tokens", f"ADMIN_JWKS_URL: its keys cannot be had: {error}"
            )
        else:
            found = len({id(key) for key in keys.values()})
            yield Finding(Verdict.OK, "admin tokens", f"the identity provider's, {found} keys")
    else:
        yield Finding(Verdict.OK, "admin tokens", "our own, HS256")


def _redis(what: str, url: str, *, durable: bool = True) -> Iterator[Finding]:
    try:
        client = connect(url) if durable else _connect_queue(url)
        client.ping()
    except (*AWAY, Unavailable, ValueError) as error:
        yield Finding(Verdict.FAILURE, what, f"does not answer: {describe_failure(error)}")
        return
    yield Finding(Verdict.OK, what, "answers")
    if durable:
        yield _commands(what, client)
    info = _info(client)
    yield _version(what, info)
    if durable:
        yield _persistence(what, client, info)
        yield _eviction(what, client, info)
        yield _data(what, Client(client))
    yield _clock(what, client)
    client.close()


def _connect_queue(url: str) -> redis.Redis:
    return connect_queue(url, socket_timeout=2, socket_connect_timeout=2, decode_responses=True)


def _commands(what: str, client: Any) -> Finding:
    """Whether the user may do what the service does: scripts above all."""
    what = f"{what} commands"
    try:
        run = Client(client).run
        run(find_refused().with_source())  # first, as the server may lack the script or not
        refused = run(find_refused())
    except (*AWAY, Unavailable, ResponseError) as error:
        return Finding(Verdict.FAILURE, what, f"scripts cannot be run: {describe_failure(error)}")
    if refused:
        return Finding(Verdict.FAILURE, what, f"NOPERM: the user may not run {', '.join(refused)}")
    return Finding(Verdict.OK, what, "allowed")


def _queue_commands(url: str) -> Iterator[Finding]:
    """Whether the user may do what RQ does. Of a server that is away, another line tells."""
    try:
        with _connect_queue(url) as client:
            refused = jobs.find_refused(client)
    except AWAY:
        return
    if refused:
        yield Finding(
            Verdict.FAILURE, "queue commands", f"NOPERM: the user may not use {', '.join(refused)}"
        )
    else:
        yield Finding(Verdict.OK, "queue commands", "allowed")


def _clock(what: str, client: Any) -> Finding:
    try:
        seconds, microseconds = _first_time(client)
    except AWAY as error:
        return Finding(Verdict.WARNING, f"{what} clock", f"unknown: {describe_failure(error)}")
    apart = abs(time.time() - seconds - microseconds / 1e6)
    verdict = Verdict.OK if apart < MAX_CLOCK_SKEW.total_seconds() else Verdict.WARNING
    return Finding(verdict, f"{what} clock", f"{apart:.1f} s from this machine's")


def _info(client: Any) -> dict[str, Any] | None:
    """What the server says of itself, if its user may ask."""
    try:
        return dict(_first(client.info()))
    except AWAY:
        return None


def _version(what: str, info: Mapping[str, Any] | None) -> Finding:
    if info is None:
        return Finding(Verdict.WARNING, f"{what} version", "unknown: INFO is not allowed")
    name, version = (
        ("Valkey", info["valkey_version"])
        if "valkey_version" in info
        else ("Redis", info["redis_version"])
    )
    enough = tuple(int(part) for part in re.findall(r"[0-9]+", str(version))[:2]) >= OLDEST_REDIS
    return Finding(
        Verdict.OK if enough else Verdict.FAILURE,
        f"{what} version",
        f"{name} {version}" + ("" if enough else ", 7.0 is needed"),
    )


def _persistence(what: str, client: Any, info: Mapping[str, Any] | None) -> Finding:
    what = f"{what} persistence"
    if info is None:
        return Finding(
            Verdict.WARNING,
            what,
            "unknown: INFO is not allowed (appendonly yes, appendfsync always)",
        )
    if not int(info.get("aof_enabled", 0)):
        return Finding(
            Verdict.WARNING,
            what,
            "no append-only file: what was acknowledged is lost when the server dies (appendonly yes)",
        )
    if info.get("aof_last_write_status") != "ok":
        return Finding(Verdict.FAILURE, what, "the append-only file cannot be written")
    fsync = _config(client, "appendfsync")
    if fsync != "always":
        return Finding(
            Verdict.WARNING,
            what,
            f"appendfsync {fsync}: the last second may be lost with the machine (appendfsync always)",
        )
    return Finding(Verdict.OK, what, "append-only file, appendfsync always")


def _eviction(what: str, client: Any, info: Mapping[str, Any] | None) -> Finding:
    policy = (info or {}).get("maxmemory_policy") or _config(client, "maxmemory-policy")
    if policy.startswith("unknown"):
        return Finding(Verdict.WARNING, f"{what} eviction", f"{policy}: it must be noeviction")
    if policy != "noeviction":
        return Finding(
            Verdict.FAILURE,
            f"{what} eviction",
            f"{policy}: links are thrown away when memory is short (maxmemory-policy noeviction)",
        )
    return Finding(Verdict.OK, f"{what} eviction", "none")


def _data(what: str, client: Client) -> Finding:
    what = f"{what} data"
    try:
        version = data_version.find(client)
    except Unavailable as error:
        return Finding(Verdict.FAILURE, what, f"cannot be read: {describe_failure(error)}")
    if version is None:
        return Finding(Verdict.OK, what, "none yet")
    if version == data_version.VERSION:
        return Finding(Verdict.OK, what, f"of version {version}, this release's")
    return Finding(Verdict.FAILURE, what, str(data_version.WrongDataVersionError(version)))


def _mail(settings: Settings) -> Iterator[Finding]:
    smtp = settings.smtp
    if smtp is None:
        yield Finding(
            Verdict.WARNING,
            "mail",
            f"SMTP_URL is not set: mails become files in {settings.data_dir / 'outbox'}",
        )
        return
    mailer = SmtpMailer(**msgspec.structs.asdict(smtp))
    try:
        secured = mailer.greet()
    except Deferred as error:
        yield Finding(
            Verdict.FAILURE, "mail", f"{smtp.host}:{smtp.port} does not let us in: {error}"
        )
    else:
        verdict = Verdict.OK if secured else Verdict.WARNING
        yield Finding(
            verdict,
            "mail",
            f"{smtp.host}:{smtp.port} lets us in, {'over TLS' if secured else 'without TLS'}",
        )


def _disk(settings: Settings) -> Iterator[Finding]:
    folder = folder_in_use(settings)
    if folder is None:
        return
    shortage = describe_shortage(folder)
    yield (
        Finding(Verdict.WARNING, "disk", shortage)
        if shortage
        else Finding(Verdict.OK, "disk", f"{folder} has room")
    )


def _config(client: Any, name: str) -> str:
    try:
        return str(_first(client.config_get(name)).get(name, "unknown"))
    except RedisError:
        return "unknown (CONFIG is not allowed)"


def _first(reply: Any) -> Any:
    """The reply itself, or, of a cluster that answers node by node, the first."""
    values = list(reply.values()) if isinstance(reply, dict) else []
    return values[0] if values and all(isinstance(value, dict) for value in values) else reply


def _first_time(client: "redis.Redis | RedisCluster") -> tuple[int, int]:
    reply: Any = client.time()
    seconds, microseconds = next(iter(reply.values())) if isinstance(reply, dict) else reply
    return int(seconds), int(microseconds)
