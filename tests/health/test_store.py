"""Heartbeats, by the store's clock."""

from datetime import UTC, datetime, timedelta

import pytest

from service.health import store as heartbeats
from service.health.heartbeat import Heartbeat
from service.health.model import HEARTBEAT_TIMEOUT, Pause
from service.health.store import HEARTBEAT_TTL
from service.storage import keys
from service.storage.clock import RedisClock
from service.storage.command import command
from service.values.time import MILLISECOND
from tests.support.factories import ttl
from tests.support.redis_client import RedisClient

NONE = timedelta(0)


def stop(client: RedisClient, process: str, age: timedelta) -> None:
    """Sets the age of the last heartbeat of ``process``."""
    now = client.run(heartbeats.record("worker-links", "somebody else", skew=NONE))
    at = (now - age.total_seconds()) * 1000
    client.run(command(int, "HSET", keys.heartbeats("worker-links"), process, f"{at:.0f} 0"))


def test_a_kind_that_never_lived_has_none(client: RedisClient) -> None:
    assert client.run(heartbeats.read("worker-links")) == []


def test_a_process_is_seen_with_its_skew(client: RedisClient) -> None:
    client.run(heartbeats.record("worker-links", "host:1", skew=-1500 * MILLISECOND))
    [seen] = client.run(heartbeats.read("worker-links"))
    assert (seen.name, seen.clock_skew) == ("host:1", -1500 * MILLISECOND)
    assert NONE <= seen.heartbeat_age < timedelta(seconds=5)
    assert client.run(heartbeats.read("scheduler")) == []


@pytest.mark.parametrize("reason", ["535 5.7.8", "421", "TimeoutError"])
def test_a_worker_that_holds_its_mail_back_is_seen_with_the_reason(
    client: RedisClient, reason: str
) -> None:
    heartbeat = Heartbeat("worker-links", RedisClock())
    for pause in (None, Pause(reason, datetime(2026, 11, 30, 11, 58, 0, 250_000, UTC)), None):
        heartbeat.pause = pause
        client.run(heartbeat.record())
        assert [seen.pause for seen in client.run(heartbeats.read("worker-links"))] == [pause]


def test_a_process_that_ends_is_forgotten_at_once(client: RedisClient) -> None:
    for process in ("host:1", "host:2"):
        client.run(heartbeats.record("worker-links", process, skew=NONE))
    assert client.run(heartbeats.remove("worker-links", "host:1"))
    assert [seen.name for seen in client.run(heartbeats.read("worker-links"))] == ["host:2"]


def test_a_process_that_stops_is_stalled_and_then_forgotten(client: RedisClient) -> None:
    stop(client, "host:1", HEARTBEAT_TIMEOUT + timedelta(seconds=1))
    stop(client, "host:2", HEARTBEAT_TTL + timedelta(seconds=1))
    client.run(heartbeats.record("worker-links", "host:3", skew=NONE))
    seen = {one.name: one.is_stalled for one in client.run(heartbeats.read("worker-links"))}
    assert seen == {"somebody else": False, "host:3": False, "host:1": True}


def test_heartbeats_end_by_themselves(client: RedisClient) -> None:
    client.run(heartbeats.record("worker-links", "host:1", skew=NONE))
    assert timedelta(0) < ttl(client, keys.heartbeats("worker-links")) <= HEARTBEAT_TTL


@pytest.mark.parametrize(
    "wrong",
    [("SET", "boom"), ("RPUSH", "boom"), ("HSET", "host:9", "boom")],
    ids=["string", "list", "another value"],
)
def test_a_key_that_holds_something_else_is_mended(
    client: RedisClient, wrong: tuple[str, ...]
) -> None:
    client.run(command(str, wrong[0], keys.heartbeats("worker-links"), *wrong[1:]))
    client.run(heartbeats.record("worker-links", "host:1", skew=NONE))
    assert [seen.name for seen in client.run(heartbeats.read("worker-links"))] == ["host:1"]
