"""A cluster loses nodes and moves slots: what concerns other nodes goes on, and nothing is lost."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from redis.crc import key_slot

from service.storage import keys
from tests.support.admins import admin_of
from tests.support.link_load import MailLog, create_links
from tests.support.paced_load import (
    PacedLoad,
    find_lost,
    find_miscounted,
    org_in,
    paced_load,
    repeat,
)
from tests.support.redis_cluster import ClusterNode, RedisCluster, redis_cluster, slot_of, url_of
from tests.support.run_length import RunLength
from tests.support.servers import MailServer, RedisServer, store, valkey_server, wait_until
from tests.support.service_processes import UNLIMITED, Service
from tests.support.web import run_web

pytestmark = pytest.mark.alone

SERVED_WITHIN = 2.0
"""Seconds after a failover in which the slots are served again."""
MAX_WAIT = 1.5
"""Seconds that a request waits which concerns a healthy node."""
MIN_RATE = 0.8
"""The share of a healthy node's requests that are answered meanwhile."""
MENDED_WITHIN = 2.0
"""Seconds in which a retry succeeds while slots move."""
STALL = 3.0
"""Seconds for which replication lags before its primary dies."""
SLOW_REPLY = 0.02
"""Seconds before the mail server's 250, so that a worker dies at work."""
ON_THE_WAY = 0.1
"""Seconds that a write takes to the replica: it is acknowledged before."""
UNNOTICED = 3.0
"""Seconds for which a primary takes writes whose replica is silent, with a lag of 1 allowed."""


class Stack(NamedTuple):
    """The whole service on a cluster, RQ on a Redis of its own."""

    cluster: RedisCluster
    queue: RedisServer
    mails: MailServer
    service: Service

    @property
    def settings(self) -> dict[str, str]:
        return {"QUEUE_REDIS_URL": self.queue.url, **UNLIMITED}


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with (
        redis_cluster() as cluster,
        store(valkey_server()) as queue,
        MailServer() as mails,
        Service(
            tmp_path_factory.mktemp("service"),
            cluster.url,
            mails.url,
            QUEUE_REDIS_URL=queue.url,
            **UNLIMITED,
        ) as service,
    ):
        yield Stack(cluster, queue, mails, service)


@pytest.fixture
def stack(deployed: Stack) -> Iterator[Stack]:
    """The stack; afterwards every node is back."""
    try:
        yield deployed
    finally:
        deployed.cluster.restore()


@pytest.mark.parametrize("fault", ["killed", "hanging"])
def test_a_lost_primary_costs_its_own_slots_alone_and_not_for_long(
    stack: Stack, fault: str, run_length: RunLength
) -> None:
    """Full: 5 times each, at 120 requests a second."""
    for _ in range(run_length(1, 5)):
        owners = stack.cluster.owners()
        victim = owners["3f"]
        with paced_load(stack.service.url, rate=run_length(60, 120)) as load:
            time.sleep(run_length(1, 10))
            lost_at = time.monotonic()
            (victim.kill if fault == "killed" else victim.pause)()
            moved_at = stack.cluster.wait_for_failover(victim)
            time.sleep(SERVED_WITHIN + run_length(0, 10))
        stack.cluster.restore()
        during = [reply for reply in load.replies if reply.due > lost_at]
        own = [reply for reply in during if owners[reply.partition] is victim]
        others = [reply for reply in during if owners[reply.partition] is not victim]
        back_after = max((reply.due for reply in own if not reply.is_good), default=0) - moved_at
        answered = sum(reply.is_good for reply in others) / len(others)
        slowest = max(reply.took for reply in others)
        print(
            f"{fault}: failover after {moved_at - lost_at:.1f} s, served {back_after:.2f} s later; "
            f"of {len(others)} on other nodes {answered:.1%} good, the slowest {slowest:.2f} s"
        )
        assert_nothing_is_lost(stack, load)
        assert all(reply.is_good for reply in load.replies if reply.due + reply.took < lost_at)
        assert back_after < SERVED_WITHIN
        assert slowest < MAX_WAIT
        assert answered >= MIN_RATE


def test_a_web_that_starts_while_a_primary_is_dead_serves(
    stack: Stack, tmp_path: Path, run_length: RunLength
) -> None:
    """Full only. The node that it asks first is the dead one, and had the version of the data."""
    if run_length(1, 0):
        pytest.skip("only in full length")
    dead = stack.cluster.owner_of(key_slot(keys.DATA_VERSION_KEY.encode()))
    owners = stack.cluster.owners()
    dead.kill()
    with (
        run_web(tmp_path, dead_first(stack.cluster, dead), **stack.settings) as starting,
        admin_of(starting.url) as client,
    ):
        stack.cluster.wait_for_failover(dead)
        moved_at = time.monotonic()
        for partition in owners:
            wait_until(partial(is_created, client, partition), "a create", 10)
        print(f"started: all served {time.monotonic() - moved_at:.2f} s after the failover")


def dead_first(cluster: RedisCluster, dead: ClusterNode) -> str:
    """The cluster's URL, in which the dead node comes first."""
    return url_of([dead, *(node for node in cluster.nodes if node is not dead)])


class Stall(NamedTuple):
    """How replication stops, and for how long links are lost that are acknowledged since."""

    begin: Callable[[ClusterNode, ClusterNode], object]
    """Gets the primary and its replica."""
    may_lose_for: float
    """Seconds."""


STALLS = {
    "replica hangs": Stall(lambda _, replica: replica.pause(), 0),
    "replica is refused": Stall(lambda primary, _: primary.refuse_replicas(), 0),
    "link breaks": Stall(lambda primary, _: primary.break_replication(), ON_THE_WAY),
    "link is silent": Stall(lambda primary, _: set_link(primary, "black_hole"), UNNOTICED),
    "link is silent one way": Stall(lambda primary, _: set_link(primary, "half_open"), math.inf),
}


@pytest.mark.parametrize("stall", STALLS)
def test_min_replicas_limits_what_is_lost_with_a_primary_whose_replica_lags(
    stack: Stack, stall: str, run_length: RunLength
) -> None:
    """Full: 5,000 links where none may be lost, and a round without; short: one stall."""
    if stall != "replica hangs" and run_length(1, 0):
        pytest.skip("only in full length")
    may_lose_for = STALLS[stall].may_lose_for
    enough = run_length(1, 1 if may_lose_for else 5000)
    acknowledged, lost = 0, list[float]()
    while acknowledged < enough:
        outcome = lose_lagging_primary(stack, stall, "1", run_length)
        acknowledged += outcome.acknowledged
        lost += outcome.lost_after
    print(f"{stall}: {len(lost)} of {acknowledged} lost")
    if run_length(0, 1):
        without = lose_lagging_primary(stack, stall, "0", run_length)
        print(f"{stall}, without: {len(without.lost_after)} of {without.acknowledged} lost")
    assert all(-ON_THE_WAY < after < may_lose_for for after in lost)
    assert not lost or may_lose_for


class Outcome(NamedTuple):
    """What a primary's death cost."""

    acknowledged: int
    lost_after: list[float]
    """When each lost link was asked for, in seconds since replication stopped."""


def lose_lagging_primary(
    stack: Stack, stall: str, min_replicas: str, run_length: RunLength
) -> Outcome:
    """Refusals are 503, and succeed once when they are repeated."""
    cluster, owners = stack.cluster, stack.cluster.owners()
    cluster.configure(min_replicas_to_write=min_replicas, min_replicas_max_lag="1")
    victim = owners["3f"]
    replica = cluster.replica_of(victim)
    own = [partition for partition, owner in owners.items() if owner is victim]
    with paced_load(stack.service.url, rate=run_length(60, 120), partitions=own) as load:
        time.sleep(run_length(1, 10))
        stalled_at = time.monotonic()
        STALLS[stall].begin(victim, replica)
        time.sleep(STALL)
        killed_at = time.monotonic()
        victim.kill()
        if not replica.is_answering:
            replica.resume()
        cluster.wait_for_failover(victim)
    cluster.restore()
    cluster.configure(min_replicas_to_write="0")
    acknowledged = load.acknowledged()
    lost = find_lost(stack.service.url, acknowledged)
    refused = [reply for reply in load.refused() if stalled_at < reply.due < killed_at]
    before = sum(reply.due < stalled_at for reply in load.refused())
    first = min((reply.due - stalled_at for reply in refused), default=math.nan)
    print(
        f"{stall}: {len(refused)} refused, the first after {first:.1f} s, and {before} before; "
        f"{len(lost)} of {len(acknowledged)} lost"
    )
    assert {(reply.status, reply.retry_after) for reply in refused} <= {(503, "1")}
    assert repeat(stack.service.url, load.refused()) == []
    kept = [reply for reply in load.creates() if reply.link_id not in lost]
    assert find_miscounted(stack.service.url, kept) == {}
    return Outcome(len(acknowledged), [acknowledged[link].due - stalled_at for link in lost])


def set_link(primary: ClusterNode, fault: str) -> None:
    setattr(primary.replication, fault, True)


def test_moving_slots_costs_nothing_that_a_retry_does_not_mend(
    stack: Stack, run_length: RunLength
) -> None:
    """Key by key there, of one slot for half a second, and back as Valkey does atomically.

    Full: 80 slots. Short: 5.
    """
    cluster, owners = stack.cluster, stack.cluster.owners()
    source = owners["3f"]
    target = next(node for node in cluster.primaries if node is not source)
    moved = [partition for partition, owner in owners.items() if owner is source]
    moved = moved[: run_length(5, 80)]
    slots = [slot_of(partition) for partition in moved]
    with paced_load(
        stack.service.url, rate=run_length(60, 120), partitions=moved, repeat_for=MENDED_WITHIN
    ) as load:
        time.sleep(run_length(1, 10))
        began = time.monotonic()
        for slot in slots:
            cluster.move_slot(slot, target, seconds=0.5 if slot == slots[0] else 0.0)
        moved_at = time.monotonic()
        cluster.migrate_slots(slots, source)
        ended = time.monotonic()
        time.sleep(run_length(1, 10))
    failed = [reply for reply in load.replies if not reply.is_good]
    print(
        f"{len(slots)} slots moved key by key in {moved_at - began:.1f} s, atomically in "
        f"{ended - moved_at:.1f} s; of {len(load.replies)} requests {len(failed)} failed, "
        f"mended after {max((reply.mended_after or 0 for reply in failed), default=0):.2f} s; "
        f"the slowest took {max(reply.took for reply in load.replies):.2f} s"
    )
    assert [reply for reply in load.replies if reply.mended_after is None] == []
    assert_nothing_is_lost(stack, load)


def test_each_link_is_mailed_whichever_process_dies(
    stack: Stack, tmp_path: Path, run_length: RunLength
) -> None:
    """Of two services the processes of one die with a primary, and start again meanwhile.

    Full: 1,000 links. Short: 60, and leases are ended by hand.
    """
    mail_log = MailLog(stack.mails.mailbox)
    mail_log.pause = SLOW_REPLY
    links, seconds = run_length(30, 500), run_length(2, 20)
    victim = stack.cluster.primary_of("3f")
    url = dead_first(stack.cluster, victim)
    with Service(tmp_path, url, stack.mails.url, **stack.settings) as second:
        with (
            create_links(stack.service.url, links, seconds) as some,
            create_links(second.url, links, seconds) as others,
        ):
            time.sleep(seconds / 2)
            for process in second.processes:
                process.kill_all()
            victim.kill()
            for process in second.processes:
                process.start()
            stack.cluster.wait_for_failover(victim)
        created = {creation.result() for creation in [*some, *others]}
        if run_length(1, 0):
            with suppress(AssertionError):
                wait_until(lambda: created <= mail_log.taken.keys(), "those without a lease", 2)
            end_leases(stack.cluster)
        wait_until(lambda: created <= mail_log.taken.keys(), "every mail", 60)
    copies = [mail_log.taken[link] for link in created]
    print(f"{len(created)} links mailed, {sum(map(len, copies)) - len(created)} mails again")
    assert all(len({copy.message_id for copy in of_link}) == 1 for of_link in copies)


def end_leases(cluster: RedisCluster) -> None:
    """As if their time had passed."""
    for partition, node in cluster.owners().items():
        outbox = keys.outbox(partition)
        for member in node.redis.zrange(outbox, 0, -1):
            node.redis.zadd(outbox, {member: time.time() * 1000}, xx=True)


def test_without_one_shard_the_others_are_served(stack: Stack) -> None:
    """What could not be asked is named. Without any node, nothing is ready."""
    owners = stack.cluster.owners()
    primary = owners["3f"]
    gone = {partition for partition, owner in owners.items() if owner is primary}
    healthy = next(partition for partition in owners if partition not in gone)
    stack.cluster.replica_of(primary).kill()
    primary.kill()
    with admin_of(stack.service.url) as client:
        wait_until(lambda: "partitions_unavailable" in reasons(client), "readiness")
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        share = 1 - len(gone) / len(owners)
        assert ready.json()["partition_availability"] == pytest.approx(share, abs=0.001)
        assert create(client, healthy).status_code == 201
        assert create(client, "3f").status_code == 503
        body = {"email": "jane@example.com"}
        for response in (
            client.get("/outbox"),
            client.get("/orgs"),
            client.post("/payment-links/scheduled", json={}),
            client.request("DELETE", "/payment-links", json=body),
        ):
            assert response.status_code == 200, response.text
            assert set(response.json()["unavailable"]) - {"heartbeats"} == gone
        for node in stack.cluster.primaries:
            node.kill()
        wait_until(lambda: client.get("/readyz").status_code == 503, "readiness")


def reasons(client: httpx.Client) -> list[str]:
    """Why the service is degraded."""
    return [*client.get("/readyz").json().get("reasons", [])]


def assert_nothing_is_lost(stack: Stack, load: PacedLoad) -> None:
    """What was acknowledged can be read; what was not, is there once when it is repeated."""
    assert find_lost(stack.service.url, load.acknowledged()) == []
    assert repeat(stack.service.url, load.refused()) == []
    assert find_miscounted(stack.service.url, load.creates()) == {}


def create(client: httpx.Client, partition: str) -> httpx.Response:
    body = {"email": "jane@example.com", "org_id": org_in(partition), "notify": False}
    return client.post("/payment-links", json=body)


def is_created(client: httpx.Client, partition: str) -> bool:
    return create(client, partition).status_code == 201
