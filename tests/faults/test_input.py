"""Hostile input over the wire: a 4xx problem or a clean close, no fault, and nothing retained."""

import itertools
import json
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import msgspec
import pytest
import redis

from service.storage.client import RedisClient
from service.storage.connect import connect
from service.values.ids import make_link_id
from tests.faults.hostile import (
    AUTHORIZATION,
    BODIES,
    BROKEN_OFF,
    CREATE,
    GOOD,
    LINK,
    LIST,
    PROBLEMS,
    VALUES,
)
from tests.support.admins import admin_of
from tests.support.factories import make_link, store_links
from tests.support.procfs import children, descriptors, resident
from tests.support.raw_http import (
    JSON,
    RawConnection,
    RawResponse,
    chunked,
    exchange,
    parse_responses,
    read,
    request,
)
from tests.support.run_length import RunLength
from tests.support.servers import RedisServer, wait_until
from tests.support.service_processes import Service
from tests.support.web import run_web

SERVERS_OWN = {400, 414, 431}
"""Granian's own answers, without a body, to what it cannot parse as a request."""
HEADERS_TIMEOUT_MS = 10.0
MEMORY = 8.0
"""MB that requests may leave behind: some of what they use is kept for the next."""
STREAM = request(
    "GET /orgs/big/payment-links HTTP/1.1", AUTHORIZATION, "Accept: application/x-ndjson"
)
ESTABLISHED, CLOSE_WAIT = "01", "08"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, own_store: RedisServer) -> Iterator[Service]:
    with run_web(tmp_path_factory.mktemp("web"), own_store.url) as running:
        yield running
    assert "internal_error" not in running.web.output()


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


def test_hostile_requests_leave_nothing_behind(service: Service, run_length: RunLength) -> None:
    """Neither memory nor connections. Full: 20,000 requests."""
    hostile = [
        *PROBLEMS.values(),
        *(
            request(CREATE, AUTHORIZATION, JSON, body=body({"email": value}))
            for value in VALUES.values()
        ),
    ]

    def send(number: int) -> None:
        for sent in itertools.islice(itertools.cycle(hostile), number):
            exchange(service.port, sent)

    [process] = children(service.web.process.pid)
    send(run_length(2, 10) * len(hostile))
    memory, files = resident(process), descriptors(process)
    send(run_length(500, 20_000))
    assert resident(process) - memory < MEMORY
    wait_until(lambda: descriptors(process) <= files, "connections to be let go")


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


@pytest.mark.parametrize("line", BODIES)
def test_a_hostile_value_is_refused(service: Service, line: str) -> None:
    """In every field: numbers without end, what is no Unicode, what ends a header or a mail."""
    for field, (name, value) in itertools.product(BODIES[line], VALUES.items()):
        received = exchange(
            service.port,
            request(line, AUTHORIZATION, JSON, body=body(BODIES[line] | {field: value})),
        )
        assert is_problem(*parse_responses(received)), (field, name, received)


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_hostile_request_is_refused(service: Service, name: str) -> None:
    received = exchange(service.port, PROBLEMS[name])
    assert is_refusal(received), received


@pytest.mark.parametrize(
    "hosts",
    [
        [],
        ["a", "b"],
        ["a", "a"],
        [""],
        ["a b"],
        ["a/b"],
        ["u@a"],
        ["a:b"],
        ["[::1"],
        ["a,b:1:2"],
        ["%zz"],
        ["é"],
    ],
    ids=[
        "none",
        "two",
        "the same twice",
        "empty",
        "space",
        "path",
        "user",
        "port",
        "bracket",
        "two ports",
        "escape",
        "not ASCII",
    ],
)
@pytest.mark.parametrize("target", ["/healthz", "/nowhere", "http://pay.example/healthz"])
def test_a_request_that_does_not_name_one_host_is_refused(
    service: Service, target: str, hosts: list[str]
) -> None:
    """RFC 9112, 3.2. For an absolute target, the server adds a missing Host itself."""
    if target.startswith("http:") and not hosts:
        return
    [response] = parse_responses(
        exchange(service.port, head(f"GET {target} HTTP/1.1", *(f"Host: {host}" for host in hosts)))
    )
    assert (response.status, response.json()["code"], response.headers["connection"]) == (
        400,
        "malformed_request",
        "close",
    )


@pytest.mark.parametrize(
    ("line", "hosts"),
    [
        ("GET /healthz HTTP/1.1", ["pay.example.com"]),
        ("GET /healthz HTTP/1.1", ["[::1]:8000"]),
        ("GET /healthz HTTP/1.1", ["my_service:"]),
        ("GET http://pay.example/healthz HTTP/1.1", ["other.example"]),
        ("GET /healthz HTTP/1.0", []),
        ("GET /healthz HTTP/1.0", ["127.0.0.1:8000"]),
    ],
)
def test_a_request_that_names_one_host_is_served(
    service: Service, line: str, hosts: list[str]
) -> None:
    """HTTP/1.0, which balancers' probes still speak, does without."""
    [response] = parse_responses(
        exchange(service.port, head(line, *(f"Host: {host}" for host in hosts)))
    )
    assert response.status == 200


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        pytest.param(
            request("GET /pay/x HTTP/1.1", "Accept: " + "a/b," * 7500),
            431,
            "headers_too_large",
            id="Accept of 30 KB",
        ),
        pytest.param(
            request("GET /pay/x HTTP/1.1", *["X-A: " + "a" * 1000] * 60),
            431,
            "headers_too_large",
            id="60 KB together",
        ),
        pytest.param(
            request(f"GET /pay/{'x' * 30_000} HTTP/1.1"),
            414,
            "address_too_long",
            id="path of 30 KB",
        ),
        pytest.param(
            request(f"GET /healthz?{'a&' * 200} HTTP/1.1"),
            414,
            "address_too_long",
            id="200 parameters",
        ),
    ],
)
def test_a_head_that_is_too_large_is_a_problem(
    service: Service, sent: bytes, status: int, code: str
) -> None:
    [response] = parse_responses(exchange(service.port, sent))
    assert (response.status, response.json()["code"], response.headers["content-type"]) == (
        status,
        code,
        "application/problem+json",
    )


@pytest.mark.parametrize("size", [140_000, 400_000, 2_000_000])
def test_a_head_that_the_server_does_not_keep_is_refused(service: Service, size: int) -> None:
    [response] = parse_responses(
        exchange(service.port, request("GET /pay/x HTTP/1.1", "Accept: " + "a" * size))
    )
    assert response.status == 431


OPEN = f"GET /pay/{LINK} HTTP/1.1"
LARGE: dict[str, Callable[[int], tuple[str, ...]]] = {
    "X-Forwarded-For": lambda number: (
        OPEN,
        f"X-Forwarded-For: {'10.0.0.1, ' * 1500}198.51.{number // 256}.{number % 256}",
    ),
    "Cookie": lambda number: (
        OPEN,
        f"Cookie: {'; '.join(f'name{index}={number:08}' for index in range(700))}",
    ),
    "Accept": lambda number: (OPEN, f"Accept: {f'a/{number:08},' * 1300}"),
    "Authorization": lambda number: (
        OPEN,
        f"Authorization: Bearer {f'{number:08}' * 1000}.e30.e30",
    ),
    "path": lambda number: (f"GET /pay/{f'{number:08}' * 900} HTTP/1.1",),
    "parameters": lambda number: (
        f"GET /healthz?{'&'.join(f'{number:08}{index}' for index in range(99))} HTTP/1.1",
    ),
    "parameter": lambda number: (
        f"GET /payment-links/{LINK}/qr?size={f'{number:08}' * 900} HTTP/1.1",
    ),
}


@pytest.mark.parametrize("part", LARGE)
def test_large_heads_leave_nothing_behind(
    service: Service, part: str, run_length: RunLength
) -> None:
    """Nothing is cached by what was sent.

    Full: 4,000 heads of up to 15 KB; short: 1,200. Litestar alone would cache 1,024.
    """
    [process] = children(service.web.process.pid)

    def send(first: int, count: int) -> None:
        with RawConnection(service.port) as wire:
            for number in range(first, first + count):
                wire.ask(request(*LARGE[part](number), lasting=True))

    send(0, 100)
    before = resident(process)
    send(100, run_length(1200, 4000))
    assert resident(process) - before < MEMORY


def test_two_hosts_are_refused_in_http_1_0_too(service: Service) -> None:
    [response] = parse_responses(
        exchange(service.port, head("GET /healthz HTTP/1.0", "Host: a", "Host: b"))
    )
    assert response.status == 400


@pytest.mark.parametrize("name", BROKEN_OFF)
def test_a_body_that_ends_before_it_is_whole_is_refused(service: Service, name: str) -> None:
    received = exchange(service.port, BROKEN_OFF[name], leave=True)
    assert is_refusal(received), received


@pytest.mark.parametrize(
    ("sent", "statuses"),
    [
        pytest.param(b"GET /healthz HTTP/1.0\r\n\r\n", [200], id="HTTP/1.0"),
        pytest.param(
            b"GET /healthz HTTP/1.1\nHost: pay.example.com\nConnection: close\n\n",
            [200],
            id="LF alone",
        ),
        pytest.param(
            request("GET http://evil.example/healthz HTTP/1.1"), [200], id="absolute form"
        ),
        pytest.param(request("GET //evil.example/healthz HTTP/1.1"), [404], id="two slashes"),
        pytest.param(request("GET /healthz HTTP/1.1", body=b"[" * 1000), [200], id="body of a GET"),
        pytest.param(
            request("GET /healthz HTTP/1.1", "X-Request-ID: " + "a" * 16_000),
            [200],
            id="request id of 16,000 letters",
        ),
        pytest.param(request("GET /healthz HTTP/1.1", b'Cookie: \xff=;;;"='), [200], id="cookies"),
        pytest.param(
            request("GET /healthz HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket"),
            [200],
            id="websocket",
        ),
        pytest.param(
            request("GET /healthz HTTP/1.1", "Connection: Upgrade", "Upgrade: h2c"), [200], id="h2c"
        ),
        pytest.param(
            request(f"{LIST} HTTP/1.1", AUTHORIZATION, b"Accept: ;;q=nan,*/x;q=,\xff"),
            [200],
            id="accepts nonsense",
        ),
        pytest.param(
            request(f"{LIST} HTTP/1.1", AUTHORIZATION, "Accept: " + "a/b;q=0.1," * 1500),
            [200],
            id="accepts much",
        ),
        pytest.param(
            request(f"{LIST} HTTP/1.1", AUTHORIZATION, "X-Forwarded-For: " + "::," * 5000),
            [200],
            id="from anywhere",
        ),
        pytest.param(
            request(CREATE, AUTHORIZATION, JSON, "Expect: 100-continue", body=GOOD),
            [100, 201],
            id="expects 100",
        ),
    ],
)
def test_what_is_odd_but_clear_is_answered(
    service: Service, sent: bytes, statuses: list[int]
) -> None:
    received = exchange(service.port, sent)
    assert [response.status for response in parse_responses(received)] == statuses, received
    assert b"a" * 100 not in received


def test_pipelined_requests_are_answered_in_turn(service: Service) -> None:
    ids = [f"request-{number:04}" for number in range(200)]
    sent = b"".join(
        f"GET /payment-links/x HTTP/1.1\r\nHost: x\r\nX-Request-ID: {name}\r\n\r\n".encode()
        for name in ids[:-1]
    )
    received = exchange(
        service.port, sent + request("GET /payment-links/x HTTP/1.1", f"X-Request-ID: {ids[-1]}")
    )
    assert [
        (response.status, response.headers["x-request-id"])
        for response in parse_responses(received)
    ] == [(404, name) for name in ids]


def test_a_request_hidden_in_anothers_body_is_not_served(service: Service) -> None:
    """Two lengths: the chunks count, and nothing after them (RFC 9112, 6.1)."""
    lengths = "\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    sent = f"{CREATE}\r\nHost: x\r\n{AUTHORIZATION}\r\n{JSON}{lengths}".encode() + chunked(GOOD)
    received = exchange(service.port, sent + request("GET /healthz HTTP/1.1"))
    assert [response.status for response in parse_responses(received)] == [201]


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


@pytest.mark.parametrize(
    ("line", "field"), [(line, field) for line, fields in BODIES.items() for field in fields]
)
def test_a_field_that_is_there_twice_is_refused(service: Service, line: str, field: str) -> None:
    """Which of its values counts, one parser and the next do not agree on (RFC 8259, 4)."""
    good = BODIES[line]
    again = f'"{field}":'.encode() + good[field]
    escaped = f'"\\u{ord(field[0]):04x}{field[1:]}":'.encode() + good[field]
    for twice in (again, escaped):
        received = exchange(
            service.port,
            request(line, AUTHORIZATION, JSON, body=body(good)[:-1] + b"," + twice + b"}"),
        )
        [response] = parse_responses(received)
        assert is_problem(response), received
        told = response.json()
        assert (response.status, told["code"], [error["field"] for error in told["errors"]]) == (
            422,
            "validation_failed",
            [field],
        )


def test_the_page_runs_no_scripts_but_its_own(service: Service) -> None:
    policy = httpx.get(f"{service.url}/schema").headers["content-security-policy"]
    directives = {
        name: values
        for name, *values in (
            directive.split() for directive in policy.split(";") if directive.strip()
        )
    }
    scripts = directives.get("script-src", directives["default-src"])
    assert set(scripts) <= {"'self'", "'none'"}
    assert "'none'" in directives.get("frame-ancestors", [])


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
        RedisClient(connect(store.url)),
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
    """What ``count`` gives when it has risen, and rises no more for two seconds."""
    first = last = count()
    began = changed_at = time.monotonic()
    while last == first or time.monotonic() - changed_at < 2:
        assert time.monotonic() - began < 60, f"still {last}"
        time.sleep(0.1)
        now = count()
        if now != last:
            last, changed_at = now, time.monotonic()
    return last


def links_read(store: "redis.Redis") -> int:
    """For all streams so far."""
    return int(store.info("commandstats").get("cmdstat_hmget", {"calls": 0})["calls"])


def body(fields: dict[str, bytes]) -> bytes:
    return (
        b"{"
        + b",".join(b'"%s":%s' % (name.encode(), value) for name, value in fields.items())
        + b"}"
    )


def is_refusal(received: bytes) -> bool:
    """A problem, the server's own short word, or nothing."""
    found = parse_responses(received)
    own = [response for response in found if response.status in SERVERS_OWN and not response.body]
    return not found or found == own[:1] or is_problem(*found)


def head(line: str, *headers: str) -> bytes:
    """A request with these headers, and none of our own but that it is the connection's last."""
    return "\r\n".join([line, *headers, "Connection: close", "", ""]).encode()


def is_problem(*found: RawResponse) -> bool:
    """Whether that is one answer, and it a problem that is not ours (RFC 9457)."""
    if len(found) != 1 or found[0].headers.get("content-type") != "application/problem+json":
        return False
    told = found[0].json()
    return 400 <= found[0].status < 500 and told["status"] == found[0].status and bool(told["code"])
