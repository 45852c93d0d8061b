"""Latency of other requests while a million links are streamed, or 100,000 are dispatched."""

import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import mkdtemp

import httpx

from service.storage.data_version import ensure_version
from tests.bench import wrk
from tests.bench.figures import Measure, Measured, Recorder, Row, Table
from tests.bench.scale import ORG, fill
from tests.support.admins import as_admin
from tests.support.factories import make_link, store_links
from tests.support.procfs import descendants, resident
from tests.support.redis_client import RedisClient, create_client
from tests.support.servers import store, valkey_server
from tests.support.web import run_web

STREAMED, DISPATCHED = 1_000_000, 100_000
STREAM, DISPATCH = "streaming 1,000,000 links as NDJSON", "dispatching 100,000 due links"
FEW = 2
COLUMNS = (
    "idle p99 ms",
    "beside a busy core",
    "p99 ms",
    "worst second",
    "ratio",
    "seconds",
    "MB over base",
)
MOST_MS, MOST_RATIO, MOST_MB = 50, 2, 100


@contextmanager
def prepared(home: Path, seconds: float) -> Iterator[dict[str, Measure]]:
    """Shorter measurements have fewer links: all of them from 3 s on."""
    share = min(1.0, seconds / 3)
    with _served(home, int(STREAMED * share), None) as streamed:
        yield {_row(STREAM): lambda: _measure(home, *streamed, _stream)} | {
            _row(DISPATCH, connections): partial(
                _fresh_dispatch, home, int(DISPATCHED * share), connections
            )
            for connections in (wrk.CONNECTIONS, FEW)
        }


def tables(recorder: Recorder) -> list[Table]:
    rows = []
    if found := recorder.of(_row(STREAM)):
        reached = (
            found["worst second"].median < MOST_MS and max(found["MB over base"].rounds) < MOST_MB
        )
        rows.append(
            Row(_row(STREAM), found, f"p99 under {MOST_MS} ms, under {MOST_MB} MB", reached)
        )
    if found := recorder.of(_row(DISPATCH)):
        rows.append(
            Row(
                _row(DISPATCH),
                found,
                f"at most {MOST_RATIO} x idle",
                found["ratio"].median <= MOST_RATIO,
            )
        )
    if found := recorder.of(_row(DISPATCH, FEW)):
        rows.append(Row(_row(DISPATCH, FEW), found))
    return [Table("GET /payment-links/{id}, while one web process is busy", COLUMNS, rows)]


def _row(job: str, connections: int = wrk.CONNECTIONS) -> str:
    return f"{job}, {connections} connections"


def _fresh_dispatch(home: Path, count: int, connections: int) -> Measured:
    with _served(home, count, timedelta(hours=1)) as served:
        return _measure(home, *served, _dispatch, connections)


@contextmanager
def _served(home: Path, count: int, later: timedelta | None) -> Iterator[tuple[int, int, str]]:
    """A web process alone: its port and its worker's pid; and the id of a link."""
    with store(valkey_server()) as server:
        ensure_version(RedisClient(create_client(server.url)))
        fill(server.url, count, 1 if later is None else count // 100, later)
        client = RedisClient(create_client(server.url))
        [link] = store_links(client, [make_link(datetime.now(UTC), notify=False)])
        client.close()
        with run_web(Path(mkdtemp(dir=home)), server.url) as service:
            pids = [service.web.process.pid, *descendants(service.web.process.pid)]
            yield service.port, max(pids, key=resident), link.id


def _measure(
    home: Path,
    port: int,
    pid: int,
    link_id: str,
    job: Callable[[str], None],
    connections: int = wrk.CONNECTIONS,
) -> Measured:
    get = wrk.load(
        port, [wrk.http("GET", f"/payment-links/{link_id}")], home, 1, connections=connections
    )
    get()
    idle = get()["p99 ms"]
    with _busy_core():
        beside = get()["p99 ms"]
    base, began = resident(pid), datetime.now(UTC)
    with ThreadPoolExecutor(2) as threads:
        working = threads.submit(job, f"http://127.0.0.1:{port}")
        most = threads.submit(_most_resident, pid, working)
        each_second = list(_until(working, get))
        working.result()
    seconds = (datetime.now(UTC) - began).total_seconds()
    meanwhile, worst = statistics.median(each_second), max(each_second)
    return dict(
        zip(
            COLUMNS,
            (idle, beside, meanwhile, worst, meanwhile / idle, seconds, most.result() - base),
            strict=True,
        )
    )


def _until(working: Future[None], get: Measure) -> Iterator[float]:
    """The p99 of each second of the work."""
    while True:
        measured = get()["p99 ms"]
        if working.done():
            return
        yield measured


def _most_resident(pid: int, working: Future[None]) -> float:
    """The most memory that ``pid`` held until the work was done, in MB."""
    most = 0.0
    while wait([working], 0.05).not_done:
        most = max(most, resident(pid))
    return most


@contextmanager
def _busy_core() -> Iterator[None]:
    """A core that another program keeps busy: the latency that the machine itself causes."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            yield
        finally:
            process.kill()


def _stream(url: str) -> None:
    """Takes what comes, and counts its lines."""
    address, lines = f"{url}/orgs/{ORG}/payment-links", 0
    total = httpx.get(address, params={"limit": 1}, headers=as_admin()).json()["total"]
    with httpx.stream(
        "GET", address, headers={**as_admin(), "Accept": "application/x-ndjson"}, timeout=60
    ) as response:
        for piece in response.iter_raw():
            lines += piece.count(b"\n")
    if lines != total:
        raise RuntimeError(f"{lines} of {total}")


def _dispatch(url: str) -> None:
    httpx.post(
        f"{url}/payment-links/scheduled", json={}, headers=as_admin(), timeout=120
    ).raise_for_status()
