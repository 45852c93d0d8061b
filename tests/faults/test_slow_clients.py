"""Clients that send or read slowly, or not at all: they cost little, and are let go."""

import json
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
import redis

from service.values.ids import make_link_id
from tests.faults.hostile import (
    AUTHORIZATION,
    CREATE,
    GOOD,
    MEMORY,
    is_problem,
)
from tests.support.admins import admin_of
from tests.support.factories import make_link, store_links
from tests.support.procfs import children, resident
from tests.support.raw_http import (
    JSON,
    exchange,
    parse_responses,
    read,
    request,
)
from tests.support.redis_client import RedisClient, create_client
from tests.support.run_length import RunLength
from tests.support.servers import RedisServer, wait_until
from tests.support.service_processes import Service

HEADERS_TIMEOUT_MS = 10.0


STREAM = request(
    "GET /orgs/big/payment-links HTTP/1.1", AUTHORIZATION, "Accept: application/x-ndjson"
)


ESTABLISHED, CLOSE_WAIT = "01", "08"

OTHER_READS = 100
"""More hashes than workers and the scheduler read in two seconds; a stream reads thousands."""


@pytest.fixture(scope="module")
def slow(service: Service, run_length: RunLength) -> Iterator["Slow"]:
    found = Slow(service.port, run_length(100, 500))
    yield found
    found.close()


class Slow:
    """Connections that stay silent, or send a line, headers or a body very slowly."""

    BEGINNINGS = (
        b"",
        b"P",
        b"GET /healthz HTTP/1.1\r\nX-A: ",
        request(CREATE, AUTHORIZATION, JSON, "Content-Length: 1000") + b"{",
    )

    def __init__(self, port: int, number: int) -> None:
        self.opened_at = time.monotonic()
        self.silent, self.begun, self.headers, self.bodies = (
            [begin(port, beginning) for _ in range(number)] for beginning in self.BEGINNINGS
        )

    @property
    def all(self) -> list[socket.socket]:
        return [*self.silent, *self.begun, *self.headers, *self.bodies]

    def go_on(self) -> None:
        """A byte more of each header and of each body."""
        for connection in [*self.headers, *self.bodies]:
            try:
                connection.send(b"a")
            except ConnectionError:
                continue

    def close(self) -> None:
        for connection in self.all:
            connection.close()


def test_hundreds_of_slow_requests_hold_no_other_up(service: Service, slow: Slow) -> None:
    """Full: 2,000 slow ones; short: 400."""
    with admin_of(service.url) as client:
        waited = []
        for _ in range(20):
            slow.go_on()
            response = client.post("/payment-links", json=json.loads(GOOD))
            assert response.status_code == 201
            waited.append(response.elapsed.total_seconds())
    assert max(waited) < 1


def test_a_stream_waits_for_readers_that_do_not_read(
    service: Service, own_store: RedisServer, run_length: RunLength
) -> None:
    """Buffers are bounded, so that only a part of the stream is read from the store. Full: 50."""
    number, readers = 12_000, run_length(5, 50)
    fill(own_store, number)
    store = redis.Redis(unix_socket_path=str(own_store.socket))
    read_before = links_read(store)
    connections = [begin(service.port, STREAM, buffer=4096) for _ in range(readers)]
    ports = {connection.getsockname()[1] for connection in connections}
    try:
        stopped_at = settled(lambda: links_read(store))
        with admin_of(service.url) as client:
            assert client.post("/payment-links", json=json.loads(GOOD)).status_code == 201
        assert stopped_at - read_before < readers * number * 3 / 4
    finally:
        store.close()
        for connection in connections:
            connection.close()
    wait_until(lambda: not served(service.port, ports), "connections to be let go")
    assert exchange(service.port, STREAM, within=60).count(b'"id":"pl_') == number


def test_clients_that_do_not_read_a_large_file_cost_little(
    service: Service, run_length: RunLength
) -> None:
    """Anybody may ask for it, and stay connected. Full: 300 clients; short: 50."""
    [server] = children(service.web.process.pid)
    held_before = resident(server)
    asked = request("GET /schema/assets/swagger-ui-bundle.js HTTP/1.1")
    connections = [begin(service.port, asked, buffer=2048) for _ in range(run_length(50, 300))]
    ports = {connection.getsockname()[1] for connection in connections}
    try:
        wait_until(lambda: served(service.port, ports) == len(ports), "all to be served")
        assert service.is_alive()
        assert resident(server) - held_before < MEMORY + len(connections) * 0.5
    finally:
        for connection in connections:
            connection.close()


def test_what_is_no_request_within_10_seconds_is_closed(slow: Slow) -> None:
    """However steadily it trickles. Full: 1,500 connections; short: 300."""
    waiting, deadline = (
        {*slow.silent, *slow.begun, *slow.headers},
        max(slow.opened_at + HEADERS_TIMEOUT_MS, time.monotonic()) + 3,
    )
    while waiting and time.monotonic() < deadline:
        slow.go_on()
        readable = ready(waiting)
        waiting -= {connection for connection in readable if not read(connection, 0.01)}
    assert len(waiting) == 0


def test_a_body_that_is_not_there_within_5_seconds_is_a_problem(slow: Slow) -> None:
    """However steadily it trickles. The connection is closed, which may cut the answer off.

    Full: 500.
    """
    waiting, deadline = (
        set(slow.bodies),
        max(slow.opened_at + HEADERS_TIMEOUT_MS, time.monotonic()) + 3,
    )
    told = []
    while waiting and time.monotonic() < deadline:
        slow.go_on()
        closing = ready(waiting)
        told += [
            response for connection in closing for response in parse_responses(read(connection, 1))
        ]
        waiting -= set(closing)
    assert len(waiting) == 0
    assert all(is_problem(response) for response in told)
    assert {(response.status, response.json()["code"]) for response in told} == {
        (408, "request_timeout")
    }


def served(port: int, ports: set[int]) -> int:
    """The number of connections from ``ports`` to ``port``, as the kernel (Linux) sees it."""
    sockets = [line.split()[1:4] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    peers = [
        peer
        for local, peer, state in sockets
        if local == f"0100007F:{port:04X}" and state in {ESTABLISHED, CLOSE_WAIT}
    ]
    return sum(1 for peer in peers if int(peer.partition(":")[2], 16) in ports)


def ready(connections: set[socket.socket]) -> list[socket.socket]:
    """Those of ``connections`` on which there is something to read, or the end, within a second."""
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            selector.register(connection, selectors.EVENT_READ)
        return [
            key.fileobj for key, _ in selector.select(1) if isinstance(key.fileobj, socket.socket)
        ]


def begin(port: int, sent: bytes, buffer: int | None = None) -> socket.socket:
    """A connection on which ``sent`` was sent, with no larger a buffer for what comes back."""
    connection = socket.socket()
    if buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    connection.connect(("127.0.0.1", port))
    connection.sendall(sent)
    return connection


def fill(store: RedisServer, number: int) -> None:
    """Links of the organization ``big``, as long as they get."""
    now, longest, client = (
        datetime.now(UTC),
        f"{'a' * 64}@{'.'.join(['b' * 60] * 3)}.com",
        RedisClient(create_client(store.url)),
    )
    link = make_link(now, org_id="big", email=longest, transaction_id="1" * 128, notify=False)
    made = [
        msgspec.structs.replace(link, id=make_link_id("big", count.to_bytes(32)))
        for count in range(number)
    ]
    for some in range(0, number, 500):
        store_links(client, made[some : some + 500])
    client.close()


def settled(count: Callable[[], int]) -> int:
    """What ``count`` gives when it has risen, and rises by under ``OTHER_READS`` in two seconds."""
    first = last = count()
    began = changed_at = time.monotonic()
    while last - first < OTHER_READS or time.monotonic() - changed_at < 2:
        assert time.monotonic() - began < 60, f"still {last}"
        time.sleep(0.1)
        now = count()
        if now - last >= OTHER_READS:
            last, changed_at = now, time.monotonic()
    return last


def links_read(store: "redis.Redis") -> int:
    """For all streams so far; workers and the scheduler read some hashes of their own with it."""
    return int(store.info("commandstats").get("cmdstat_hgetall", {"calls": 0})["calls"])
