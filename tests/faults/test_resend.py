"""Failed mails are sent again, each once, although the process or the store dies meanwhile."""

import logging
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import redis

from service.links import mail_store
from service.links import store as links
from service.links.model import Link
from tests.support.admins import admin_token
from tests.support.api import bearer
from tests.support.factories import RETENTION, make_link, store_links
from tests.support.redis_client import RedisClient
from tests.support.servers import RedisServer, wait_until
from tests.support.service_processes import Service
from tests.support.web import run_web

log = logging.getLogger(__name__)

LINKS = 3000
QUEUED_WITHIN = 0.2
"""Seconds within which all of them are queued, as a rule."""
PATIENCE = 60.0
"""Seconds for which a caller repeats a request that gets no answer."""


@pytest.mark.timeout(180)
@pytest.mark.parametrize("victim", ["web", "store"])
def test_each_failed_mail_is_queued_once_whatever_dies(
    redis_db: "redis.Redis",
    own_store: RedisServer,
    tmp_path: Path,
    run_length: Callable[[int, int], int],
    victim: str,
) -> None:
    """The caller repeats the request, with its key, until it is answered."""
    client = RedisClient(redis_db)
    made = store_links(client, [make_link(datetime.now(UTC)) for _ in range(LINKS)])
    cut_short = 0
    with run_web(tmp_path, own_store.url) as service, ThreadPoolExecutor(1) as thread:
        for number in range(1, run_length(2, 10) + 1):
            fail(client, made)
            answer = thread.submit(resend_failed, service, f"outage-{number}")
            time.sleep(random.uniform(0, QUEUED_WITHIN))
            kill, start = (
                (service.web.kill_all, service.web.start)
                if victim == "web"
                else (own_store.kill, own_store.start)
            )
            kill()
            cut_short += not answer.done()
            start()
            wait_until(service.is_alive, "web to be back", within=60)
            assert answer.result(PATIENCE) == {"queued": LINKS}
            assert sends(client, made) == [number + 1] * LINKS
    log.info("%d requests were cut short", cut_short)


def fail(client: RedisClient, made: list[Link]) -> None:
    """The mail server refuses all mails."""
    client.run_all(
        [
            mail_store.mark_failed(
                link,
                error="550 no such mailbox",
                counts_as_attempt=True,
                now=datetime.now(UTC),
                retention=RETENTION,
            )
            for link in made
        ]
    )


def resend_failed(service: Service, key: str) -> object:
    headers = bearer(admin_token()) | {"Idempotency-Key": key}
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with suppress(httpx.TransportError):
            response = httpx.post(f"{service.url}/orgs/acme/resend-failed", headers=headers)
            if response.status_code != 503:
                return response.json()
        time.sleep(0.05)
    raise TimeoutError("no answer")


def sends(client: RedisClient, made: list[Link]) -> list[int]:
    found = client.run_all([links.get(link.id) for link in made])
    return [0 if link is None else link.delivery.sends for link in found]
