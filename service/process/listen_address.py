"""The address that ``HOST`` and ``PORT`` mean on this machine."""

import errno
import socket
from contextlib import closing

from service.process.startup import StartupError


def find_address(host: str, port: int, *, shared: bool) -> str:
    """The first address of ``host`` on which ``port`` can be listened on; of a name's, IPv4 comes first.

    ``shared``: with others that share it too, as processes of ``web`` do.

    Raises:
        StartupError: there is none.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise StartupError(f"HOST: {host} is neither an address nor a name that resolves") from None
    refused = OSError(errno.EADDRNOTAVAIL, "no address")
    for family, _, _, _, address in sorted(found, key=lambda one: one[0] != socket.AF_INET):
        try:
            _bind(family, address, shared=shared)
            return str(address[0])
        except OSError as error:
            refused = error
            if error.errno == errno.EADDRINUSE:
                break
    raise StartupError(_reason(refused, host, port))


def _bind(family: int, address: tuple[object, ...], *, shared: bool) -> None:
    with closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        probe.bind(address)


def _reason(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRNOTAVAIL:
        return f"HOST: {host} is no address of this machine"
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return (
        f"PORT: {where} is in use"
        if error.errno == errno.EADDRINUSE
        else f"PORT: {where}: {error.strerror}"
    )
