"""Callers that are canceled, and pipelines that close."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from service.errors import Unavailable
from service.links import store as link_store
from service.links.model import Link
from service.orgs import store as orgs
from service.orgs.model import Profile
from service.outbox import store as outbox
from service.storage.connect import create_transport
from service.storage.pipeline import AutoPipeline
from tests.support.pipelines import (
    Run,
    closes_in_time,
    count_connections,
    read_link,
    run_concurrently,
    stalled,
)
from tests.support.redis_client import RedisClient
from tests.support.servers import RedisServer, wait_until


class TestCancelledCallers:
    def test_a_canceled_caller_affects_no_other(
        self,
        own_store: RedisServer,
        make_pipeline: Callable[[], AutoPipeline],
        run_in_loop: Run,
        links: list[Link],
    ) -> None:
        async def run() -> list[Any]:
            async with make_pipeline() as pipeline:
                with stalled(own_store):
                    callers = [asyncio.create_task(pipeline.run(read_link(link))) for link in links]
                    await asyncio.sleep(0.05)
                    for caller in callers[::3]:
                        caller.cancel()
                    await asyncio.gather(*callers[::3], return_exceptions=True)
                return await asyncio.gather(*callers, return_exceptions=True)

        results = run_in_loop(run())
        assert {type(result) for result in results[::3]} == {asyncio.CancelledError}
        assert [result for number, result in enumerate(results) if number % 3] == [
            link for number, link in enumerate(links) if number % 3
        ]

    def test_later_callers_get_their_own_replies(
        self, own_store: RedisServer, make_pipeline: Callable[[], AutoPipeline], links: list[Link]
    ) -> None:
        async def run() -> list[Any]:
            async with make_pipeline() as pipeline:
                with stalled(own_store):
                    callers = [asyncio.create_task(pipeline.run(read_link(link))) for link in links]
                    await asyncio.sleep(0.05)
                    for caller in callers:
                        caller.cancel()
                    later = asyncio.create_task(
                        run_concurrently(pipeline, [read_link(link) for link in links[::-1]])
                    )
                    await asyncio.sleep(0)
                return await later

        assert asyncio.run(run()) == links[::-1]

    def test_a_command_that_was_sent_still_runs(
        self, own_store: RedisServer, make_pipeline: Callable[[], AutoPipeline], client: RedisClient
    ) -> None:
        async def run() -> None:
            async with make_pipeline() as pipeline:
                await pipeline.run(outbox.has_pending("00"))
                with stalled(own_store):
                    caller = asyncio.create_task(
                        pipeline.run(orgs.put_profile("acme", Profile(display_name="Acme")))
                    )
                    await asyncio.sleep(0.05)
                    caller.cancel()
                await pipeline.run(outbox.has_pending("00"))

        asyncio.run(run())
        assert client.run(orgs.get_profile("acme")) == Profile(display_name="Acme")

    def test_no_reply_reaches_the_wrong_caller(
        self,
        make_pipeline: Callable[[], AutoPipeline],
        run_in_loop: Run,
        links: list[Link],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Callers are canceled, and connections dropped, at random moments."""
        chance = random.Random(4226)
        seen: Counter[str] = Counter()

        async def one(pipeline: AutoPipeline, link: Link) -> None:
            try:
                async with asyncio.timeout(
                    chance.uniform(0, 0.02) if chance.random() < 0.3 else None
                ):
                    assert await pipeline.run(read_link(link)) == link
                seen["served"] += 1
            except Unavailable:
                seen["unavailable"] += 1
            except TimeoutError:
                seen["canceled"] += 1

        async def run() -> None:
            async with make_pipeline() as pipeline:
                for _ in range(300):
                    monkeypatch.setattr(
                        "service.storage.pipeline.REDIS_TIMEOUT_SECONDS", chance.uniform(0, 0.004)
                    )
                    await asyncio.gather(
                        *(one(pipeline, link) for link in chance.sample(links, 20))
                    )

        run_in_loop(run())
        assert set(seen) == {"served", "unavailable", "canceled"}, seen


class TestClosing:
    def test_a_command_in_flight_fails(
        self, own_store: RedisServer, make_pipeline: Callable[[], AutoPipeline], links: list[Link]
    ) -> None:
        async def run() -> list[Any]:
            with stalled(own_store):
                async with make_pipeline() as pipeline:
                    callers = asyncio.create_task(
                        run_concurrently(pipeline, [read_link(link) for link in links])
                    )
                    await asyncio.sleep(0.05)
                return await asyncio.wait_for(callers, 3)

        assert {type(result) for result in asyncio.run(run())} == {Unavailable}

    @pytest.mark.parametrize("turns", range(8))
    def test_a_command_that_waits_for_a_connection_fails(
        self,
        own_store: RedisServer,
        make_pipeline: Callable[[], AutoPipeline],
        links: list[Link],
        turns: int,
    ) -> None:
        async def run() -> list[Any]:
            with stalled(own_store):
                async with make_pipeline() as pipeline:
                    callers = asyncio.create_task(
                        run_concurrently(pipeline, [link_store.get(links[0].id)] * 100)
                    )
                    for _ in range(turns):
                        await asyncio.sleep(0)
                return await asyncio.wait_for(callers, 3)

        assert {type(result) for result in asyncio.run(run())} == {Unavailable}

    def test_a_command_on_a_closed_pipeline_fails(
        self, make_pipeline: Callable[[], AutoPipeline], links: list[Link]
    ) -> None:
        async def run() -> list[Any]:
            async with make_pipeline() as pipeline:
                pass
            return await asyncio.wait_for(
                run_concurrently(pipeline, [link_store.get(links[0].id)]), 3
            )

        assert [type(result) for result in asyncio.run(run())] == [Unavailable]

    @pytest.mark.parametrize("turns", range(1, 12))
    def test_a_pipeline_closes_in_time_in_every_state(
        self, make_pipeline: Callable[[], AutoPipeline], links: list[Link], turns: int
    ) -> None:
        async def run() -> list[Any]:
            pipeline = await make_pipeline().__aenter__()
            await pipeline.run(link_store.get(links[0].id))
            caller = asyncio.create_task(run_concurrently(pipeline, [link_store.get(links[1].id)]))
            for _ in range(turns):
                await asyncio.sleep(0)
            assert await closes_in_time(pipeline)
            return await asyncio.wait_for(caller, 1)

        (result,) = asyncio.run(run())
        assert result == links[1] or type(result) is Unavailable

    def test_no_connections_stay_open(
        self, own_store: RedisServer, client: RedisClient, links: list[Link]
    ) -> None:
        async def run() -> None:
            async with AutoPipeline(create_transport(own_store.url)) as pipeline:
                await run_concurrently(pipeline, [read_link(link) for link in links])
                assert count_connections(own_store) > before

        before = count_connections(own_store)
        asyncio.run(run())
        wait_until(
            lambda: count_connections(own_store) == before,
            "the pipeline's connections to be closed",
        )
