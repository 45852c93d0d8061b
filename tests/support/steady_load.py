"""Clients that keep a service busy and retry nothing: each connection must be answered."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from tests.support.admins import as_admin


class Load:
    """``callers`` clients, half with persistent connections, half with one for each request."""

    def __init__(self, url: str, callers: int = 16, longest_pause: float = 0.1) -> None:
        self.url = url
        self.answered = 0
        self.failures: list[str] = []
        self._callers = callers
        self._longest_pause = longest_pause
        self._chance = random.Random(1138)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        stopping = asyncio.Event()
        callers = [
            asyncio.create_task(self._call(number, stopping)) for number in range(self._callers)
        ]
        try:
            yield
        finally:
            stopping.set()
            await asyncio.gather(*callers)

    async def _call(self, number: int, stopping: asyncio.Event) -> None:
        headers = as_admin() | ({"Connection": "close"} if number % 2 else {})
        async with httpx.AsyncClient(base_url=self.url, headers=headers, timeout=10) as client:
            count = 0
            while not stopping.is_set():
                count += 1
                try:
                    await self._ask(client, f"payer{number}-{count}@example.com")
                except (httpx.HTTPError, AssertionError) as error:
                    self.failures.append(f"{type(error).__name__}: {error}")
                await asyncio.sleep(self._chance.uniform(0, self._longest_pause))

    async def _ask(self, client: httpx.AsyncClient, email: str) -> None:
        """Makes a link and reads it: both answers must be this client's own."""
        headers = {"X-Request-ID": email.replace("@", "-")}
        made = await client.post(
            "/payment-links",
            json={"email": email, "org_id": "acme", "notify": False},
            headers=headers,
        )
        self._require(made, 201, email)
        read = await client.get(f"/payment-links/{made.json()['id']}", headers=headers)
        self._require(read, 200, email)

    def _require(self, response: httpx.Response, status: int, email: str) -> None:
        assert response.status_code == status, f"{response.status_code} {response.text}"
        own = response.json()["email"], response.headers["x-request-id"]
        assert own == (email, email.replace("@", "-")), f"{email} was answered {own}"
        self.answered += 1
