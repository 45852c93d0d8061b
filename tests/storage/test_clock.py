"""The clock of Redis, as a process reads it."""

import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
import structlog.testing

from service.health import store as heartbeats
from service.health.heartbeat import Heartbeat
from service.storage.clock import RedisClock
from tests.support.redis_client import RedisClient

HOUR = timedelta(hours=1)
CLOSE = timedelta(seconds=1)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> "MachineClock":
    """The clock of this machine, set by hand; its monotonic clock and that of Redis go on."""
    machine = MachineClock()
    monkeypatch.setattr(
        "service.storage.clock.time", SimpleNamespace(time=machine, monotonic=time.monotonic)
    )
    return machine


class MachineClock:
    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


def right_now() -> datetime:
    return datetime.now(UTC)


def test_until_it_is_set_it_shows_the_time_of_the_machine(machine: MachineClock) -> None:
    machine.ahead = 3600
    assert abs(RedisClock()() - right_now() - HOUR) < CLOSE


@pytest.mark.parametrize("hours", [80, -80])
def test_a_heartbeat_sets_it(client: RedisClient, machine: MachineClock, hours: float) -> None:
    machine.ahead = hours * 3600
    clock = RedisClock()
    client.run(Heartbeat("worker-links", clock).record())
    assert abs(clock() - right_now()) < CLOSE
    assert abs(clock.skew - hours * HOUR) < CLOSE


def test_later_changes_of_the_machines_clock_do_not_matter(
    client: RedisClient, machine: MachineClock
) -> None:
    """Before the next heartbeat, and during an outage."""
    clock = RedisClock()
    client.run(Heartbeat("worker-links", clock).record())
    machine.ahead = 80 * 3600
    assert abs(clock() - right_now()) < CLOSE


def test_the_next_heartbeat_records_the_skew(client: RedisClient, machine: MachineClock) -> None:
    machine.ahead = 660
    heartbeat = Heartbeat("worker-links", RedisClock())
    for _ in range(2):
        client.run(heartbeat.record())
    [seen] = client.run(heartbeats.read("worker-links"))
    assert abs(seen.clock_skew - timedelta(minutes=11)) < CLOSE


def test_latency_does_not_move_a_clock_that_is_right() -> None:
    """A slow command proves little."""
    clock, sent_at = RedisClock(), time.monotonic()
    started_at = time.time() - sent_at
    before = clock() - datetime.fromtimestamp(started_at + time.monotonic(), UTC)
    clock.set(started_at + sent_at + 0.9, sent_at=sent_at, received_at=sent_at + 1)
    after = clock() - datetime.fromtimestamp(started_at + time.monotonic(), UTC)
    assert abs(before - after) < timedelta(milliseconds=5)


def test_the_start_and_the_end_of_a_skew_are_logged_once(
    client: RedisClient, machine: MachineClock
) -> None:
    with structlog.testing.capture_logs() as logs:
        heartbeat = Heartbeat("worker-links", RedisClock())
        for machine.ahead in (0.0, -660.0, -660.0, 1.0, 1.0):
            client.run(heartbeat.record())
    assert [(line["event"], line.get("seconds")) for line in logs] == [
        ("clock_skew", pytest.approx(-660, abs=1)),
        ("clock_in_step", None),
    ]
