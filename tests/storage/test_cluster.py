"""Redis Cluster and Sentinel: all commands work there as on a single server."""

import asyncio
import time
from collections.abc import Iterator
from itertools import compress
from typing import Any, NamedTuple

import msgspec
import pytest
import redis

from service.errors import Unavailable
from service.health import store as heartbeats
from service.links import mail_store
from service.links import store as links
from service.links.model import Delivery, DeliveryState, Link, Status
from service.links.store import RevokeOutcome
from service.outbox import store as outbox
from service.outbox.queues import LINK_QUEUE
from service.storage import data_version, keys
from service.storage.client import RedisClient, open_client
from service.storage.command import Command, command
from service.storage.connect import create_queue_client, create_transport
from service.storage.pipeline import AutoPipeline
from service.values.ids import partition_of
from tests.support.clock import Clock
from tests.support.factories import ADMIN, MILLISECOND, RETENTION, make_link
from tests.support.redis_cluster import redis_cluster
from tests.support.redis_commands import COMMANDS, HOUR
from tests.support.sentinel import run_sentinel
from tests.support.servers import RedisServer, free_port, store, valkey_server

STRICT = "#!lua\n"
"""A script that begins with it may not use keys of two slots, even on one node."""


class Server(NamedTuple):
    """The URL for the service, and the process."""

    url: str
    process: RedisServer


@pytest.fixture(scope="module")
def cluster() -> Iterator[Server]:
    """A cluster of one node."""
    with redis_cluster(primaries=1, replicas=0) as started:
        yield Server(started.url, started.nodes[0].server)


@pytest.fixture(scope="module")
def sentinel() -> Iterator[Server]:
    """A Sentinel with one master."""
    master_port = free_port()
    with (
        store(valkey_server(), "--port", str(master_port)) as master,
        run_sentinel(master_port) as port,
    ):
        yield Server(f"redis+sentinel://127.0.0.1:{port}/main", master)


@pytest.fixture(params=["cluster", "sentinel"])
def server(request: pytest.FixtureRequest) -> Server:
    """Either of them, empty."""
    found: Server = request.getfixturevalue(request.param)
    with redis.Redis.from_url(found.process.url) as connection:
        connection.flushall()
        connection.script_flush()
    return found


@pytest.fixture
def client(server: Server) -> Iterator[RedisClient]:
    with open_client(server.url) as client:
        yield client


class Scenario(NamedTuple):
    """Commands on three links, one claimed and one revoked, and their replies."""

    commands: list[Command[Any]]
    replies: list[Any]


@pytest.fixture
def scenario(clock: Clock) -> Scenario:
    now = clock.now
    made: list[Link] = [
        make_link(now + number * MILLISECOND, scheduled_at=now if number else None)
        for number in range(3)
    ]
    first, second, third = made
    partition = keys.partition_of_link(first.id)
    revoked = msgspec.structs.replace(third, revoked_at=now, delivery=Delivery(DeliveryState.NONE))
    steps: list[tuple[Command[Any], Any]] = [
        *((links.create(link, now=now, retention=RETENTION), True) for link in made),
        (links.create(first, now=now, retention=RETENTION), False),
        (links.get(first.id), first),
        (links.revoke(third, now=now, retention=RETENTION, actor=ADMIN), RevokeOutcome.REVOKED),
        (links.revoke(third, now=now, retention=RETENTION, actor=ADMIN), RevokeOutcome.ENDED),
        (links.get(third.id), revoked),
        (
            links.read_page("acme", now=now, retention=RETENTION, limit=9),
            links.Page(
                3,
                dict.fromkeys(Status, 0) | {Status.ACTIVE: 2, Status.REVOKED: 1},
                [revoked, second, first],
                [],
                None,
            ),
        ),
        (outbox.has_pending(partition), True),
        (
            outbox.read_due(partition, now=now + HOUR),
            outbox.Due([LINK_QUEUE], unsent=2, oldest=now),
        ),
        (
            outbox.claim(LINK_QUEUE, partition, now=now, lease_deadline=now + HOUR, limit=9),
            [keys.local_id(second.id), keys.local_id(first.id)],
        ),
        (outbox.claim(LINK_QUEUE, partition, now=now, lease_deadline=now + HOUR, limit=9), []),
        (
            outbox.renew(
                LINK_QUEUE,
                partition,
                [keys.local_id(link.id) for link in (first, third)],
                lease_deadline=now + HOUR,
                until=now + 2 * HOUR,
            ),
            [keys.local_id(first.id)],
        ),
        (mail_store.load_claimed(partition, [first.id]), [first]),
        (heartbeats.remove("scheduler", "host:1"), False),
        (heartbeats.read("scheduler"), []),
    ]
    return Scenario([step for step, _ in steps], [answer for _, answer in steps])


def test_replies_are_those_of_a_single_server(client: RedisClient, scenario: Scenario) -> None:
    assert [client.run(step) for step in scenario.commands] == scenario.replies


def test_an_empty_store_gets_this_version_and_old_data_is_refused(
    client: RedisClient, clock: Clock
) -> None:
    data_version.ensure_version(client)
    data_version.ensure_version(client)
    for key in (keys.DATA_VERSION_KEY, *keys.DATA_VERSION_COPIES):
        client.run(command(bool, "DEL", key))
    client.run(links.create(make_link(clock.now), now=clock.now, retention=RETENTION))
    with pytest.raises(data_version.WrongDataVersionError, match="of version 1,"):
        data_version.ensure_version(client)


def test_all_partitions_are_queried_together(client: RedisClient, clock: Clock) -> None:
    link = make_link(clock.now)
    client.run(links.create(link, now=clock.now, retention=RETENTION))
    found = client.run_all([outbox.has_pending(partition) for partition in keys.ALL_PARTITIONS])
    assert [*compress(keys.ALL_PARTITIONS, found)] == [partition_of("acme")]


def test_concurrent_callers_get_their_own_replies(
    server: Server, client: RedisClient, clock: Clock
) -> None:
    made = [make_link(clock.now, org_id=f"org-{number}") for number in range(100)]
    client.run_all([links.create(link, now=clock.now, retention=RETENTION) for link in made])

    async def run() -> list[Link | None]:
        async with AutoPipeline(create_transport(server.url)) as pipeline:
            return await asyncio.gather(*[pipeline.run(links.get(link.id)) for link in made])

    assert asyncio.run(run()) == made


def test_scripts_that_redis_lost_are_sent_again(
    server: Server, client: RedisClient, clock: Clock
) -> None:
    due = outbox.read_due("7c", now=clock.now)
    nothing = client.run(due)
    with redis.Redis.from_url(server.process.url) as connection:
        connection.script_flush()
    assert client.run(due) == nothing == outbox.Due([], unsent=0, oldest=None)


class TestCluster:
    @pytest.mark.parametrize("case", COMMANDS.values(), ids=COMMANDS.keys())
    def test_it_runs_every_command(self, cluster: Server, case: Command[Any]) -> None:
        with open_client(cluster.url) as client:
            client.run(case)

    @pytest.mark.parametrize("name", [name for name, case in COMMANDS.items() if case.script])
    def test_no_script_uses_a_second_slot(self, cluster: Server, name: str) -> None:
        case = COMMANDS[name]
        assert case.script is not None
        with redis.Redis.from_url(cluster.process.url) as node:
            node.execute_command("EVAL", STRICT + case.script.source, *case.args[2:])

    def test_a_script_that_uses_a_second_slot_is_refused(self, cluster: Server) -> None:
        script = f"{STRICT}redis.call('GET', KEYS[1]); return redis.call('GET', 'pl:{{01}}:x')"
        with (
            redis.Redis.from_url(cluster.process.url) as node,
            pytest.raises(redis.ResponseError, match="same slot"),
        ):
            node.execute_command("EVAL", script, 1, "pl:{00}:x")


class TestSentinel:
    def test_one_that_is_down_is_passed_over(self, sentinel: Server) -> None:
        first_down = sentinel.url.replace("://", f"://127.0.0.1:{free_port()},")
        began = time.monotonic()
        with open_client(first_down) as client:
            assert client.run(outbox.has_pending("00")) is False
        assert time.monotonic() - began < 1

    def test_without_sentinels_redis_is_unavailable(self) -> None:
        began = time.monotonic()
        with (
            open_client(f"redis+sentinel://127.0.0.1:{free_port()}/main") as client,
            pytest.raises(Unavailable),
        ):
            client.run(outbox.has_pending("00"))
        assert time.monotonic() - began < 3

    def test_queues_connect_through_it(self, sentinel: Server) -> None:
        with create_queue_client(sentinel.url) as connection:
            assert connection.ping()

    def test_its_url_contains_the_database(self, sentinel: Server) -> None:
        with create_queue_client(f"{sentinel.url}/3") as connection:
            connection.set("pl:heartbeat:test", "1")
        with redis.Redis.from_url(f"{sentinel.process.url}?db=3") as master:
            assert master.get("pl:heartbeat:test") == b"1"
