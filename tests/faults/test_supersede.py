"""Links take the place of others, each wholly, although the process or the store dies meanwhile."""

import logging
import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest
import redis

from service.links import store as links
from service.links.model import Link, Status
from service.storage import keys
from service.storage.command import command
from service.values.ids import partition_of
from tests.support.admins import admin_token
from tests.support.api import bearer
from tests.support.redis_client import RedisClient
from tests.support.servers import RedisServer, wait_until
from tests.support.service_processes import Service
from tests.support.web import run_web

log = logging.getLogger(__name__)

CALLERS, TRANSACTIONS = 8, 3


@pytest.mark.timeout(180)
@pytest.mark.parametrize("victim", ["web", "store"])
def test_each_transaction_has_one_active_link_whatever_dies(
    redis_db: "redis.Redis",
    own_store: RedisServer,
    tmp_path: Path,
    run_length: Callable[[int, int], int],
    victim: str,
) -> None:
    """Callers supersede all the time, and repeat a request that was not answered, with its key."""
    client, has_ended = RedisClient(redis_db), Event()
    with (
        run_web(tmp_path, own_store.url) as service,
        ThreadPoolExecutor(CALLERS) as threads,
    ):
        callers = [threads.submit(supersede, service, each, has_ended) for each in range(CALLERS)]
        try:
            for _ in range(run_length(2, 20)):
                time.sleep(random.uniform(0.1, 0.6))
                kill, start = (
                    (service.web.kill_all, service.web.start)
                    if victim == "web"
                    else (own_store.kill, own_store.start)
                )
                kill()
                start()
                wait_until(service.is_alive, "web to be back", within=60)
                time.sleep(0.3)
        finally:
            has_ended.set()
        answered = [link for caller in callers for link in caller.result(60)]
    made = read_all(client)
    assert {link["id"] for link in answered} <= made.keys()
    assert len(answered) > CALLERS
    assert_chains(made)
    assert_indexed(client, made)
    assert logged(redis_db) == Counter(
        keys.local_id(link.id) for link in made.values() if link.superseded_by
    )
    log.info("%d links, %d of them answered", len(made), len(answered))


def supersede(service: Service, caller: int, has_ended: Event) -> list[dict[str, Any]]:
    """The links that were answered, one after the other until ``has_ended``."""
    answered: list[dict[str, Any]] = []
    while not has_ended.is_set():
        number = len(answered)
        body = {
            "email": f"payer{caller}@example.com",
            "org_id": "acme",
            "transaction_id": f"invoice-{number % TRANSACTIONS}",
            "on_conflict": "supersede",
        }
        headers = bearer(admin_token()) | {"Idempotency-Key": f"{caller}-{number}"}
        while True:
            with suppress(httpx.TransportError):
                response = httpx.post(f"{service.url}/payment-links", json=body, headers=headers)
                if response.status_code != 503:
                    assert response.status_code == 201, response.text
                    answered.append(response.json())
                    break
            time.sleep(0.05)
    return answered


def read_all(client: RedisClient) -> dict[str, Link]:
    local_ids = client.run(command(list, "ZRANGE", keys.org("acme"), 0, -1))
    ids = keys.full_ids(partition_of("acme"), local_ids)
    found = client.run_all([links.get(link_id) for link_id in ids])
    return {link.id: link for link in found if link is not None}


def assert_chains(made: dict[str, Link]) -> None:
    """Of each transaction, one link is active, and all others lead to it."""
    now = datetime.now(UTC)
    active = [link for link in made.values() if link.status(now) is Status.ACTIVE]
    assert sorted(str(link.transaction_id) for link in active) == [
        f"invoice-{number}" for number in range(TRANSACTIONS)
    ]
    for link in made.values():
        assert (link.superseded_by is None) == (link in active)
        last = link
        while last.superseded_by:
            last = made[last.superseded_by]
        assert last.transaction_id == link.transaction_id
        if link.supersedes:
            assert made[link.supersedes].superseded_by == link.id


def assert_indexed(client: RedisClient, made: dict[str, Link]) -> None:
    active = {link.id for link in made.values() if link.superseded_by is None}
    indexes = [
        keys.active("acme"),
        keys.outbox(partition_of("acme")),
        *(keys.transaction("acme", f"invoice-{number}") for number in range(TRANSACTIONS)),
        *(keys.email(partition_of("acme"), f"payer{each}@example.com") for each in range(CALLERS)),
    ]
    found = Counter(
        local_id for key in indexes for local_id in client.run(command(list, "ZRANGE", key, 0, -1))
    )
    assert found == {keys.local_id(link_id): 4 for link_id in active}
    revoked = client.run(command(set, "ZRANGE", keys.revoked("acme"), 0, -1))
    assert revoked == {keys.local_id(link_id) for link_id in made.keys() - active}


def logged(redis_db: "redis.Redis") -> Counter[str]:
    """How often each link is logged to be superseded."""
    entries: Any = redis_db.xrange(keys.events("acme"))
    return Counter(entry["link"] for _, entry in entries if entry["type"] == "superseded")
