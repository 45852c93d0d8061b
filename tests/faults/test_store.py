"""The store dies, hangs, or is cut off. Whatever was acknowledged is there afterwards, whole."""

import asyncio
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from service import embedded
from service.domain import link as domain
from service.domain.link import Link
from service.store import keys, links, otps, outbox
from service.store.client import Client, connect
from tests.e2e.conftest import admin_token
from tests.support.processes import Process, Service
from tests.support.proxy import Proxy
from tests.support.servers import Store, store, valkey_server, wait_until

RETENTION = timedelta(days=90)
CALLERS = 16


@pytest.fixture
def own_store() -> Iterator[Store]:
    with store(valkey_server()) as server:
        yield server


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Callable[[str], Service]]:
    """Starts the web process alone, on the Redis that it is given."""
    started: list[Process] = []

    def start(redis_url: str) -> Service:
        service = Service(tmp_path, redis_url, None)
        service.web.start()
        started.append(service.web)
        wait_until(lambda: answers(service), "the web process")
        return service

    yield start
    for process in started:
        process.interrupt()


def answers(service: Service) -> bool:
    try:
        return httpx.get(f"{service.url}/healthz").status_code == 200
    except httpx.TransportError:
        return False


def create(client: httpx.Client, number: int = 0) -> httpx.Response:
    return client.post("/payment-links", json={"email": f"payer{number}@example.com", "org_id": f"org-{number % 50}"})


def test_twenty_kills_under_load_lose_no_acknowledged_link(
    tmp_path: Path, web: Callable[[str], Service], length: Callable[[int, int], int]
) -> None:
    """On the store as ``up`` configures it. Full: 20 kills, and at least 20,000 acknowledged links."""
    kills, least = length(3, 20), length(500, 20_000)
    data_dir = tmp_path / "var"
    data_dir.mkdir()
    service = web(f"unix://{embedded.socket_path(data_dir)}")
    acknowledged: list[str] = []

    async def call(client: httpx.AsyncClient, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            number = random.randrange(10**9)  # noqa: S311 - nothing to guess
            body = {"email": f"payer{number}@example.com", "org_id": f"org-{number % 50}", "notify": number % 3 > 0}
            answer = await client.post("/payment-links", json=body)
            assert answer.status_code in {201, 503}, answer.text
            if answer.status_code == 201:
                acknowledged.append(answer.json()["id"])
            else:
                await asyncio.sleep(0.02)

    async def load_and_kill() -> None:
        stopping = asyncio.Event()
        headers = {"Authorization": f"Bearer {admin_token()}"}
        async with httpx.AsyncClient(base_url=service.url, headers=headers, timeout=10) as client:
            callers = [asyncio.create_task(call(client, stopping)) for _ in range(CALLERS)]
            for kill in range(1, kills + 1):
                with embedded.serve(data_dir) as process:
                    while len(acknowledged) < least * kill / kills:  # noqa: ASYNC110 - callers do not say when they are done
                        await asyncio.sleep(0.05)
                    process.kill()
                    await asyncio.to_thread(process.wait)
            stopping.set()
            await asyncio.gather(*callers)

    asyncio.run(load_and_kill())
    with embedded.serve(data_dir):
        found = redis.Redis(unix_socket_path=str(embedded.socket_path(data_dir)), decode_responses=True)
        missing = [link_id for link_id in acknowledged if not found.exists(keys.link(link_id))]
        torn = torn_links(found)
        found.close()
    assert (len(acknowledged) >= least, missing, torn) == (True, [], [])


def test_an_append_only_file_cut_anywhere_leaves_every_link_whole(tmp_path: Path, length: Callable[[int, int], int]) -> None:
    """Full: 100 cuts at random bytes."""
    data_dir = tmp_path / "var"
    data_dir.mkdir()
    with embedded.serve(data_dir):
        fill(Client(connect(f"unix://{embedded.socket_path(data_dir)}")))
    chance = random.Random(1138)  # noqa: S311 - nothing to guess
    for cut in range(length(10, 100)):
        copy = tmp_path / f"cut-{cut}"
        shutil.copytree(data_dir, copy, ignore=shutil.ignore_patterns("*.sock"))
        [written] = (copy / "appendonlydir").glob("*.incr.aof")
        with written.open("r+b") as file:
            file.truncate(chance.randrange(written.stat().st_size))
        with embedded.serve(copy):
            found = redis.Redis(unix_socket_path=str(embedded.socket_path(copy)), decode_responses=True)
            assert torn_links(found) == []
            found.close()
        shutil.rmtree(copy)


@pytest.mark.parametrize("fault", ["killed", "stopped", "black hole", "half open"])
def test_without_redis_every_answer_is_a_503_in_time_and_service_is_back_within_a_second(
    own_store: Store, web: Callable[[str], Service], length: Callable[[int, int], int], fault: str
) -> None:
    """Full: a minute away."""
    with Proxy(own_store.socket) as proxy:
        service = web(f"redis://127.0.0.1:{proxy.port}")
        with httpx.Client(base_url=service.url, headers={"Authorization": f"Bearer {admin_token()}"}, timeout=10) as client:
            assert create(client).status_code == 201
            begin, end = faults(own_store, proxy)[fault]
            begin()
            answered, ends = [], time.monotonic() + length(5, 60)
            while time.monotonic() < ends:
                began = time.monotonic()
                answer = create(client)
                answered.append((answer.status_code, answer.headers.get("retry-after"), time.monotonic() - began < 2.2))
            end()
            back = time.monotonic()
            while create(client).status_code != 201:
                assert time.monotonic() - back < 1
        assert set(answered) == {(503, "1", True)}


def test_connections_that_are_reset_disturb_no_later_request(own_store: Store, web: Callable[[str], Service]) -> None:
    with Proxy(own_store.socket) as proxy:
        service = web(f"redis://127.0.0.1:{proxy.port}")
        with httpx.Client(base_url=service.url, headers={"Authorization": f"Bearer {admin_token()}"}) as client:
            for number in range(20):
                proxy.reset()
                create(client, number)
                made = create(client, number)
                assert made.json()["email"] == f"payer{number}@example.com"


def faults(server: Store, proxy: Proxy) -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    """How each begins, and how it ends."""

    def set_proxy(name: str, value: bool) -> Callable[[], None]:
        return lambda: setattr(proxy, name, value)

    return {
        "killed": (server.kill, server.start),
        "stopped": (
            lambda: server.process.send_signal(signal.SIGSTOP),
            lambda: server.process.send_signal(signal.SIGCONT),
        ),
        "black hole": (set_proxy("black_hole", True), set_proxy("black_hole", False)),
        "half open": (set_proxy("half_open", True), set_proxy("half_open", False)),
    }


def fill(client: Client) -> None:
    """Links in every state, and codes: created, scheduled, revoked, claimed, sent, put off."""
    now = datetime.now(UTC)
    made = [new_link(number, now) for number in range(300)]
    for number, link in enumerate(made):
        client.run(links.create(link, now=now, retention=RETENTION))
        partition = keys.partition_of_link(link.id)
        if number % 3 == 0:
            client.run(links.revoke(link, now=now, retention=RETENTION))
        if number % 3 == 1:
            client.run(outbox.claim_links(partition, now=now, deadline=now + timedelta(seconds=20), limit=5))
            client.run(outbox.mark_sent(link.id, now=now))
        limits = {"ttl": timedelta(minutes=10), "resend_after": timedelta(seconds=60), "sends_per_hour": 5, "sends_per_day": 10}
        client.run(otps.create(f"payer{number}@example.com", bytes(16), now=now, **limits))  # type: ignore[arg-type]
    client.close()


def new_link(number: int, now: datetime) -> Link:
    scheduled_at = now + timedelta(hours=number) if number % 2 else None
    return domain.create(
        entropy=random.randbytes(32),  # noqa: S311 - nothing to guess
        now=now,
        ttl=timedelta(hours=72),
        org_id=f"org-{number % 7}",
        email=f"payer{number}@example.com",
        scheduled_at=scheduled_at,
    )


def torn_links(found: "redis.Redis") -> list[str]:
    """Records without their indexes, index entries without their record, and either without an end."""
    torn: list[str] = []
    records: dict[str, dict[str, str]] = {}
    for key in found.scan_iter(match="pl:*", count=1000):
        if found.pttl(key) == -1:
            torn.append(f"{key} never ends")
        if ":link:" in key:
            records[key.rpartition(":")[2]] = found.hgetall(key)
    for link_id, record in records.items():
        index = keys.revoked if "revoked_at" in record else keys.active
        expected = [keys.org(record["org_id"]), index(record["org_id"])]
        if record["delivery_state"] in {"queued", "scheduled"}:
            expected.append(keys.unsent(keys.partition_of_link(link_id)))
        if "revoked_at" not in record:
            expected.append(keys.email(keys.partition_of_link(link_id), record["email"]))
        torn += [f"{link_id} is not in {key}" for key in expected if found.zscore(key, link_id) is None]
    for pattern in ("org", "active", "revoked", "email", "unsent", "outbox", "scheduled"):
        for key in found.scan_iter(match=f"pl:*:{pattern}*", count=1000, _type="zset"):
            torn += [f"{key} holds {member}, which is gone" for member in found.zrange(key, 0, -1) if member not in records]
    return torn
