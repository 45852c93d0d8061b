"""How ``web`` stops without failing a request: it asks clients to move on, serves them meanwhile, and only then closes."""

import asyncio
import ctypes
import signal
import socket
import struct
import sys
from contextlib import suppress
from pathlib import Path

from litestar.types import Message, Send

NOTICE = 2.0
"""Seconds from SIGTERM on in which all are served and asked to move on, by ``/readyz`` and ``Connection: close``."""
SETTLE = 0.5
"""Seconds after that in which whoever has just connected sends a request, and nobody connects."""

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


class Drain:
    """Begins with SIGTERM. It ends with SIGINT to ourselves, on which the server closes, and finishes what is under way.

    A SIGINT from outside makes it end sooner, or does without it.
    """

    def __init__(self, notice: float = NOTICE) -> None:
        self.began = False
        self._notice = notice

    def watch(self) -> None:
        """Has SIGTERM drain from now on, in place of what the server does with it."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.begin)

    def begin(self) -> None:
        """Once, however often it is asked: a platform may signal our group, and so also the parent, which passes it on."""
        if not self.began:
            self.began = True
            asyncio.get_running_loop().call_later(self._notice, self._settle)

    def announce(self, send: Send) -> Send:
        """``send``, which says, once the drain began, that the connection closes."""

        async def send_announced(message: Message) -> None:
            if self.began and message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        return send_announced

    def _settle(self) -> None:
        refuse_connections()
        asyncio.get_running_loop().call_later(SETTLE, signal.raise_signal, signal.SIGINT)


def refuse_connections() -> None:
    """Has this process' listening sockets hear of no further connection, while those they have heard of are still made and served.

    A socket that closes resets the connections it has not accepted. So, on Linux, it first becomes deaf: a client's SYN is dropped,
    and its next, a second later, finds another process on that port, or none.
    """
    if sys.platform != "linux":
        return
    program = ctypes.create_string_buffer(DROP_SYN)
    attached = struct.pack("@HP", len(DROP_SYN) // 8, ctypes.addressof(program))
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # it closed meanwhile, or takes no filter
            if descriptor.is_socket():
                _attach(int(descriptor.name), attached)


def _attach(descriptor: int, program: bytes) -> None:
    candidate = socket.socket(fileno=descriptor)
    try:
        if candidate.family in {socket.AF_INET, socket.AF_INET6} and candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            candidate.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
    finally:
        candidate.detach()
