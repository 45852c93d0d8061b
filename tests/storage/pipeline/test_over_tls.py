"""A pipeline over TLS."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from service.errors import Unavailable
from service.links import store as link_store
from service.links.model import Link
from service.storage.command import command
from service.storage.connect import create_transport
from service.storage.pipeline import AutoPipeline
from tests.support.pipelines import (
    Run,
    read_link,
    run_concurrently,
    run_while_killed,
    seconds_until_answered,
)
from tests.support.redis_client import RedisClient, create_client
from tests.support.servers import RedisServer, free_port, store
from tests.support.tls import self_signed


class TestOverTls:
    """``rediss://``, with a certificate authority of its own."""

    LONG = "x" * 200_000
    """Longer than a TLS record (RFC 8446, 5.1)."""

    @pytest.fixture
    def port(self) -> int:
        return free_port()

    @pytest.fixture
    def authority(self, tmp_path: Path) -> Path:
        return self_signed(tmp_path).certificate

    @pytest.fixture
    def own_store(self, redis_binary: str, port: int, authority: Path) -> Iterator[RedisServer]:
        options = {
            "port": port,
            "cert-file": authority.with_name("server.pem"),
            "key-file": authority.with_name("server.pem"),
        }
        options |= {"ca-cert-file": authority, "auth-clients": "no"}
        arguments = [
            part for name, value in options.items() for part in (f"--tls-{name}", str(value))
        ]
        with store(redis_binary, *arguments, durable=True) as server:
            yield server

    @pytest.fixture
    def url(self, own_store: RedisServer, port: int, authority: Path) -> str:
        return f"rediss://127.0.0.1:{port}?ssl_ca_certs={authority}"

    @pytest.fixture
    def make_pipeline(self, url: str) -> Callable[[], AutoPipeline]:
        return lambda: AutoPipeline(create_transport(url))

    def test_every_caller_gets_its_own_reply(
        self, make_pipeline: Callable[[], AutoPipeline], run_in_loop: Run, links: list[Link]
    ) -> None:
        async def run() -> list[Any]:
            async with make_pipeline() as pipeline:
                return await run_concurrently(pipeline, [read_link(link) for link in links * 10])

        assert run_in_loop(run()) == links * 10

    def test_a_long_command_and_a_long_reply_come_whole(
        self, make_pipeline: Callable[[], AutoPipeline], run_in_loop: Run, links: list[Link]
    ) -> None:
        async def run() -> list[Any]:
            async with make_pipeline() as pipeline:
                await pipeline.run(command(bool, "SET", "long", self.LONG))
                return await run_concurrently(
                    pipeline,
                    [read_link(links[0]), command(str, "GET", "long"), read_link(links[1])] * 5,
                )

        assert run_in_loop(run()) == [links[0], self.LONG, links[1]] * 5

    def test_commands_fail_at_once_and_work_again_after_a_restart(
        self,
        own_store: RedisServer,
        make_pipeline: Callable[[], AutoPipeline],
        run_in_loop: Run,
        links: list[Link],
    ) -> None:
        async def run() -> tuple[list[Any], float, float]:
            async with make_pipeline() as pipeline:
                return *await run_while_killed(
                    own_store, pipeline, links
                ), await seconds_until_answered(pipeline, links[0])

        results, took, back_after = run_in_loop(run())
        assert {type(result) for result in results} == {Unavailable}
        assert took < 0.5
        assert back_after < 1

    def test_an_untrusted_server_gets_no_commands(
        self, url: str, run_in_loop: Run, links: list[Link]
    ) -> None:
        async def run() -> list[Any]:
            async with AutoPipeline(create_transport(url.partition("?")[0])) as pipeline:
                return await run_concurrently(pipeline, [link_store.get(links[0].id)])

        assert [type(result) for result in run_in_loop(run())] == [Unavailable]

    def test_the_synchronous_client_uses_it_too(self, url: str, links: list[Link]) -> None:
        client = RedisClient(create_client(url))
        assert client.run(link_store.get(links[0].id)) == links[0]
        client.close()
