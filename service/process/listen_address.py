"""The address to listen on, from ``HOST`` and ``PORT``."""

import errno
import socket
from contextlib import closing

from service.process.startup import StartupError


def find_address(host: str, port: int, *, shared: bool) -> str:
    """The first address of ``host`` that this process can listen on; IPv4 addresses come first.

    ``shared``: other processes may listen on the port too, as those of ``web`` do.

    Raises:
        StartupError: there is none.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise StartupError(f"HOST: {host} is neither an address nor a name that resolves") from None
    last_error = OSError(errno.EADDRNOTAVAIL, "no address")
    for family, _, _, _, address in sorted(found, key=lambda info: info[0] != socket.AF_INET):
        try:
            _check_can_bind(family, address, shared=shared)
            return str(address[0])
        except OSError as error:
            last_error = error
            if error.errno == errno.EADDRINUSE:
                break
    raise StartupError(_describe(last_error, host, port))


def _check_can_bind(family: int, address: tuple[object, ...], *, shared: bool) -> None:
    with closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        probe.bind(address)


def _describe(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRNOTAVAIL:
        return f"HOST: {host} is no address of this machine"
    reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
    return f"PORT: {f'[{host}]' if ':' in host else host}:{port} {reason}"
