"""Clusters and Sentinels: every call stays in one slot, and works wherever Redis runs."""

import asyncio
import gc
import inspect
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from itertools import compress
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import fakeredis
import msgspec
import pytest
import redis
from redis.crc import key_slot

import service
from service.errors import Unavailable
from service.health import store as heartbeats
from service.links import deliveries
from service.links import store as links
from service.links.model import Delivery, DeliveryState, Link, Status
from service.orgs import store as orgs
from service.orgs.model import Profile
from service.otps import store as otps
from service.outbox import store as outbox
from service.outbox.queues import LINKS
from service.storage import data_version, idempotency, keys, probe
from service.storage import rate_limits as limits
from service.storage.client import Client
from service.storage.command import Command, command
from service.storage.idempotency import IdempotentRequest
from service.storage.pipeline import AutoPipeline
from service.storage.redis_url import connect, connect_async, connect_queue
from service.values.ids import partition_of
from tests.support.clock import Clock
from tests.support.factories import MILLISECOND, RETENTION, make_link
from tests.support.servers import Store, free_port, store, valkey_server, wait_until

# redis-py leaves the connections of an asynchronous cluster to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def collected() -> Iterator[None]:
    """What a test leaves to the garbage collector is collected while its own filter holds."""
    yield
    gc.collect()


NOW = Clock().now
HOUR = timedelta(hours=1)
EMAIL = "{o}{brace}+tag@example.com"
LINK = make_link(NOW, email=EMAIL)
SCHEDULED = make_link(NOW, email=EMAIL, scheduled_at=NOW + HOUR)
SILENT = make_link(NOW, email=EMAIL, notify=False)
IDS = [LINK.id, SCHEDULED.id, SILENT.id]
PARTITION = keys.partition_of_link(LINK.id)
MAILBOX_LIMITS = otps.mailbox_limits(EMAIL, resend_after=HOUR, sends_per_hour=5, sends_per_day=10)
CLIENT_LIMITS = otps.client_limits(
    {"2001:db8::/64": 1, "2001:db8::/56": 5, "2001:db8::/48": 20}, "otp_sends", 30
)
REQUEST = IdempotentRequest(LINK.org_id, "0a1b", "2c3d")
MADE: dict[str, Command[Any]] = {
    "data_version.read": data_version.read(),
    "data_version.write": data_version.write(),
    "data_version.has_links": data_version.has_links(PARTITION),
    "links.create": links.create(LINK, now=NOW, retention=RETENTION),
    "links.create (scheduled)": links.create(
        SCHEDULED, now=NOW, retention=RETENTION, request=REQUEST
    ),
    "links.create (silent)": links.create(SILENT, now=NOW, retention=RETENTION),
    "links.get": links.get(LINK.id),
    "links.revoke": links.revoke(LINK, now=NOW, retention=RETENTION),
    "links.active_ids": links.active_ids(PARTITION, EMAIL, now=NOW, offset=0, limit=9),
    "idempotency.find": idempotency.find(REQUEST),
    "orgs.list_ids": orgs.list_ids(PARTITION, now=NOW, retention=RETENTION),
    "orgs.get_profile": orgs.get_profile("acme"),
    "orgs.put_profile": orgs.put_profile("acme", Profile(display_name="Acme")),
    "links.page": links.page("acme", now=NOW, retention=RETENTION, limit=9, status=Status.ACTIVE),
    "limits.count (client)": limits.count(CLIENT_LIMITS),
    "limits.count (mailbox)": limits.count(MAILBOX_LIMITS),
    "limits.check": limits.check(otps.unverified_limit(EMAIL, "acme", 20)),
    "limits.check (tries)": limits.check(otps.try_limits(EMAIL, "2001:db8::/48", 10)),
    "limits.uncount": limits.uncount(MAILBOX_LIMITS),
    "otps.create": otps.create(EMAIL, b"n" * 16, now=NOW, ttl=HOUR),
    "otps.start_attempt": otps.start_attempt(
        EMAIL, "2001:db8::/48", now=NOW, max_tries=5, failures_per_day=10
    ),
    "otps.outstanding": otps.outstanding(EMAIL, now=NOW),
    "otps.redeem": otps.redeem(EMAIL, "2001:db8::/48", b"n" * 16, now=NOW, verified_for=HOUR),
    "otps.verified": otps.verified(EMAIL, now=NOW),
    "otps.load_claimed": otps.load_claimed(keys.otp_partition(EMAIL), [EMAIL]),
    "otps.settle": otps.settle(EMAIL, deadline=NOW, retry_at=None),
    "deliveries.claim_window": deliveries.claim_window(
        PARTITION, now=NOW, start=NOW, end=NOW + HOUR, limit=9
    ),
    "deliveries.load_claimed": deliveries.load_claimed(PARTITION, IDS),
    "deliveries.mark_sent": deliveries.mark_sent(LINK.id, now=NOW),
    "deliveries.mark_failed": deliveries.mark_failed(
        LINK.id, error="550 no such user", attempts=1, now=NOW, retention=RETENTION
    ),
    "deliveries.retry_later": deliveries.retry_later(LINK.id, error="421 try later", at=NOW),
    "deliveries.count_scheduled": deliveries.count_scheduled(PARTITION, start=NOW),
    "deliveries.failures": deliveries.failures(PARTITION, now=NOW, retention=RETENTION, limit=9),
    "outbox.claim": outbox.claim(LINKS, PARTITION, now=NOW, deadline=NOW, limit=9),
    "outbox.claim_window": outbox.claim_window(
        LINKS, PARTITION, now=NOW, start=NOW, end=NOW + HOUR, limit=9
    ),
    "outbox.renew": outbox.renew(
        LINKS, PARTITION, [keys.local_id(LINK.id)], deadline=NOW, until=NOW + HOUR
    ),
    "outbox.has_pending": outbox.has_pending(PARTITION),
    "outbox.due": outbox.due(PARTITION, now=NOW),
    "heartbeats.record": heartbeats.record("scheduler", "host:1", skew=MILLISECOND),
    "heartbeats.remove": heartbeats.remove("scheduler", "host:1"),
    "probe.find_denied_commands": probe.find_denied_commands(),
    "heartbeats.read": heartbeats.read("scheduler"),
}
"""A call of every function that gives one."""
SCRIPTS = {made.script.name: made for made in MADE.values() if made.script}
"""A call of each script."""
STRICT = "#!lua\n"
"""A script that begins with it may not touch keys of two slots, though one node has them both."""


STORES = {
    "data_version": data_version,
    "deliveries": deliveries,
    "heartbeats": heartbeats,
    "idempotency": idempotency,
    "limits": limits,
    "links": links,
    "orgs": orgs,
    "otps": otps,
    "outbox": outbox,
    "probe": probe,
}


def functions_of(store: str, module: ModuleType) -> set[str]:
    """The module's own public functions that give a command."""
    return {
        f"{store}.{name}"
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__
        and not name.startswith("_")
        and str(function.__annotations__["return"]).startswith("service.storage.command.Command")
    }


def test_every_function_that_gives_a_call_is_among_these() -> None:
    functions = {name for store, module in STORES.items() for name in functions_of(store, module)}
    assert len(functions) > 20
    assert {name.partition(" ")[0] for name in MADE} == functions


@pytest.mark.parametrize("made", MADE.values(), ids=MADE.keys())
def test_all_keys_of_a_call_are_in_one_slot(made: Command[Any]) -> None:
    assert made.keys
    assert len({key_slot(str(key).encode()) for key in made.keys}) == 1


@pytest.mark.parametrize("made", MADE.values(), ids=MADE.keys())
def test_every_key_is_the_services_own_and_known_as_one(made: Command[Any]) -> None:
    assert list(made.keys) == [
        argument for argument in made.args if str(argument).startswith("pl:")
    ]


def test_a_link_tells_its_partition() -> None:
    assert keys.partition_of_link(LINK.id) == partition_of("acme")


@pytest.mark.parametrize("made", SCRIPTS.values(), ids=SCRIPTS.keys())
def test_fakeredis_runs_every_script(made: Command[Any]) -> None:
    """Its Lua differs; the contract is held against real servers."""
    Client(fakeredis.FakeRedis(version=(7,), decode_responses=True)).run(made)


def test_every_script_is_used() -> None:
    files = Path(service.__file__).parent.glob("*/scripts/*.lua")
    scripts = {f"{path.parent.parent.name}/{path.stem}" for path in files} - {"storage/common"}
    assert {made.script.name for made in MADE.values() if made.script} == scripts


class Server(NamedTuple):
    """Where the service looks for a store, and its process."""

    url: str
    process: Store


@pytest.fixture(scope="module")
def cluster() -> Iterator[Server]:
    """A cluster of one node."""
    port, bus = free_port(), free_port()
    with store(
        valkey_server(), "--port", str(port), "--cluster-enabled", "yes", "--cluster-port", str(bus)
    ) as server:
        with redis.Redis.from_url(server.url, decode_responses=True) as node:
            node.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
        await_cluster(server)
        yield Server(f"redis+cluster://127.0.0.1:{port}", server)


@pytest.fixture(scope="module")
def sentinel() -> Iterator[Server]:
    """A Sentinel that knows one master."""
    port, master_port = free_port(), free_port()
    with (
        store(valkey_server(), "--port", str(master_port)) as master,
        tempfile.TemporaryDirectory(prefix="pl-") as directory,
    ):
        config = Path(directory) / "sentinel.conf"
        config.write_text(
            f"port {port}\ndir {directory}\nlogfile {directory}/log\nsentinel monitor main 127.0.0.1 {master_port} 1\n"
        )
        with subprocess.Popen([valkey_server(), str(config), "--sentinel"]) as process:
            try:
                wait_until(lambda: _has_master(port), "the Sentinel to know its master")
                yield Server(f"redis+sentinel://127.0.0.1:{port}/main", master)
            finally:
                process.kill()


@pytest.fixture(params=["cluster", "sentinel"])
def server(request: pytest.FixtureRequest) -> Server:
    """Each of both, empty."""
    request.getfixturevalue("collected")
    found: Server = request.getfixturevalue(request.param)
    with redis.Redis.from_url(found.process.url) as connection:
        connection.flushall()
        connection.script_flush()
    return found


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    client = Client(connect(server.url))
    yield client
    client.close()


class Story(NamedTuple):
    """Three links of which one is claimed and one revoked: what is asked, in order, and what is answered."""

    calls: list[Command[Any]]
    answers: list[Any]


@pytest.fixture
def story(clock: Clock) -> Story:
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
        (links.revoke(third, now=now, retention=RETENTION), True),
        (links.revoke(third, now=now, retention=RETENTION), False),
        (links.get(third.id), revoked),
        (
            links.page("acme", now=now, retention=RETENTION, limit=9),
            links.Page(
                3,
                {Status.ACTIVE: 2, Status.EXPIRED: 0, Status.REVOKED: 1},
                [revoked, second, first],
                [],
                None,
            ),
        ),
        (outbox.has_pending(partition), True),
        (
            outbox.due(partition, now=now + HOUR),
            outbox.Due([LINKS], unsent=2, oldest=now),
        ),
        (
            outbox.claim(LINKS, partition, now=now, deadline=now + HOUR, limit=9),
            [keys.local_id(second.id), keys.local_id(first.id)],
        ),
        (outbox.claim(LINKS, partition, now=now, deadline=now + HOUR, limit=9), []),
        (
            outbox.renew(
                LINKS,
                partition,
                [keys.local_id(link.id) for link in (first, third)],
                deadline=now + HOUR,
                until=now + 2 * HOUR,
            ),
            [keys.local_id(first.id)],
        ),
        (deliveries.load_claimed(partition, [first.id]), [first]),
        (heartbeats.remove("scheduler", "host:1"), False),
        (heartbeats.read("scheduler"), []),
    ]
    return Story([step for step, _ in steps], [answer for _, answer in steps])


def test_a_client_is_answered_as_everywhere(client: Client, story: Story) -> None:
    assert [client.run(step) for step in story.calls] == story.answers


def test_a_lane_is_answered_as_everywhere(server: Server, story: Story) -> None:
    async def run() -> list[Any]:
        async with AutoPipeline(connect_async(server.url)) as pipeline:
            return [await pipeline.run(step) for step in story.calls]

    assert asyncio.run(run()) == story.answers


def test_an_empty_store_becomes_this_release_s_and_old_data_is_refused(
    client: Client, clock: Clock
) -> None:
    data_version.claim(client)
    data_version.claim(client)
    client.run(command(bool, "DEL", keys.DATA_VERSION))
    client.run(links.create(make_link(clock.now), now=clock.now, retention=RETENTION))
    with pytest.raises(data_version.WrongDataVersionError, match="of version 1,"):
        data_version.claim(client)


def test_a_client_asks_all_partitions_at_once(client: Client, clock: Clock) -> None:
    link = make_link(clock.now)
    client.run(links.create(link, now=clock.now, retention=RETENTION))
    found = client.run_all([outbox.has_pending(partition) for partition in keys.PARTITIONS])
    assert [*compress(keys.PARTITIONS, found)] == [partition_of("acme")]


def test_a_lane_asks_all_partitions_at_once(server: Server, client: Client, clock: Clock) -> None:
    link = make_link(clock.now)
    client.run(links.create(link, now=clock.now, retention=RETENTION))

    async def run() -> list[bool]:
        async with AutoPipeline(connect_async(server.url)) as pipeline:
            return await pipeline.run_all(
                [outbox.has_pending(partition) for partition in keys.PARTITIONS]
            )

    assert [*compress(keys.PARTITIONS, asyncio.run(run()))] == [partition_of("acme")]


def test_concurrent_callers_get_their_own_replies(
    server: Server, client: Client, clock: Clock
) -> None:
    made = [make_link(clock.now, org_id=f"org-{number}") for number in range(100)]
    client.run_all([links.create(link, now=clock.now, retention=RETENTION) for link in made])

    async def run() -> list[Link | None]:
        async with AutoPipeline(connect_async(server.url)) as pipeline:
            return await pipeline.run_all([links.get(link.id) for link in made])

    assert asyncio.run(run()) == made


def test_scripts_that_were_forgotten_are_loaded_again(
    server: Server, client: Client, clock: Clock
) -> None:
    due = outbox.due("7c", now=clock.now)

    async def run() -> None:
        async with AutoPipeline(connect_async(server.url)) as pipeline:
            for _ in range(2):
                assert await pipeline.run(due) == client.run(due)
                with redis.Redis.from_url(server.process.url) as connection:
                    connection.script_flush()

    asyncio.run(run())


class TestCluster:
    @pytest.mark.parametrize("made", MADE.values(), ids=MADE.keys())
    def test_it_takes_every_call(self, cluster: Server, made: Command[Any]) -> None:
        with closing(Client(connect(cluster.url))) as client:
            client.run(made)

    @pytest.mark.parametrize("name", [name for name, made in MADE.items() if made.script])
    def test_no_script_leaves_its_slot(self, cluster: Server, name: str) -> None:
        made = MADE[name]
        assert made.script is not None
        with redis.Redis.from_url(cluster.process.url) as node:
            node.execute_command("EVAL", STRICT + made.script.source, *made.args[2:])

    def test_a_script_that_left_its_slot_would_be_refused(self, cluster: Server) -> None:
        script = f"{STRICT}redis.call('GET', KEYS[1]); return redis.call('GET', 'pl:{{01}}:x')"
        with (
            redis.Redis.from_url(cluster.process.url) as node,
            pytest.raises(redis.ResponseError, match="same slot"),
        ):
            node.execute_command("EVAL", script, 1, "pl:{00}:x")

    def test_a_client_says_that_its_node_is_away(self, cluster: Server) -> None:
        with closing(Client(connect(cluster.url))) as client:
            cluster.process.kill()
            try:
                with pytest.raises(Unavailable):
                    client.run(outbox.has_pending("00"))
            finally:
                start_cluster(cluster.process)
            assert client.run(outbox.has_pending("00")) is False

    def test_a_client_says_that_its_node_was_never_there(self) -> None:
        with pytest.raises(Unavailable):
            Client(connect(f"redis+cluster://127.0.0.1:{free_port()}")).run(
                outbox.has_pending("00")
            )

    @pytest.mark.usefixtures("collected")
    def test_a_lane_says_that_its_node_was_never_there(self) -> None:
        async def run() -> None:
            async with AutoPipeline(
                connect_async(f"redis+cluster://127.0.0.1:{free_port()}")
            ) as pipeline:
                await pipeline.run(outbox.has_pending("00"))

        with pytest.raises(Unavailable):
            asyncio.run(run())


class TestSentinel:
    @pytest.fixture
    def one_away(self, sentinel: Server) -> str:
        """The URL of two Sentinels, the first of which is down."""
        return sentinel.url.replace(
            "redis+sentinel://", f"redis+sentinel://127.0.0.1:{free_port()},"
        )

    def test_a_client_does_not_wait_for_one_that_is_down(self, one_away: str) -> None:
        began = time.monotonic()
        with closing(Client(connect(one_away))) as client:
            assert client.run(outbox.has_pending("00")) is False
        assert time.monotonic() - began < 1

    def test_a_lane_does_not_wait_for_one_that_is_down(self, one_away: str) -> None:
        async def run() -> bool:
            async with AutoPipeline(connect_async(one_away)) as pipeline:
                return await pipeline.run(outbox.has_pending("00"))

        began = time.monotonic()
        assert asyncio.run(run()) is False
        assert time.monotonic() - began < 1

    def test_without_any_the_store_is_unavailable(self) -> None:
        began = time.monotonic()
        with (
            closing(Client(connect(f"redis+sentinel://127.0.0.1:{free_port()}/main"))) as client,
            pytest.raises(Unavailable),
        ):
            client.run(outbox.has_pending("00"))
        assert time.monotonic() - began < 3

    def test_queues_find_their_master_through_it(self, sentinel: Server) -> None:
        with connect_queue(sentinel.url) as connection:
            assert connection.ping()

    def test_its_url_names_the_database(self, sentinel: Server) -> None:
        with connect_queue(f"{sentinel.url}/3") as connection:
            connection.set("pl:heartbeat:test", "1")
        with redis.Redis.from_url(f"{sentinel.process.url}?db=3") as master:
            assert master.get("pl:heartbeat:test") == b"1"


def start_cluster(server: Store) -> None:
    """Starts a node that is down."""
    server.start()
    await_cluster(server)


def await_cluster(server: Store) -> None:
    with redis.Redis.from_url(server.url) as node:
        wait_until(lambda: node.cluster("INFO")["cluster_state"] == "ok", "the cluster to be ready")


def _has_master(port: int) -> bool:
    with redis.Redis(port=port, decode_responses=True) as connection:
        try:
            return bool(connection.sentinel_master("main")["flags"] == "master")
        except redis.RedisError:
            return False
