"""HTTP written byte by byte: headers that no client library sends, and many requests at the same moment."""

import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple, Self

import msgspec

Header = tuple[str, str | bytes]


class Answer(NamedTuple):
    """What came back; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Wire:
    """A connection that is kept alive."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, request: bytes) -> Answer:
        self.send(request)
        return self.receive()

    def send(self, piece: bytes) -> None:
        self._socket.sendall(piece)

    def receive(self) -> Answer:
        """The next answer, which says how long it is."""
        head, _, body = self._read_head().partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        missing = int(headers["content-length"]) - len(body)
        while missing > 0:
            body += self._more()
            missing = int(headers["content-length"]) - len(body)
        return Answer(int(status.split(" ")[1]), headers, body)

    def _read_head(self) -> bytes:
        read = b""
        while b"\r\n\r\n" not in read:
            read += self._more()
        return read

    def _more(self) -> bytes:
        piece = self._socket.recv(65536)
        if not piece:
            raise ConnectionResetError("the server closed the connection")
        return piece


def request(method: str, path: str, headers: Iterable[Header] = (), body: Any = None) -> bytes:
    """The bytes of a request; a ``body`` goes as JSON."""
    content = b"" if body is None else msgspec.json.encode(body)
    lines = [f"{method} {path} HTTP/1.1".encode(), b"Host: tests"]
    lines += [name.encode() + b": " + (value.encode() if isinstance(value, str) else value) for name, value in headers]
    if body is not None:
        lines += [b"Content-Type: application/json", b"Content-Length: " + str(len(content)).encode()]
    return b"\r\n".join([*lines, b"", content])


@contextmanager
def wires(*ports: int) -> Iterator[list[Wire]]:
    """A connection to each of ``ports``."""
    with ExitStack() as opened:
        yield [opened.enter_context(Wire(port)) for port in ports]


def all_at_once(ports: Sequence[int], requests: Sequence[bytes]) -> list[Answer]:
    """The answers to ``requests``, each on a connection of its own, spread over ``ports``; none is whole before all are there."""
    with wires(*(ports[number % len(ports)] for number in range(len(requests)))) as opened:
        for wire, piece in zip(opened, requests, strict=True):
            wire.send(piece[:-1])
        for wire, piece in zip(opened, requests, strict=True):
            wire.send(piece[-1:])
        return [wire.receive() for wire in opened]
