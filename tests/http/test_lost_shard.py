"""A real cluster without replicas loses a node: all that the others hold is served meanwhile."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import NamedTuple

import pytest
import redis
from litestar.testing import TestClient
from redis.crc import key_slot

from service.app import create_app
from service.storage import keys
from service.values.ids import partition_of
from tests.support.api import JANE, Api, FromPeer, assert_problem, settings_of, stamp
from tests.support.clock import Clock
from tests.support.delivery_harness import DeliveryHarness
from tests.support.redis_client import RedisClient
from tests.support.redis_cluster import ClusterNode, RedisCluster, redis_cluster, slot_of
from tests.support.scripted_smtp import ScriptedMailer
from tests.support.servers import RedisServer, wait_until

MAX_SECONDS = 3.0
"""The longest that a request takes: two steps, each as long as a command that is not answered."""


class Shard(NamedTuple):
    """The node that holds the version of the data, and its partitions."""

    node: ClusterNode
    partitions: list[str]
    org_id: str
    """An organization in it."""
    other_org_id: str
    """One in another shard."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    with redis_cluster(primaries=3, replicas=0) as cluster:
        yield cluster


@pytest.fixture
def shard(cluster: RedisCluster) -> Shard:
    cluster.flush()
    node = cluster.owner_of(int(key_slot(keys.DATA_VERSION_KEY.encode())))
    ranges = node.slots()
    partitions = [
        partition
        for partition in keys.ALL_PARTITIONS
        if any(first <= slot_of(partition) <= last for first, last in ranges)
    ]
    org_ids = [f"org-{number}" for number in range(100)]
    inside = next(org_id for org_id in org_ids if partition_of(org_id) in partitions)
    outside = next(org_id for org_id in org_ids if partition_of(org_id) not in partitions)
    return Shard(node, partitions, inside, outside)


@pytest.fixture
def start(
    cluster: RedisCluster, valkey: RedisServer, clock: Clock
) -> Callable[[], "TestClient[FromPeer]"]:
    """Makes an application on the cluster; each is a process of its own to it."""

    def start() -> TestClient[FromPeer]:
        settings = settings_of(valkey, REDIS_URL=cluster.url, QUEUE_REDIS_URL=valkey.url)
        return TestClient(FromPeer(create_app(settings, clock)))

    return start


@pytest.fixture
def api(start: Callable[[], "TestClient[FromPeer]"], shard: Shard, clock: Clock) -> Iterator[Api]:  # noqa: ARG001 - the shard is empty then
    with start() as client, redis.Redis() as nobody:
        yield Api(client, clock, nobody)


@contextmanager
def lost(cluster: RedisCluster, node: ClusterNode, fault: str) -> Iterator[None]:
    """The node is killed, or hangs, while the context lasts."""
    (node.kill if fault == "killed" else node.pause)()
    try:
        yield
    finally:
        cluster.restore()


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


@pytest.mark.parametrize("fault", ["killed", "hanging"])
def test_what_other_nodes_hold_is_served_and_the_rest_once_it_is_back(
    cluster: RedisCluster,
    shard: Shard,
    start: Callable[[], "TestClient[FromPeer]"],
    api: Api,
    fault: str,
) -> None:
    org_ids, away = [shard.org_id, shard.other_org_id], sorted(shard.partitions)
    for org_id in org_ids:
        api.create(org_id=org_id, scheduled_at=stamp(api.now + timedelta(hours=1)))
    with lost(cluster, shard.node, fault):
        with at_most(MAX_SECONDS):
            ready = api.client.get("/readyz").json()
        assert ready["status"] == "degraded"
        assert "partitions_unavailable" in ready["reasons"]
        assert ready["partition_availability"] == (256 - len(away)) * 1000 // 256 / 1000
        for path in ("/outbox", "/orgs"):
            with at_most(MAX_SECONDS):
                found = api.client.get(path, headers=api.internal()).json()
            assert [each for each in found["unavailable"] if each != "heartbeats"] == away
        assert found["orgs"] == [shard.other_org_id]
        with at_most(MAX_SECONDS):
            window = api.dispatch_window().json()
        assert (window["queued"], window["unavailable"]) == (1, away)
        with at_most(MAX_SECONDS):
            revocation = api.revoke(email=JANE).json()
        assert (revocation["revoked"], revocation["unavailable"]) == (1, away)
        own = api.revoke(headers=api.org(shard.org_id), email=JANE)
        assert_problem(own, 503, "unavailable")
        with start() as other:
            wait_until(lambda: other.get("/readyz").status_code == 200, "it to serve")
            served = Api(other, api.clock, api.redis).post_link(org_id=shard.other_org_id)
            assert served.status_code == 201
    wait_until(lambda: api.client.get("/readyz").json()["redis"] == "ok", "the shard to be back")
    window = api.dispatch_window().json()
    assert (window["queued"], window["unavailable"]) == (1, [])
    revocation = api.revoke(email=JANE).json()
    assert (revocation["revoked"], revocation["unavailable"]) == (2, [])


@pytest.mark.parametrize("fault", ["killed", "hanging"])
def test_a_worker_sends_what_other_nodes_owe_and_the_rest_once_it_is_back(
    cluster: RedisCluster, shard: Shard, api: Api, fault: str
) -> None:
    org_ids, mailer = [shard.org_id, shard.other_org_id], ScriptedMailer()
    for org_id in org_ids:
        api.create(org_id=org_id, email=f"{org_id}@example.com")
    worker = DeliveryHarness(cluster.url, RedisClient(api.redis), api.redis, api.clock)
    with worker.link_worker(mailer).started() as thread:
        with lost(cluster, shard.node, fault), at_most(2 * MAX_SECONDS):
            thread.wake(map(partition_of, org_ids))
            wait_until(lambda: mailer.sent, "the other organization's mail")
            assert mailer.recipients == [f"{shard.other_org_id}@example.com"]
        wait_until(lambda: len(mailer.sent) == 2, "the rest")
