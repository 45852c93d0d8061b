"""Web processes are stopped under load, and clients go away midway. Nobody else notices."""

import asyncio
import os
import shutil
import signal
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import httpx
import pytest
import redis

from service.process.server import STOP_TIMEOUT_SECONDS
from service.process.shutdown import DRAIN_SECONDS
from tests.support.aborting_clients import AbortingClients
from tests.support.admins import admin_of
from tests.support.balancer import balancer
from tests.support.factories import make_link, store_links
from tests.support.procfs import children, descriptors, runs
from tests.support.proxy import Proxy
from tests.support.redis_client import RedisClient, create_client
from tests.support.run_length import RunLength
from tests.support.servers import RedisServer, free_port, wait_until
from tests.support.service_processes import Process, Service
from tests.support.steady_load import Load
from tests.support.web import run_web, run_webs

CALLERS = 16
UNANSWERED = (
    "ConnectError",
    "ReadError",
    "RemoteProtocolError: Server disconnected without sending a response",
)
"""How a request fails whose connection was closed before its answer began."""
FAULTY_SHUTDOWN = """
from service.health.heartbeat import Heartbeat
from service.outbox.doorbell import Doorbell

def fail(self):
    raise RuntimeError("out of order")

Heartbeat.remove = fail
Doorbell.close = fail
"""
"""A ``sitecustomize.py`` that makes every step of a shutdown fail."""


@pytest.fixture(scope="session")
def haproxy() -> str:
    binary = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
    if binary is None:
        if os.environ.get("CI"):
            pytest.fail("haproxy is not on PATH")
        pytest.skip("haproxy is not on PATH")
    return binary


def test_stopped_behind_a_balancer_no_request_fails(
    own_store: RedisServer, tmp_path: Path, haproxy: str, run_length: RunLength
) -> None:
    """HAProxy polls ``/readyz``, and the processes have no privileges. Full: 20 SIGTERMs."""
    ports = free_port(), free_port()
    with (
        run_webs(tmp_path, own_store.url, *ports, prefix=unprivileged()) as services,
        balancer(haproxy, tmp_path, ports) as port,
    ):
        load = asyncio.run(stop_under_load(services, f"http://127.0.0.1:{port}", run_length(1, 20)))
    assert load.failures == []


def test_a_process_stops_although_its_shutdown_fails(
    own_store: RedisServer, tmp_path: Path, haproxy: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(FAULTY_SHUTDOWN)
    ports = free_port(), free_port()
    with (
        run_webs(tmp_path, own_store.url, *ports, PYTHONPATH=str(tmp_path)) as services,
        balancer(haproxy, tmp_path, ports) as port,
    ):
        load = asyncio.run(stop_under_load(services, f"http://127.0.0.1:{port}", 2))
        assert all("out of order" in service.web.output() for service in services)
    assert load.failures == []


def test_stopped_on_a_shared_port_only_connections_of_that_moment_end_unanswered(
    own_store: RedisServer, tmp_path: Path, run_length: RunLength
) -> None:
    """The kernel gives a process connections until it closes, and moves none. Full: 20 SIGTERMs."""
    port, stops = free_port(), run_length(1, 20)
    with run_webs(tmp_path, own_store.url, port, port) as services:
        load = asyncio.run(stop_under_load(services, f"http://127.0.0.1:{port}", stops))
    assert [failure for failure in load.failures if not failure.startswith(UNANSWERED)] == []
    assert len(load.failures) <= stops * CALLERS


def test_a_stream_under_way_is_finished_by_a_process_that_stops(
    own_store: RedisServer, tmp_path: Path
) -> None:
    """Its process group is signaled, as by systemd. Others are still served, and sent elsewhere."""
    fill(own_store, "globex", 2_500)
    with (
        Proxy(own_store.socket) as proxy,
        run_web(tmp_path, f"redis://127.0.0.1:{proxy.port}", WEB_CONCURRENCY="2") as service,
        admin_of(service.url) as client,
    ):
        proxy.delay = 0.1
        with client.stream(
            "GET", "/orgs/globex/payment-links", headers={"Accept": "application/x-ndjson"}
        ) as stream:
            lines = stream.iter_lines()
            next(lines)
            began = time.monotonic()
            os.killpg(service.web.process.pid, signal.SIGTERM)
            wait_until(
                lambda: httpx.get(f"{service.url}/readyz").status_code == 503,
                "the drain",
                within=DRAIN_SECONDS,
            )
            stopping = httpx.get(f"{service.url}/readyz")
            assert (stopping.json()["code"], stopping.headers["retry-after"]) == ("stopping", "1")
            alive = httpx.get(f"{service.url}/healthz")
            assert (alive.status_code, alive.headers["connection"]) == (200, "close")
            assert 1 + sum(1 for _ in lines) == 2_500
            assert time.monotonic() - began > DRAIN_SECONDS
        assert service.web.process.wait(10) == 0
        assert time.monotonic() - began < 10


@pytest.mark.parametrize("again", [signal.SIGTERM, signal.SIGINT])
def test_asked_twice_a_process_stops_at_once(
    own_store: RedisServer, tmp_path: Path, again: signal.Signals
) -> None:
    with run_web(tmp_path, own_store.url) as service:
        service.web.process.send_signal(signal.SIGTERM)
        wait_until(lambda: httpx.get(f"{service.url}/readyz").status_code == 503, "the drain")
        service.web.process.send_signal(again)
        assert service.web.process.wait(DRAIN_SECONDS) == 0


def test_where_the_main_process_is_killed_its_workers_end(
    own_store: RedisServer, tmp_path: Path
) -> None:
    """They would serve on beside what is started next, with old settings."""
    with run_web(tmp_path, own_store.url, WEB_CONCURRENCY="2") as service:
        workers = children(service.web.process.pid)
        service.web.kill()
        wait_until(lambda: not any(map(runs, workers)), "the workers to end", within=10)
        service.web.start()
        wait_until(service.is_alive, "the web process")


def test_a_process_that_is_still_starting_stops_at_once(
    own_store: RedisServer, tmp_path: Path, run_length: RunLength
) -> None:
    """Whatever it has come to. Full: 40 moments."""
    service = Service(tmp_path, own_store.url, None)
    for number in range(run_length(3, 40)):
        before = forks(service.web) if number else 0
        service.web.start()
        wait_until(partial(has_forked, service.web, before), "the fork")
        time.sleep(number / 40)
        try:
            assert service.web.stop(within=4) == 0
        finally:
            service.web.kill()  # unless it is gone


def test_requests_that_are_abandoned_hold_nothing_and_disturb_nobody(
    own_store: RedisServer, tmp_path: Path, run_length: RunLength
) -> None:
    """Clients abort requests and answers; others check that their answers are their own.

    Full: 10,000 requests.
    """
    with (
        run_web(tmp_path, own_store.url) as service,
        redis.Redis(unix_socket_path=str(own_store.socket)) as found,
    ):
        fill(own_store, "acme", 500)
        [worker] = children(service.web.process.pid)

        def held() -> tuple[int, int]:
            """The web process' files and sockets, and the store's connections."""
            return descriptors(worker), len(found.client_list())

        async def load(abandoned: int) -> Load:
            load = Load(service.url)
            async with load.running():
                await AbortingClients(service.port).ask(abandoned)
            return load

        asyncio.run(load(200))  # whatever is kept for good is there now
        time.sleep(1)
        before = held()
        checked = asyncio.run(load(run_length(300, 10_000)))
        wait_until(
            lambda: all(now <= then for now, then in zip(held(), before, strict=True)),
            f"{before}, not {held()}",
        )
        failed = [
            line
            for line in service.web.output().splitlines()
            if '"status": 5' in line or '"level": "error"' in line
        ]
        assert (checked.failures, failed, service.is_alive()) == ([], [], True)


def forks(web: Process) -> int:
    return web.output().count("Spawning worker-1")


def has_forked(web: Process, before: int) -> bool:
    return forks(web) > before


def unprivileged() -> list[str]:
    """The prefix that runs a command without capabilities; only root has any."""
    return ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--"] if os.geteuid() == 0 else []


async def stop_under_load(services: list[Service], url: str, times: int) -> Load:
    """Stops the two in turn, whenever both are at work; each is gone in time."""
    load = Load(url, CALLERS)
    took: list[float] = []
    async with load.running():
        for number in range(times):
            await at_work(services)
            stopped = services[number % 2].web
            began = time.monotonic()
            assert await asyncio.to_thread(stopped.stop) == 0
            took.append(time.monotonic() - began)
            if number + 1 < times:
                stopped.start()
    print(
        f"\n{load.answered} answers, {len(load.failures)} failures; "
        f"a stop took {max(took):.1f} s at most"
    )
    assert max(took) < STOP_TIMEOUT_SECONDS, "a process was killed, for it did not stop by itself"
    return load


async def at_work(services: list[Service]) -> None:
    """Returns when each of the processes has answered 50 requests more."""
    before = [requests(service.web) for service in services]
    while (  # noqa: ASYNC110
        min(
            requests(service.web) - answered
            for service, answered in zip(services, before, strict=True)
        )
        < 50
    ):
        await asyncio.sleep(0.05)


def requests(process: Process) -> int:
    return process.output().count('"event":"request"')


def fill(store: RedisServer, org_id: str, count: int) -> None:
    """``count`` links of the organization."""
    now, client = datetime.now(UTC), RedisClient(create_client(store.url))
    store_links(
        client,
        (
            make_link(now, org_id=org_id, email=f"payer{number}@example.com", notify=False)
            for number in range(count)
        ),
    )
    client.close()
