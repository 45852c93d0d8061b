"""Hostile input over the wire: a 4xx problem or a clean close, no fault, and nothing retained."""

import itertools
from collections.abc import Callable

import httpx
import pytest

from tests.faults.hostile import (
    AUTHORIZATION,
    BODIES,
    BROKEN_OFF,
    CREATE,
    GOOD,
    LINK,
    LIST,
    MEMORY,
    PROBLEMS,
    VALUES,
    body,
    head,
    is_problem,
    is_refusal,
)
from tests.support.procfs import children, descriptors, resident
from tests.support.raw_http import (
    JSON,
    RawConnection,
    chunked,
    exchange,
    parse_responses,
    request,
)
from tests.support.run_length import RunLength
from tests.support.servers import wait_until
from tests.support.service_processes import Service


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
