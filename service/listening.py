"""The sockets that this process listens on, which the server makes, and asked of the kernel (Linux; elsewhere nothing is done)."""

import asyncio
import ctypes
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

READ_WITHIN = 30
"""Seconds after which a client is given up that takes nothing of what it is sent."""

SO_ATTACH_FILTER = 26
DROP_SYN = b"".join(
    struct.pack("=HBBI", *instruction)
    for instruction in [
        (0x30, 0, 0, 13),  # load the byte at 13, the TCP flags
        (0x45, 0, 1, 0x02),  # if SYN is not among them, skip the next
        (0x06, 0, 0, 0),  # drop the segment
        (0x06, 0, 0, 0xFFFFFFFF),  # keep it
    ]
)
"""A socket filter, in classic BPF."""


def give_up_who_does_not_read() -> None:
    """Has connections end on which nothing is taken for ``READ_WITHIN``, for what waits there is memory of ours.

    Once the server listens, which it does only after the application has started.
    """
    waiting = sys.platform == "linux"
    for listener in _listeners():
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, READ_WITHIN * 1000)
        waiting = False
    if waiting:
        asyncio.get_running_loop().call_later(0.05, give_up_who_does_not_read)


def refuse_connections() -> None:
    """Has this process hear of no further connection, while those it has heard of are still made and served.

    A socket that closes resets the connections it has not accepted. So it first becomes deaf: a client's SYN is dropped, and the
    next, a second later, finds another process on that port, or none.
    """
    program = ctypes.create_string_buffer(DROP_SYN)
    attached = struct.pack("@HP", len(DROP_SYN) // 8, ctypes.addressof(program))
    for listener in _listeners():
        listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, attached)


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
    is_tcp = candidate.family in {socket.AF_INET, socket.AF_INET6} and candidate.type == socket.SOCK_STREAM
    return is_tcp and bool(candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
