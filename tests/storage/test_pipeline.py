"""The pipeline: calls travel together, and each reply finds its caller, whatever happens to the store or to other callers."""

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
import uvloop
from redis.exceptions import ResponseError

from service.errors import Unavailable, Unreadable
from service.links import deliveries
from service.links import store as links
from service.links.model import Link
from service.links.record import decode
from service.orgs import store as orgs
from service.orgs.model import Profile
from service.outbox import store as outbox
from service.storage import keys
from service.storage import rate_limits as limits
from service.storage.client import Client
from service.storage.command import Command, command
from service.storage.connection import MAX_BATCHES_IN_FLIGHT, RedisProtocol
from service.storage.pipeline import MAX_PENDING_COMMANDS, AutoPipeline
from service.storage.redis_url import connect, connect_async
from tests.support.clock import Clock
from tests.support.factories import make_link, put_all
from tests.support.servers import Store, free_port, store, wait_until
from tests.support.tls import self_signed

COUNTER = "pl:{00}:counter"
COUNT = limits.count([limits.RateLimit("sends", COUNTER, 100, timedelta(hours=1))])

LINKS = 100
Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run_in_loop(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine in a loop of each kind."""

    def run_in_loop(coroutine: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=request.param) as runner:
            return runner.run(coroutine)

    return run_in_loop


@pytest.fixture
def client(own_store: Store) -> Iterator[Client]:
    """Looks into that store, which is empty, past the pipeline."""
    connection = connect(own_store.url)
    connection.flushall()
    client = Client(connection)
    yield client
    client.close()


@pytest.fixture
def made(client: Client, clock: Clock) -> list[Link]:
    return put_all(
        client, [make_link(clock.now, transaction_id=str(number)) for number in range(LINKS)]
    )


@pytest.fixture
def make_pipeline(own_store: Store) -> Callable[[], AutoPipeline]:
    """Makes a pipeline to that store; within a loop."""
    return lambda: AutoPipeline(connect_async(own_store.url))


class Stalled:
    """The store does not answer meanwhile."""

    def __init__(self, server: Store) -> None:
        self._process = server.process

    def __enter__(self) -> None:
        os.kill(self._process.pid, signal.SIGSTOP)

    def __exit__(self, *_: object) -> None:
        os.kill(self._process.pid, signal.SIGCONT)


def mixed(link: Link) -> Command[Any]:
    """A call that gives ``link``: a plain command for some, a script for others."""
    if int(link.transaction_id or 0) % 2:
        return links.get(link.id)
    read: Command[Any] = deliveries.load_claimed(keys.partition_of_link(link.id), [link.id])
    return read._replace(decode=lambda records: decode(link.id, records[0]))


async def outcomes(pipeline: AutoPipeline, calls: list[Command[Any]]) -> list[Any]:
    """What each of concurrent callers gets: a reply, or an error."""
    return await asyncio.gather(*map(pipeline.run, calls), return_exceptions=True)


async def until_answered(pipeline: AutoPipeline, link: Link) -> float:
    """Seconds until the store answers again."""
    began = time.monotonic()
    while True:
        try:
            assert await pipeline.run(links.get(link.id)) == link
        except Unavailable:
            await asyncio.sleep(0.01)
        else:
            return time.monotonic() - began


async def closes(pipeline: AutoPipeline) -> bool:
    """Whether the pipeline closes in half a second. If not, all that runs is stopped, as often as it takes."""
    closing = asyncio.create_task(pipeline.__aexit__())
    done, _ = await asyncio.wait([closing], timeout=0.5)
    if done:
        return True
    own = asyncio.current_task()
    for _ in range(20):
        for task in asyncio.all_tasks() - {own}:
            task.cancel()
        await asyncio.sleep(0.01)
    return False


def connections(server: Store) -> int:
    """How many the store has, besides the one that asks."""
    with redis.Redis.from_url(server.url) as connection:
        return len(connection.client_list()) - 1


def calls_of(name: str, server: Store) -> int:
    """How often the store ran the command."""
    with redis.Redis.from_url(server.url) as connection:
        return int(connection.info("commandstats")[f"cmdstat_{name}"]["calls"])


async def timed(awaitable: Awaitable[list[Any]]) -> tuple[list[Any], float]:
    began = time.monotonic()
    return await awaitable, time.monotonic() - began


async def outcomes_of_a_kill(
    server: Store, pipeline: AutoPipeline, made: list[Link]
) -> tuple[list[Any], float]:
    """What callers hear whose store is killed while they wait, and after how many seconds. Then the store is there again."""
    os.kill(server.process.pid, signal.SIGSTOP)
    callers = asyncio.create_task(outcomes(pipeline, [mixed(link) for link in made]))
    await asyncio.sleep(0.1)
    server.kill()
    try:
        return await timed(callers)
    finally:
        await asyncio.to_thread(server.start)


@asynccontextmanager
async def counting_lane(
    server: Store, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[AutoPipeline, list[int]]]:
    """A pipeline that is connected, and how many commands each of its batches has from then on."""
    sizes: list[int] = []

    def send_counted(wire: RedisProtocol) -> None:
        sizes.append(len(wire._buffer))  # noqa: SLF001 - what goes over a socket together cannot be seen from outside
        flush(wire)

    flush = RedisProtocol._flush  # noqa: SLF001
    async with AutoPipeline(connect_async(server.url)) as pipeline:
        await pipeline.run(outbox.has_pending("00"))
        monkeypatch.setattr(RedisProtocol, "_flush", send_counted)
        yield pipeline, sizes


class TestBatches:
    @pytest.mark.parametrize("calls", [pytest.param(1, id="one"), pytest.param(1000, id="many")])
    def test_calls_of_one_turn_travel_together(
        self, own_store: Store, made: list[Link], monkeypatch: pytest.MonkeyPatch, calls: int
    ) -> None:
        async def run() -> list[int]:
            async with counting_lane(own_store, monkeypatch) as (pipeline, sizes):
                assert (
                    await outcomes(pipeline, [links.get(made[0].id)] * calls) == [made[0]] * calls
                )
                return sizes

        assert asyncio.run(run()) == [calls]

    def test_calls_one_after_the_other_travel_alone(
        self, own_store: Store, made: list[Link], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def run() -> list[int]:
            async with counting_lane(own_store, monkeypatch) as (pipeline, sizes):
                for link in made[:3]:
                    await pipeline.run(links.get(link.id))
                return sizes

        assert asyncio.run(run()) == [1, 1, 1]

    def test_calls_gather_while_others_are_under_way(
        self, own_store: Store, made: list[Link], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def run() -> list[int]:
            async with counting_lane(own_store, monkeypatch) as (pipeline, sizes):
                with Stalled(own_store):
                    callers = []
                    for link in made:
                        callers.append(asyncio.create_task(pipeline.run(links.get(link.id))))
                        await asyncio.sleep(0)
                        await asyncio.sleep(0)
                assert await asyncio.gather(*callers) == made
                return sizes

        assert asyncio.run(run()) == [1] * MAX_BATCHES_IN_FLIGHT + [LINKS - MAX_BATCHES_IN_FLIGHT]

    def test_calls_before_there_is_a_connection_share_one(
        self, own_store: Store, client: Client, made: list[Link]
    ) -> None:
        async def run() -> list[Any]:
            async with AutoPipeline(connect_async(own_store.url)) as pipeline:
                results = await outcomes(pipeline, [links.get(link.id) for link in made])
                assert connections(own_store) == before + 1
                return results

        before = connections(own_store)
        assert asyncio.run(run()) == made


class TestReplies:
    def test_every_caller_gets_its_own_reply(
        self, make_pipeline: Callable[[], AutoPipeline], made: list[Link]
    ) -> None:
        async def run() -> list[Any]:
            async with make_pipeline() as pipeline:
                return await outcomes(pipeline, [mixed(link) for link in made * 10])

        assert asyncio.run(run()) == made * 10

    def test_replies_to_many_calls_come_in_their_order(
        self, make_pipeline: Callable[[], AutoPipeline], made: list[Link]
    ) -> None:
        async def run() -> list[Link | None]:
            async with make_pipeline() as pipeline:
                return await pipeline.run_all([links.get(link.id) for link in made[::-1]])

        assert asyncio.run(run()) == made[::-1]

    def test_no_calls_have_no_replies(self, make_pipeline: Callable[[], AutoPipeline]) -> None:
        async def run() -> list[Any]:
            async with make_pipeline() as pipeline:
                return await pipeline.run_all([])

        assert asyncio.run(run()) == []

    def test_a_wrong_call_fails_alone(
        self, make_pipeline: Callable[[], AutoPipeline], made: list[Link]
    ) -> None:
        wrong = command(str, "HGET", keys.org("acme"))

        async def run() -> list[Any]:
            async with make_pipeline() as pipeline:
                return await outcomes(pipeline, [mixed(made[0]), wrong, mixed(made[1])])

        first, error, second = asyncio.run(run())
        assert (first, second) == (made[0], made[1])
        assert isinstance(error, ResponseError)

    def test_a_reply_that_cannot_be_read_fails_alone(
        self, make_pipeline: Callable[[], AutoPipeline], made: list[Link]
    ) -> None:
        unreadable = command(int, *links.get(made[0].id).args)

        async def run() -> list[Any]:
            async with make_pipeline() as pipeline:
                return await outcomes(pipeline, [mixed(made[0]), unreadable, mixed(made[1])])

        first, error, second = asyncio.run(run())
        assert (first, second) == (made[0], made[1])
        assert isinstance(error, Unreadable)


class TestScripts:
    def test_scripts_that_the_store_forgot_are_loaded_again(
        self, make_pipeline: Callable[[], AutoPipeline], client: Client, made: list[Link]
    ) -> None:
        async def run() -> list[Any]:
            async with make_pipeline() as pipeline:
                before = await outcomes(pipeline, [mixed(link) for link in made])
                await asyncio.to_thread(client.run, command(bool, "SCRIPT FLUSH"))
                return before + await outcomes(pipeline, [mixed(link) for link in made])

        assert asyncio.run(run()) == made * 2

    def test_a_script_that_has_to_be_loaded_runs_once(
        self, make_pipeline: Callable[[], AutoPipeline], client: Client
    ) -> None:
        client.run(command(bool, "SCRIPT FLUSH"))

        async def run() -> list[Any]:
            async with make_pipeline() as pipeline:
                return await outcomes(pipeline, [COUNT] * 20)

        assert asyncio.run(run()) == [None] * 20
        assert client.run(command(int, "GET", COUNTER)) == 20

    def test_the_store_keeps_a_script_that_it_was_sent(
        self, make_pipeline: Callable[[], AutoPipeline], client: Client, own_store: Store
    ) -> None:
        client.run(command(bool, "SCRIPT FLUSH"))
        client.run(command(bool, "CONFIG RESETSTAT"))

        async def run() -> None:
            async with make_pipeline() as pipeline:
                for _ in range(3):
                    await pipeline.run(COUNT)

        asyncio.run(run())
        assert calls_of("eval", own_store) == 1
        assert calls_of("evalsha", own_store) == 3

    def test_so_it_does_among_many_calls_of_one_caller(
        self, make_pipeline: Callable[[], AutoPipeline], client: Client, made: list[Link]
    ) -> None:
        client.run(command(bool, "SCRIPT FLUSH"))

        async def run() -> list[Any]:
            async with make_pipeline() as pipeline:
                counts: list[Command[Any]] = [COUNT] * 20
                return await pipeline.run_all([*counts, *map(mixed, made)])

        assert asyncio.run(run()) == [None] * 20 + made
        assert client.run(command(int, "GET", COUNTER)) == 20


class TestFullQueue:
    def test_more_calls_than_may_wait_are_refused(
        self, make_pipeline: Callable[[], AutoPipeline], made: list[Link]
    ) -> None:
        async def run() -> list[Any]:
            async with make_pipeline() as pipeline:
                return await outcomes(
                    pipeline, [links.get(made[0].id)] * (MAX_PENDING_COMMANDS + 10)
                )

        results = asyncio.run(run())
        assert results[:MAX_PENDING_COMMANDS] == [made[0]] * MAX_PENDING_COMMANDS
        assert [type(result) for result in results[MAX_PENDING_COMMANDS:]] == [Unavailable] * 10

    def test_a_queue_that_was_full_takes_calls_again(
        self, make_pipeline: Callable[[], AutoPipeline], made: list[Link]
    ) -> None:
        async def run() -> Link | None:
            async with make_pipeline() as pipeline:
                await outcomes(pipeline, [links.get(made[0].id)] * (MAX_PENDING_COMMANDS + 10))
                return await pipeline.run(links.get(made[1].id))

        assert asyncio.run(run()) == made[1]


class TestStalledStore:
    def test_callers_learn_within_two_seconds_and_are_served_again_in_one(
        self,
        own_store: Store,
        make_pipeline: Callable[[], AutoPipeline],
        run_in_loop: Run,
        made: list[Link],
    ) -> None:
        async def run() -> tuple[list[Any], float, float]:
            async with make_pipeline() as pipeline:
                assert await pipeline.run(links.get(made[0].id)) == made[0]
                with Stalled(own_store):
                    results, took = await timed(
                        outcomes(pipeline, [mixed(link) for link in made * 15])
                    )
                return results, took, await until_answered(pipeline, made[0])

        results, took, back_after = run_in_loop(run())
        assert {type(result) for result in results} == {Unavailable}
        assert 1 < took < 2
        assert back_after < 1

    def test_callers_that_come_meanwhile_wait_no_longer(
        self, own_store: Store, make_pipeline: Callable[[], AutoPipeline], made: list[Link]
    ) -> None:
        async def one(pipeline: AutoPipeline, link: Link) -> tuple[list[Any], float]:
            return await timed(outcomes(pipeline, [mixed(link)]))

        async def run() -> list[tuple[list[Any], float]]:
            async with make_pipeline() as pipeline:
                with Stalled(own_store):
                    callers = []
                    for link in made[:30]:
                        callers.append(asyncio.create_task(one(pipeline, link)))
                        await asyncio.sleep(0.05)
                    return await asyncio.gather(*callers)

        results = asyncio.run(run())
        assert {type(result) for (result,), _ in results} == {Unavailable}
        assert max(took for _, took in results) < 2

    def test_a_short_stall_goes_unnoticed(
        self, own_store: Store, make_pipeline: Callable[[], AutoPipeline], made: list[Link]
    ) -> None:
        async def run() -> list[Any]:
            async with make_pipeline() as pipeline:
                with Stalled(own_store):
                    callers = asyncio.create_task(
                        outcomes(pipeline, [mixed(link) for link in made])
                    )
                    await asyncio.sleep(0.2)
                return await callers

        assert asyncio.run(run()) == made

    def test_nothing_is_sent_twice(
        self,
        own_store: Store,
        make_pipeline: Callable[[], AutoPipeline],
        client: Client,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("service.storage.pipeline.REDIS_TIMEOUT_SECONDS", 0.2)
        count = COUNT

        async def run() -> list[Any]:
            async with make_pipeline() as pipeline:
                await pipeline.run(count)
                with Stalled(own_store):
                    return await outcomes(pipeline, [count])

        assert [type(result) for result in asyncio.run(run())] == [Unavailable]
        assert client.run(command(int, "GET", COUNTER)) <= 2

    def test_stalls_leave_no_connections_behind(
        self,
        own_store: Store,
        make_pipeline: Callable[[], AutoPipeline],
        client: Client,
        made: list[Link],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("service.storage.pipeline.REDIS_TIMEOUT_SECONDS", 0.05)

        async def run() -> list[Any]:
            async with make_pipeline() as pipeline:
                for _ in range(10):
                    with Stalled(own_store):
                        results = await outcomes(pipeline, [links.get(made[0].id)] * 1000)
                        assert {type(result) for result in results} == {Unavailable}
                    await until_answered(pipeline, made[0])
                wait_until(
                    lambda: connections(own_store) <= before + 1,
                    "connections that were given up to be closed",
                )
                return await outcomes(pipeline, [mixed(link) for link in made])

        before = connections(own_store)
        assert asyncio.run(run()) == made


class TestKilledStore:
    def test_callers_learn_at_once_and_are_served_again_a_second_after_the_restart(
        self, own_store: Store, make_pipeline: Callable[[], AutoPipeline], made: list[Link]
    ) -> None:
        async def run() -> tuple[list[Any], float, float]:
            async with make_pipeline() as pipeline:
                assert await pipeline.run(links.get(made[0].id)) == made[0]
                own_store.kill()
                try:
                    results, took = await timed(outcomes(pipeline, [mixed(link) for link in made]))
                finally:
                    await asyncio.to_thread(own_store.start)
                return results, took, await until_answered(pipeline, made[0])

        results, took, back_after = asyncio.run(run())
        assert {type(result) for result in results} == {Unavailable}
        assert took < 0.5
        assert back_after < 1

    def test_callers_under_way_learn_at_once(
        self, own_store: Store, make_pipeline: Callable[[], AutoPipeline], made: list[Link]
    ) -> None:
        async def run() -> tuple[list[Any], float]:
            async with make_pipeline() as pipeline:
                return await outcomes_of_a_kill(own_store, pipeline, made)

        results, took = asyncio.run(run())
        assert {type(result) for result in results} == {Unavailable}
        assert took < 0.5

    def test_what_was_acknowledged_is_there_after_the_restart(
        self, own_store: Store, make_pipeline: Callable[[], AutoPipeline], made: list[Link]
    ) -> None:
        async def run() -> list[Any]:
            async with make_pipeline() as pipeline:
                own_store.kill()
                await asyncio.to_thread(own_store.start)
                await until_answered(pipeline, made[0])
                return await outcomes(pipeline, [mixed(link) for link in made])

        assert asyncio.run(run()) == made

    @pytest.mark.parametrize("turns", range(1, 9))
    def test_a_connection_that_is_lost_as_soon_as_it_is_made_is_made_again(
        self,
        own_store: Store,
        make_pipeline: Callable[[], AutoPipeline],
        run_in_loop: Run,
        made: list[Link],
        turns: int,
    ) -> None:
        """The store resets it at whatever turn of the loop."""

        async def run() -> float:
            async with make_pipeline() as pipeline:
                callers = asyncio.create_task(outcomes(pipeline, [links.get(made[0].id)]))
                for _ in range(turns):
                    await asyncio.sleep(0.0005)
                own_store.kill()
                await callers
                await asyncio.to_thread(own_store.start)
                return await until_answered(pipeline, made[0])

        assert run_in_loop(run()) < 1

    def test_a_connection_that_the_store_closed_fails_those_on_it_at_most(
        self, make_pipeline: Callable[[], AutoPipeline], client: Client, made: list[Link]
    ) -> None:
        async def run() -> list[Any]:
            async with make_pipeline() as pipeline:
                await outcomes(pipeline, [mixed(link) for link in made])
                await asyncio.to_thread(
                    client.run, command(int, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                )
                await until_answered(pipeline, made[0])
                return await outcomes(pipeline, [mixed(link) for link in made])

        assert asyncio.run(run()) == made


class TestOverTls:
    """``rediss://``, with a CA of one's own."""

    LONG = "x" * 200_000
    """More than a record holds (RFC 8446, 5.1)."""

    @pytest.fixture
    def port(self) -> int:
        return free_port()

    @pytest.fixture
    def authority(self, tmp_path: Path) -> Path:
        return self_signed(tmp_path).certificate

    @pytest.fixture
    def own_store(self, redis_binary: str, port: int, authority: Path) -> Iterator[Store]:
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
    def url(self, own_store: Store, port: int, authority: Path) -> str:
        return f"rediss://127.0.0.1:{port}?ssl_ca_certs={authority}"

    @pytest.fixture
    def make_pipeline(self, url: str) -> Callable[[], AutoPipeline]:
        return lambda: AutoPipeline(connect_async(url))

    def test_every_caller_gets_its_own_reply(
        self, make_pipeline: Callable[[], AutoPipeline], run_in_loop: Run, made: list[Link]
    ) -> None:
        async def run() -> list[Any]:
            async with make_pipeline() as pipeline:
                return await outcomes(pipeline, [mixed(link) for link in made * 10])

        assert run_in_loop(run()) == made * 10

    def test_a_long_command_and_a_long_reply_come_whole(
        self, make_pipeline: Callable[[], AutoPipeline], run_in_loop: Run, made: list[Link]
    ) -> None:
        async def run() -> list[Any]:
            async with make_pipeline() as pipeline:
                await pipeline.run(command(bool, "SET", "long", self.LONG))
                return await outcomes(
                    pipeline, [mixed(made[0]), command(str, "GET", "long"), mixed(made[1])] * 5
                )

        assert run_in_loop(run()) == [made[0], self.LONG, made[1]] * 5

    def test_callers_learn_at_once_that_the_store_is_gone_and_are_served_again_after_the_restart(
        self,
        own_store: Store,
        make_pipeline: Callable[[], AutoPipeline],
        run_in_loop: Run,
        made: list[Link],
    ) -> None:
        async def run() -> tuple[list[Any], float, float]:
            async with make_pipeline() as pipeline:
                return *await outcomes_of_a_kill(own_store, pipeline, made), await until_answered(
                    pipeline, made[0]
                )

        results, took, back_after = run_in_loop(run())
        assert {type(result) for result in results} == {Unavailable}
        assert took < 0.5
        assert back_after < 1

    def test_a_stranger_who_answers_in_its_place_is_told_nothing(
        self, url: str, run_in_loop: Run, made: list[Link]
    ) -> None:
        async def run() -> list[Any]:
            async with AutoPipeline(connect_async(url.partition("?")[0])) as pipeline:
                return await outcomes(pipeline, [links.get(made[0].id)])

        assert [type(result) for result in run_in_loop(run())] == [Unavailable]

    def test_the_client_of_other_processes_knows_it_too(self, url: str, made: list[Link]) -> None:
        client = Client(connect(url))
        assert client.run(links.get(made[0].id)) == made[0]
        client.close()


class TestCancelledCallers:
    def test_a_caller_that_goes_away_disturbs_no_other(
        self,
        own_store: Store,
        make_pipeline: Callable[[], AutoPipeline],
        run_in_loop: Run,
        made: list[Link],
    ) -> None:
        async def run() -> list[Any]:
            async with make_pipeline() as pipeline:
                with Stalled(own_store):
                    callers = [asyncio.create_task(pipeline.run(mixed(link))) for link in made]
                    await asyncio.sleep(0.05)
                    for caller in callers[::3]:
                        caller.cancel()
                    await asyncio.gather(*callers[::3], return_exceptions=True)
                return await asyncio.gather(*callers, return_exceptions=True)

        results = run_in_loop(run())
        assert {type(result) for result in results[::3]} == {asyncio.CancelledError}
        assert [result for number, result in enumerate(results) if number % 3] == [
            link for number, link in enumerate(made) if number % 3
        ]

    def test_who_comes_after_it_gets_the_right_reply(
        self, own_store: Store, make_pipeline: Callable[[], AutoPipeline], made: list[Link]
    ) -> None:
        async def run() -> list[Any]:
            async with make_pipeline() as pipeline:
                with Stalled(own_store):
                    callers = [asyncio.create_task(pipeline.run(mixed(link))) for link in made]
                    await asyncio.sleep(0.05)
                    for caller in callers:
                        caller.cancel()
                    later = asyncio.create_task(
                        outcomes(pipeline, [mixed(link) for link in made[::-1]])
                    )
                    await asyncio.sleep(0)
                return await later

        assert asyncio.run(run()) == made[::-1]

    def test_what_it_asked_for_and_was_sent_is_done(
        self, own_store: Store, make_pipeline: Callable[[], AutoPipeline], client: Client
    ) -> None:
        async def run() -> None:
            async with make_pipeline() as pipeline:
                await pipeline.run(outbox.has_pending("00"))
                with Stalled(own_store):
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
        made: list[Link],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Callers go away, and pipelines are given up, at moments that chance chooses."""
        chance = random.Random(4226)  # noqa: S311 - nothing to guess
        seen: Counter[str] = Counter()

        async def one(pipeline: AutoPipeline, link: Link) -> None:
            try:
                async with asyncio.timeout(
                    chance.uniform(0, 0.02) if chance.random() < 0.3 else None
                ):
                    assert await pipeline.run(mixed(link)) == link
                seen["served"] += 1
            except Unavailable:
                seen["given up"] += 1
            except TimeoutError:
                seen["gone"] += 1

        async def run() -> None:
            async with make_pipeline() as pipeline:
                for _ in range(300):
                    monkeypatch.setattr(
                        "service.storage.pipeline.REDIS_TIMEOUT_SECONDS", chance.uniform(0, 0.004)
                    )
                    await asyncio.gather(*(one(pipeline, link) for link in chance.sample(made, 20)))

        run_in_loop(run())
        assert set(seen) == {"served", "given up", "gone"}, seen


class TestClosing:
    def test_a_caller_under_way_learns_that_the_pipelinecloses(
        self, own_store: Store, make_pipeline: Callable[[], AutoPipeline], made: list[Link]
    ) -> None:
        async def run() -> list[Any]:
            with Stalled(own_store):
                async with make_pipeline() as pipeline:
                    callers = asyncio.create_task(
                        outcomes(pipeline, [mixed(link) for link in made])
                    )
                    await asyncio.sleep(0.05)
                return await asyncio.wait_for(callers, 3)

        assert {type(result) for result in asyncio.run(run())} == {Unavailable}

    @pytest.mark.parametrize("turns", range(8))
    def test_a_caller_learns_it_too_while_the_pipelineconnects(
        self,
        own_store: Store,
        make_pipeline: Callable[[], AutoPipeline],
        made: list[Link],
        turns: int,
    ) -> None:
        async def run() -> list[Any]:
            with Stalled(own_store):
                async with make_pipeline() as pipeline:
                    callers = asyncio.create_task(outcomes(pipeline, [links.get(made[0].id)] * 100))
                    for _ in range(turns):
                        await asyncio.sleep(0)
                return await asyncio.wait_for(callers, 3)

        assert {type(result) for result in asyncio.run(run())} == {Unavailable}

    def test_who_calls_a_closed_pipelinelearns_it_too(
        self, make_pipeline: Callable[[], AutoPipeline], made: list[Link]
    ) -> None:
        async def run() -> list[Any]:
            async with make_pipeline() as pipeline:
                pass
            return await asyncio.wait_for(outcomes(pipeline, [links.get(made[0].id)]), 3)

        assert [type(result) for result in asyncio.run(run())] == [Unavailable]

    @pytest.mark.parametrize("turns", range(1, 12))
    def test_a_pipelinecloses_whatever_it_is_at(
        self, make_pipeline: Callable[[], AutoPipeline], made: list[Link], turns: int
    ) -> None:
        async def run() -> list[Any]:
            pipeline = await make_pipeline().__aenter__()
            await pipeline.run(links.get(made[0].id))
            caller = asyncio.create_task(outcomes(pipeline, [links.get(made[1].id)]))
            for _ in range(turns):
                await asyncio.sleep(0)
            assert await closes(pipeline)
            return await asyncio.wait_for(caller, 1)

        (result,) = asyncio.run(run())
        assert result == made[1] or type(result) is Unavailable

    def test_a_closed_pipelineleaves_no_connections(
        self, own_store: Store, client: Client, made: list[Link]
    ) -> None:
        async def run() -> None:
            async with AutoPipeline(connect_async(own_store.url)) as pipeline:
                await outcomes(pipeline, [mixed(link) for link in made])
                assert connections(own_store) > before

        before = connections(own_store)
        asyncio.run(run())
        wait_until(
            lambda: connections(own_store) == before, "the pipeline's connections to be closed"
        )
