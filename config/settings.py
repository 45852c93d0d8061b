"""Every setting of the service, read once from the environment.

``load(environ)`` gives a frozen ``Settings`` or raises ``SettingsError`` with one line that names the variable at fault.
Durations are written ``90s``, ``10m``, ``72h`` or ``90d``; lists are separated by commas; an empty value counts as unset.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from email.headerregistry import Address
from email.utils import getaddresses
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

import msgspec
from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

from config.urls import PERCENT_ENCODE, read_redis_url, read_web_url, split_login_url

SPECIAL_USE_DOMAIN_NAMES.clear()  # its documented option: whether .local or .test take mail is the mail server's business

T = TypeVar("T")
D = TypeVar("D")
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

BREAKING = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Characters that no name has: they end a line, or turn the text around them (UAX #9)."""
SECRET_KEY_BYTES = 32
"""The least length of ``SECRET_KEY``: what HS256 asks for (RFC 7518, 3.2)."""


class SettingsError(Exception):
    """A setting is missing or wrong. The message is one line that names it."""


class MissingSettingsError(SettingsError):
    """Settings that are required are not set."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(f"{', '.join(names)}: required")
        self.names = names


class OtpSettings(msgspec.Struct, frozen=True):
    """Limits of one-time passwords. Windows start with the first event they count."""

    ttl: timedelta = timedelta(minutes=10)
    """``OTP_TTL``: how long a code is good."""
    max_tries: int = 5
    """``OTP_MAX_TRIES``: how often one code may be tried."""
    resend_after: timedelta = timedelta(seconds=60)
    """``OTP_RESEND_AFTER``: the least time between two codes for one e-mail."""
    sends_per_hour: int = 5
    """``OTP_SENDS_PER_HOUR``: codes for one e-mail in an hour."""
    sends_per_day: int = 10
    """``OTP_SENDS_PER_DAY``: codes for one e-mail in a day."""
    failures_per_day: int = 10
    """``OTP_FAILURES_PER_DAY``: failed tries for one e-mail in a day, over all its codes; one client network has half of them."""
    sends_per_minute: int = 600
    """``OTP_SENDS_PER_MINUTE``: codes for all e-mails together in a minute."""
    unverified_per_hour: int = 20
    """``OTP_UNVERIFIED_PER_HOUR``: wrong pre-verified codes that an organization may name for one e-mail in an hour."""
    client_sends_per_hour: int = 30
    """``OTP_CLIENT_SENDS_PER_HOUR``: codes asked for by one client address, or IPv6 /64, in an hour.

    The networks around it have more: an IPv4 /24 10 times as many, an IPv6 /56 5 times, an IPv6 /48 20 times.
    """
    client_failures_per_hour: int = 100
    """``OTP_CLIENT_FAILURES_PER_HOUR``: failed tries by one client address in an hour, and by the networks around it alike."""


class SmtpSettings(msgspec.Struct, frozen=True):
    """Where mails are handed over: ``SMTP_URL``, taken apart."""

    host: str
    port: int
    implicit_tls: bool
    """True for ``smtps://`` (RFC 8314); ``smtp://`` uses STARTTLS wherever the server offers it."""
    require_tls: bool
    """True where the URL has a password: it is never sent over a connection that STARTTLS did not secure."""
    user: str | None = None
    password: str | None = None


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The service's settings. Under each field: its variable, and what it means."""

    secret_key: bytes
    """``SECRET_KEY``: 32 bytes or more; every key of the service is derived from it. Required."""
    redis_url: str
    """``REDIS_URL``: ``redis://``, ``rediss://``, ``unix://``, ``redis+sentinel://host:port,host:port/service/db`` or
    ``redis+cluster://host:port``. Required (``up`` without it starts an embedded Valkey)."""
    queue_redis_url: str
    """``QUEUE_REDIS_URL``: RQ's Redis, never a cluster. Default: ``REDIS_URL``."""
    public_url: str = "http://127.0.0.1:8000"
    """``PUBLIC_URL``: how customers reach the service; links are ``PUBLIC_URL/pay/{id}``. It may have a path, which a proxy strips.
    Default: ``http://HOST:PORT``."""
    checkout_url: str | None = None
    """``CHECKOUT_URL``: where paying happens; ``{link_id}`` in it is filled in. Without it the page has no such button."""
    smtp: SmtpSettings | None = None
    """``SMTP_URL``: ``smtp://user:pass@host:587`` or ``smtps://…``. Without it mails become files in ``DATA_DIR/outbox``."""
    mail_from: str = "Payment Links <payment-links@localhost>"
    """``MAIL_FROM``: sender of every mail, ``Name <address>`` or an address. Required with ``SMTP_URL``."""
    link_ttl: timedelta = timedelta(hours=72)
    """``LINK_TTL``: how long a link is good after it is sent, where its request does not say."""
    retention: timedelta = timedelta(days=90)
    """``RETENTION``: how long a link stays readable after it has ended."""
    otp: OtpSettings = OtpSettings()
    """``OTP_*``: the limits of one-time passwords."""
    admin_jwt_public_key: str | None = None
    """``ADMIN_JWT_PUBLIC_KEY``: PEM of the identity provider's RSA, P-256 or Ed25519 key; admin tokens are then its alone."""
    admin_jwks_url: str | None = None
    """``ADMIN_JWKS_URL``: the identity provider's key set (https, or http on this machine); instead of the PEM."""
    admin_jwt_issuer: str | None = None
    """``ADMIN_JWT_ISSUER``: where set, the ``iss`` that admin tokens must carry."""
    data_dir: Path = Path("var")
    """``DATA_DIR``: the embedded store's files, its secret, and mails written to files."""
    host: str = "127.0.0.1"
    """``HOST``: the address ``web`` listens on, or a name that resolves to it."""
    port: int = 8000
    """``PORT``: the port ``web`` listens on."""
    web_concurrency: int = 1
    """``WEB_CONCURRENCY``: processes of ``web``."""
    log_format: str = "console"
    """``LOG_FORMAT``: ``console`` or ``json``."""
    trusted_proxies: tuple[IPNetwork, ...] = ()
    """``TRUSTED_PROXIES``: addresses or networks whose ``X-Forwarded-For`` is believed."""
    cors_origins: tuple[str, ...] = ()
    """``CORS_ORIGINS``: web origins that may call the API from a browser."""


def load(environ: Mapping[str, str], *, listens: bool = True) -> Settings:
    """The settings that ``environ`` gives; for a process that ``listens`` nowhere, ``HOST``, ``PORT`` and such may be wrong.

    Raises:
        SettingsError: a variable is missing or wrong.
    """
    _require_all(environ)
    read = _Reader(environ)
    here = read if listens else _LenientReader(environ)
    redis_url = read.required("REDIS_URL", _redis_url)
    queue_redis_url = read("QUEUE_REDIS_URL", _queue_redis_url, redis_url)
    if urlsplit(queue_redis_url).scheme == "redis+cluster":
        raise SettingsError(
            "QUEUE_REDIS_URL: required where REDIS_URL is a cluster, which RQ cannot use"
        )
    host, port = here("HOST", _host, "127.0.0.1"), here("PORT", _number(1, 65535), 8000)
    smtp = read("SMTP_URL", _smtp, None)
    if read("ADMIN_JWT_PUBLIC_KEY", str, None) and read("ADMIN_JWKS_URL", str, None):
        raise SettingsError("ADMIN_JWKS_URL: set it or ADMIN_JWT_PUBLIC_KEY, not both")
    otp = OtpSettings()
    return Settings(
        secret_key=read.required("SECRET_KEY", _secret),
        redis_url=redis_url,
        queue_redis_url=queue_redis_url,
        public_url=read("PUBLIC_URL", _web_url, own_url(host, port)),
        checkout_url=read("CHECKOUT_URL", _checkout_url, None),
        smtp=smtp,
        mail_from=read("MAIL_FROM", _mailbox, "Payment Links <payment-links@localhost>"),
        link_ttl=read("LINK_TTL", _duration("5m", "365d"), timedelta(hours=72)),
        retention=read("RETENTION", _duration("1m", "3650d"), timedelta(days=90)),
        otp=OtpSettings(
            ttl=read("OTP_TTL", _duration("1m", "24h"), otp.ttl),
            max_tries=read("OTP_MAX_TRIES", _number(1, 10), otp.max_tries),
            resend_after=read("OTP_RESEND_AFTER", _duration("1s", "1h"), otp.resend_after),
            sends_per_hour=read("OTP_SENDS_PER_HOUR", _number(1), otp.sends_per_hour),
            sends_per_day=read("OTP_SENDS_PER_DAY", _number(1), otp.sends_per_day),
            failures_per_day=read("OTP_FAILURES_PER_DAY", _number(1), otp.failures_per_day),
            sends_per_minute=read("OTP_SENDS_PER_MINUTE", _number(1), otp.sends_per_minute),
            unverified_per_hour=read(
                "OTP_UNVERIFIED_PER_HOUR", _number(1), otp.unverified_per_hour
            ),
            client_sends_per_hour=read(
                "OTP_CLIENT_SENDS_PER_HOUR", _number(1), otp.client_sends_per_hour
            ),
            client_failures_per_hour=read(
                "OTP_CLIENT_FAILURES_PER_HOUR", _number(1), otp.client_failures_per_hour
            ),
        ),
        admin_jwt_public_key=read("ADMIN_JWT_PUBLIC_KEY", _pem, None),
        admin_jwks_url=read("ADMIN_JWKS_URL", _jwks_url, None),
        admin_jwt_issuer=read("ADMIN_JWT_ISSUER", str, None),
        data_dir=read("DATA_DIR", Path, Path("var")),
        host=host,
        port=port,
        web_concurrency=here("WEB_CONCURRENCY", _number(1, 64), 1),
        log_format=read("LOG_FORMAT", _one_of("console", "json"), "console"),
        trusted_proxies=read("TRUSTED_PROXIES", _networks, ()),
        cors_origins=read("CORS_ORIGINS", _origins, ()),
    )


def parse_duration(text: str) -> timedelta:
    """``90s``, ``10m``, ``72h`` or ``90d`` as a ``timedelta``.

    Raises:
        ValueError: it is written otherwise.
    """
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    if match is None:
        raise ValueError("write a duration like 90s, 10m, 72h or 90d")
    units = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
    return timedelta(**{units[match[2]]: int(match[1])})


class _Reader:
    """Reads one variable at a time, and puts its name before what is wrong with it."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def __call__(self, name: str, parse: Callable[[str], T], default: D) -> T | D:
        value = self._environ.get(name, "").strip()
        return self._parsed(name, value, parse) if value else default

    def required(self, name: str, parse: Callable[[str], T]) -> T:
        value = self._environ.get(name, "").strip()
        if not value:
            raise SettingsError(f"{name}: required")
        return self._parsed(name, value, parse)

    @staticmethod
    def _parsed(name: str, value: str, parse: Callable[[str], T]) -> T:
        try:
            return parse(value)
        except ValueError as error:
            raise SettingsError(f"{name}: {error}") from None


class _LenientReader(_Reader):
    """Takes the default where a value is wrong."""

    def __call__(self, name: str, parse: Callable[[str], T], default: D) -> T | D:
        try:
            return super().__call__(name, parse, default)
        except SettingsError:
            return default


def _require_all(environ: Mapping[str, str]) -> None:
    """Names everything that is missing at once."""
    required = [
        "REDIS_URL",
        "SECRET_KEY",
        *(["MAIL_FROM"] if environ.get("SMTP_URL", "").strip() else []),
    ]
    if missing := [name for name in required if not environ.get(name, "").strip()]:
        raise MissingSettingsError(missing)


def _secret(text: str) -> bytes:
    secret = text.encode()
    if len(secret) < SECRET_KEY_BYTES:
        raise ValueError(f"must be {SECRET_KEY_BYTES} bytes or more, not {len(secret)}")
    return secret


def _redis_url(text: str) -> str:
    scheme = read_redis_url(text).scheme
    return scheme + text[len(scheme) :]  # in lower case, as redis-py knows it


def _host(text: str) -> str:
    host = text.removeprefix("[").removesuffix("]")
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        if not re.fullmatch(
            r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?", text
        ) or re.fullmatch(r"[0-9.]+", text):
            raise ValueError(
                "must be an address, such as 127.0.0.1, 0.0.0.0 or ::, or a name that resolves to one"
            ) from None
        return text


def _queue_redis_url(text: str) -> str:
    url = _redis_url(text)
    if url.startswith("redis+cluster:"):
        raise ValueError("RQ cannot use a cluster")
    return url


def _web_url(text: str) -> str:
    read_web_url(text)
    return text.rstrip("/")


def _checkout_url(text: str) -> str:
    read_web_url(text, query=True)
    if "{link_id}" not in text:
        raise ValueError("must hold {link_id}, or it leads to the same place for every link")
    return text


def own_url(host: str, port: int) -> str:
    """How this machine reaches what listens on ``host`` and ``port``."""
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(  # noqa: S104 - nothing is bound here
        host, f"[{host}]" if ":" in host else host
    )
    return f"http://{name}:{port}"


def _jwks_url(text: str) -> str:
    parts = read_web_url(text)
    if parts.scheme != "https" and parts.hostname not in {"localhost", "127.0.0.1", "::1"}:
        raise ValueError("must be https, for whoever changes its answer makes admins")
    return text


def _smtp(text: str) -> SmtpSettings:
    parts = split_login_url(text)
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
        raise ValueError("must be smtp://user:password@host:587 or smtps://…")
    if parts.query or parts.path not in {"", "/"}:
        raise ValueError(f"must have no path and no options; {PERCENT_ENCODE}")
    if bool(parts.username) != bool(parts.password):
        raise ValueError("must have a user and a password, or neither")
    implicit_tls = parts.scheme == "smtps"
    return SmtpSettings(
        host=parts.hostname,
        port=parts.port or (465 if implicit_tls else 587),
        implicit_tls=implicit_tls,
        require_tls=parts.password is not None,
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
    )


def _mailbox(text: str) -> str:
    mailboxes = getaddresses([text])
    if len(mailboxes) != 1 or BREAKING.search(text) or not mailboxes[0][1].isascii():
        raise ValueError("must be one address, or a name and an address: Shop <pay@shop.example>")
    if "=?" in text:
        raise ValueError("must not contain =?, which mail programs take for an encoded word")
    name, address = mailboxes[0]
    try:
        validate_email(
            address, check_deliverability=False, allow_smtputf8=False, globally_deliverable=False
        )
    except EmailNotValidError as error:
        raise ValueError(str(error)) from None
    username, _, domain = address.rpartition("@")
    return str(Address(name, username, domain))


def _pem(text: str) -> str:
    pem = text.replace("\\n", "\n")
    if "-----BEGIN PUBLIC KEY-----" not in pem:
        raise ValueError("must be a public key in PEM: -----BEGIN PUBLIC KEY-----…")
    return pem


def _networks(text: str) -> tuple[IPNetwork, ...]:
    return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())


def _origins(text: str) -> tuple[str, ...]:
    origins = tuple(_web_url(part.strip()) for part in text.split(",") if part.strip())
    if any(urlsplit(origin).path for origin in origins):
        raise ValueError("must be origins, without a path: https://shop.example")
    return origins


def _duration(least: str, most: str) -> Callable[[str], timedelta]:
    def parse(text: str) -> timedelta:
        duration = parse_duration(text)
        if not parse_duration(least) <= duration <= parse_duration(most):
            raise ValueError(f"must lie between {least} and {most}")
        return duration

    return parse


def _number(least: int, most: int = 1_000_000) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,7}", text) or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(text)

    return parse


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be {' or '.join(choices)}")
        return text

    return parse
