"""What each endpoint costs, beside the bare framework, and beside what neither can do without."""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec

from service.auth.tokens import CustomerTokens, Role
from service.links import store as links
from service.links.model import Link
from service.otps import store as otps
from service.storage import rate_limits as limits
from service.storage.command import Command, load_script
from service.values.time import datetime_to_ms
from tests.bench.figures import ROOT, Measure, Measured, Recorder, Row, Table
from tests.bench.wrk import http, load
from tests.support.admins import admin_token
from tests.support.factories import RETENTION, make_link, store_links
from tests.support.redis_client import RedisClient, create_client
from tests.support.servers import RedisServer, free_port, store, valkey_server, wait_until
from tests.support.service_processes import SECRET, UNLIMITED
from tests.support.web import run_webs

LINKS = 2000
ARCHIVE = "archive"
"""An organization of so many links that none of its pages is asked for twice in a while."""
ARCHIVED = 20_000
PAYER = "payer########@example.com"
PAGE = 100
COMMANDS = 20_000
"""How many a run of redis-benchmark sends."""
SECOND = timedelta(seconds=1)
SCALED = 1.5
"""The least ratio of two processes on two cores to one process on one core."""
MANY = 128
"""Connections that keep two processes busy: of 32, most wait for the disk."""
COLUMNS = (
    "ours/s",
    "bare/s",
    "ratio",
    "ours CPU us",
    "bare CPU us",
    "CPU ratio",
    "store CPU us",
    "p50 ms",
    "p99 ms",
)
SCALES = ("one core/s", "two/s", "ratio", "bare ratio", "one on both cores/s", "two beside that")
LIMITS = ("server alone/s", "server alone CPU us", "store alone/s")


class Endpoint(msgspec.Struct):
    """An endpoint: its requests, the store's commands for one of them, and the least ratio."""

    name: str
    requests: list[str]
    commands: list[Command[Any]]
    least: float
    refused: bool = False


class Stage(msgspec.Struct):
    """What is in the store when the curtain rises."""

    now: datetime
    open: list[Link]
    gated: list[Link]
    payers: list[str]
    cursors: list[str]


class Cast(msgspec.Struct):
    """The servers, by the ports they are at, and the processes that are paid for them."""

    ours: tuple[int, int]
    one_core: int
    two: int
    bare: tuple[int, int]
    bare_one_core: int
    bare_two: int
    asgi: tuple[int, int]
    store: RedisServer


@contextmanager
def prepared(home: Path, seconds: float) -> Iterator[dict[str, Measure]]:
    with ExitStack() as stack:
        server = stack.enter_context(store(valkey_server()))
        with _starting_on(2):
            [one] = stack.enter_context(
                run_webs(_folder(home / "one"), server.url, free_port(), **UNLIMITED)
            )
            [two] = stack.enter_context(
                run_webs(
                    _folder(home / "two"), server.url, free_port(), WEB_CONCURRENCY="2", **UNLIMITED
                )
            )
            bare_two = stack.enter_context(_without_us("litestar", processes=2))
        with _starting_on(1):
            [pinned] = stack.enter_context(
                run_webs(_folder(home / "one-core"), server.url, free_port(), **UNLIMITED)
            )
            bare_pinned = stack.enter_context(_without_us("litestar"))
        cast = Cast(
            ours=(one.port, one.web.process.pid),
            one_core=pinned.port,
            two=two.port,
            bare=stack.enter_context(_without_us("litestar")),
            bare_one_core=bare_pinned[0],
            bare_two=bare_two[0],
            asgi=stack.enter_context(_without_us("asgi")),
            store=server,
        )
        endpoints = _endpoints(_set(server))
        measures = {
            endpoint.name: _compare(endpoint, cast, home, seconds) for endpoint in endpoints
        }
        yield measures | {
            f"{endpoint.name}, two processes": _scale(endpoint, cast, home, seconds)
            for endpoint in endpoints
        }


def tables(recorder: Recorder) -> list[Table]:
    costs, limits, scaled = [], [], []
    for endpoint in _endpoints(_nobody()):
        if found := recorder.of(endpoint.name):
            best = max(found["ratio"].median, found["CPU ratio"].median)
            costs.append(
                Row(endpoint.name, found, f"ratio {endpoint.least:.2f}", best >= endpoint.least)
            )
            limits.append(Row(endpoint.name, found))
        if found := recorder.of(f"{endpoint.name}, two processes"):
            scaled.append(
                Row(endpoint.name, found, f"ratio {SCALED:.2f}", found["ratio"].median >= SCALED)
            )
    return [
        Table(
            "Endpoints beside the bare framework "
            "(ratios: bare CPU / our CPU, our requests / bare requests)",
            COLUMNS,
            costs,
        ),
        Table(
            "Their limits: the server without a framework, "
            "and the store's commands without a service",
            LIMITS,
            limits,
        ),
        Table(
            f"Two web processes on two cores beside one on one, {MANY} connections", SCALES, scaled
        ),
    ]


def _endpoints(stage: Stage) -> list[Endpoint]:
    customer = CustomerTokens(SECRET.encode())
    admin, archivist = (
        {"Authorization": f"Bearer {admin_token(Role.ORG_ADMIN, org)}"} for org in ("acme", ARCHIVE)
    )
    tokens = {
        link.email: customer.issue(link.email, now=stage.now, jti=secrets.token_urlsafe(16))
        for link in stage.gated
    }
    fields: dict[str, Any] = {
        "org_id": "acme",
        "transaction_id": "INV-########",
        "payment_amount": 125000.5,
        "currency": "NGN",
    }
    new = make_link(
        stage.now,
        **{
            **fields,
            "payment_amount": None,
            "email": PAYER.replace("#" * 8, "00000000"),
            "transaction_id": "INV-00000000",
        },
    )
    some = stage.open[0] if stage.open else new
    client = "192.0.2.1"
    listing: list[Command[Any]] = [
        links.read_page("acme", now=stage.now, retention=RETENTION, limit=PAGE),
    ]
    return [
        Endpoint(
            "GET /payment-links/{id}",
            [http("GET", f"/payment-links/{link.id}") for link in stage.open],
            [links.get(some.id)],
            0.75,
        ),
        Endpoint(
            "POST /payment-links/verify",
            [
                http("POST", "/payment-links/verify", {}, json.dumps({"link_id": link.id}))
                for link in stage.open
            ],
            [links.get(some.id)],
            0.75,
        ),
        Endpoint(
            "POST /payment-links",
            [http("POST", "/payment-links", admin, json.dumps({"email": PAYER, **fields}))],
            [links.create(new, now=stage.now, retention=RETENTION)],
            0.5,
        ),
        Endpoint(
            f"GET /orgs/{{org}}/payment-links?limit={PAGE}",
            [http("GET", f"/orgs/acme/payment-links?limit={PAGE}", admin)],
            listing,
            0.5,
        ),
        Endpoint(
            f"GET /orgs/{{org}}/payment-links?limit={PAGE}, another page each time",
            [
                http(
                    "GET", f"/orgs/{ARCHIVE}/payment-links?limit={PAGE}&cursor={cursor}", archivist
                )
                for cursor in stage.cursors
            ],
            listing,
            0.5,
        ),
        Endpoint(
            "PUT /payment-links/otp, wrong code",
            [
                http("PUT", "/payment-links/otp", {}, json.dumps({"email": email, "otp": "000000"}))
                for email in stage.payers
            ],
            [
                limits.count(
                    otps.client_limits({client: 1, f"{client}/24": 10}, "otp_failures", 1_000_000)
                ),
                otps.start_attempt(
                    PAYER, client, now=stage.now, max_tries=5, failures_per_day=1_000_000
                ),
            ],
            0.5,
            refused=True,
        ),
        Endpoint(
            "GET /payment-links/{id}, gated",
            [
                http(
                    "GET",
                    f"/payment-links/{link.id}",
                    {"Authorization": f"Bearer {tokens[link.email]}"},
                )
                for link in stage.gated
            ],
            [links.get(some.id)],
            0.5,
        ),
    ]


def _nobody() -> Stage:
    return Stage(datetime.now(UTC), [], [], [], [])


def _set(server: RedisServer) -> Stage:
    """Fills the store."""
    client, now = RedisClient(create_client(server.url)), datetime.now(UTC)
    payers = [f"payer{number:08}@example.net" for number in range(LINKS)]
    fields: dict[str, Any] = {"transaction_id": "INV-2026-000001", "currency": "NGN"}
    made = {
        gated: store_links(
            client,
            [
                make_link(now, email=email, otp_required=gated, notify=False, **fields)
                for email in payers
            ],
        )
        for gated in (False, True)
    }
    archived = [
        make_link(now - number * SECOND, org_id=ARCHIVE, notify=False, **fields)
        for number in range(ARCHIVED)
    ]
    for first in range(0, ARCHIVED, PAGE):
        store_links(client, archived[first : first + PAGE])
    client.run_all(
        [
            otps.create(email, secrets.token_bytes(16), now=now, ttl=timedelta(minutes=10))
            for email in payers
        ]
    )
    client.close()
    cursors = [
        links.encode_cursor(str(datetime_to_ms(link.created_at)), link.id)
        for link in archived[PAGE - 1 : -PAGE : PAGE]
    ]
    return Stage(now, made[False], made[True], payers, cursors)


def _compare(endpoint: Endpoint, cast: Cast, home: Path, seconds: float) -> Measure:
    processes = {"CPU us": cast.ours[1], "store CPU us": cast.store.process.pid}
    ours = load(
        cast.ours[0],
        endpoint.requests,
        home,
        seconds,
        processes=processes,
        refused=endpoint.refused,
    )
    bare = load(
        cast.bare[0],
        endpoint.requests,
        home,
        seconds,
        processes={"CPU us": cast.bare[1]},
        refused=endpoint.refused,
    )
    asgi = load(cast.asgi[0], endpoint.requests, home, seconds, processes={"CPU us": cast.asgi[1]})

    def measure() -> Measured:
        own, framework, server = ours(), bare(), asgi()
        return {
            "ours/s": own["requests/s"],
            "bare/s": framework["requests/s"],
            "ratio": own["requests/s"] / framework["requests/s"],
            "ours CPU us": own["CPU us"],
            "bare CPU us": framework["CPU us"],
            "CPU ratio": framework["CPU us"] / own["CPU us"],
            "store CPU us": own["store CPU us"],
            "p50 ms": own["p50 ms"],
            "p99 ms": own["p99 ms"],
            "server alone/s": server["requests/s"],
            "server alone CPU us": server["CPU us"],
            "store alone/s": _benchmark(cast.store, endpoint.commands),
        }

    return measure


def _scale(endpoint: Endpoint, cast: Cast, home: Path, seconds: float) -> Measure:
    ports = (cast.one_core, cast.two, cast.ours[0], cast.bare_one_core, cast.bare_two)
    loads = [
        load(port, endpoint.requests, home, seconds, refused=endpoint.refused, connections=MANY)
        for port in ports
    ]

    def measure() -> Measured:
        one_core, two, both_cores, bare_one_core, bare_two = (
            measured()["requests/s"] for measured in loads
        )
        return {
            "one core/s": one_core,
            "two/s": two,
            "ratio": two / one_core,
            "bare ratio": bare_two / bare_one_core,
            "one on both cores/s": both_cores,
            "two beside that": two / both_cores,
        }

    return measure


@contextmanager
def _starting_on(count: int) -> Iterator[None]:
    """Processes that are started meanwhile run on the first so many cores."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(cores)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def _benchmark(server: RedisServer, commands: Sequence[Command[Any]]) -> float:
    """How often a second the store runs all of ``commands``.

    redis-benchmark sends them over 32 connections.
    """
    seconds = 0.0
    for call in commands:
        words = [str(word) for word in call.args]
        if call.script is not None:
            subprocess.run(
                ["redis-cli", "-s", str(server.socket), "-x", "SCRIPT", "LOAD"],
                input=load_script(call.script.name).source,
                check=True,
                capture_output=True,
                text=True,
            )
        made, begin = call.keys[0].split(":")[-1], secrets.token_hex(5)  # type: ignore[union-attr]
        if (
            call.script is not None and call.script.name == "links/create"
        ):  # a link of its own each time, whatever chance repeats
            words = [
                word.replace(made, f"{begin}__rand_int__").replace(
                    "payer00000000", "payer__rand_int__"
                )
                for word in words
            ]
        output = subprocess.run(
            [
                "redis-benchmark",
                "-s",
                str(server.socket),
                "-c",
                "32",
                "-n",
                str(COMMANDS),
                "-r",
                "1000000000",
                "--csv",
                *words,
            ],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        per_second = output.splitlines()[-1].rsplit(",", 7)[
            1
        ]  # the command before it is not escaped
        seconds += 1 / float(per_second.strip('"'))
    return 1 / seconds


@contextmanager
def _without_us(target: str, processes: int = 1) -> Iterator[tuple[int, int]]:
    """Port and process of the same server with another application."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "tests.bench.framework_baseline",
        target,
        str(port),
        str(processes),
    ]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            wait_until(lambda: _answers(port), f"the bare {target}")
            yield port, process.pid
        finally:
            process.terminate()


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/payment-links/x").status_code == 200
    except httpx.TransportError:
        return False


def _folder(directory: Path) -> Path:
    directory.mkdir()
    return directory
