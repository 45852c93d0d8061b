"""A client for loads, which leaves the processor to those that are measured."""

import asyncio
from collections.abc import Sequence
from typing import Any, Self
from urllib.parse import urlsplit

from tests.support.raw_http import PIECE, RawResponse, request, split_first_response, with_json

TIMEOUT_SECONDS = 10.0

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class LightClient:
    """Asks the server at ``url`` on as many persistent connections as requests are under way."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self._port = urlsplit(url).port
        self._headers = [f"{name}: {value}" for name, value in headers.items()]
        self._idle: list[Connection] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for _reader, writer in self._idle:
            writer.close()

    async def get(self, path: str) -> RawResponse:
        return await self._ask(request(f"GET {path} HTTP/1.1", *self._headers, lasting=True))

    async def post(self, path: str, content: Any, headers: Sequence[str] = ()) -> RawResponse:
        line = f"POST {path} HTTP/1.1"
        return await self._ask(with_json(line, content, *self._headers, *headers, lasting=True))

    async def _ask(self, sent: bytes) -> RawResponse:
        """The response.

        Raises:
            OSError: there was none.
        """
        reader, writer = await self._connect()
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                writer.write(sent)
                response = await _receive(reader)
        except OSError:
            writer.close()
            raise
        if response.headers.get("connection") == "close":
            writer.close()
        else:
            self._idle.append((reader, writer))
        return response

    async def _connect(self) -> Connection:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", self._port)


async def _receive(reader: asyncio.StreamReader) -> RawResponse:
    received = b""
    while (found := split_first_response(received)) is None:
        piece = await reader.read(PIECE)
        if not piece:
            raise ConnectionResetError("the server closed the connection")
        received += piece
    return found[0]
