"""Clients that go away midway: before they have said all, or before they have heard all."""

import asyncio
import json
import random
import socket
from collections.abc import Callable

from tests.e2e.conftest import admin_token
from tests.support.proxy import abort


class Deserters:
    """``ask`` sends a request, or the beginning of one, and leaves at any point, politely (FIN) or not (RST)."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._chance = random.Random(1138)  # noqa: S311 - nothing to guess
        self._authorization = f"Authorization: Bearer {admin_token()}\r\n"

    async def ask(self, count: int, at_once: int = 32) -> None:
        """``count`` requests that nobody waits for, some 200 a second: what is asked is done, whether or not anybody listens."""
        left = iter(range(count))

        async def some() -> None:
            for _ in left:
                await self._desert()
                await asyncio.sleep(self._chance.uniform(0, 0.3))

        await asyncio.gather(*(some() for _ in range(at_once)))

    async def _desert(self) -> None:
        loop, chance = asyncio.get_running_loop(), self._chance
        request = chance.choice(self._requests())()
        with socket.socket() as client:
            client.setblocking(False)
            await loop.sock_connect(client, ("127.0.0.1", self._port))
            await loop.sock_sendall(client, request[: chance.randrange(len(request) + 1)] if chance.random() < 0.5 else request)
            await asyncio.sleep(chance.choice([0, 0.001, 0.01, 0.03]))
            if chance.random() < 0.5:
                abort(client)

    def _requests(self) -> list[Callable[[], bytes]]:
        return [self._create, self._create_in_chunks, self._submit, self._verify, self._list, self._stream]

    def _create(self) -> bytes:
        return self._with_body("POST /payment-links", {"email": "gone@example.com", "org_id": "acme", "notify": False})

    def _create_in_chunks(self) -> bytes:
        body = json.dumps({"email": "gone@example.com", "org_id": "acme", "notify": False})
        chunks = "".join(f"{len(piece):x}\r\n{piece}\r\n" for piece in (body[:20], body[20:]))
        return self._head(
            "POST /payment-links", "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n", f"{chunks}0\r\n\r\n"
        )

    def _submit(self) -> bytes:
        return self._with_body("PUT /payment-links/otp", {"email": "gone@example.com", "otp": "123456"})

    def _verify(self) -> bytes:
        return self._with_body("POST /payment-links/verify", {"link_id": "pl_00" + "0" * 22})

    def _list(self) -> bytes:
        return self._head("GET /orgs/acme/payment-links?limit=200")

    def _stream(self) -> bytes:
        return self._head("GET /orgs/acme/payment-links", "Accept: application/x-ndjson\r\n")

    def _with_body(self, line: str, body: dict[str, object]) -> bytes:
        content = json.dumps(body)
        return self._head(line, f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n", content)

    def _head(self, line: str, headers: str = "", content: str = "") -> bytes:
        return f"{line} HTTP/1.1\r\nHost: 127.0.0.1\r\n{self._authorization}{headers}\r\n{content}".encode()
