"""One-time passwords from the request to the relay's confirmation.

On an idle system with a relay near, beside an empty RQ job; and with one far away, while link mails
go out, and while recipients of other codes are tarpits.
"""

import itertools
import multiprocessing
import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from ctypes import c_double
from functools import partial
from multiprocessing.sharedctypes import RawValue
from pathlib import Path
from statistics import quantiles
from tempfile import mkdtemp
from typing import Any

import httpx
from redis import Redis
from rq import SimpleWorker

from service.outbox.doorbell import JsonJob, JsonQueue
from tests.bench.figures import Figure, Measure, Measured, Recorder, Row, Table
from tests.bench.mails import FAR, NEAR, PARTITIONS, make_links, outbox_of
from tests.bench.relay import TARPIT, Relay, run_relay
from tests.support.servers import RedisServer, store, valkey_server, wait_until
from tests.support.service_processes import UNLIMITED, Service

REQUESTS = 60
"""How many are made a round, one after the other."""
PAUSE = 0.05
"""Seconds between two, on average: whatever runs periodically is met at any point."""
ALLOWANCE_MS = 100
FAR_REQUESTS, FAR_PAUSE = 100, 0.1
FAR_ALLOWANCE_MS = 2000
LINKS, TARPITS = 10_000, 20
P50, P99 = "p50 ms", "p99 ms"
OVER_JOB, OVER = "p99 over the job's", "p99 over the relay's"
OURS, FLOOR = "POST /payment-links/otp to confirmation", "an empty RQ job, enqueued to running"
QUEUE = "bench"

began_at: Any = None
"""When the last empty job ran, in the process that runs them."""


def empty_job() -> None:
    """Does nothing but say when."""
    began_at.value = time.monotonic()


def work_empty(url: str, began: Any) -> None:
    """Works as ``payment-links worker`` does."""
    global began_at  # noqa: PLW0603 - jobs are found by name, and carry no objects
    began_at = began
    connection = Redis.from_url(url)
    SimpleWorker(
        [JsonQueue(QUEUE, connection=connection)],
        connection=connection,
        job_class=JsonJob,
        queue_class=JsonQueue,
        worker_ttl=16,
    ).work(logging_level="WARNING")


class Floor:
    """What RQ takes by itself."""

    def __init__(self, url: str, began: Any) -> None:
        self._queue = JsonQueue(QUEUE, connection=Redis.from_url(url))
        self._began = began

    def once(self) -> float:
        """Seconds from enqueueing an empty job until it runs."""
        before, enqueued = self._began.value, time.monotonic()
        self._queue.enqueue(
            "tests.bench.otps.empty_job", result_ttl=0, failure_ttl=3600, job_timeout=120
        )
        wait_until(lambda: self._began.value != before, "an empty job to run")
        return float(self._began.value - enqueued)


class Requests:
    """Codes asked for over HTTP, each for another e-mail."""

    def __init__(self, client: httpx.Client, relay: Relay) -> None:
        self._client = client
        self._relay = relay
        self._numbers = itertools.count()

    def ask(self, domain: str = "codes.example") -> tuple[str, float]:
        """The recipient, and when the request was made."""
        email, asked = f"payer{next(self._numbers)}@{domain}", time.monotonic()
        response = self._client.post("/payment-links/otp", json={"email": email})
        assert response.status_code == 202, response.text
        return email, asked

    def once(self) -> float:
        """Seconds from a request until the relay has confirmed its mail."""
        with self._relay.taking(1):
            _, asked = self.ask()
        return self._relay.receipts()[-1].at - asked

    def many(self) -> list[float]:
        """The same of many, asked for one after the other whether or not mails came."""
        before, asked = len(self._relay.receipts()), dict[str, float]()

        def confirmed() -> dict[str, float]:
            return {
                recipient: at
                for at, recipient in self._relay.receipts()[before:]
                if recipient in asked
            }

        for _ in range(FAR_REQUESTS):
            email, at = self.ask()
            asked[email] = at
            time.sleep(random.uniform(0, 2 * FAR_PAUSE))
        wait_until(lambda: len(confirmed()) == len(asked), "all codes", within=120)
        return [at - asked[email] for email, at in confirmed().items()]


def measure(once: Callable[[], float]) -> Measured:
    """p50 and p99 of some requests, each made of an idle system."""
    taken = []
    for _ in range(REQUESTS):
        time.sleep(random.uniform(0, 2 * PAUSE))
        taken.append(once())
    return percentiles(taken)


def measure_while(
    disturb: Callable[[RedisServer, Requests], None], home: Path, relay: Relay
) -> Measured:
    """p50 and p99 of a service of its own that is disturbed."""
    with (
        store(valkey_server(), durable=True) as server,
        Service(Path(mkdtemp(dir=home)), server.url, relay.url, **UNLIMITED) as service,
        httpx.Client(base_url=service.url) as client,
    ):
        requests = Requests(client, relay)
        requests.once()
        disturb(server, requests)
        measured = percentiles(requests.many())
    return {**measured, OVER: measured[P99] - FAR.distance.mail * 1000}


def percentiles(seconds: list[float]) -> Measured:
    ranks = quantiles(seconds, n=100, method="inclusive")
    return {P50: ranks[49] * 1000, P99: ranks[98] * 1000}


def leave_alone(_server: RedisServer, _requests: Requests) -> None:
    """Nothing else is to do."""


def send_links(server: RedisServer, _requests: Requests) -> None:
    """Many link mails begin to go out."""
    outbox = outbox_of(server)
    outbox.add(make_links(LINKS))
    outbox.ring(PARTITIONS)


def ask_for_tarpits(_server: RedisServer, requests: Requests) -> None:
    """Codes go to recipients whom the relay accepts late."""
    for _ in range(TARPITS):
        requests.ask(TARPIT)


DISTURBANCES = {
    "codes, and nothing else": leave_alone,
    f"codes, while {LINKS:,} link mails go out": send_links,
    f"codes, while {TARPITS} recipients of others are tarpits": ask_for_tarpits,
}


@contextmanager
def prepared(home: Path, seconds: float) -> Iterator[dict[str, Measure]]:  # noqa: ARG001 - it takes what requests take
    """The whole service, as it idles."""
    with ExitStack() as opened:
        relay = opened.enter_context(run_relay(home, NEAR.distance))
        server = opened.enter_context(store(valkey_server(), durable=True))
        service = opened.enter_context(Service(home, server.url, relay.url, **UNLIMITED))
        began = RawValue(c_double)
        worker = multiprocessing.get_context("spawn").Process(
            target=work_empty, args=(server.url, began)
        )
        worker.start()
        opened.callback(worker.join)
        opened.callback(worker.terminate)
        client = opened.enter_context(httpx.Client(base_url=service.url))
        requests, floor = Requests(client, relay), Floor(server.url, began)
        requests.once()
        floor.once()
        far = opened.enter_context(run_relay(home, FAR.distance))
        yield {
            OURS: partial(measure, requests.once),
            FLOOR: partial(measure, floor.once),
            **{
                name: partial(measure_while, disturb, home, far)
                for name, disturb in DISTURBANCES.items()
            },
        }


def tables(recorder: Recorder) -> list[Table]:
    ours, floor = recorder.of(OURS), recorder.of(FLOOR)
    rows = [Row(name, dict(figures)) for name, figures in ((OURS, ours), (FLOOR, floor)) if figures]
    if ours and floor:
        over = Figure(
            [mine - least for mine, least in zip(ours[P99].rounds, floor[P99].rounds, strict=True)]
        )
        rows[0] = Row(
            OURS,
            {**ours, OVER_JOB: over},
            f"under {ALLOWANCE_MS} ms over",
            over.median < ALLOWANCE_MS,
        )
    far_rows = [
        Row(
            name,
            found,
            f"under {FAR_ALLOWANCE_MS:,} ms over",
            max(found[OVER].rounds) < FAR_ALLOWANCE_MS,
        )
        for name in DISTURBANCES
        if (found := recorder.of(name))
    ]
    return [
        Table(
            f"One-time passwords, {REQUESTS} a round on an idle system",
            [P50, P99, OVER_JOB],
            rows,
        ),
        Table(
            f"One-time passwords to a relay {FAR.title}, {FAR_REQUESTS} a round",
            [P50, P99, OVER],
            far_rows,
        ),
    ]
