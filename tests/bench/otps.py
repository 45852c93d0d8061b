"""One-time passwords from the request to the SMTP server's DATA, beside an empty RQ job.

The system is idle otherwise.
"""

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
from typing import Any

import httpx
from redis import Redis
from rq import SimpleWorker

from service.outbox.doorbell import JsonJob, JsonQueue
from tests.bench.figures import Figure, Measure, Measured, Recorder, Row, Table
from tests.bench.smtp_sink import Sink, sink
from tests.support.servers import RedisServer, valkey_server, wait_until
from tests.support.service_processes import UNLIMITED, Service

REQUESTS = 60
"""How many are made a round, one after the other."""
PAUSE = 0.05
"""Seconds between two, on average: whatever runs periodically is met at any point."""
ALLOWANCE_MS = 100
OURS, FLOOR = "POST /payment-links/otp to DATA", "an empty RQ job, enqueued to running"
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

    def __init__(self, client: httpx.Client, mails: Sink) -> None:
        self._client = client
        self._mails = mails

    def once(self) -> float:
        """Seconds from a request until its mail's content is with the server."""
        number, asked = self._mails.count, time.monotonic()
        response = self._client.post(
            "/payment-links/otp", json={"email": f"payer{number}@example.com"}
        )
        assert response.status_code == 202, response.text
        return self._mails.time_of(number) - asked


def measure(once: Callable[[], float]) -> Measured:
    """p50 and p99 of some requests, each made of an idle system."""
    taken = []
    for _ in range(REQUESTS):
        time.sleep(random.uniform(0, 2 * PAUSE))
        taken.append(once() * 1000)
    ranks = quantiles(taken, n=100, method="inclusive")
    return {"p50 ms": ranks[49], "p99 ms": ranks[98]}


@contextmanager
def prepared(home: Path, seconds: float) -> Iterator[dict[str, Measure]]:  # noqa: ARG001 - it takes what requests take
    """The whole service, as it idles."""
    with ExitStack() as opened:
        taker = opened.enter_context(sink())
        store = RedisServer(valkey_server(), home)
        store.start()
        opened.callback(store.kill)
        service = opened.enter_context(
            Service(home, store.url, f"smtp://127.0.0.1:{taker.port}", **UNLIMITED)
        )
        began = RawValue(c_double)
        worker = multiprocessing.get_context("spawn").Process(
            target=work_empty, args=(store.url, began)
        )
        worker.start()
        opened.callback(worker.join)
        opened.callback(worker.terminate)
        client = opened.enter_context(httpx.Client(base_url=service.url))
        requests, floor = Requests(client, taker), Floor(store.url, began)
        requests.once()
        floor.once()
        yield {OURS: partial(measure, requests.once), FLOOR: partial(measure, floor.once)}


def tables(recorder: Recorder) -> list[Table]:
    ours, floor = recorder.of(OURS), recorder.of(FLOOR)
    rows = [Row(name, dict(figures)) for name, figures in ((OURS, ours), (FLOOR, floor)) if figures]
    if ours and floor:
        over = Figure(
            [
                mine - least
                for mine, least in zip(ours["p99 ms"].rounds, floor["p99 ms"].rounds, strict=True)
            ]
        )
        rows[0] = Row(
            OURS,
            {**ours, "p99 over the job's": over},
            f"under {ALLOWANCE_MS} ms over",
            over.median < ALLOWANCE_MS,
        )
    return [
        Table(
            f"One-time passwords, {REQUESTS} a round on an idle system",
            ["p50 ms", "p99 ms", "p99 over the job's"],
            rows,
        )
    ]
