"""The store's time, as a process counts it."""

import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
import structlog.testing

from service.health import store as heartbeats
from service.health.heartbeat import Heartbeat
from service.storage.client import Client
from service.storage.clock import RedisClock

HOUR = timedelta(hours=1)
CLOSE = timedelta(seconds=1)


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> "WrongWall":
    """This machine's clock, which is turned by hand; the monotonic one and the store's go on."""
    wall = WrongWall()
    monkeypatch.setattr(
        "service.storage.clock.time", SimpleNamespace(time=wall, monotonic=time.monotonic)
    )
    return wall


class WrongWall:
    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


def right_now() -> datetime:
    return datetime.now(UTC)


def test_before_the_store_is_asked_it_is_the_machines(wall: WrongWall) -> None:
    wall.ahead = 3600
    assert abs(RedisClock()() - right_now() - HOUR) < CLOSE


@pytest.mark.parametrize("hours", [80, -80])
def test_a_heartbeat_sets_it_right(client: Client, wall: WrongWall, hours: float) -> None:
    wall.ahead = hours * 3600
    clock = RedisClock()
    client.run(Heartbeat("worker-links", clock).record())
    assert abs(clock() - right_now()) < CLOSE
    assert abs(clock.skew - hours * HOUR) < CLOSE


def test_what_happens_to_the_machines_clock_later_does_not_matter(
    client: Client, wall: WrongWall
) -> None:
    """Not even before the next heartbeat, and not while the store is away."""
    clock = RedisClock()
    client.run(Heartbeat("worker-links", clock).record())
    wall.ahead = 80 * 3600
    assert abs(clock() - right_now()) < CLOSE


def test_the_skew_is_told_with_the_next_heartbeat(client: Client, wall: WrongWall) -> None:
    wall.ahead = 660
    heartbeat = Heartbeat("worker-links", RedisClock())
    for _ in range(2):
        client.run(heartbeat.record())
    [seen] = client.run(heartbeats.read("worker-links"))
    assert abs(seen.clock_skew - timedelta(minutes=11)) < CLOSE


def test_a_clock_that_is_right_does_not_tremble() -> None:
    """A command that took long proves nothing."""
    clock, sent_at = RedisClock(), time.monotonic()
    started_at = time.time() - sent_at
    before = clock() - datetime.fromtimestamp(started_at + time.monotonic(), UTC)
    clock.set(started_at + sent_at + 0.9, sent_at=sent_at, received_at=sent_at + 1)
    after = clock() - datetime.fromtimestamp(started_at + time.monotonic(), UTC)
    assert abs(before - after) < timedelta(milliseconds=5)


def test_the_log_says_once_that_it_is_wrong_and_once_that_it_is_right_again(
    client: Client, wall: WrongWall
) -> None:
    with structlog.testing.capture_logs() as logs:
        heartbeat = Heartbeat("worker-links", RedisClock())
        for wall.ahead in (0.0, -660.0, -660.0, 1.0, 1.0):
            client.run(heartbeat.record())
    assert [(line["event"], line.get("seconds")) for line in logs] == [
        ("clock_skew", pytest.approx(-660, abs=1)),
        ("clock_in_step", None),
    ]
