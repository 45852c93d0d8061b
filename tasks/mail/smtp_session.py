"""A connection to an SMTP server with one deadline for several steps, and with PIPELINING."""

import io
import smtplib
import socket
import time
from collections.abc import Sequence
from typing import Any

TCP_QUICKACK = getattr(socket, "TCP_QUICKACK", None)
"""Acknowledges at once, on Linux: a server may hold its next reply back (Nagle) until our ACK."""


class SmtpSession(smtplib.SMTP):
    """A connection with a deadline: a socket's own time-out starts again with each byte."""

    sock: socket.socket
    file: io.BufferedReader | None

    def __init__(self, host: str, port: int, *, timeout: float) -> None:
        super().__init__()
        self._host = host  # smtplib verifies certificates against it
        self._deadline = time.monotonic() + timeout
        self.sock = _connect(host, port, self._deadline)
        self._pending_replies = 0

    def set_deadline(self, seconds: float) -> None:
        """From now on, everything together has ``seconds``."""
        self._deadline = time.monotonic() + seconds
        self.apply_deadline()

    def apply_deadline(self) -> None:
        """Limits the socket's next step to the time that is left.

        Raises:
            TimeoutError: there is none left.
        """
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("timed out")
        self.sock.settimeout(remaining)

    def send_commands(self, commands: Sequence[str]) -> None:
        """Sends ``commands`` together (RFC 2920). Read all replies before the next command.

        Raises:
            ValueError: a command is longer than a line.
        """
        if any(end in command for command in commands for end in "\r\n\0"):
            raise ValueError("a command is one line")
        self.send("".join(f"{command}\r\n" for command in commands))
        self._pending_replies = len(commands)

    def send(self, s: Any) -> None:
        self.apply_deadline()
        super().send(s)

    def getreply(self) -> tuple[int, bytes]:
        if self.file is None:
            self.file = io.BufferedReader(_DeadlineReader(self))
        self._pending_replies = max(0, self._pending_replies - 1)
        reply = super().getreply()
        if self._pending_replies and TCP_QUICKACK is not None:
            self.sock.setsockopt(socket.IPPROTO_TCP, TCP_QUICKACK, 1)
        return reply

    def read_pending_replies(self) -> list[int]:
        """The codes of the replies to ``send_commands`` that nobody has read yet."""
        return [self.getreply()[0] for _ in range(self._pending_replies)]


class _DeadlineReader(io.RawIOBase):
    """Reads from a session's socket, within the session's deadline."""

    def __init__(self, session: SmtpSession) -> None:
        self._session = session

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._session.apply_deadline()
        return self._session.sock.recv_into(buffer)


def _connect(host: str, port: int, deadline: float) -> socket.socket:
    """Connects to the first of the host's addresses that answers; they share the time left."""
    addresses = [
        (str(address[0]), int(address[1]))
        for *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    ]
    while True:
        share = max(0.01, deadline - time.monotonic()) / len(addresses)
        try:
            return socket.create_connection(addresses.pop(0), share)
        except OSError:
            if not addresses:
                raise
