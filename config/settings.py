"""Every setting of the service, read once from the environment.

A setting is one field below. ``load(environ)`` gives a frozen ``Settings``, or raises
``SettingsError`` with one line that names the variable at fault. Durations are written ``90s``,
``10m``, ``72h`` or ``90d``; lists are separated by commas; an empty value counts as unset.
"""

from collections.abc import Mapping
from datetime import timedelta
from email.utils import parseaddr
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec

from config.parsers import (
    IPNetwork,
    choice_parser,
    duration_parser,
    number_parser,
    parse_address,
    parse_ca_file,
    parse_helo,
    parse_host,
    parse_mailbox,
    parse_networks,
    parse_public_key,
    parse_secret,
)
from config.redis_url import CLUSTER_SCHEMES, parse_redis_url
from config.urls import (
    SmtpSettings,
    parse_checkout_url,
    parse_jwks_url,
    parse_origins,
    parse_smtp_url,
    parse_web_url,
)

WEB_ONLY = "web only"
"""Marks the settings of a process that listens for requests."""


class SettingsError(Exception):
    """A setting is missing or wrong. The message is one line that names it."""


class MissingSettingsError(SettingsError):
    """Required settings are not set."""


class OtpSettings(msgspec.Struct, frozen=True, rename=lambda name: f"OTP_{name.upper()}"):
    """Limits of one-time passwords. Windows start with the first event that they count.

    The variable of each is its name in capitals after ``OTP_``: ``OTP_TTL``.
    """

    ttl: Annotated[timedelta, duration_parser("1m", "24h")] = timedelta(minutes=10)
    """How long a code is good."""
    max_tries: Annotated[int, number_parser(1, 10)] = 5
    """How often one code may be tried."""
    resend_after: Annotated[timedelta, duration_parser("1s", "1h")] = timedelta(seconds=60)
    """The least time between two codes for one e-mail."""
    sends_per_hour: Annotated[int, number_parser(1)] = 5
    """Codes for one e-mail in an hour."""
    sends_per_day: Annotated[int, number_parser(1)] = 10
    """Codes for one e-mail in a day."""
    failures_per_day: Annotated[int, number_parser(1)] = 10
    """Failed tries for one e-mail in a day, over all its codes; one client network has half."""
    sends_per_minute: Annotated[int, number_parser(1)] = 600
    """Codes for all e-mails together in a minute."""
    unverified_per_hour: Annotated[int, number_parser(1)] = 20
    """Wrong pre-verified codes of an organization for one e-mail in an hour."""
    client_sends_per_hour: Annotated[int, number_parser(1)] = 30
    """Codes that one client address, or IPv6 /64, asks for in an hour.

    The networks around it have more: an IPv4 /24 10 times as many, an IPv6 /56 5 times,
    an IPv6 /48 20 times.
    """
    client_failures_per_hour: Annotated[int, number_parser(1)] = 100
    """Failed tries of one client address in an hour; the networks around it have more, as above."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, rename="upper"):
    """The service's settings. The variable of each is its name in capitals: ``REDIS_URL``."""

    redis_url: Annotated[str, parse_redis_url]
    """``redis://``, ``rediss://``, ``unix://``, ``redis+sentinel://host:port,host:port/service/db``
    or ``redis+cluster://host:port,host:port``; with TLS, ``redis+sentinels://`` and
    ``rediss+cluster://``. Required, except by ``up``, which then starts a Valkey."""
    secret_key: Annotated[bytes, parse_secret]
    """32 bytes or more, from which every key of the service is derived. Required, as above."""
    queue_redis_url: Annotated[str, parse_redis_url] = ""
    """RQ's Redis, never a cluster. Default: ``REDIS_URL``."""
    public_url: Annotated[str, parse_web_url] = ""
    """Where customers reach the service; a link's page is ``PUBLIC_URL/pay/{id}``.
    It may have a path, which a proxy strips. Default: ``http://HOST:PORT``."""
    checkout_url: Annotated[str | None, parse_checkout_url] = None
    """Where customers pay, unless their organization has a checkout of its own. It holds any of
    ``{link_id}``, ``{amount}``, ``{currency}`` and ``{transaction_id}``, which are filled in."""
    smtp: Annotated[SmtpSettings | None, parse_smtp_url] = msgspec.field(
        default=None, name="SMTP_URL"
    )
    """``smtp://user:pass@host:587`` or ``smtps://…``.
    Without it, mails become files in ``DATA_DIR/outbox``."""
    smtp_sessions: Annotated[int, number_parser(1, 256)] = 16
    """Sessions with the mail server at a time, for links' mails."""
    smtp_timeout: Annotated[timedelta, duration_parser("1s", "30m")] = timedelta(minutes=5)
    """How long the mail server may take to confirm a mail after its final dot
    (RFC 5321, 4.5.3.2); every other step may take a fifth of it."""
    smtp_helo: Annotated[str, parse_helo] = ""
    """The name in EHLO, or an address. Default: the host of ``PUBLIC_URL``."""
    smtp_ca_file: Annotated[Path | None, parse_ca_file] = None
    """PEM of authorities that are trusted beside the system's, for the mail server."""
    mail_from: Annotated[str, parse_mailbox] = "Payment Links <payment-links@localhost>"
    """The sender of every mail: ``Name <address>``, or an address. Required with ``SMTP_URL``."""
    mail_bounces_to: Annotated[str, parse_address] = ""
    """The envelope's sender, to which bounces go. Default: the address in ``MAIL_FROM``."""
    link_ttl: Annotated[timedelta, duration_parser("5m", "365d")] = timedelta(hours=72)
    """How long a link is good after it is sent, unless its request sets the end."""
    retention: Annotated[timedelta, duration_parser("1m", "3650d")] = timedelta(days=90)
    """How long a link stays readable after it has ended."""
    otp: OtpSettings = OtpSettings()
    """The limits of one-time passwords, a variable each."""
    admin_jwt_public_key: Annotated[str | None, parse_public_key] = None
    """PEM of the identity provider's RSA, P-256 or Ed25519 key. Only it then signs admin tokens."""
    admin_jwks_url: Annotated[str | None, parse_jwks_url] = None
    """The identity provider's key set, instead of one key: https, or http on this machine."""
    admin_jwt_issuer: Annotated[str | None, str] = None
    """The ``iss`` that admin tokens must have. Default: any."""
    data_dir: Annotated[Path, Path] = Path("var")
    """The directory of the embedded store's files, its secret, and mails that become files."""
    host: Annotated[str, parse_host, WEB_ONLY] = "127.0.0.1"
    """The address that ``web`` listens on, or a name that resolves to it."""
    port: Annotated[int, number_parser(1, 65535), WEB_ONLY] = 8000
    """The port that ``web`` listens on."""
    web_concurrency: Annotated[int, number_parser(1, 64), WEB_ONLY] = 1
    """How many processes ``web`` has."""
    log_format: Annotated[str, choice_parser("console", "json")] = "console"
    """The format of log lines."""
    trusted_proxies: Annotated[tuple[IPNetwork, ...], parse_networks] = ()
    """Addresses or networks of proxies whose ``X-Forwarded-For`` counts."""
    cors_origins: Annotated[tuple[str, ...], parse_origins] = ()
    """Web origins that may call the API from a browser."""

    def __post_init__(self) -> None:
        if not self.queue_redis_url:
            msgspec.structs.force_setattr(self, "queue_redis_url", self.redis_url)
        if not self.public_url:
            msgspec.structs.force_setattr(self, "public_url", self.local_url)
        if not self.smtp_helo:
            msgspec.structs.force_setattr(self, "smtp_helo", self._public_host())
        if not self.mail_bounces_to:
            msgspec.structs.force_setattr(self, "mail_bounces_to", parseaddr(self.mail_from)[1])

    @property
    def local_url(self) -> str:
        """Where this machine reaches ``web``."""
        loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing is bound here
        host = loopback.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def _public_host(self) -> str:
        try:
            return parse_helo(urlsplit(self.public_url).hostname or "")
        except ValueError:
            raise SettingsError(
                "SMTP_HELO: required, for no mail server takes the host of PUBLIC_URL"
            ) from None


def load(environ: Mapping[str, str], *, listens: bool = True) -> Settings:
    """The settings in ``environ``. Without ``listens``, a wrong ``WEB_ONLY`` value is ignored.

    Raises:
        SettingsError: a variable is missing or wrong.
    """
    environ = {name: text.strip() for name, text in environ.items()}
    required = [field.encode_name for field in msgspec.structs.fields(Settings) if field.required]
    if environ.get("SMTP_URL"):
        required.append("MAIL_FROM")
    if missing := [name for name in required if not environ.get(name)]:
        raise MissingSettingsError(f"{', '.join(missing)}: required")
    settings = Settings(**_read(Settings, environ, listens=listens))
    if settings.queue_redis_url.partition(":")[0] in CLUSTER_SCHEMES:
        raise SettingsError("QUEUE_REDIS_URL: RQ cannot use a cluster; name another Redis")
    if settings.admin_jwt_public_key and settings.admin_jwks_url:
        raise SettingsError("ADMIN_JWKS_URL: set it or ADMIN_JWT_PUBLIC_KEY, not both")
    return settings


def _read(
    struct: type[msgspec.Struct], environ: Mapping[str, str], *, listens: bool
) -> dict[str, Any]:
    """The values of the fields whose variables are set."""
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(struct):
        if field.type is OtpSettings:
            values[field.name] = OtpSettings(**_read(OtpSettings, environ, listens=listens))
        elif text := environ.get(field.encode_name):
            parse, *marks = field.type.__metadata__
            try:
                values[field.name] = parse(text)
            except ValueError as error:
                if listens or WEB_ONLY not in marks:
                    raise SettingsError(f"{field.encode_name}: {error}") from None
    return values
