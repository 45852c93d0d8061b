"""URLs in settings, taken apart and checked, with the options that each scheme takes.

What is wrong is a ``ValueError`` whose message holds nothing of the URL but an option's name: the rest may be a secret.
"""

import re
import ssl
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import SplitResult, parse_qsl, urlsplit

TLS_OPTIONS = ("ssl_cert_reqs", "ssl_check_hostname", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
PLAIN_OPTIONS = ("db", "username", "password", "client_name")
OPTIONS: Mapping[str, tuple[str, ...]] = {
    "redis": PLAIN_OPTIONS,
    "rediss": PLAIN_OPTIONS + TLS_OPTIONS,
    "unix": PLAIN_OPTIONS,
    "redis+sentinel": ("client_name", "ssl", *TLS_OPTIONS),
    "redis+cluster": ("client_name", "ssl", *TLS_OPTIONS),
}
"""What may follow the ``?`` of a Redis URL. All mean what they mean to redis-py; ``ssl=true`` is what ``rediss`` is elsewhere."""
VALUES = {
    "db": r"[0-9]{1,5}",
    "ssl": r"true|false",
    "ssl_check_hostname": r"true|false",
    "ssl_cert_reqs": r"none|optional|required",
    "client_name": r"[!-~]+",
}
"""What an option may be, where not everything goes."""
EXPECTED = {
    "db": "must be the number of a database",
    "ssl": "must be true or false",
    "ssl_check_hostname": "must be true or false",
    "ssl_cert_reqs": "must be none, optional or required",
    "client_name": "must have no spaces or special characters",
}
PERCENT_ENCODE = "percent-encode these in the user and the password: / as %2F, ? as %3F, # as %23, @ as %40, : as %3A, [ as %5B"


def split_url(text: str) -> SplitResult:
    """``text`` in parts. Where it names one host, that and its port can be read."""
    if not text.isprintable() or " " in text:
        raise ValueError("must have no spaces or control characters")
    with suppress(ValueError):
        parts = urlsplit(text)
        if parts.scheme == "redis+sentinel" or (parts.port != 0 and _is_host(parts.hostname or "")):
            return parts
    raise ValueError(f"has no host or port that can be read; {PERCENT_ENCODE}")


def _is_host(name: str) -> bool:
    """Whether no label of it is empty or longer than 63 bytes."""
    try:
        name.encode("idna")
    except UnicodeError:
        return False
    return True


def split_login_url(text: str) -> SplitResult:
    """The same of one that may have a user and a password. A ``/``, ``?`` or ``#`` in these ends them too early."""
    tail = re.sub(r"^[^/?#]*(//[^/?#]*)?", "", text)
    if "@" in tail or "#" in tail:
        raise ValueError(f"has an @ or # where there can be none; {PERCENT_ENCODE}")
    return split_url(text)


def read_web_url(text: str, *, query: bool = False) -> SplitResult:
    """An ``http://`` or ``https://`` URL without a user and a password, and, unless told otherwise, without query and fragment."""
    parts = split_url(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be an http:// or https:// URL")
    if "@" in parts.netloc:
        raise ValueError("must have no user and no password")
    if not query and (parts.query or parts.fragment):
        raise ValueError("must have no query or fragment")
    return parts


def read_redis_url(text: str) -> SplitResult:
    """A URL of one of the schemes that ``OPTIONS`` names, with options that it takes."""
    parts = split_login_url(text)
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
    return parts


def _require_sentinels(parts: SplitResult) -> None:
    hosts = parts.netloc.rpartition("@")[2].split(",")
    matches = [re.fullmatch(r"([^:\[\]]+)(?::([0-9]{1,5}))?", host) for host in hosts]
    if not all(
        match and _is_host(match[1]) and 0 < int(match[2] or 26379) < 65536 for match in matches
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
            raise ValueError(f"{_unknown(name, scheme)}; it takes {', '.join(OPTIONS[scheme])}")
        if not value or not re.fullmatch(VALUES.get(name, ".*"), value):
            raise ValueError(f"{name} {EXPECTED.get(name, 'must have a value')}")
    if len(options) < len(given):
        raise ValueError("has an option twice")
    if (
        scheme != "rediss"
        and options.get("ssl") != "true"
        and (without := [name for name in TLS_OPTIONS if name in options])
    ):
        raise ValueError(f"{without[0]} needs ssl=true")
    _require_certificates(options)


def _unknown(name: str, scheme: str) -> str:
    """Only what looks like an option's name is shown."""
    shown = name if re.fullmatch(r"[a-z_]{1,30}", name) else "something"
    hint = " (for TLS: rediss://)" if scheme == "redis" and re.match("ssl|tls", name) else ""
    return f"{shown} is no option of {scheme}://{hint}"


def _require_certificates(options: Mapping[str, str]) -> None:
    """Files that options name, and that hold what they are named for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authorities, certificate, key = (
        options.get(name) for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
    )
    if key and not certificate:
        raise ValueError("ssl_keyfile needs ssl_certfile")
    try:
        if authorities:
            context.load_verify_locations(authorities)
    except OSError as error:
        raise ValueError(f"ssl_ca_certs: {_reason(error)}") from None
    try:
        if certificate:
            context.load_cert_chain(certificate, key, password="")
    except OSError as error:
        raise ValueError(f"ssl_certfile and ssl_keyfile: {_reason(error)}") from None


def _reason(error: OSError) -> str:
    return (
        "not a certificate, or not its key"
        if isinstance(error, ssl.SSLError)
        else error.strerror or "cannot be read"
    )
