"""The transport to a cluster: each node has a queue of its own, and moved slots are found."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from service.errors import Unavailable
from service.storage import keys
from service.storage.cluster import MAX_RESENDS_PER_SECOND, MIN_REFRESH_SECONDS
from service.storage.command import Command, Script, command
from service.storage.connect import create_transport
from service.storage.error_descriptions import describe_failure
from service.storage.multiplexed_connection import MAX_PENDING_COMMANDS
from service.storage.pipeline import REDIS_TIMEOUT_SECONDS, AutoPipeline
from tests.support.redis_cluster import (
    ClusterNode,
    RedisCluster,
    free_ports,
    redis_cluster,
    slot_of,
    url_of,
)
from tests.support.servers import store, valkey_server, wait_until

Scenario = Callable[[AutoPipeline], Awaitable[Any]]
PARTITION = "3f"
BACK_WITHIN = 4.0
"""Seconds in which a node is used again, on a busy machine: it is tried once a second."""
COUNTER = f"pl:{{{PARTITION}}}:counter"
OTHER_COUNTER = f"pl:{{{PARTITION}}}:other"
COUNT = command(int, "INCR", COUNTER)
READ = command(int, "GET", COUNTER)
BOTH = "return redis.call('INCR', KEYS[1]) + redis.call('INCR', KEYS[2])"
COUNT_BOTH = Command(
    ("EVAL", BOTH, 2, COUNTER, OTHER_COUNTER),
    int,
    Script("both", "", ""),
)


@pytest.fixture(scope="module")
def nodes() -> Iterator[RedisCluster]:
    """Three primaries without replicas."""
    with redis_cluster(primaries=3, replicas=0) as started:
        yield started


@pytest.fixture
def cluster(nodes: RedisCluster) -> Iterator[RedisCluster]:
    """The cluster, empty, and whole again after the test."""
    nodes.flush()
    yield nodes
    nodes.restore()


def run(url: str, scenario: Scenario) -> Any:
    async def main() -> Any:
        async with AutoPipeline(create_transport(url)) as pipeline:
            return await scenario(pipeline)

    return asyncio.run(main())


def count_in(partition: str) -> Command[int]:
    return command(int, "INCR", f"pl:{{{partition}}}:counter")


def partition_elsewhere(cluster: RedisCluster) -> str:
    """A partition whose primary is not that of ``PARTITION``."""
    owner = cluster.primary_of(PARTITION)
    return next(each for each, node in cluster.owners().items() if node is not owner)


async def timed(pipeline: AutoPipeline, command: Command[Any]) -> tuple[Any, float]:
    """The reply or the ``Unavailable``, and the seconds until it came."""
    began = time.monotonic()
    found: Any = await asyncio.gather(pipeline.run(command), return_exceptions=True)
    return found[0], time.monotonic() - began


async def seconds_until_answered(pipeline: AutoPipeline) -> float:
    began = time.monotonic()
    while True:
        try:
            await pipeline.run(COUNT)
        except Unavailable:
            await asyncio.sleep(0.05)
        else:
            return time.monotonic() - began


@contextmanager
def slot_on_the_move(cluster: RedisCluster) -> Iterator[Callable[[str], None]]:
    """The slot of ``PARTITION`` moves to another node; what is given moves a key.

    At the end it is where it was.
    """
    slot = slot_of(PARTITION)
    source = cluster.owner_of(slot)
    target = next(node for node in cluster.primaries if node is not source)
    cluster.start_moving(slot, target)

    def move(key: str) -> None:
        assert source.redis.execute_command("MIGRATE", "127.0.0.1", target.port, key, 0, 5000)

    try:
        yield move
    finally:
        target.redis.flushall()
        for node in cluster.nodes:
            node.redis.execute_command("CLUSTER SETSLOT", slot, "STABLE")
            node.redis.execute_command("CLUSTER SETSLOT", slot, "NODE", source.id)


class TestNodes:
    def test_each_partition_is_on_the_node_of_its_slot(self, cluster: RedisCluster) -> None:
        async def scenario(pipeline: AutoPipeline) -> Any:
            return await pipeline.run_all([count_in(each) for each in keys.ALL_PARTITIONS])

        assert run(cluster.url, scenario) == [1] * 256
        sizes = [node.redis.dbsize() for node in cluster.nodes]
        assert sum(sizes) == 256
        assert min(sizes) > 60

    def test_all_partitions_together_take_one_write_a_node(self, cluster: RedisCluster) -> None:
        async def scenario(pipeline: AutoPipeline) -> Any:
            asked = [count_in(each) for each in keys.ALL_PARTITIONS]
            await pipeline.run_all(asked)
            before = reads_of(cluster)
            await pipeline.run_all(asked)
            return [after - first for after, first in zip(reads_of(cluster), before, strict=True)]

        # what is read beside it: the command that asks, and nodes that talk to each other
        assert max(run(cluster.url, scenario)) <= 3

    @pytest.mark.parametrize("fault", ["kill", "pause"])
    def test_a_lost_node_costs_its_own_commands_only(
        self, cluster: RedisCluster, fault: str
    ) -> None:
        lost, elsewhere = cluster.primary_of(PARTITION), partition_elsewhere(cluster)

        async def scenario(pipeline: AutoPipeline) -> None:
            await pipeline.run_all([count_in(each) for each in keys.ALL_PARTITIONS])
            getattr(lost, fault)()
            waiting = asyncio.create_task(timed(pipeline, COUNT))
            for _ in range(50):
                found, seconds = await timed(pipeline, count_in(elsewhere))
                assert isinstance(found, int)
                assert seconds < REDIS_TIMEOUT_SECONDS / 2
                await asyncio.sleep(0.01)
            found, seconds = await waiting
            assert isinstance(found, Unavailable)
            assert seconds < REDIS_TIMEOUT_SECONDS + 0.5

        run(cluster.url, scenario)

    def test_a_full_queue_of_one_node_is_full_for_no_other(self, cluster: RedisCluster) -> None:
        lost, elsewhere = cluster.primary_of(PARTITION), partition_elsewhere(cluster)

        async def scenario(pipeline: AutoPipeline) -> None:
            await pipeline.run_all([COUNT, count_in(elsewhere)])
            lost.pause()
            waiting = [
                asyncio.create_task(pipeline.run(COUNT)) for _ in range(MAX_PENDING_COMMANDS + 1)
            ]
            await asyncio.sleep(0.1)
            assert isinstance(await pipeline.run(count_in(elsewhere)), int)
            refused = [each.exception() for each in waiting if each.done()]
            assert [str(error) for error in refused] == ["too many commands wait for Redis"]
            await asyncio.gather(*waiting, return_exceptions=True)

        run(cluster.url, scenario)

    def test_slots_are_read_anew_after_a_queue_was_full(self, cluster: RedisCluster) -> None:
        lost = cluster.primary_of(PARTITION)

        async def scenario(pipeline: AutoPipeline) -> int:
            await pipeline.run(COUNT)
            lost.pause()
            waiting, ends_at = set[asyncio.Task[int]](), time.monotonic() + 3
            while time.monotonic() < ends_at:
                waiting |= {asyncio.create_task(pipeline.run(COUNT)) for _ in range(300)}
                await asyncio.sleep(0.02)
            await asyncio.gather(*waiting, return_exceptions=True)
            before = slots_read(cluster)
            await asyncio.sleep(2 * MIN_REFRESH_SECONDS)
            return slots_read(cluster) - before

        assert run(cluster.url, scenario) >= 1

    @pytest.mark.parametrize("fault", ["kill", "pause"])
    def test_a_node_that_is_back_is_used_again(self, cluster: RedisCluster, fault: str) -> None:
        lost = cluster.primary_of(PARTITION)

        async def scenario(pipeline: AutoPipeline) -> float:
            await pipeline.run(COUNT)
            getattr(lost, fault)()
            with pytest.raises(Unavailable):
                await pipeline.run(COUNT)
            cluster.restore()
            return await seconds_until_answered(pipeline)

        assert run(cluster.url, scenario) < BACK_WITHIN

    @pytest.mark.parametrize(
        ("fault", "reason"),
        [("kill", "Connection refused"), ("pause", "it does not answer in time")],
    )
    def test_nobody_waits_for_a_node_that_has_failed(
        self, cluster: RedisCluster, fault: str, reason: str
    ) -> None:
        lost = cluster.primary_of(PARTITION)

        async def scenario(pipeline: AutoPipeline) -> None:
            await pipeline.run(COUNT)
            getattr(lost, fault)()
            await timed(pipeline, COUNT)
            ends_at = time.monotonic() + 3 * REDIS_TIMEOUT_SECONDS
            while time.monotonic() < ends_at:
                found, seconds = await timed(pipeline, COUNT)
                assert isinstance(found, Unavailable)
                assert seconds < 0.2
                await asyncio.sleep(0.05)
            assert describe_failure(found) == reason

        run(cluster.url, scenario)

    def test_a_command_that_may_have_run_is_not_sent_again(self, cluster: RedisCluster) -> None:
        lost = cluster.primary_of(PARTITION)

        async def scenario(pipeline: AutoPipeline) -> int:
            await pipeline.run(COUNT)
            lost.pause()
            with pytest.raises(Unavailable):
                await pipeline.run(COUNT)
            cluster.restore()
            await asyncio.sleep(2 * MIN_REFRESH_SECONDS)
            return await pipeline.run(READ)

        assert run(cluster.url, scenario) <= 2

    def test_a_command_that_cannot_be_written_affects_no_other(self, cluster: RedisCluster) -> None:
        unwritable = command(str, "SET", COUNTER, "\udcff")
        counts = [count_in(each) for each in keys.ALL_PARTITIONS]

        async def scenario(pipeline: AutoPipeline) -> Any:
            sent = pipeline.run(unwritable), pipeline.run_all(counts)
            found = await asyncio.gather(*sent, return_exceptions=True)
            cluster.primary_of(PARTITION).redis.client_kill_filter(_type="normal")
            await seconds_until_answered(pipeline)  # once the slots were read anew
            return found

        error, counted = run(url_of([cluster.primary_of(PARTITION)]), scenario)
        assert isinstance(error, UnicodeEncodeError)
        assert counted == [1] * 256


class TestSlots:
    def test_a_slot_that_has_moved_is_found(self, cluster: RedisCluster) -> None:
        slot = slot_of(PARTITION)
        source = cluster.owner_of(slot)
        target = next(node for node in cluster.primaries if node is not source)

        async def scenario(pipeline: AutoPipeline) -> tuple[int, int]:
            await pipeline.run(COUNT)
            cluster.move_slot(slot, target)
            return await pipeline.run(COUNT), await pipeline.run(COUNT)

        try:
            assert run(cluster.url, scenario) == (2, 3)
        finally:
            cluster.move_slot(slot, source)

    @pytest.mark.parametrize("endpoints", ["hostname", "unknown-endpoint"])
    def test_nodes_that_have_no_names_are_found(
        self, cluster: RedisCluster, endpoints: str
    ) -> None:
        slot = slot_of(PARTITION)
        source = cluster.owner_of(slot)
        target = next(node for node in cluster.primaries if node is not source)
        cluster.configure(cluster_preferred_endpoint_type=endpoints)

        async def scenario(pipeline: AutoPipeline) -> list[int]:
            await pipeline.run_all([count_in(each) for each in keys.ALL_PARTITIONS])
            cluster.move_slot(slot, target)
            return [await pipeline.run(COUNT), await pipeline.run(COUNT)]

        try:
            assert run(cluster.url, scenario) == [2, 3]
        finally:
            cluster.configure(cluster_preferred_endpoint_type="ip")
            cluster.move_slot(slot, source)

    def test_a_node_whose_port_another_service_has_taken_is_found_elsewhere(
        self, cluster: RedisCluster
    ) -> None:
        node = cluster.primary_of(PARTITION)

        def announce(port: int) -> None:
            node.redis.config_set("cluster-announce-client-port", port)
            wait_until(lambda: all(port in ports_of(each) for each in cluster.nodes), "the port")

        async def scenario(pipeline: AutoPipeline) -> float:
            server = await asyncio.start_server(speak_http, "127.0.0.1", 0)
            async with server:
                announce(server.sockets[0].getsockname()[1])
                while isinstance((await timed(pipeline, COUNT))[0], int):
                    node.redis.client_kill_filter(_type="normal")
                    await asyncio.sleep(MIN_REFRESH_SECONDS)
                announce(node.port)
                return await seconds_until_answered(pipeline)

        assert run(cluster.url, scenario) < BACK_WITHIN

    def test_a_key_that_has_moved_already_is_found(self, cluster: RedisCluster) -> None:
        async def scenario(pipeline: AutoPipeline) -> tuple[int, int]:
            await pipeline.run(COUNT)
            with slot_on_the_move(cluster) as move:
                move(COUNTER)
                return await pipeline.run(COUNT), await pipeline.run(READ)

        assert run(cluster.url, scenario) == (2, 2)

    def test_a_script_waits_until_all_its_keys_have_moved(self, cluster: RedisCluster) -> None:
        async def scenario(pipeline: AutoPipeline) -> int:
            await pipeline.run(COUNT_BOTH)
            with slot_on_the_move(cluster) as move:
                move(COUNTER)
                waiting = asyncio.create_task(pipeline.run(COUNT_BOTH))
                await asyncio.sleep(0.3)
                assert not waiting.done()
                move(OTHER_COUNTER)
                return await waiting

        assert run(cluster.url, scenario) == 4

    def test_a_script_waits_no_longer_than_its_caller(self, cluster: RedisCluster) -> None:
        async def scenario(pipeline: AutoPipeline) -> tuple[Any, float]:
            await pipeline.run(COUNT_BOTH)
            with slot_on_the_move(cluster) as move:
                move(COUNTER)
                return await timed(pipeline, COUNT_BOTH)

        found, seconds = run(cluster.url, scenario)
        assert isinstance(found, Unavailable)
        assert REDIS_TIMEOUT_SECONDS <= seconds < REDIS_TIMEOUT_SECONDS + 0.5

    def test_scripts_that_wait_are_sent_again_only_so_often(self, cluster: RedisCluster) -> None:
        async def scenario(pipeline: AutoPipeline) -> float:
            await pipeline.run(COUNT_BOTH)
            with slot_on_the_move(cluster) as move:
                move(COUNTER)
                before, began = refused_scripts(cluster), time.monotonic()
                waiting = [timed(pipeline, COUNT_BOTH) for _ in range(1000)]
                found = [reply for reply, _ in await asyncio.gather(*waiting)]
                assert {type(reply) for reply in found} == {Unavailable}
                return (refused_scripts(cluster) - before) / (time.monotonic() - began)

        # each is sent once at once, and the pauses begin short
        assert run(cluster.url, scenario) < 2 * MAX_RESENDS_PER_SECOND

    def test_slots_are_read_once_a_second_at_most(self, cluster: RedisCluster) -> None:
        lost = cluster.primary_of(PARTITION)

        async def scenario(pipeline: AutoPipeline) -> int:
            await pipeline.run(count_in(partition_elsewhere(cluster)))
            lost.kill()
            before, ends_at = slots_read(cluster), time.monotonic() + 3
            while time.monotonic() < ends_at:
                await timed(pipeline, COUNT)
                await asyncio.sleep(0.01)
            return slots_read(cluster) - before

        assert 2 <= run(cluster.url, scenario) <= 4

    def test_a_slot_that_nobody_serves_is_unavailable(self, cluster: RedisCluster) -> None:
        slot = slot_of(PARTITION)
        owner, elsewhere = cluster.owner_of(slot), partition_elsewhere(cluster)
        for node in cluster.nodes:
            node.redis.execute_command("CLUSTER DELSLOTS", slot)

        async def scenario(pipeline: AutoPipeline) -> tuple[Any, Any]:
            return await asyncio.gather(
                pipeline.run(COUNT),
                pipeline.run(count_in(elsewhere)),
                return_exceptions=True,
            )

        try:
            unserved, served = run(cluster.url, scenario)
        finally:
            owner.redis.execute_command("CLUSTER ADDSLOTS", slot)
            cluster.wait_until_ok()
        assert isinstance(unserved, Unavailable)
        assert served == 1


class TestSeeds:
    @pytest.mark.parametrize("fault", ["kill", "pause"])
    def test_one_that_is_lost_is_passed_over(self, cluster: RedisCluster, fault: str) -> None:
        lost, elsewhere = cluster.primary_of(PARTITION), partition_elsewhere(cluster)
        getattr(lost, fault)()

        async def scenario(pipeline: AutoPipeline) -> tuple[Any, float]:
            return await timed(pipeline, count_in(elsewhere))

        others = [node for node in cluster.nodes if node is not lost]
        found, seconds = run(url_of([lost, *others]), scenario)
        assert found == 1
        assert seconds < 1

    def test_without_any_the_reason_is_said(self) -> None:
        async def scenario(pipeline: AutoPipeline) -> None:
            with pytest.raises(Unavailable) as raised:
                await pipeline.run(COUNT)
            assert describe_failure(raised.value) == "Connection refused"

        run(f"redis+cluster://127.0.0.1:{free_ports(1)[0]}", scenario)

    def test_a_server_that_is_no_cluster_is_unavailable(self) -> None:
        async def scenario(pipeline: AutoPipeline) -> None:
            with pytest.raises(Unavailable) as raised:
                await pipeline.run(COUNT)
            assert "cluster support disabled" in describe_failure(raised.value)

        port = free_ports(1)[0]
        with store(valkey_server(), "--port", str(port)):
            run(f"redis+cluster://127.0.0.1:{port}", scenario)

    def test_they_stay_known_when_all_nodes_were_lost(self, cluster: RedisCluster) -> None:
        async def scenario(pipeline: AutoPipeline) -> float:
            await pipeline.run(COUNT)
            for node in cluster.nodes:
                node.kill()
            with pytest.raises(Unavailable):
                await pipeline.run(COUNT)
            cluster.restore()
            return await seconds_until_answered(pipeline)

        assert run(cluster.url, scenario) < BACK_WITHIN


def reads_of(cluster: RedisCluster) -> list[int]:
    """How often each node has read from its clients so far."""
    return [int(node.redis.info("stats")["total_reads_processed"]) for node in cluster.nodes]


def ports_of(node: ClusterNode) -> set[int]:
    """The ports of the nodes that have slots, as the node reports them."""
    return {int(primary[1]) for _, _, primary in node.redis.execute_command("CLUSTER", "SLOTS")}


async def speak_http(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    writer.close()


def refused_scripts(cluster: RedisCluster) -> int:
    """How many scripts the nodes were sent, and did not run."""
    stats = [node.redis.info("commandstats") for node in cluster.nodes]
    return sum(each.get("cmdstat_eval", {"rejected_calls": 0})["rejected_calls"] for each in stats)


def slots_read(cluster: RedisCluster) -> int:
    """How often the nodes that answer were asked for the slots."""
    stats = [node.redis.info("commandstats") for node in cluster.nodes if node.is_answering]
    return sum(each.get("cmdstat_cluster|slots", {"calls": 0})["calls"] for each in stats)
