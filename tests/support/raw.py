"""HTTP by hand, for what no client library sends."""

import socket
import time
from contextlib import suppress
from typing import NamedTuple

CRLF = b"\r\n"


class Answer(NamedTuple):
    """Status, headers (names in lower case) and content."""

    status: int
    headers: dict[str, str]
    content: bytes


def request(line: str | bytes, *headers: str | bytes, body: bytes = b"", length: int | None = None) -> bytes:
    """A request that asks for the connection to be closed. ``length``: what is said of the body, where it is not the truth."""
    said = [f"Content-Length: {len(body) if length is None else length}"] if body and length != -1 else []
    lines = [line, "Host: pay.example.com", "Connection: close", *headers, *said]
    return CRLF.join(part.encode() if isinstance(part, str) else part for part in lines) + CRLF * 2 + body


def chunked(*chunks: bytes, end: bool = True) -> bytes:
    """A body in chunks (RFC 9112, 7.1)."""
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + (b"0\r\n\r\n" if end else b"")


def exchange(port: int, sent: bytes, *, within: float = 5.0, leave: bool = False) -> bytes:
    """All that comes back until the server closes. ``leave``: nothing more will be sent, and the server is told so.

    Raises:
        TimeoutError: it does not close.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=within) as connection:
        with suppress(ConnectionError):  # it may have heard enough
            connection.sendall(sent)
            if leave:
                connection.shutdown(socket.SHUT_WR)
        return read(connection, within)


def read(connection: socket.socket, within: float) -> bytes:
    """All that comes until the server closes, with FIN or with RST."""
    deadline, found = time.monotonic() + within, bytearray()
    with suppress(ConnectionError):
        while True:
            connection.settimeout(max(0.01, deadline - time.monotonic()))
            piece = connection.recv(65536)
            if not piece:
                break
            found += piece
    return bytes(found)


def answers(received: bytes) -> list[Answer]:
    """The answers in what was received, one after the other, interim ones (1xx) included; without one that was cut off."""
    found = []
    while received:
        head, end, rest = received.partition(CRLF * 2)
        if not end:
            break
        line, *fields = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
        status = int(line.split(" ")[1])
        size = int(headers.get("content-length", 0 if status < 200 else len(rest)))
        if len(rest) < size:
            break
        found.append(Answer(status, headers, rest[:size]))
        received = rest[size:]
    return found
