"""What a URL of Redis says. ``config.redis_url`` has validated it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import parse_qsl, unquote

from service.storage.credentials import Credentials

URL = re.compile(r"([a-z+]+)://(?:([^/?]*)@)?([^/?]*)([^?]*)(?:\?(.*))?", re.DOTALL)
"""Scheme, user and password, hosts, path and options."""
ADDRESS = re.compile(r"(?:\[(.+)\]|(.*?))(?::([0-9]*))?")
"""An IPv6 address or another host, and a port."""
TLS_SCHEMES = ("rediss", "rediss+cluster", "redis+sentinels")
SENTINEL_SCHEMES = ("redis+sentinel", "redis+sentinels")
CLUSTER_SCHEMES = ("redis+cluster", "rediss+cluster")
REDIS_PORT, SENTINEL_PORT = 6379, 26379

Address = tuple[str, int]


class RedisUrl(NamedTuple):
    """Its parts, percent-decoded."""

    scheme: str
    credentials: Credentials
    """The login at the servers that have the data."""
    addresses: list[Address]
    """Empty for a unix socket."""
    path: str
    options: Mapping[str, str]

    @classmethod
    def parse(cls, url: str) -> Self:
        found = URL.fullmatch(url)
        if found is None:  # the message has nothing of the URL, which may contain a password
            raise ValueError("not a URL of Redis")
        scheme, login, hosts, path, query = found.groups(default="")
        options = dict(parse_qsl(query.replace("+", "%2B"), keep_blank_values=True))
        user, _, password = map(unquote, login.partition(":"))
        credentials = Credentials(
            user or options.get("username"),
            password or options.get("password"),
            _path(options.get("password_file")),
        )
        port = SENTINEL_PORT if scheme in SENTINEL_SCHEMES else REDIS_PORT
        addresses = [_parse_address(address, port) for address in hosts.split(",")]
        if scheme == "unix":
            addresses = []
        return cls(scheme, credentials, addresses, unquote(path), options)

    @property
    def is_cluster(self) -> bool:
        return self.scheme in CLUSTER_SCHEMES

    @property
    def is_sentinel(self) -> bool:
        return self.scheme in SENTINEL_SCHEMES

    @property
    def uses_tls(self) -> bool:
        return self.scheme in TLS_SCHEMES

    @property
    def tls_options(self) -> dict[str, str | bool]:
        """The keyword arguments of redis-py's TLS connections."""
        options: dict[str, str | bool] = {
            name: value for name, value in self.options.items() if name.startswith("ssl_")
        }
        if "ssl_check_hostname" in options:
            options["ssl_check_hostname"] = options["ssl_check_hostname"] == "true"
        return options

    @property
    def sentinel_credentials(self) -> Credentials:
        """The login at the Sentinels."""
        return Credentials(
            self.options.get("sentinel_username"),
            self.options.get("sentinel_password"),
            _path(self.options.get("sentinel_password_file")),
        )

    @property
    def service_name(self) -> str:
        """What Sentinels call the master and its replicas."""
        return self.path.strip("/").partition("/")[0]

    @property
    def database(self) -> int:
        """The number of the database, 0 unless the path or the option says another."""
        path = "" if self.scheme == "unix" else self.path.strip("/")
        number = path.partition("/")[2] if self.is_sentinel else path
        return int(self.options.get("db") or number or 0)


def format_address(address: Address) -> str:
    """``host:port``, an IPv6 address in brackets."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _parse_address(text: str, default_port: int) -> Address:
    found = ADDRESS.fullmatch(text)
    ipv6, name, port = found.groups() if found else (None, None, None)
    return unquote(ipv6 or name or "localhost"), int(port or default_port)


def _path(name: str | None) -> Path | None:
    return Path(name) if name else None
