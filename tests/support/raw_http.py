"""HTTP written byte by byte: what no client library sends, and many requests at the same moment."""

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, NamedTuple, Self

import msgspec

CRLF = b"\r\n"
JSON = "Content-Type: application/json"
PIECE = 65536


class RawResponse(NamedTuple):
    """What came back; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class RawConnection:
    """A persistent connection, which is opened again after the server closes it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connect()

    def _connect(self) -> None:
        self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""
        self._is_closing = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, request: bytes) -> RawResponse:
        self.send(request)
        return self.receive()

    def send(self, piece: bytes) -> None:
        if self._is_closing:
            self._socket.close()
            self._connect()
        self._socket.sendall(piece)

    def receive(self) -> RawResponse:
        """The next answer, which says how long it is."""
        while (found := split_first_response(self._received)) is None:
            piece = self._socket.recv(PIECE)
            if not piece:
                raise ConnectionResetError("the server closed the connection")
            self._received += piece
        response, self._received = found
        assert "content-length" in response.headers, response
        self._is_closing = response.headers.get("connection") == "close"
        return response


@contextmanager
def raw_connections(*ports: int) -> Iterator[list[RawConnection]]:
    """A connection to each of ``ports``."""
    with ExitStack() as opened:
        yield [opened.enter_context(RawConnection(port)) for port in ports]


def all_at_once(ports: Sequence[int], requests: Sequence[bytes]) -> list[RawResponse]:
    """The responses to ``requests``, each on its own connection, spread over ``ports``.

    All requests are completed at the same moment.
    """
    with raw_connections(
        *(ports[number % len(ports)] for number in range(len(requests)))
    ) as opened:
        for wire, piece in zip(opened, requests, strict=True):
            wire.send(piece[:-1])
        for wire, piece in zip(opened, requests, strict=True):
            wire.send(piece[-1:])
        return [wire.receive() for wire in opened]


def exchange(port: int, sent: bytes, *, within: float = 5.0, leave: bool = False) -> bytes:
    """What the server sends until it closes; ``leave``: after our FIN.

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
            piece = connection.recv(PIECE)
            if not piece:
                break
            found += piece
    return bytes(found)


def request(
    line: str | bytes, *headers: str | bytes, body: bytes = b"", lasting: bool = False
) -> bytes:
    """A request with ``Connection: close`` unless ``lasting``, and a length if it has a body."""
    closing, length = (
        ([] if lasting else ["Connection: close"]),
        ([f"Content-Length: {len(body)}"] if body else []),
    )
    lines = [line, "Host: pay.example.com", *closing, *headers, *length]
    return (
        CRLF.join(part.encode() if isinstance(part, str) else part for part in lines)
        + CRLF * 2
        + body
    )


def with_json(line: str, content: Any, *headers: str | bytes, lasting: bool = False) -> bytes:
    """A request with ``content`` as its body."""
    return request(line, *headers, JSON, body=msgspec.json.encode(content), lasting=lasting)


def chunked(*chunks: bytes, end: bool = True) -> bytes:
    """A body in chunks (RFC 9112, 7.1)."""
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + (
        b"0\r\n\r\n" if end else b""
    )


def parse_responses(received: bytes) -> list[RawResponse]:
    """The complete responses in ``received``, in order, with interim ones (1xx)."""
    found = []
    while next_one := split_first_response(received):
        response, received = next_one
        found.append(response)
    return found


def split_first_response(received: bytes) -> tuple[RawResponse, bytes] | None:
    """The first response and the rest; None if it is incomplete.

    A response without a length extends to the end.
    """
    head, end, rest = received.partition(CRLF * 2)
    if not end:
        return None
    line, *fields = head.decode("latin-1").split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)
    }
    status = int(line.split(" ")[1])
    size = int(headers.get("content-length", 0 if status < 200 else len(rest)))
    return (RawResponse(status, headers, rest[:size]), rest[size:]) if len(rest) >= size else None
