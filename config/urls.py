"""Parsers of the URLs in settings.

Their errors contain nothing of a URL but the name of an option, for the rest may be a secret.
"""

import ipaddress
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import msgspec

from config.parsers import split_list

SMTP_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "smtp": ("tls", "token_file"),
    "smtps": ("token_file",),
}
"""The options of each scheme of ``SMTP_URL``."""
SCHEMES_WITH_TLS = {
    "redis": "rediss",
    "redis+cluster": "rediss+cluster",
    "redis+sentinel": "redis+sentinels",
}
"""For each scheme without TLS that takes no option for it, the one to write instead."""
OPTION_PATTERNS: Mapping[str, tuple[str, str]] = {
    "db": (r"[0-9]{1,5}", "must be the number of a database"),
    "ssl_check_hostname": (r"true|false", "must be true or false"),
    "ssl_cert_reqs": (r"none|optional|required", "must be none, optional or required"),
    "client_name": (r"[!-~]+", "must have no spaces or special characters"),
    "tls": (r"off", "must be off, or left out"),
}
"""What the values of some options look like; those of the others are any text."""
CHECKOUT_PLACEHOLDERS = ("{link_id}", "{amount}", "{currency}", "{transaction_id}")
"""What ``CHECKOUT_URL`` may hold; a link's values are filled in percent-encoded."""
PRIVATE_NETWORKS = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"),
        *("::1/128", "fc00::/7", "fe80::/10"),
    )
)
"""Addresses of one machine, or of one network (RFC 1918, 3927, 4193 and 4291)."""
PRIVATE_NAME = re.compile(r"[a-z][a-z0-9_-]*|([a-z0-9_-]+\.)+(local|internal|lan|home\.arpa)")
"""Names that only a network of one's own resolves (RFC 6762, 8375): ``mail``, ``mail.internal``."""
PERCENT_ENCODE = (
    "percent-encode these in the user and the password: "
    "/ as %2F, ? as %3F, # as %23, @ as %40, : as %3A, [ as %5B"
)


class SmtpSettings(msgspec.Struct, frozen=True):
    """The mail server that ``SMTP_URL`` names."""

    host: str
    port: int
    implicit_tls: bool = False
    """True for ``smtps://`` (RFC 8314). ``smtp://`` uses STARTTLS where the server offers it."""
    use_tls: bool = True
    """False for ``?tls=off``: no STARTTLS either."""
    user: str | None = None
    password: str | None = None
    token_file: Path | None = None
    """The file of the access token with which the user logs in (XOAUTH2), read at each login."""

    @property
    def require_tls(self) -> bool:
        """Whether a login without TLS must fail: its secret would leave this machine."""
        return self.use_tls and self.user is not None and not _is_loopback(self.host)


def parse_web_url(text: str) -> str:
    """An ``http://`` or ``https://`` URL without a slash at its end."""
    _split_web_url(text)
    return text.rstrip("/")


def parse_checkout_url(text: str) -> str:
    """An ``http://`` or ``https://`` URL with at least one placeholder, none in its host."""
    parts = _split_web_url(text, allow_query=True)
    names = ", ".join(CHECKOUT_PLACEHOLDERS)
    without = re.sub("|".join(map(re.escape, CHECKOUT_PLACEHOLDERS)), "", text)
    if re.search("[{}]", without):
        raise ValueError(f"must have no braces other than {names}")
    if "{" in parts.netloc:
        raise ValueError("must have its placeholders after the host")
    if without == text:
        raise ValueError(
            f"must hold at least one of {names}, or it leads to the same place for every link"
        )
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
    """An ``smtp://`` or ``smtps://`` URL, with options of that scheme."""
    parts = split_login_url(text)
    if parts.scheme not in SMTP_OPTIONS or not parts.hostname:
        raise ValueError("must be smtp://user:password@host:587 or smtps://…")
    if parts.path not in {"", "/"}:
        raise ValueError(f"must have no path; {PERCENT_ENCODE}")
    options = read_options(parts, SMTP_OPTIONS)
    if "tls" in options and not _is_private(parts.hostname):
        raise ValueError("tls=off is only for a host on a private network")
    if "token_file" in options:
        if not parts.username or parts.password:
            raise ValueError(
                "token_file needs a user and no password: smtp://user@host?token_file=…"
            )
    elif bool(parts.username) != bool(parts.password):
        raise ValueError("must have a user and a password, or neither")
    implicit_tls = parts.scheme == "smtps"
    return SmtpSettings(
        host=parts.hostname,
        port=parts.port or (465 if implicit_tls else 587),
        implicit_tls=implicit_tls,
        use_tls="tls" not in options,
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        token_file=Path(options["token_file"]) if "token_file" in options else None,
    )


def read_options(
    parts: SplitResult, options_of_schemes: Mapping[str, tuple[str, ...]]
) -> dict[str, str]:
    """The URL's options, each of which its scheme must have."""
    scheme = parts.scheme
    given = parse_qsl(parts.query.replace("+", "%2B"), keep_blank_values=True)
    options = dict(given)
    for name, value in given:
        if name not in options_of_schemes[scheme]:
            raise ValueError(
                f"{_describe_unknown(name, scheme)}; it takes "
                f"{', '.join(options_of_schemes[scheme])}"
            )
        pattern, expected = OPTION_PATTERNS.get(name, (r".+", "must have a value"))
        if not re.fullmatch(pattern, value):
            raise ValueError(f"{name} {expected}")
    if len(options) < len(given):
        raise ValueError("has an option twice")
    return options


def _describe_unknown(name: str, scheme: str) -> str:
    """Shows a name only if it looks like an option's: it may be part of a password."""
    shown = name if re.fullmatch(r"[a-z_]{1,30}", name) else "something"
    with_tls = SCHEMES_WITH_TLS.get(scheme)
    hint = f" (for TLS: {with_tls}://)" if with_tls and re.match("ssl|tls", name) else ""
    return f"{shown} is no option of {scheme}://{hint}"


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


def split_login_url(text: str) -> SplitResult:
    """The parts of a URL that may have a password, in which ``/``, ``?`` and ``#`` are encoded."""
    tail = re.sub(r"^[^/?#]*(//[^/?#]*)?", "", text)
    if "@" in tail or "#" in tail:
        raise ValueError(f"has an @ or # where there can be none; {PERCENT_ENCODE}")
    return _split_url(text)


def _split_url(text: str) -> SplitResult:
    """The parts of a URL with a host and a port that can be read."""
    if not text.isprintable() or " " in text:
        raise ValueError("must have no spaces or control characters")
    with suppress(ValueError):
        parts = urlsplit(text)
        if parts.port != 0 and is_host(parts.hostname or ""):
            return parts
    raise ValueError(f"must have a valid host and port; {PERCENT_ENCODE}")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_private(host: str) -> bool:
    """Whether the host can only be reached on this machine or a network of one's own."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return PRIVATE_NAME.fullmatch(host) is not None
    return any(address in network for network in PRIVATE_NETWORKS)


def is_host(name: str) -> bool:
    """Whether no label of the name is empty or longer than 63 bytes."""
    try:
        name.encode("idna")
    except UnicodeError:
        return False
    return True
