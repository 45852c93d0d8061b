"""Link mails from the outbox to an SMTP server, beside a bare loop that sends the same mails."""

import smtplib
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from redis import Redis

from service.outbox import store as outbox
from service.outbox.doorbell import ring
from service.outbox.queues import LINK_QUEUE
from service.storage import keys
from service.storage.client import RedisClient
from service.storage.connect import create_client
from service.storage.data_version import ensure_version
from service.values.ids import partition_of
from tests.bench.figures import Measure, Measured, Recorder, Row, Table, ratio
from tests.bench.smtp_sink import Mail, Sink, sink
from tests.support.factories import make_link, store_links
from tests.support.procfs import cpu_seconds
from tests.support.servers import RedisServer, valkey_server, wait_until
from tests.support.service_processes import Process, Service

MAILS = 1000
"""How many are sent a round."""
ORGS = 10
TARGET = 0.70
OURS, BARE = "link mails, from the outbox", "smtplib, ready-made mails"
SHARE = "of the bare loop"
ONE_BY_ONE = "to a server without PIPELINING"


class Harness:
    """A worker on a store of its own."""

    def __init__(self, store: RedisServer, worker: Process, mails: Sink) -> None:
        self._client = RedisClient(create_client(store.url))
        ensure_version(self._client)
        self._queue = Redis.from_url(store.url)
        self._worker = worker
        self._mails = mails

    def close(self) -> None:
        self._client.close()
        self._queue.close()

    def send(self, count: int = MAILS) -> Measured:
        """Has the worker send ``count`` link mails."""
        self._owe(count)
        first, cpu, began = self._mails.count, self._cpu(), time.monotonic()
        ring(LINK_QUEUE, {partition_of(f"org-{number}") for number in range(ORGS)}, self._queue)
        ended = self._mails.time_of(first + count - 1)
        wait_until(lambda: not self._owes(), "all mails to be marked")
        return {
            "mails/s": count / (ended - began),
            "CPU ms a mail": (self._cpu() - cpu) * 1000 / count,
        }

    def _owe(self, count: int) -> None:
        now = datetime.now(UTC)
        for batch in range(0, count, 100):
            store_links(
                self._client,
                [
                    make_link(
                        now,
                        org_id=f"org-{number % ORGS}",
                        email=f"payer{number}@example.com",
                        transaction_id=f"INV-2026-{number:06}",
                        payment_amount=Decimal(number * 125 + 100) / 100,
                        currency=("USD", "EUR", "NGN")[number % 3],
                    )
                    for number in range(batch, min(batch + 100, count))
                ],
            )

    def _owes(self) -> bool:
        owes = self._client.run_all(
            [outbox.has_pending(partition) for partition in keys.ALL_PARTITIONS]
        )
        return any(owes)

    def _cpu(self) -> float:
        """Seconds of CPU that the worker's processes have taken."""
        return cpu_seconds(self._worker.process.pid)


def send_bare(mails: list[Mail], taker: Sink) -> Measured:
    """Sends ``mails`` over one connection, with nothing else to do."""
    first, cpu, began = taker.count, time.process_time(), time.monotonic()
    with smtplib.SMTP("127.0.0.1", taker.port) as smtp:
        for mail in mails:
            smtp.sendmail(mail.sender, mail.recipient, mail.content)
    cpu = time.process_time() - cpu
    return {
        "mails/s": len(mails) / (taker.time_of(first + len(mails) - 1) - began),
        "CPU ms a mail": cpu * 1000 / len(mails),
    }


@contextmanager
def prepared(home: Path, seconds: float) -> Iterator[dict[str, Measure]]:  # noqa: ARG001 - it takes what its mails take
    """Both have sent mails already when they are measured."""
    with ExitStack() as opened:
        taker = opened.enter_context(sink())
        store = RedisServer(valkey_server(), home)
        store.start()
        opened.callback(store.kill)
        worker = Service(home, store.url, f"smtp://127.0.0.1:{taker.port}").worker
        worker.start()
        opened.callback(worker.stop)
        harness = Harness(store, worker, taker)
        opened.callback(harness.close)
        with taker.keeping() as mails:
            harness.send()
        with taker.without_pipelining():
            harness.send()
        yield {
            OURS: harness.send,
            ONE_BY_ONE: taker.without_pipelining()(harness.send),
            BARE: lambda: send_bare(mails, taker),
        }


def tables(recorder: Recorder) -> list[Table]:
    bare, rows = recorder.of(BARE), []
    for name in (OURS, ONE_BY_ONE):
        if ours := recorder.of(name):
            rows.append(Row(name, dict(ours)))
        if ours and bare:
            share = ratio(ours["mails/s"], bare["mails/s"])
            rows[-1] = Row(
                name, {**ours, SHARE: share}, f"at least {TARGET}", share.median >= TARGET
            )
    if bare:
        rows.append(Row(BARE, dict(bare)))
    return [
        Table(
            f"E-mails: {MAILS} links to one SMTP server, every write on disk",
            ["mails/s", SHARE, "CPU ms a mail"],
            rows,
        )
    ]
