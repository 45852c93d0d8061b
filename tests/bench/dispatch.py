"""What it costs Redis to claim and queue many due links: round trips, and how long it is held."""

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import compress, product
from pathlib import Path
from typing import TypeVar

import httpx
import redis

from service.errors import Unreadable
from service.health.heartbeat import Heartbeat
from service.links import store as links
from service.links.model import Link
from service.outbox import store as outbox
from service.outbox.queues import LINK_QUEUE
from service.storage import keys
from service.storage.client import RedisClient
from service.storage.clock import RedisClock
from service.storage.command import Command
from service.storage.connect import create_client
from service.storage.data_version import ensure_version
from tasks.delivery_worker import DeliveryWorker
from tasks.mail.mailer import LeaseCheck, Mailer, do_nothing, skip_lease_check
from tasks.mail.mime import Mail
from tasks.mail.profiles import ProfileCache
from tasks.mail_kinds.link_mails import LinkMailHandler
from tests.bench.figures import Figure, Measure, Measured, Recorder, Row, Table
from tests.support.admins import as_admin
from tests.support.factories import create_link
from tests.support.servers import store, stores
from tests.support.web import run_web

T = TypeVar("T")

LINK_COUNT = 100_000
AT_ONCE = 500
RETENTION = timedelta(days=90)
MOST_HELD = 5
MAX_TRIPS = {"a worker's claims": 1, "the window's endpoint": 6}
WAYS = tuple(MAX_TRIPS)
TRIPS, HELD, P99 = "round trips per 100", "ms held", "ms held, p99"
LOGGED = 500
"""µs: what holds the store for less is not looked at."""
SPREADS = {1: "one organization", 1000: "1,000 organizations"}


@contextmanager
def prepared(home: Path, seconds: float) -> Iterator[dict[str, Measure]]:
    """Shorter measurements have fewer links: all of them from 3 s on."""
    count = min(LINK_COUNT, int(LINK_COUNT * seconds / 3))
    measures: dict[str, Measure] = {}
    for name, binary in stores().items():
        for organizations in SPREADS:
            measures[_row(name, WAYS[0], organizations)] = partial(
                _claim, binary, count, organizations
            )
            measures[_row(name, WAYS[1], organizations)] = partial(
                _window, home, binary, count, organizations
            )
    yield measures


def tables(recorder: Recorder) -> list[Table]:
    rows = []
    for name, (way, trips), organizations in product(stores(), MAX_TRIPS.items(), SPREADS):
        row = _row(name, way, organizations)
        if figures := recorder.of(row):
            reached = _most(figures[TRIPS]) <= trips and _most(figures[HELD]) <= MOST_HELD
            rows.append(Row(row, figures, f"at most {trips}, and {MOST_HELD} ms", reached))
    return [Table("Claiming and queueing 100,000 due links", [TRIPS, HELD, P99, "seconds"], rows)]


class Counting(RedisClient):
    """Counts its round trips."""

    trips = 0

    def run_all(self, commands: Sequence[Command[T]]) -> list[T]:
        self.trips += bool(commands)
        return super().run_all(commands)

    def run_each(self, commands: Sequence[Command[T]]) -> list[T | Unreadable]:
        self.trips += bool(commands)
        return super().run_each(commands)


class Opening(LinkMailHandler):
    """Counts the links that were opened. Their mails are one, and ready."""

    opened = 0
    ready = Mail("pay@acme.example", "payer@example.com", "<1@acme.example>", b"")

    def compose(self, payload: Link, now: datetime) -> Mail:
        self.opened += 1
        return self.ready


class Nowhere(Mailer):
    """Refuses every mail at once, so that the commands of sending one are not measured."""

    def send(
        self,
        mail: Mail,
        *,
        timeout: float = 0,
        start_lease_check: Callable[[], LeaseCheck] = skip_lease_check,
        while_waiting: Callable[[], object] = do_nothing,
    ) -> bool:
        return False


def _claim(binary: str, count: int, organizations: int) -> Measured:
    """A scan finds partitions with due links, and a worker claims and loads them."""
    with store(binary) as server, redis.Redis.from_url(server.url) as connection:
        client = Counting(create_client(server.url))
        fill(client, count, organizations, timedelta(0))
        now = datetime.now(UTC) + timedelta(minutes=1)
        kind = Opening(
            "https://pay.example",
            Opening.ready.sender,
            ProfileCache(client, lambda: now),
            RETENTION,
        )
        worker = DeliveryWorker(
            LINK_QUEUE,
            kind,
            client,
            Nowhere,
            lambda: now,
            lambda: False,
            Heartbeat("worker-links", RedisClock()),
        )

        def dispatch() -> int:
            client.trips = 0
            owing = [
                *compress(
                    keys.ALL_PARTITIONS,
                    client.run_all(
                        [outbox.has_pending(partition) for partition in keys.ALL_PARTITIONS]
                    ),
                )
            ]
            due = client.run_all([outbox.read_due(partition, now=now) for partition in owing])
            waiting = [partition for partition, owed in zip(owing, due, strict=True) if owed.queues]
            while waiting:
                waiting = worker.run(waiting)
            return kind.opened

        measured = _watched(connection, count, dispatch)
        client.close()
        return {**measured, TRIPS: client.trips / count * 100}


def _window(home: Path, binary: str, count: int, organizations: int) -> Measured:
    folder = home / secrets.token_hex(4)
    folder.mkdir()
    with store(binary) as server, redis.Redis.from_url(server.url) as connection:
        client = RedisClient(create_client(server.url))
        ensure_version(client)
        fill(client, count, organizations, timedelta(hours=1))
        client.close()
        with run_web(folder, server.url) as service:

            def dispatch() -> int:
                response = httpx.post(
                    f"{service.url}/payment-links/scheduled",
                    json={},
                    headers=as_admin(),
                    timeout=120,
                )
                return int(response.json()["queued"])

            return _watched(connection, count, dispatch)


def _watched(connection: "redis.Redis", count: int, dispatch: Callable[[], int]) -> Measured:
    connection.config_set("slowlog-log-slower-than", LOGGED)
    connection.config_set("slowlog-max-len", 100_000)
    connection.slowlog_reset()
    before, began = _trips(connection), time.perf_counter()
    done = dispatch()
    seconds = time.perf_counter() - began
    trips = min(after - so_far for after, so_far in zip(_trips(connection), before, strict=True))
    assert done == count, f"{done} of {count}"
    held = sorted(entry["duration"] / 1000 for entry in connection.slowlog_get(100_000)) or [0.0]
    return {
        TRIPS: trips / count * 100,
        HELD: held[-1],
        P99: held[len(held) * 99 // 100],
        "seconds": seconds,
    }


def _trips(connection: "redis.Redis") -> tuple[int, int]:
    """Two upper bounds of the round trips: reads from sockets, of which a long pipeline takes
    several, and scripts, of which a pipeline runs several."""
    scripts = connection.info("commandstats").get("cmdstat_evalsha", {"calls": 0})
    return int(connection.info("stats")["total_reads_processed"]), int(scripts["calls"])


def fill(client: RedisClient, count: int, organizations: int, later: timedelta) -> None:
    """``count`` links, scheduled for now or ``later``."""
    now = datetime.now(UTC)
    for first in range(0, count, AT_ONCE):
        client.run_all(
            [
                links.create(
                    create_link(
                        entropy=secrets.token_bytes(32),
                        now=now,
                        ttl=timedelta(hours=72),
                        org_id=f"org_{number % organizations}",
                        email=f"payer{number}@example.com",
                        scheduled_at=now + later,
                    ),
                    now=now,
                    retention=RETENTION,
                )
                for number in range(first, min(first + AT_ONCE, count))
            ]
        )


def _row(store_name: str, way: str, organizations: int) -> str:
    return f"{store_name}, {way}, {SPREADS[organizations]}"


def _most(figure: Figure) -> float:
    return max(figure.rounds)
