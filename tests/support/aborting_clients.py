"""Clients that go away midway: before they have said all, or before they have heard all."""

import asyncio
import json
import random
import socket
from collections.abc import Callable

from tests.support.admins import admin_token
from tests.support.factories import UNKNOWN_LINK_ID
from tests.support.proxy import abort
from tests.support.raw_http import JSON, chunked, request, with_json

LINK = {"email": "gone@example.com", "org_id": "acme", "notify": False}


class AbortingClients:
    """Clients that disconnect at any point of a request, with FIN or with RST."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._chance = random.Random(1138)
        self._authorization = f"Authorization: Bearer {admin_token()}"

    async def ask(self, count: int, at_once: int = 32) -> None:
        """Sends ``count`` requests, some 200 a second. Their effects may happen all the same."""
        left = iter(range(count))

        async def some() -> None:
            for _ in left:
                await self._abort_one()
                await asyncio.sleep(self._chance.uniform(0, 0.3))

        await asyncio.gather(*(some() for _ in range(at_once)))

    async def _abort_one(self) -> None:
        loop, chance = asyncio.get_running_loop(), self._chance
        whole = chance.choice(self._requests())()
        with socket.socket() as client:
            client.setblocking(False)
            await loop.sock_connect(client, ("127.0.0.1", self._port))
            await loop.sock_sendall(
                client,
                whole[: chance.randrange(len(whole) + 1)] if chance.random() < 0.5 else whole,
            )
            await asyncio.sleep(chance.choice([0, 0.001, 0.01, 0.03]))
            if chance.random() < 0.5:
                abort(client)

    def _requests(self) -> list[Callable[[], bytes]]:
        return [
            self._create,
            self._create_in_chunks,
            self._submit,
            self._verify,
            self._list,
            self._stream,
        ]

    def _create(self) -> bytes:
        return with_json("POST /payment-links HTTP/1.1", LINK, self._authorization, lasting=True)

    def _create_in_chunks(self) -> bytes:
        body = json.dumps(LINK).encode()
        head = request(
            "POST /payment-links HTTP/1.1",
            self._authorization,
            JSON,
            "Transfer-Encoding: chunked",
            lasting=True,
        )
        return head + chunked(body[:20], body[20:])

    def _submit(self) -> bytes:
        return with_json(
            "PUT /payment-links/otp HTTP/1.1",
            {"email": "gone@example.com", "otp": "123456"},
            lasting=True,
        )

    def _verify(self) -> bytes:
        return with_json(
            "POST /payment-links/verify HTTP/1.1",
            {"link_id": UNKNOWN_LINK_ID},
            self._authorization,
            lasting=True,
        )

    def _list(self) -> bytes:
        return request(
            "GET /orgs/acme/payment-links?limit=200 HTTP/1.1", self._authorization, lasting=True
        )

    def _stream(self) -> bytes:
        accept = "Accept: application/x-ndjson"
        return request(
            "GET /orgs/acme/payment-links HTTP/1.1", self._authorization, accept, lasting=True
        )
