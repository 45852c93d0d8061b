"""The sockets that this process listens on, which the server makes, and asked of the kernel (Linux; elsewhere nothing is done)."""

import asyncio
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

SEND_TIMEOUT_SECONDS = 30
"""Seconds after which a client is given up that takes nothing of what it is sent."""


def give_up_who_does_not_read() -> None:
    """Has connections end on which nothing is taken for ``SEND_TIMEOUT_SECONDS``, for what waits there is memory of ours.

    Once the server listens, which it does only after the application has started.
    """
    waiting = sys.platform == "linux"
    for listener in _listeners():
        try:
            listener.setsockopt(
                socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SEND_TIMEOUT_SECONDS * 1000
            )
        except OSError as error:  # a sandbox's kernel may lack it; all else works
            log.warning("user_timeout_refused", error=error.strerror)
        waiting = False
    if waiting:
        asyncio.get_running_loop().call_later(0.05, give_up_who_does_not_read)


def _listeners() -> Iterator[socket.socket]:
    if sys.platform != "linux":
        return
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # it closed meanwhile, or takes no such option
            if descriptor.is_socket():
                with _borrowed(int(descriptor.name)) as candidate:
                    if _listens(candidate):
                        yield candidate


@contextmanager
def _borrowed(descriptor: int) -> Iterator[socket.socket]:
    borrowed = socket.socket(fileno=descriptor)
    try:
        yield borrowed
    finally:
        borrowed.detach()


def _listens(candidate: socket.socket) -> bool:
    is_tcp = (
        candidate.family in {socket.AF_INET, socket.AF_INET6}
        and candidate.type == socket.SOCK_STREAM
    )
    return is_tcp and bool(candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
