"""The store dies, its file is cut, connections are reset: acknowledged data is there, whole."""

import asyncio
import os
import random
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from service.links import mail_store
from service.links.model import DeliveryState, Link
from service.links.redis_hash import decode
from service.otps import store as otps
from service.outbox import store as outbox
from service.outbox.queues import LINK_QUEUE
from service.process import embedded
from service.storage import keys
from service.values.time import datetime_to_ms
from tests.support.admins import admin_of, as_admin
from tests.support.factories import RETENTION, id_in, ids_of, make_link, read, revoke, store_link
from tests.support.proxy import Proxy
from tests.support.redis_client import RedisClient, create_client
from tests.support.run_length import RunLength
from tests.support.servers import RedisServer
from tests.support.web import run_web

CALLERS = 16


def create(client: httpx.Client, number: int = 0) -> httpx.Response:
    return client.post(
        "/payment-links",
        json={"email": f"payer{number}@example.com", "org_id": f"org-{number % 50}"},
    )


def test_twenty_kills_under_load_lose_no_acknowledged_link(
    tmp_path: Path, run_length: RunLength
) -> None:
    """On the store as ``up`` configures it, during every other rewrite of its file.

    Full: 20 kills, at least 20,000 links.
    """
    kills, least = run_length(4, 20), run_length(500, 20_000)
    data_dir = tmp_path / "var"
    data_dir.mkdir()
    acknowledged: list[str] = []
    rewriting: list[bool] = []

    async def call(client: httpx.AsyncClient, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            number = random.randrange(10**9)
            body = {
                "email": f"payer{number}@example.com",
                "org_id": f"org-{number % 50}",
                "notify": number % 3 > 0,
            }
            if number % 5 == 0:
                body["scheduled_at"] = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
            response = await client.post("/payment-links", json=body)
            assert response.status_code in {201, 503}, response.text
            if response.status_code == 201:
                acknowledged.append(response.json()["id"])
            else:
                await asyncio.sleep(0.02)

    async def load_and_kill(url: str) -> None:
        stopping = asyncio.Event()
        async with httpx.AsyncClient(base_url=url, headers=as_admin(), timeout=10) as client:
            callers = [asyncio.create_task(call(client, stopping)) for _ in range(CALLERS)]
            for kill in range(1, kills + 1):
                with embedded.run_store(data_dir) as process:
                    while len(acknowledged) < least * kill / kills:  # noqa: ASYNC110 - callers do not say when they are done
                        await asyncio.sleep(0.05)
                    if kill % 2:
                        rewriting.append(
                            await asyncio.to_thread(begin_rewrite, data_dir, slowly=kill % 4 == 1)
                        )
                    process.kill()
                    await asyncio.to_thread(process.wait)
                    end_rewrite(process)
            stopping.set()
            await asyncio.gather(*callers)

    with run_web(tmp_path, f"unix://{embedded.socket_path(data_dir)}") as service:
        asyncio.run(load_and_kill(service.url))
    with embedded.run_store(data_dir):
        found = store_in(data_dir)
        existing = each(found, "EXISTS", [keys.link(link_id) for link_id in acknowledged])
        torn = torn_links(found)
        found.close()
        assert not list(data_dir.glob("temp-*"))
    assert (len(acknowledged) >= least, existing.count(0), torn) == (True, 0, [])
    assert any(rewriting)


@pytest.mark.parametrize("where", ["at any byte", "within a script", "while it is rewritten"])
def test_an_append_only_file_cut_anywhere_leaves_every_link_whole(
    tmp_path: Path, run_length: RunLength, where: str
) -> None:
    """Full: 100 cuts at random of each."""
    data_dir = tmp_path / "var"
    data_dir.mkdir()
    with embedded.run_store(data_dir) as process:
        fill(data_dir)
        if where == "while it is rewritten":
            assert begin_rewrite(data_dir, slowly=True)
            fill(data_dir)
            process.kill()
            process.wait()
            end_rewrite(process)
    chance = random.Random(1138)
    for cut in range(run_length(4, 100)):
        copy = tmp_path / f"cut-{cut}"
        shutil.copytree(data_dir, copy, ignore=shutil.ignore_patterns("*.sock"))
        written = max((copy / "appendonlydir").glob("*.incr.aof"))
        with written.open("r+b") as file:
            ends = (
                within_scripts(file.read())
                if where == "within a script"
                else range(written.stat().st_size)
            )
            file.truncate(chance.choice(ends))
        with embedded.run_store(copy):
            found = store_in(copy)
            assert torn_links(found) == []
            found.close()
        shutil.rmtree(copy)


def test_connections_that_are_reset_disturb_no_later_request(
    own_store: RedisServer, tmp_path: Path
) -> None:
    with (
        Proxy(own_store.socket) as proxy,
        run_web(tmp_path, f"redis://127.0.0.1:{proxy.port}") as service,
        admin_of(service.url) as client,
    ):
        for number in range(20):
            proxy.reset()
            create(client, number)
            made = create(client, number)
            assert made.json()["email"] == f"payer{number}@example.com"


def store_in(data_dir: Path) -> "redis.Redis":
    return redis.Redis(unix_socket_path=str(embedded.socket_path(data_dir)), decode_responses=True)


def begin_rewrite(data_dir: Path, *, slowly: bool) -> bool:
    """Starts a rewrite of the file; whether it runs on a moment later. ``slowly``: it does."""
    with store_in(data_dir) as client:
        client.config_set("rdb-key-save-delay", 10_000 if slowly else 0)  # microseconds
        client.bgrewriteaof()
        time.sleep(random.uniform(0, 0.3))
        return bool(client.info("persistence")["aof_rewrite_in_progress"])


def end_rewrite(process: "subprocess.Popen[bytes]") -> None:
    """Ends the child that a store which was killed has left over."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def within_scripts(written: bytes) -> list[int]:
    """Offsets between two commands of a script. Each script is a transaction in the file."""
    ends, position, open_since = [], 0, False
    while position < len(written):
        position, name = after_command(written, position)
        open_since = name == b"MULTI" or (open_since and name != b"EXEC")
        if open_since:
            ends.append(position)
    return ends


def after_command(written: bytes, position: int) -> tuple[int, bytes]:
    """Where the command at ``position`` ends (RESP: ``*2 $3 SET $1 x``), and its name."""
    parts = []
    line_end = written.index(b"\r\n", position)
    count, position = int(written[position + 1 : line_end]), line_end + 2
    for _ in range(count):
        line_end = written.index(b"\r\n", position)
        size, start = int(written[position + 1 : line_end]), line_end + 2
        parts.append(written[start : start + size])
        position = start + size + 2
    return position, parts[0].upper()


def fill(data_dir: Path) -> None:
    """Links in every state, and codes: created, scheduled, revoked, claimed, sent, put off."""
    client, now = (
        RedisClient(create_client(f"unix://{embedded.socket_path(data_dir)}")),
        datetime.now(UTC),
    )
    for number in range(300):
        scheduled_at = now + timedelta(hours=number) if number % 2 else None
        link = store_link(
            client,
            make_link(
                now,
                org_id=f"org-{number % 7}",
                email=f"payer{number}@example.com",
                scheduled_at=scheduled_at,
            ),
        )
        partition = keys.partition_of_link(link.id)
        if number % 3 == 0:
            revoke(client, link, now)
        if number % 3 == 1:
            claimed = client.run(
                outbox.claim(
                    LINK_QUEUE,
                    partition,
                    now=now,
                    lease_deadline=now + timedelta(seconds=20),
                    limit=5,
                )
            )
            for position, local_id in enumerate(claimed):
                loaded = read(client, keys.full_id(partition, local_id))
                if position % 3 == 0:
                    client.run(mail_store.mark_sent(loaded, now=now, retention=RETENTION))
                if position % 3 == 1:
                    client.run(
                        mail_store.retry_later(
                            loaded, error="450 later", at=now + timedelta(seconds=5)
                        )
                    )
        if number % 10 == 0:
            client.run(
                mail_store.claim_window(
                    partition, now=now, start=now, end=now + timedelta(days=30), limit=2
                )
            )
        client.run(
            otps.create(f"payer{number}@example.com", bytes(16), now=now, ttl=timedelta(minutes=10))
        )
    client.close()


def torn_links(found: "redis.Redis") -> list[str]:
    """Records without entries, entries without a record, and keys with a wrong expiry."""
    ends = dict(
        zip(
            names := sorted(found.scan_iter(match="pl:{*", count=1000)),
            each(found, "PEXPIRETIME", names),
            strict=True,
        )
    )
    records = [key for key in names if ":link:" in key]
    stored = [
        link
        for link in map(decode, map(id_in, records), each(found, "HGETALL", records))
        if link is not None
    ]
    kinds = ("org", "active", "revoked", "email", "pending_since", "outbox", "scheduled")
    indexes = [key for key in names if key.split(":")[2] in kinds]
    actual = {
        key: dict(entries)
        for key, entries in zip(
            indexes, each(found, "ZRANGE", indexes, 0, -1, "WITHSCORES"), strict=True
        )
    }
    torn = [f"{key} never ends" for key, end in ends.items() if end == -1]
    torn += [
        f"{link.id} does not end with its retention"
        for link in stored
        if ends[keys.link(link.id)] != datetime_to_ms(link.ended_at + RETENTION)
    ]
    expected: dict[str, dict[str, float]] = {}
    for link in stored:
        for key, score in entries_of(link, actual).items():
            expected.setdefault(key, {})[keys.local_id(link.id)] = score
    for key in actual.keys() | expected.keys():
        if actual.get(key) != expected.get(key):
            torn.append(f"{key} has {actual.get(key)}, not {expected.get(key)}")
        elif ends[key] < max(ends[keys.link(link_id)] for link_id in ids_of(key, expected[key])):
            torn.append(f"{key} ends before what it names")
    return torn


def entries_of(link: Link, actual: dict[str, dict[str, float]]) -> dict[str, float]:
    """The index entries that a link must have, and none but these: key and score."""
    partition, created_at, due_at = (
        keys.partition_of_link(link.id),
        datetime_to_ms(link.created_at),
        datetime_to_ms(link.due_at),
    )
    entries: dict[str, float] = {keys.org(link.org_id): created_at}
    if link.revoked_at is not None:
        entries[keys.revoked(link.org_id)] = datetime_to_ms(link.revoked_at)
    else:
        entries[keys.active(link.org_id)] = entries[keys.email(partition, link.recipient)] = (
            datetime_to_ms(link.expires_at)
        )
    if link.delivery.state in {DeliveryState.QUEUED, DeliveryState.SCHEDULED}:
        # Who has claimed a mail, and until when, is up to workers.
        leased = actual.get(keys.outbox(partition), {}).get(keys.local_id(link.id))
        if link.delivery.state is DeliveryState.SCHEDULED and leased is None:
            entries[keys.scheduled(partition)] = due_at
        else:
            entries[keys.outbox(partition)] = due_at if leased is None else leased
        claimed = actual.get(keys.pending_since(partition), {}).get(keys.local_id(link.id))
        if claimed is not None or link.delivery.attempts:
            entries[keys.pending_since(partition)] = due_at if claimed is None else claimed
    return entries


def each(found: "redis.Redis", command: str, names: list[str], *arguments: object) -> list[Any]:
    """The replies to ``command`` for each of ``names``."""
    replies: list[Any] = []
    for first in range(0, len(names), 1000):
        pipeline = found.pipeline(transaction=False)
        for name in names[first : first + 1000]:
            pipeline.execute_command(command, name, *arguments)
        replies += pipeline.execute()
    return replies
