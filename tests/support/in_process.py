"""An application in the test's own thread, several times as fast as in another."""

import asyncio
from typing import Any, Self

import httpx
import uvloop
from litestar import Litestar

from tests.support.api import FromPeer


class InProcessApp:
    """The application, on an event loop that runs only while a request is being answered."""

    def __init__(self, app: Litestar) -> None:
        self._app = app
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)

    def __enter__(self) -> Self:
        self._runner.run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._stop())
        self._runner.close()

    async def _start(self) -> None:
        self._started, self._stopping = asyncio.Event(), asyncio.Event()
        self._serving = asyncio.create_task(self._serve())
        await self._started.wait()

    async def _stop(self) -> None:
        self._stopping.set()
        await self._serving

    async def _serve(self) -> None:
        """Begins and ends the application in one task, as its lifespan asks for."""
        transport = httpx.ASGITransport(FromPeer(self._app))  # type: ignore[arg-type]
        async with (
            self._app.lifespan(),
            httpx.AsyncClient(transport=transport, base_url="http://service") as self._client,
        ):
            self._started.set()
            await self._stopping.wait()

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self._runner.run(self._client.request(method, path, **options))

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.request("POST", path, **options)

    def patch(self, path: str, **options: Any) -> httpx.Response:
        return self.request("PATCH", path, **options)

    def delete(self, path: str, **options: Any) -> httpx.Response:
        return self.request("DELETE", path, **options)

    def put(self, path: str, **options: Any) -> httpx.Response:
        return self.request("PUT", path, **options)
