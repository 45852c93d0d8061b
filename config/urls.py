"""Parsers of the URLs in settings.

Their errors contain nothing of a URL but the name of an option, for the rest may be a secret.
"""

import re
import ssl
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import msgspec

from config.parsers import split_list

TLS_OPTIONS = ("ssl_cert_reqs", "ssl_check_hostname", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
SERVER_OPTIONS = ("db", "username", "password", "client_name")
OPTIONS: Mapping[str, tuple[str, ...]] = {
    "redis": SERVER_OPTIONS,
    "rediss": SERVER_OPTIONS + TLS_OPTIONS,
    "unix": SERVER_OPTIONS,
    "redis+sentinel": ("client_name", "ssl", *TLS_OPTIONS),
    "redis+cluster": ("client_name", "ssl", *TLS_OPTIONS),
}
"""The options of each scheme. They mean what they mean to redis-py; ``ssl=true`` stands for the
``s`` of ``rediss``."""
OPTION_PATTERNS = {
    "db": (r"[0-9]{1,5}", "must be the number of a database"),
    "ssl": (r"true|false", "must be true or false"),
    "ssl_check_hostname": (r"true|false", "must be true or false"),
    "ssl_cert_reqs": (r"none|optional|required", "must be none, optional or required"),
    "client_name": (r"[!-~]+", "must have no spaces or special characters"),
}
"""What the values of some options look like; those of the others are any text."""
PERCENT_ENCODE = (
    "percent-encode these in the user and the password: "
    "/ as %2F, ? as %3F, # as %23, @ as %40, : as %3A, [ as %5B"
)


class SmtpSettings(msgspec.Struct, frozen=True):
    """The mail server that ``SMTP_URL`` names."""

    host: str
    port: int
    implicit_tls: bool
    """True for ``smtps://`` (RFC 8314). ``smtp://`` uses STARTTLS where the server offers it."""
    require_tls: bool
    """True where the URL has a password, which is never sent without TLS."""
    user: str | None = None
    password: str | None = None


def parse_web_url(text: str) -> str:
    """An ``http://`` or ``https://`` URL without a slash at its end."""
    _split_web_url(text)
    return text.rstrip("/")


def parse_checkout_url(text: str) -> str:
    """An ``http://`` or ``https://`` URL with a place for the link's id."""
    _split_web_url(text, allow_query=True)
    if "{link_id}" not in text:
        raise ValueError("must hold {link_id}, or it leads to the same place for every link")
    return text


def parse_jwks_url(text: str) -> str:
    """An ``https://`` URL, or an ``http://`` one of this machine."""
    parts = _split_web_url(text)
    if parts.scheme != "https" and parts.hostname not in {"localhost", "127.0.0.1", "::1"}:
        raise ValueError("must be https, for whoever changes its answer makes admins")
    return text


def parse_origins(text: str) -> tuple[str, ...]:
    """Web origins (RFC 6454), separated by commas."""
    origins = tuple(parse_web_url(part) for part in split_list(text))
    if any(urlsplit(origin).path for origin in origins):
        raise ValueError("must be origins, without a path: https://shop.example")
    return origins


def parse_smtp_url(text: str) -> SmtpSettings:
    """An ``smtp://`` or ``smtps://`` URL."""
    parts = _split_login_url(text)
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


def parse_redis_url(text: str) -> str:
    """A URL of a scheme in ``OPTIONS``, with options of that scheme; the scheme in lower case."""
    parts = _split_login_url(text)
    if parts.scheme not in OPTIONS:
        raise ValueError(
            "must begin with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://"
        )
    if parts.scheme == "redis+sentinel":
        _require_sentinels(parts)
    elif parts.scheme == "redis+cluster":
        if parts.path not in {"", "/"}:
            raise ValueError("must have no path, for a cluster has one database")
    elif parts.scheme == "unix":
        if not parts.path.startswith("/") or parts.netloc.rpartition("@")[2]:
            raise ValueError(f"must be unix:///path/of/socket; {PERCENT_ENCODE}")
    elif not re.fullmatch(r"/?[0-9]*", parts.path):
        raise ValueError(f"must end in the number of a database, or in none; {PERCENT_ENCODE}")
    _require_known_options(parts)
    return parts.scheme + text[len(parts.scheme) :]


def _require_sentinels(parts: SplitResult) -> None:
    hosts = parts.netloc.rpartition("@")[2].split(",")
    matches = [re.fullmatch(r"([^:\[\]]+)(?::([0-9]{1,5}))?", host) for host in hosts]
    if not all(
        match and _is_host(match[1]) and 0 < int(match[2] or 26379) <= 65535 for match in matches
    ):
        raise ValueError("must list Sentinels as host:port,host:port")
    if not re.fullmatch(r"/[^/]+(/[0-9]*)?", parts.path):
        raise ValueError(
            "must name a service, and may number a database: redis+sentinel://host:26379/service/0"
        )


def _require_known_options(parts: SplitResult) -> None:
    scheme, given = parts.scheme, parse_qsl(parts.query, keep_blank_values=True)
    options = dict(given)
    for name, value in given:
        if name not in OPTIONS[scheme]:
            raise ValueError(
                f"{_describe_unknown(name, scheme)}; it takes {', '.join(OPTIONS[scheme])}"
            )
        pattern, expected = OPTION_PATTERNS.get(name, (r".+", "must have a value"))
        if not re.fullmatch(pattern, value):
            raise ValueError(f"{name} {expected}")
    if len(options) < len(given):
        raise ValueError("has an option twice")
    has_tls = scheme == "rediss" or options.get("ssl") == "true"
    if not has_tls and (unused := [name for name in TLS_OPTIONS if name in options]):
        raise ValueError(f"{unused[0]} needs ssl=true")
    _require_certificates(options)


def _describe_unknown(name: str, scheme: str) -> str:
    """Shows a name only if it looks like an option's: it may be part of a password."""
    shown = name if re.fullmatch(r"[a-z_]{1,30}", name) else "something"
    hint = " (for TLS: rediss://)" if scheme == "redis" and re.match("ssl|tls", name) else ""
    return f"{shown} is no option of {scheme}://{hint}"


def _require_certificates(options: Mapping[str, str]) -> None:
    """Requires that the files that options name can be read, and hold certificates and a key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authorities, certificate, key = (
        options.get(name) for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
    )
    if key and not certificate:
        raise ValueError("ssl_keyfile needs ssl_certfile")
    names = "ssl_ca_certs"
    try:
        if authorities:
            context.load_verify_locations(authorities)
        names = "ssl_certfile and ssl_keyfile"
        if certificate:
            context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError:
        raise ValueError(f"{names}: not a certificate, or not its key") from None
    except OSError as error:
        raise ValueError(f"{names}: {error.strerror or 'cannot be read'}") from None


def _split_web_url(text: str, *, allow_query: bool = False) -> SplitResult:
    """The parts of an ``http://`` or ``https://`` URL, which has no user and no password."""
    parts = _split_url(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be an http:// or https:// URL")
    if "@" in parts.netloc:
        raise ValueError("must have no user and no password")
    if not allow_query and (parts.query or parts.fragment):
        raise ValueError("must have no query or fragment")
    return parts


def _split_login_url(text: str) -> SplitResult:
    """The parts of a URL that may have a password, in which ``/``, ``?`` and ``#`` are encoded."""
    tail = re.sub(r"^[^/?#]*(//[^/?#]*)?", "", text)
    if "@" in tail or "#" in tail:
        raise ValueError(f"has an @ or # where there can be none; {PERCENT_ENCODE}")
    return _split_url(text)


def _split_url(text: str) -> SplitResult:
    """The parts of a URL with a host and a port that can be read, or with Sentinels."""
    if not text.isprintable() or " " in text:
        raise ValueError("must have no spaces or control characters")
    with suppress(ValueError):
        parts = urlsplit(text)
        if parts.scheme == "redis+sentinel" or (parts.port != 0 and _is_host(parts.hostname or "")):
            return parts
    raise ValueError(f"has no host or port that can be read; {PERCENT_ENCODE}")


def _is_host(name: str) -> bool:
    """Whether no label of the name is empty or longer than 63 bytes."""
    try:
        name.encode("idna")
    except UnicodeError:
        return False
    return True
