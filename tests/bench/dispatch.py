"""What it costs Redis to queue many due links: round trips, and how long it is held."""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import product
from pathlib import Path

import httpx
import redis

from service.links import store as links
from service.storage.data_version import ensure_version
from tests.bench.figures import Figure, Measure, Measured, Recorder, Row, Table
from tests.support.admins import as_admin
from tests.support.factories import create_link
from tests.support.redis_client import RedisClient, create_client
from tests.support.servers import store, stores
from tests.support.web import run_web

LINK_COUNT = 100_000
AT_ONCE = 500
RETENTION = timedelta(days=90)
MOST_HELD = 5
MAX_TRIPS = 6
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
            measures[_row(name, organizations)] = partial(
                _queue, home, binary, count, organizations
            )
    yield measures


def tables(recorder: Recorder) -> list[Table]:
    rows = []
    for name, organizations in product(stores(), SPREADS):
        row = _row(name, organizations)
        if figures := recorder.of(row):
            reached = _most(figures[TRIPS]) <= MAX_TRIPS and _most(figures[HELD]) <= MOST_HELD
            rows.append(Row(row, figures, f"at most {MAX_TRIPS}, and {MOST_HELD} ms", reached))
    return [
        Table(
            "Queueing 100,000 due links by the window's endpoint",
            [TRIPS, HELD, P99, "seconds"],
            rows,
        )
    ]


def _queue(home: Path, binary: str, count: int, organizations: int) -> Measured:
    folder = home / secrets.token_hex(4)
    folder.mkdir()
    with store(binary) as server, redis.Redis.from_url(server.url) as connection:
        client = RedisClient(create_client(server.url))
        ensure_version(client)
        fill(client, count, organizations)
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


def fill(client: RedisClient, count: int, organizations: int) -> None:
    """``count`` links, scheduled for the next hour."""
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
                        scheduled_at=now + timedelta(hours=1),
                    ),
                    now=now,
                    retention=RETENTION,
                )
                for number in range(first, min(first + AT_ONCE, count))
            ]
        )


def _row(store_name: str, organizations: int) -> str:
    return f"{store_name}, {SPREADS[organizations]}"


def _most(figure: Figure) -> float:
    return max(figure.rounds)
