"""The parser of Redis URLs in settings. Its errors contain nothing of a URL, as in `urls`."""

import ipaddress
import re
import ssl
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import SplitResult, unquote

from config.urls import PERCENT_ENCODE, is_host, read_options, split_login_url

TLS_OPTIONS = ("ssl_cert_reqs", "ssl_check_hostname", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
SERVER_OPTIONS = ("db", "username", "password", "password_file", "client_name")
CLUSTER_OPTIONS = ("password_file", "client_name")
SENTINEL_OPTIONS = (
    *CLUSTER_OPTIONS,
    *("sentinel_username", "sentinel_password", "sentinel_password_file"),
)
REDIS_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "redis": SERVER_OPTIONS,
    "rediss": SERVER_OPTIONS + TLS_OPTIONS,
    "unix": SERVER_OPTIONS,
    "redis+cluster": CLUSTER_OPTIONS,
    "rediss+cluster": CLUSTER_OPTIONS + TLS_OPTIONS,
    "redis+sentinel": SENTINEL_OPTIONS,
    "redis+sentinels": SENTINEL_OPTIONS + TLS_OPTIONS,
}
"""The options of each scheme of Redis URLs. Those that redis-py has mean what they mean to it."""
CLUSTER_SCHEMES = ("redis+cluster", "rediss+cluster")
SENTINEL_SCHEMES = ("redis+sentinel", "redis+sentinels")
ADDRESS = re.compile(r"(?:\[([^\[\]]+)\]|([\w.-]+))(?::([0-9]{1,5}))?")
"""An IPv6 address or another host, and a port."""
REDIS_PORT, SENTINEL_PORT = 6379, 26379


def parse_redis_url(text: str) -> str:
    """A URL of a scheme in ``REDIS_OPTIONS``, with options of it; the scheme in lower case."""
    scheme, separator, _ = text.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in REDIS_OPTIONS:
        *schemes, last = (f"{name}://" for name in REDIS_OPTIONS)
        raise ValueError(f"must begin with {', '.join(schemes)} or {last}")
    parts = _split(text, scheme)
    options = read_options(parts, REDIS_OPTIONS)
    _require_passwords(parts, options)
    _require_certificates(options)
    return scheme + text[len(scheme) :]


def _split(text: str, scheme: str) -> SplitResult:
    """The parts of a URL with hosts and a path that fit the scheme."""
    if scheme in CLUSTER_SCHEMES:
        parts = _split_list(text, "nodes", REDIS_PORT)
        if parts.path not in {"", "/"}:
            raise ValueError("must have no path, for a cluster has one database")
        return parts
    if scheme in SENTINEL_SCHEMES:
        parts = _split_list(text, "Sentinels", SENTINEL_PORT)
        if not re.fullmatch(r"/[^/]+(/[0-9]*)?", parts.path):
            raise ValueError(
                "must name a service, and may number a database: "
                f"{scheme}://host:{SENTINEL_PORT}/service/0"
            )
        return parts
    if scheme != "unix" and "," in _authority(text).rpartition("@")[2]:
        raise ValueError("must name one host; several need redis+cluster:// or redis+sentinel://")
    parts = split_login_url(text)
    if scheme == "unix":
        if not parts.path.startswith("/") or parts.netloc.rpartition("@")[2]:
            raise ValueError(f"must be unix:///path/of/socket; {PERCENT_ENCODE}")
    elif not re.fullmatch(r"/?[0-9]*", parts.path):
        raise ValueError(f"must end in the number of a database, or in none; {PERCENT_ENCODE}")
    return parts


def _split_list(text: str, what: str, default_port: int) -> SplitResult:
    """The parts of a URL that lists hosts, with ``host`` in the place of the list."""
    scheme, _, rest = text.partition("://")
    authority = _authority(text)
    login, at, hosts = authority.rpartition("@")
    if "@" in login:
        raise ValueError(f"must name one login, before the first host; {PERCENT_ENCODE}")
    parts = split_login_url(f"{scheme}://{login}{at}host{rest[len(authority) :]}")
    addresses = [_parse_address(address, default_port) for address in hosts.split(",")]
    if None in addresses:
        raise ValueError(
            f"must list {what} as host:port,host:port, IPv6 addresses in brackets; {PERCENT_ENCODE}"
        )
    if len({*addresses}) < len(addresses):
        raise ValueError(f"must list {what} without repeating one")
    return parts


def _authority(text: str) -> str:
    """What is between a URL's scheme and its path: the login and the hosts (RFC 3986)."""
    return re.split("[/?#]", text.partition("://")[2], maxsplit=1)[0]


def _parse_address(text: str, default_port: int) -> tuple[str, int] | None:
    """The host, in a form in which equal ones are equal, and its port; None if it has neither."""
    found = ADDRESS.fullmatch(text)
    if found is None:
        return None
    ipv6, name, digits = found.groups()
    port = int(digits or default_port)
    with suppress(ValueError):
        host = str(ipaddress.IPv6Address(unquote(ipv6))) if ipv6 else name.lower().rstrip(".")
        if is_host(host) and 0 < port <= 65535:
            return host, port
    return None


def _require_passwords(parts: SplitResult, options: Mapping[str, str]) -> None:
    """Requires that each login has one password, and that the files of passwords can be read."""
    if "password_file" in options and (parts.password or "password" in options):
        raise ValueError("must have a password or a password_file, not both")
    if "sentinel_password_file" in options and "sentinel_password" in options:
        raise ValueError("must have a sentinel_password or a sentinel_password_file, not both")
    for name in ("password_file", "sentinel_password_file"):
        if name in options:
            _require_password_file(name, Path(options[name]))


def _require_password_file(name: str, file: Path) -> None:
    try:
        is_regular = stat.S_ISREG(file.stat().st_mode)  # a pipe could be read only once
        password = file.read_text() if is_regular else ""
    except OSError as error:
        raise ValueError(f"{name}: {error.strerror or 'cannot be read'}") from None
    except ValueError:
        raise ValueError(f"{name}: not text") from None
    if not is_regular:
        raise ValueError(f"{name}: not a regular file")
    if not password.strip("\r\n"):
        raise ValueError(f"{name}: empty")


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
