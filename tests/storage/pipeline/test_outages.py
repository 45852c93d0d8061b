"""A store that stalls or dies: commands fail in time, and work again soon after."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from service.errors import Unavailable
from service.links import store as link_store
from service.links.model import Link
from service.storage.command import command
from service.storage.connect import create_transport
from service.storage.multiplexed_connection import RECONNECT_SECONDS
from service.storage.pipeline import AutoPipeline
from tests.support.pipelines import (
    COUNT,
    COUNTER,
    Run,
    count_connections,
    read_link,
    run_concurrently,
    run_while_killed,
    seconds_until_answered,
    stalled,
    timed,
)
from tests.support.redis_client import RedisClient
from tests.support.servers import RedisServer, wait_until


class TestStalledStore:
    def test_commands_fail_within_two_seconds_and_work_again_in_one(
        self,
        own_store: RedisServer,
        make_pipeline: Callable[[], AutoPipeline],
        run_in_loop: Run,
        links: list[Link],
    ) -> None:
        async def run() -> tuple[list[Any], float, float]:
            async with make_pipeline() as pipeline:
                assert await pipeline.run(link_store.get(links[0].id)) == links[0]
                with stalled(own_store):
                    results, took = await timed(
                        run_concurrently(pipeline, [read_link(link) for link in links * 15])
                    )
                return results, took, await seconds_until_answered(pipeline, links[0])

        results, took, back_after = run_in_loop(run())
        assert {type(result) for result in results} == {Unavailable}
        assert 1 < took < 2
        assert back_after < 1

    def test_commands_sent_meanwhile_wait_no_longer(
        self, own_store: RedisServer, make_pipeline: Callable[[], AutoPipeline], links: list[Link]
    ) -> None:
        async def one(pipeline: AutoPipeline, link: Link) -> tuple[list[Any], float]:
            return await timed(run_concurrently(pipeline, [read_link(link)]))

        async def run() -> list[tuple[list[Any], float]]:
            async with make_pipeline() as pipeline:
                with stalled(own_store):
                    callers = []
                    for link in links[:30]:
                        callers.append(asyncio.create_task(one(pipeline, link)))
                        await asyncio.sleep(0.05)
                    return await asyncio.gather(*callers)

        results = asyncio.run(run())
        assert {type(result) for (result,), _ in results} == {Unavailable}
        assert max(took for _, took in results) < 2

    def test_a_short_stall_goes_unnoticed(
        self, own_store: RedisServer, make_pipeline: Callable[[], AutoPipeline], links: list[Link]
    ) -> None:
        async def run() -> list[Any]:
            async with make_pipeline() as pipeline:
                with stalled(own_store):
                    callers = asyncio.create_task(
                        run_concurrently(pipeline, [read_link(link) for link in links])
                    )
                    await asyncio.sleep(0.2)
                return await callers

        assert asyncio.run(run()) == links

    def test_nothing_is_sent_twice(
        self,
        own_store: RedisServer,
        make_pipeline: Callable[[], AutoPipeline],
        client: RedisClient,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("service.storage.pipeline.REDIS_TIMEOUT_SECONDS", 0.2)
        count = COUNT

        async def run() -> list[Any]:
            async with make_pipeline() as pipeline:
                await pipeline.run(count)
                with stalled(own_store):
                    return await run_concurrently(pipeline, [count])

        assert [type(result) for result in asyncio.run(run())] == [Unavailable]
        assert client.run(command(int, "GET", COUNTER)) <= 2

    def test_no_connections_stay_open(
        self,
        own_store: RedisServer,
        make_pipeline: Callable[[], AutoPipeline],
        client: RedisClient,
        links: list[Link],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("service.storage.pipeline.REDIS_TIMEOUT_SECONDS", 0.05)

        async def run() -> list[Any]:
            async with make_pipeline() as pipeline:
                for _ in range(10):
                    with stalled(own_store):
                        results = await run_concurrently(
                            pipeline, [link_store.get(links[0].id)] * 1000
                        )
                        assert {type(result) for result in results} == {Unavailable}
                    await seconds_until_answered(pipeline, links[0])
                wait_until(
                    lambda: count_connections(own_store) <= before + 1,
                    "connections that were given up to be closed",
                )
                return await run_concurrently(pipeline, [read_link(link) for link in links])

        before = count_connections(own_store)
        assert asyncio.run(run()) == links


class TestKilledStore:
    def test_commands_fail_at_once_and_work_a_second_after_the_restart(
        self, own_store: RedisServer, make_pipeline: Callable[[], AutoPipeline], links: list[Link]
    ) -> None:
        async def run() -> tuple[list[Any], float, float]:
            async with make_pipeline() as pipeline:
                assert await pipeline.run(link_store.get(links[0].id)) == links[0]
                own_store.kill()
                try:
                    results, took = await timed(
                        run_concurrently(pipeline, [read_link(link) for link in links])
                    )
                finally:
                    await asyncio.to_thread(own_store.start)
                return results, took, await seconds_until_answered(pipeline, links[0])

        results, took, back_after = asyncio.run(run())
        assert {type(result) for result in results} == {Unavailable}
        assert took < 0.5
        assert back_after < 1

    def test_it_is_tried_ten_times_a_second_at_most(self) -> None:
        async def run() -> int:
            attempts = list[asyncio.StreamWriter]()

            def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                attempts.append(writer)
                writer.close()

            async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
                port = server.sockets[0].getsockname()[1]
                ends_at = time.monotonic() + 1
                async with AutoPipeline(create_transport(f"redis://127.0.0.1:{port}")) as pipeline:
                    while time.monotonic() < ends_at:
                        with pytest.raises(Unavailable):
                            await pipeline.run(COUNT)
                        await asyncio.sleep(0.001)
            return len(attempts)

        assert 2 <= asyncio.run(run()) <= 1 / RECONNECT_SECONDS + 1

    def test_commands_in_flight_fail_at_once(
        self, own_store: RedisServer, make_pipeline: Callable[[], AutoPipeline], links: list[Link]
    ) -> None:
        async def run() -> tuple[list[Any], float]:
            async with make_pipeline() as pipeline:
                return await run_while_killed(own_store, pipeline, links)

        results, took = asyncio.run(run())
        assert {type(result) for result in results} == {Unavailable}
        assert took < 0.5

    def test_what_was_acknowledged_survives(
        self, own_store: RedisServer, make_pipeline: Callable[[], AutoPipeline], links: list[Link]
    ) -> None:
        async def run() -> list[Any]:
            async with make_pipeline() as pipeline:
                own_store.kill()
                await asyncio.to_thread(own_store.start)
                await seconds_until_answered(pipeline, links[0])
                return await run_concurrently(pipeline, [read_link(link) for link in links])

        assert asyncio.run(run()) == links

    @pytest.mark.parametrize("turns", range(1, 9))
    def test_a_connection_that_is_lost_at_once_is_made_again(
        self,
        own_store: RedisServer,
        make_pipeline: Callable[[], AutoPipeline],
        run_in_loop: Run,
        links: list[Link],
        turns: int,
    ) -> None:
        """It is lost in each of the first turns of the loop."""

        async def run() -> float:
            async with make_pipeline() as pipeline:
                callers = asyncio.create_task(
                    run_concurrently(pipeline, [link_store.get(links[0].id)])
                )
                for _ in range(turns):
                    await asyncio.sleep(0.0005)
                own_store.kill()
                await callers
                await asyncio.to_thread(own_store.start)
                return await seconds_until_answered(pipeline, links[0])

        assert run_in_loop(run()) < 1

    def test_a_closed_connection_fails_only_the_commands_on_it(
        self, make_pipeline: Callable[[], AutoPipeline], client: RedisClient, links: list[Link]
    ) -> None:
        async def run() -> list[Any]:
            async with make_pipeline() as pipeline:
                await run_concurrently(pipeline, [read_link(link) for link in links])
                await asyncio.to_thread(
                    client.run, command(int, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                )
                await seconds_until_answered(pipeline, links[0])
                return await run_concurrently(pipeline, [read_link(link) for link in links])

        assert asyncio.run(run()) == links
