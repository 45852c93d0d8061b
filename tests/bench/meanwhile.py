"""What others wait for while a million links are streamed, and while 100,000 due ones are dispatched."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import mkdtemp

import httpx

from service.store.client import Client, connect
from tests.bench.figures import Measure, Measured, Recorder, Row, Table
from tests.bench.scale import ORG, Request, ask, fill
from tests.store.samples import make_link, put_all
from tests.support.admins import as_admin
from tests.support.proc import descendants, resident
from tests.support.servers import store, valkey_server
from tests.support.web import web

STREAMED, DISPATCHED = 1_000_000, 100_000
CLIENTS = 2
IDLE = 1000
"""Requests by which a client finds out how long they take while nothing else is done."""
STREAM, DISPATCH = "streaming 1,000,000 links as NDJSON", "dispatching 100,000 due links"
COLUMNS = ("idle p99 ms", "beside a busy core", "p99 ms", "ratio", "seconds", "MB over base")
MOST_MS, MOST_RATIO, MOST_MB = 50, 2, 100


@contextmanager
def prepared(home: Path, seconds: float) -> Iterator[dict[str, Measure]]:
    """Shorter measurements have fewer links: all of them from 3 s on."""
    share = min(1.0, seconds / 3)
    with _served(home, int(STREAMED * share), None) as streamed:
        yield {
            STREAM: lambda: _measure(*streamed, _stream),
            DISPATCH: partial(_fresh_dispatch, home, int(DISPATCHED * share)),
        }


def tables(recorder: Recorder) -> list[Table]:
    rows = []
    if found := recorder.of(STREAM):
        reached = found["p99 ms"].median < MOST_MS and max(found["MB over base"].rounds) < MOST_MB
        rows.append(Row(STREAM, found, f"p99 under {MOST_MS} ms, under {MOST_MB} MB", reached))
    if found := recorder.of(DISPATCH):
        rows.append(Row(DISPATCH, found, f"at most {MOST_RATIO} x idle", found["ratio"].median <= MOST_RATIO))
    return [Table("GET /payment-links/{id} of two clients, while one web process is busy", COLUMNS, rows)]


def _fresh_dispatch(home: Path, count: int) -> Measured:
    with _served(home, count, timedelta(hours=1)) as served:
        return _measure(*served, _dispatch)


@contextmanager
def _served(home: Path, count: int, later: timedelta | None) -> Iterator[tuple[int, int, str]]:
    """A web process alone: its port and its worker's pid; and the id of a link."""
    with store(valkey_server(), "--appendonly", "no") as server:
        fill(server.url, count, 1 if later is None else count // 100, later)
        client = Client(connect(server.url))
        [link] = put_all(client, [make_link(datetime.now(UTC), notify=False)])
        client.close()
        with web(Path(mkdtemp(dir=home)), server.url) as service:
            pids = [service.web.process.pid, *descendants(service.web.process.pid)]
            yield service.port, max(pids, key=resident), link.id


def _measure(port: int, pid: int, link_id: str, job: Callable[[str], None]) -> Measured:
    some = [Request("GET", f"/payment-links/{link_id}")] * 50
    with ThreadPoolExecutor(CLIENTS + 1) as threads:
        before = _p99_of(threads, port, some)
        with _busy_core():
            beside = _p99_of(threads, port, some)
        base, over = resident(pid), threading.Event()
        clients = [threads.submit(_until, port, some, over, pid) for _ in range(CLIENTS)]
        began = datetime.now(UTC)
        try:
            job(f"http://127.0.0.1:{port}")
        finally:
            over.set()
        seconds = (datetime.now(UTC) - began).total_seconds()
        busy = [ms for client in clients for ms in client.result()[0]]
        most = max(client.result()[1] for client in clients)
    meanwhile = _p99(busy)
    return dict(zip(COLUMNS, (before, beside, meanwhile, meanwhile / before, seconds, most - base), strict=True))


def _p99_of(threads: ThreadPoolExecutor, port: int, some: list[Request]) -> float:
    """The p99 of some requests, while the service does nothing else."""
    clients = [threads.submit(_until, port, some, rounds=IDLE // len(some)) for _ in range(CLIENTS)]
    return _p99([ms for client in clients for ms in client.result()[0]])


def _p99(taken: list[float]) -> float:
    return sorted(taken)[int(len(taken) * 0.99)]


@contextmanager
def _busy_core() -> Iterator[None]:
    """One that something else keeps busy: what that costs others is the machine's, whatever the service does."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            yield
        finally:
            process.kill()


def _until(
    port: int, some: list[Request], over: threading.Event | None = None, pid: int | None = None, rounds: int = 1_000_000
) -> tuple[list[float], float]:
    """What ``some`` take again and again, in ms, and the most memory that ``pid`` held, in MB."""
    taken: list[float] = []
    most = 0.0
    for _ in range(rounds):
        taken += ask(port, some)
        most = max(most, resident(pid) if pid else 0)
        if over is not None and over.is_set():
            break
    return taken, most


def _stream(url: str) -> None:
    """Takes what comes, and counts its lines."""
    address, lines = f"{url}/orgs/{ORG}/payment-links", 0
    total = httpx.get(address, params={"limit": 1}, headers=as_admin()).json()["total"]
    with httpx.stream("GET", address, headers={**as_admin(), "Accept": "application/x-ndjson"}, timeout=60) as answer:
        for piece in answer.iter_raw():
            lines += piece.count(b"\n")
    if lines != total:
        raise RuntimeError(f"{lines} of {total}")


def _dispatch(url: str) -> None:
    httpx.post(f"{url}/payment-links/scheduled", json={}, headers=as_admin(), timeout=120).raise_for_status()
