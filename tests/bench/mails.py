"""Link mails from the outbox to a relay, near and far, beside other ways to send as many."""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import NamedTuple, Protocol

from redis import Redis

from service.links.model import Link
from service.outbox import store as outbox
from service.outbox.doorbell import ring
from service.outbox.queues import LINK_QUEUE
from service.storage import keys
from service.storage.client import RedisClient
from service.storage.data_version import ensure_version
from service.values.ids import partition_of
from tests.bench.figures import Measure, Measured, Recorder, Row, Table, ratio
from tests.bench.mail_baselines import JOBS, PROCESSES, prefork_pool, send_one_by_one
from tests.bench.relay import Distance, Relay, run_relay
from tests.support import redis_client
from tests.support.factories import make_link, store_links
from tests.support.procfs import cpu_seconds, descendants, peak_resident
from tests.support.servers import RedisServer, store, valkey_server, wait_until
from tests.support.service_processes import Process, Service

ORGS = 100
PARTITIONS = {partition_of(f"org-{number}") for number in range(ORGS)}
OWED, MAX_MB = 100_000, 150
BATCH_SIZE = 500
RATE, CPU, PEAK = "mails/s", "CPU ms a mail", "peak MB"
OURS, OURS_WIDE = "a worker, 16 sessions", "a worker, 64 sessions"
LOOP, POOL = "a loop, one session", f"{PROCESSES} processes, a session a mail"
BASELINES = {"of the loop": LOOP, "of the processes": POOL}
SESSIONS = {OURS: 16, OURS_WIDE: 64}
MEMORY = f"a worker that owes {OWED:,}"


class Place(NamedTuple):
    """A relay's place, what is measured there, and the least mails a second that are asked for."""

    title: str
    distance: Distance
    expected: dict[str, int]
    """About how many mails a second each way of sending manages."""
    least: dict[str, int]


FAR = Place(
    "50 ms away",
    Distance(round_trip=0.05, data=0.06),
    expected={OURS: 60, OURS_WIDE: 200, LOOP: 4, POOL: 9},
    least={OURS: 50, OURS_WIDE: 150},
)
NEAR = Place("near", Distance(), expected={OURS: 400, LOOP: 1000, POOL: 300}, least={OURS: 250})


class Sender(Protocol):
    """A way to send mails."""

    sessions: int
    """How many it has with the relay at a time."""

    def send(self, made: Sequence[Link]) -> None:
        """Sends a mail for each link, and returns when all are sent."""

    def cpu(self) -> float:
        """Seconds of CPU that it has taken."""


class Loop:
    sessions = 1

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    def send(self, made: Sequence[Link]) -> None:
        send_one_by_one(made, self._relay.port)

    def cpu(self) -> float:
        return time.process_time()


class Pool:
    sessions = PROCESSES

    def __init__(self, server: RedisServer, relay: Relay, pids: Sequence[int]) -> None:
        self._client = redis_client.RedisClient(redis_client.create_client(server.url))
        self._jobs = Redis.from_url(server.url)
        self._relay = relay
        self._pids = pids

    def send(self, made: Sequence[Link]) -> None:
        with self._relay.taking(len(made)):
            store_links(self._client, made)
            self._jobs.rpush(JOBS, *[link.id for link in made])

    def cpu(self) -> float:
        return sum(map(cpu_seconds, self._pids))


class Worker:
    """``payment-links worker``, and the links that it mails."""

    def __init__(
        self,
        home: Path,
        url: str,
        outbox: "LinkOutbox",
        relay: Relay,
        sessions: int,
        **settings: str,
    ) -> None:
        self.sessions = sessions
        self.outbox = outbox
        self._relay = relay
        service = Service(home, url, relay.url, SMTP_SESSIONS=str(sessions), **settings)
        self._process = Process("worker --queue links", service.environ, home / "worker.log")

    @contextmanager
    def running(self) -> Iterator[None]:
        self._process.start()
        try:
            yield
        finally:
            self._process.stop()

    def send(self, made: Sequence[Link]) -> None:
        self.outbox.add(made)
        self.send_owed(made)

    def send_owed(self, owed: Sequence[Link]) -> None:
        """Sends the mails of links that the outbox has."""
        with self._relay.taking(len(owed)):
            self.outbox.ring({partition_of(link.org_id) for link in owed})
        wait_until(self.outbox.is_empty, "all mails to be marked")

    def cpu(self) -> float:
        return cpu_seconds(self._process.process.pid)

    def peak(self) -> float:
        """The most MB of memory that one of its processes has held."""
        return max(map(peak_resident, descendants(self._process.process.pid)))


class LinkOutbox:
    """Link mails that a store owes, and RQ's Redis."""

    def __init__(self, client: RedisClient, queue_url: str) -> None:
        self._client = client
        self._queue = Redis.from_url(queue_url)
        ensure_version(self._client)

    def add(self, made: Sequence[Link]) -> None:
        for first in range(0, len(made), BATCH_SIZE):
            store_links(self._client, made[first : first + BATCH_SIZE])

    def ring(self, partitions: Iterable[str]) -> None:
        ring(LINK_QUEUE, partitions, self._queue)

    def is_empty(self) -> bool:
        return not any(
            self._client.run_all(
                [outbox.has_pending(partition) for partition in keys.ALL_PARTITIONS]
            )
        )


def outbox_of(server: RedisServer) -> LinkOutbox:
    """The link mails that the store owes. RQ uses it, too."""
    return LinkOutbox(redis_client.RedisClient(redis_client.create_client(server.url)), server.url)


@contextmanager
def prepared(home: Path, seconds: float) -> Iterator[dict[str, Measure]]:
    """All have sent mails already when they are measured."""
    with ExitStack() as opened:
        measures: dict[str, Measure] = {}
        for place in (FAR, NEAR):
            relay = opened.enter_context(run_relay(home, place.distance))
            for way, rate in place.expected.items():
                sender = opened.enter_context(_open_sender(way, home, relay))
                sender.send(make_links(2 * sender.sessions))
                count = sender.sessions + int(rate * seconds)
                measures[_row(way, place)] = partial(_measure_rate, sender, relay, count)
        owing = opened.enter_context(_open_worker(home, relay, SESSIONS[OURS]))
        owing.outbox.add(make_links(OWED))
        yield measures | {MEMORY: partial(_measure_peak, owing, relay, seconds)}


@contextmanager
def _open_sender(way: str, home: Path, relay: Relay) -> Iterator[Sender]:
    if way == LOOP:
        yield Loop(relay)
    elif way == POOL:
        with (
            store(valkey_server(), durable=True) as server,
            prefork_pool(server.url, relay.port) as pids,
        ):
            yield Pool(server, relay, pids)
    else:
        with _open_worker(home, relay, SESSIONS[way]) as worker, worker.running():
            yield worker


@contextmanager
def _open_worker(home: Path, relay: Relay, sessions: int) -> Iterator[Worker]:
    with store(valkey_server(), durable=True) as server:
        yield Worker(Path(mkdtemp(dir=home)), server.url, outbox_of(server), relay, sessions)


def make_links(count: int) -> list[Link]:
    now = datetime.now(UTC)
    return [
        make_link(
            now,
            org_id=f"org-{number % ORGS}",
            email=f"payer{number}@example.com",
            transaction_id=f"INV-2026-{number:06}",
            payment_amount=Decimal(number * 125 + 100) / 100,
            currency=("USD", "EUR", "NGN")[number % 3],
        )
        for number in range(count)
    ]


def _measure_rate(sender: Sender, relay: Relay, count: int) -> Measured:
    """From the first mails, one a session, to the last."""
    made, before, cpu = make_links(count), len(relay.receipts()), sender.cpu()
    sender.send(made)
    receipts = relay.receipts()[before:]
    assert sorted(receipt.recipient for receipt in receipts) == sorted(link.email for link in made)
    return {
        RATE: (count - sender.sessions) / (receipts[-1].at - receipts[0].at),
        CPU: (sender.cpu() - cpu) * 1000 / count,
    }


def _measure_peak(worker: Worker, relay: Relay, seconds: float) -> Measured:
    """A worker that starts, and sends for some seconds."""
    before = len(relay.receipts())
    with worker.running():
        with relay.taking(1):
            worker.outbox.ring(PARTITIONS)
        time.sleep(seconds)
        receipts = relay.receipts()[before:]
        return {RATE: len(receipts) / (receipts[-1].at - receipts[0].at), PEAK: worker.peak()}


def tables(recorder: Recorder) -> list[Table]:
    return [_table_of(place, recorder) for place in (FAR, NEAR)] + [_memory_table(recorder)]


def _table_of(place: Place, recorder: Recorder) -> Table:
    rows = []
    for way in place.expected:
        figures = dict(recorder.of(_row(way, place)))
        if not figures:
            continue
        for column, baseline in BASELINES.items():
            if baseline != way and (base := recorder.of(_row(baseline, place))):
                figures[column] = ratio(figures[RATE], base[RATE])
        row = Row(way, figures)
        if least := place.least.get(way):
            row.target, row.reached = f"at least {least}/s", figures[RATE].median >= least
        rows.append(row)
    return Table(f"E-mails to a relay {place.title}", [RATE, *BASELINES, CPU], rows)


def _memory_table(recorder: Recorder) -> Table:
    rows = []
    if figures := recorder.of(MEMORY):
        rows.append(Row(MEMORY, figures, f"under {MAX_MB} MB", figures[PEAK].median < MAX_MB))
    return Table("Memory of a worker", [PEAK, RATE], rows)


def _row(way: str, place: Place) -> str:
    return f"{way}, to a relay {place.title}"
