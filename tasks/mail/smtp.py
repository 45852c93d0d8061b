"""A connection to an SMTP server, whose steps share a time, and whose commands may go in groups (RFC 2920)."""

import io
import smtplib
import socket
import time
from collections.abc import Sequence
from typing import Any

EXACT_TO = 0.01
"""Seconds by which a time-out may be late: a socket is not told of each step how much time is left."""
QUICK_ACK = getattr(socket, "TCP_QUICKACK", None)
"""Linux' option: sends at once the ACK that is due, for which a server may keep its next reply back (Nagle), for 40 ms."""


class Session(smtplib.SMTP):
    """A connection whose steps share a time: the socket's own begins anew with every byte that trickles in."""

    sock: socket.socket
    file: io.BufferedReader | None

    def __init__(self, host: str, port: int, *, within: float) -> None:
        super().__init__()
        self._host = host  # the name that certificates are checked for
        self.sock = _dial(host, port, within)
        self._ends_at = self._limited_at = 0.0
        self._unheard = 0

    def end_after(self, seconds: float) -> None:
        """Whatever is said from now on, and heard, is said and heard within ``seconds``."""
        self._ends_at, self._limited_at = time.monotonic() + seconds, 0.0
        self.limit()

    def limit(self) -> None:
        """Gives the socket's next step what is left.

        Raises:
            TimeoutError: nothing is.
        """
        now = time.monotonic()
        if now >= self._ends_at:
            raise TimeoutError("timed out")
        if now - self._limited_at > EXACT_TO:
            self.sock.settimeout(self._ends_at - now)
            self._limited_at = now

    def put(self, commands: Sequence[str]) -> None:
        """Says ``commands`` in one go. Their replies are to be heard, or heard out, before anything else is said.

        Raises:
            ValueError: one of them is more than one line.
        """
        if any(end in command for command in commands for end in "\r\n\0"):
            raise ValueError("a command is one line")
        self.send("".join(f"{command}\r\n" for command in commands))
        self._unheard = len(commands)

    def send(self, said: Any) -> None:
        self.limit()
        super().send(said)

    def getreply(self) -> tuple[int, bytes]:
        if self.file is None:
            self.file = io.BufferedReader(_Ear(self))
        self._unheard = max(0, self._unheard - 1)
        reply = super().getreply()
        if self._unheard and QUICK_ACK is not None:
            self.sock.setsockopt(socket.IPPROTO_TCP, QUICK_ACK, 1)
        return reply

    def hear_out(self) -> list[int]:
        """The codes of those replies to what was ``put`` that nobody has heard yet."""
        return [self.getreply()[0] for _ in range(self._unheard)]


class _Ear(io.RawIOBase):
    """What reads a session's replies."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._session.limit()
        return self._session.sock.recv_into(buffer)


def _dial(host: str, port: int, within: float) -> socket.socket:
    """A connection to the first of the host's addresses that answers; all of them together have ``within`` seconds."""
    addresses = [
        (str(address[0]), int(address[1]))
        for *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    ]
    deadline = time.monotonic() + within
    while True:
        share = max(0.01, deadline - time.monotonic()) / len(addresses)
        try:
            dialled = socket.create_connection(addresses.pop(0), share)
        except OSError:
            if not addresses:
                raise
        else:
            dialled.settimeout(within)
            return dialled
