"""Redis is away: web answers 503 in time, no process exits, and all serve again afterwards."""

import itertools
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import httpx
import pytest

from tests.support.admins import admin_of
from tests.support.procfs import descendants
from tests.support.proxy import Proxy
from tests.support.run_length import RunLength
from tests.support.servers import MailServer, RedisServer, store, valkey_server, wait_until
from tests.support.service_processes import UNLIMITED, Service

BACK_WITHIN = 5.0
"""Seconds in which all serve again."""
BACKLOG = 20


class Redis(NamedTuple):
    """A store, and the proxy through which the service reaches it."""

    store: RedisServer
    proxy: Proxy

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.proxy.port}"


class Stack(NamedTuple):
    """The whole service: its links in one Redis, RQ in another."""

    service: Service
    redis: Redis
    queue: Redis
    mails: MailServer


class Reply(NamedTuple):
    """How a request to a route was answered, in how many seconds."""

    route: str
    status: int
    retry_after: str | None
    took: float


@contextmanager
def reachable_store() -> Iterator[Redis]:
    with store(valkey_server(), durable=True) as server, Proxy(server.socket) as proxy:
        yield Redis(server, proxy)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with (
        MailServer() as mails,
        reachable_store() as redis,
        reachable_store() as queue,
        Service(
            tmp_path_factory.mktemp("service"),
            redis.url,
            mails.url,
            QUEUE_REDIS_URL=queue.url,
            **UNLIMITED,
        ) as service,
    ):
        yield Stack(service, redis, queue, mails)


@pytest.fixture
def client(stack: Stack) -> Iterator[httpx.Client]:
    with admin_of(stack.service.url) as client:
        yield client


def test_without_redis_web_says_so_in_time_and_all_serve_again_when_it_is_back(
    stack: Stack, client: httpx.Client, run_length: RunLength
) -> None:
    """Full: a minute away, in each of four ways."""
    span, alive = run_length(2, 60), processes(stack.service)
    for fault in ("half open", "killed", "stopped", "black hole")[: run_length(2, 4)]:
        asked_for = create(client, fault)
        waiting = [
            create(client, fault, scheduled_in=1 + span * number / BACKLOG / 2)["email"]
            for number in range(BACKLOG)
        ]
        with away(fault, stack.redis, stack.queue):
            answers = ask_everything(stack.service, asked_for, span)
        assert_all_serve(stack, client, time.monotonic(), waiting)
        assert_drains(stack, client, set(waiting))
        assert processes(stack.service) == alive
        assert [
            response for response in answers if response[1:3] != (503, "1") or response.took >= 2
        ] == []
        assert {response.route for response in answers} == {
            route for route, _ in requests(asked_for)
        }


def test_without_the_queue_s_redis_links_are_created_as_fast_and_mailed_when_it_is_back(
    stack: Stack, client: httpx.Client, run_length: RunLength
) -> None:
    """Full: a minute away, in two ways."""
    alive = processes(stack.service)
    for fault in ("black hole", "killed")[: run_length(1, 2)]:
        created, took, ends = [], [], time.monotonic() + run_length(2, 60)
        with away(fault, stack.queue):
            while time.monotonic() < ends:
                began = time.monotonic()
                created.append(create(client, fault)["email"])
                took.append(time.monotonic() - began)
                time.sleep(0.1)
        assert_all_serve(stack, client, time.monotonic())
        assert_drains(stack, client, set(created))
        assert processes(stack.service) == alive
        assert max(took) < 1.5


def assert_all_serve(
    stack: Stack, client: httpx.Client, back: float, waiting: Iterable[str] = ()
) -> None:
    """New links and codes are mailed in time, and so are the mails of ``waiting``."""
    fresh = create(client, "fresh", org_id="another", until=back + BACK_WITHIN)
    code = f"code-{fresh['email']}"
    assert client.post("/payment-links/otp", json={"email": code}).status_code == 202
    owed = {fresh["email"], code, *waiting}
    wait_until(
        lambda: owed <= recipients(stack.mails),
        "all to serve",
        within=back + BACK_WITHIN - time.monotonic(),
    )


def assert_drains(stack: Stack, client: httpx.Client, waiting: set[str]) -> None:
    wait_until(lambda: readiness(client) == ("ok", 0), "the backlog to drain", within=60)
    assert waiting <= recipients(stack.mails)


def recipients(mails: MailServer) -> set[str]:
    return {
        recipient.lower() for envelope in mails.mailbox.envelopes for recipient in envelope.rcpt_tos
    }


def readiness(client: httpx.Client) -> tuple[str, int]:
    found = client.get("/readyz").json()
    return found["status"], found.get("unsent")


def ask_everything(service: Service, link: dict[str, Any], seconds: float) -> list[Reply]:
    """What callers are told who ask for one thing after the other meanwhile."""
    answers: list[Reply] = []
    ends = time.monotonic() + seconds

    def call(first: int) -> None:
        with admin_of(service.url) as client:
            for route, request in itertools.islice(itertools.cycle(requests(link)), first, None):
                began = time.monotonic()
                response = request(client)
                answers.append(
                    Reply(
                        route,
                        response.status_code,
                        response.headers.get("retry-after"),
                        time.monotonic() - began,
                    )
                )
                if time.monotonic() > ends:
                    return
                time.sleep(0.05)

    callers = [
        threading.Thread(target=call, args=(number,)) for number in range(len(requests(link)))
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    return answers


def requests(link: dict[str, Any]) -> list[tuple[str, Callable[[httpx.Client], httpx.Response]]]:
    """One to every route that asks Redis, but for `readyz`, whose answer is good for a second."""
    path, body = f"/payment-links/{link['id']}", {"email": link["email"]}
    return [
        (
            "create",
            lambda client: client.post(
                "/payment-links", json={"org_id": "nobody", "notify": False, **body}
            ),
        ),
        ("read", lambda client: client.get(path)),
        (
            "verify",
            lambda client: client.post("/payment-links/verify", json={"link_id": link["id"]}),
        ),
        ("open", lambda client: client.get(f"/pay/{link['id']}")),
        ("revoke", lambda client: client.delete(path)),
        (
            "revoke a recipient's",
            lambda client: client.request("DELETE", "/payment-links", json=body),
        ),
        ("list", lambda client: client.get("/orgs/acme/payment-links")),
        ("ask for a code", lambda client: client.post("/payment-links/otp", json=body)),
        (
            "submit a code",
            lambda client: client.put("/payment-links/otp", json={"otp": "123456", **body}),
        ),
        ("send a window", lambda client: client.post("/payment-links/scheduled", json={})),
    ]


def create(
    client: httpx.Client,
    name: str,
    *,
    org_id: str = "acme",
    scheduled_in: float | None = None,
    until: float = 0.0,
) -> dict[str, Any]:
    """A link to a recipient of its own; where it has ``until`` then, as often as it takes."""
    email = f"{name.replace(' ', '-')}-{time.monotonic_ns()}@example.com"
    scheduled_at = (
        None
        if scheduled_in is None
        else (datetime.now(UTC) + timedelta(seconds=scheduled_in)).isoformat()
    )
    while True:
        response = client.post(
            "/payment-links", json={"email": email, "org_id": org_id, "scheduled_at": scheduled_at}
        )
        if response.status_code == 201:
            return dict(response.json())
        assert time.monotonic() < until, response.text


@contextmanager
def away(fault: str, *servers: Redis) -> Iterator[None]:
    """``servers`` are away meanwhile, as ``fault`` says."""
    for server in servers:
        begin, _ = faults(server)[fault]
        begin()
    yield
    for server in servers:
        _, end = faults(server)[fault]
        end()


def faults(server: Redis) -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    """How each begins, and how it ends."""

    def set_proxy(name: str, value: bool) -> Callable[[], None]:
        return lambda: setattr(server.proxy, name, value)

    def send(number: signal.Signals) -> Callable[[], None]:
        return lambda: server.store.process.send_signal(number)

    return {
        "killed": (server.store.kill, server.store.start),
        "stopped": (send(signal.SIGSTOP), send(signal.SIGCONT)),
        "black hole": (set_proxy("black_hole", True), set_proxy("black_hole", False)),
        "half open": (set_proxy("half_open", True), set_proxy("half_open", False)),
    }


def processes(service: Service) -> dict[str, list[int]]:
    """The processes of each of the Procfile's lines, children included."""
    first = {
        process.command: process.process.pid
        for process in (service.web, service.worker, service.scheduler)
    }
    return {command: [pid, *sorted(descendants(pid))] for command, pid in first.items()}
