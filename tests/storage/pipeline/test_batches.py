"""Commands of concurrent callers are sent together, and each caller gets its own reply."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.exceptions import ResponseError

from service.errors import Unavailable, Unreadable
from service.links import store as link_store
from service.links.model import Link
from service.outbox import store as outbox
from service.storage import keys
from service.storage.command import Command, command
from service.storage.connect import create_transport
from service.storage.multiplexed_connection import (
    MAX_BATCHES_IN_FLIGHT,
    MAX_PENDING_COMMANDS,
    RedisWireProtocol,
)
from service.storage.pipeline import AutoPipeline
from tests.support.pipelines import (
    COUNT,
    COUNTER,
    LINKS,
    count_connections,
    count_runs,
    read_link,
    run_concurrently,
    stalled,
)
from tests.support.redis_client import RedisClient
from tests.support.servers import RedisServer


@asynccontextmanager
async def connect_and_count(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[AutoPipeline, list[int]]]:
    """A pipeline that is connected, and the number of commands in each later batch."""
    sizes: list[int] = []

    def send_counted(protocol: RedisWireProtocol) -> None:
        sizes.append(len(protocol._buffer))  # noqa: SLF001 - a socket shows no batches
        flush(protocol)

    flush = RedisWireProtocol._flush  # noqa: SLF001
    async with AutoPipeline(create_transport(server.url)) as pipeline:
        await pipeline.run(outbox.has_pending("00"))
        monkeypatch.setattr(RedisWireProtocol, "_flush", send_counted)
        yield pipeline, sizes


@pytest.mark.parametrize("is_connected", [True, False])
def test_a_command_that_cannot_be_written_affects_no_other(
    own_store: RedisServer, is_connected: bool
) -> None:
    async def run() -> list[Any]:
        async with AutoPipeline(create_transport(own_store.url)) as pipeline:
            if is_connected:
                await pipeline.run(command(str, "ECHO", "connected"))
            words = ["a", "\udcff", "b", "c"]
            echoed = [pipeline.run(command(str, "ECHO", word)) for word in words]
            return await asyncio.gather(*echoed, return_exceptions=True)

    first, error, *others = asyncio.run(run())
    assert isinstance(error, UnicodeEncodeError)
    assert [first, *others] == [*"abc"]


class TestBatches:
    @pytest.mark.parametrize("commands", [pytest.param(1, id="one"), pytest.param(1000, id="many")])
    def test_commands_of_one_turn_are_sent_together(
        self,
        own_store: RedisServer,
        links: list[Link],
        monkeypatch: pytest.MonkeyPatch,
        commands: int,
    ) -> None:
        async def run() -> list[int]:
            async with connect_and_count(own_store, monkeypatch) as (pipeline, sizes):
                assert (
                    await run_concurrently(pipeline, [link_store.get(links[0].id)] * commands)
                    == [links[0]] * commands
                )
                return sizes

        assert asyncio.run(run()) == [commands]

    def test_commands_of_one_caller_are_sent_one_by_one(
        self, own_store: RedisServer, links: list[Link], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def run() -> list[int]:
            async with connect_and_count(own_store, monkeypatch) as (pipeline, sizes):
                for link in links[:3]:
                    await pipeline.run(link_store.get(link.id))
                return sizes

        assert asyncio.run(run()) == [1, 1, 1]

    def test_commands_wait_while_two_batches_are_in_flight(
        self, own_store: RedisServer, links: list[Link], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def run() -> list[int]:
            async with connect_and_count(own_store, monkeypatch) as (pipeline, sizes):
                with stalled(own_store):
                    callers = []
                    for link in links:
                        callers.append(asyncio.create_task(pipeline.run(link_store.get(link.id))))
                        await asyncio.sleep(0)
                        await asyncio.sleep(0)
                assert await asyncio.gather(*callers) == links
                return sizes

        assert asyncio.run(run()) == [1] * MAX_BATCHES_IN_FLIGHT + [LINKS - MAX_BATCHES_IN_FLIGHT]

    def test_commands_that_wait_for_a_connection_share_it(
        self, own_store: RedisServer, client: RedisClient, links: list[Link]
    ) -> None:
        async def run() -> list[Any]:
            async with AutoPipeline(create_transport(own_store.url)) as pipeline:
                results = await run_concurrently(
                    pipeline, [link_store.get(link.id) for link in links]
                )
                assert count_connections(own_store) == before + 1
                return results

        before = count_connections(own_store)
        assert asyncio.run(run()) == links


class TestReplies:
    def test_every_caller_gets_its_own_reply(
        self, make_pipeline: Callable[[], AutoPipeline], links: list[Link]
    ) -> None:
        async def run() -> list[Any]:
            async with make_pipeline() as pipeline:
                return await run_concurrently(pipeline, [read_link(link) for link in links * 10])

        assert asyncio.run(run()) == links * 10

    def test_replies_have_the_order_of_the_commands(
        self, make_pipeline: Callable[[], AutoPipeline], links: list[Link]
    ) -> None:
        async def run() -> list[Link | None]:
            async with make_pipeline() as pipeline:
                return await pipeline.run_all([link_store.get(link.id) for link in links[::-1]])

        assert asyncio.run(run()) == links[::-1]

    def test_no_commands_have_no_replies(self, make_pipeline: Callable[[], AutoPipeline]) -> None:
        async def run() -> list[Any]:
            async with make_pipeline() as pipeline:
                return await pipeline.run_all([])

        assert asyncio.run(run()) == []

    def test_a_wrong_command_fails_alone(
        self, make_pipeline: Callable[[], AutoPipeline], links: list[Link]
    ) -> None:
        wrong = command(str, "HGET", keys.org("acme"))

        async def run() -> list[Any]:
            async with make_pipeline() as pipeline:
                return await run_concurrently(
                    pipeline, [read_link(links[0]), wrong, read_link(links[1])]
                )

        first, error, second = asyncio.run(run())
        assert (first, second) == (links[0], links[1])
        assert isinstance(error, ResponseError)

    def test_a_reply_that_cannot_be_decoded_fails_alone(
        self, make_pipeline: Callable[[], AutoPipeline], links: list[Link]
    ) -> None:
        unreadable = command(int, *link_store.get(links[0].id).args)

        async def run() -> list[Any]:
            async with make_pipeline() as pipeline:
                return await run_concurrently(
                    pipeline, [read_link(links[0]), unreadable, read_link(links[1])]
                )

        first, error, second = asyncio.run(run())
        assert (first, second) == (links[0], links[1])
        assert isinstance(error, Unreadable)


class TestScripts:
    def test_scripts_that_redis_lost_are_sent_again(
        self, make_pipeline: Callable[[], AutoPipeline], client: RedisClient, links: list[Link]
    ) -> None:
        async def run() -> list[Any]:
            async with make_pipeline() as pipeline:
                before = await run_concurrently(pipeline, [read_link(link) for link in links])
                await asyncio.to_thread(client.run, command(bool, "SCRIPT FLUSH"))
                return before + await run_concurrently(
                    pipeline, [read_link(link) for link in links]
                )

        assert asyncio.run(run()) == links * 2

    def test_a_missing_script_runs_once_for_each_caller(
        self, make_pipeline: Callable[[], AutoPipeline], client: RedisClient
    ) -> None:
        client.run(command(bool, "SCRIPT FLUSH"))

        async def run() -> list[Any]:
            async with make_pipeline() as pipeline:
                return await run_concurrently(pipeline, [COUNT] * 20)

        assert asyncio.run(run()) == [None] * 20
        assert client.run(command(int, "GET", COUNTER)) == 20

    def test_redis_keeps_a_script_that_it_was_sent(
        self, make_pipeline: Callable[[], AutoPipeline], client: RedisClient, own_store: RedisServer
    ) -> None:
        client.run(command(bool, "SCRIPT FLUSH"))
        client.run(command(bool, "CONFIG RESETSTAT"))

        async def run() -> None:
            async with make_pipeline() as pipeline:
                for _ in range(3):
                    await pipeline.run(COUNT)

        asyncio.run(run())
        assert count_runs("eval", own_store) == 1
        assert count_runs("evalsha", own_store) == 3

    def test_a_missing_script_runs_once_for_each_command_of_one_caller(
        self, make_pipeline: Callable[[], AutoPipeline], client: RedisClient, links: list[Link]
    ) -> None:
        client.run(command(bool, "SCRIPT FLUSH"))

        async def run() -> list[Any]:
            async with make_pipeline() as pipeline:
                counts: list[Command[Any]] = [COUNT] * 20
                return await pipeline.run_all([*counts, *map(read_link, links)])

        assert asyncio.run(run()) == [None] * 20 + links
        assert client.run(command(int, "GET", COUNTER)) == 20


class TestFullQueue:
    def test_commands_beyond_the_maximum_are_refused(
        self, make_pipeline: Callable[[], AutoPipeline], links: list[Link]
    ) -> None:
        async def run() -> list[Any]:
            async with make_pipeline() as pipeline:
                return await run_concurrently(
                    pipeline, [link_store.get(links[0].id)] * (MAX_PENDING_COMMANDS + 10)
                )

        results = asyncio.run(run())
        assert results[:MAX_PENDING_COMMANDS] == [links[0]] * MAX_PENDING_COMMANDS
        assert [type(result) for result in results[MAX_PENDING_COMMANDS:]] == [Unavailable] * 10

    def test_a_queue_that_was_full_accepts_commands_again(
        self, make_pipeline: Callable[[], AutoPipeline], links: list[Link]
    ) -> None:
        async def run() -> Link | None:
            async with make_pipeline() as pipeline:
                await run_concurrently(
                    pipeline, [link_store.get(links[0].id)] * (MAX_PENDING_COMMANDS + 10)
                )
                return await pipeline.run(link_store.get(links[1].id))

        assert asyncio.run(run()) == links[1]
