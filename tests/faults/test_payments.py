"""A payment is recorded whole, once, although the process or the store dies meanwhile."""

import logging
import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from service.links.model import DeliveryState, Link
from service.orgs import store as orgs
from service.orgs.model import Profile
from service.storage import keys
from service.values.ids import partition_of
from tests.support.admins import admin_of
from tests.support.api import JSON
from tests.support.factories import make_link, read, store_links
from tests.support.redis_client import RedisClient
from tests.support.servers import RedisServer, wait_until
from tests.support.web import run_web

log = logging.getLogger(__name__)

LINKS = 200
PARTS = [Decimal("0.10"), Decimal("0.20"), Decimal("9.70")]
"""What each link is paid in, the same payment sent until it is answered."""
CALLERS = 8
PAID_WITHIN = 1.5
"""Seconds within which all are paid, as a rule, where nothing dies."""
PATIENCE = 60.0
"""Seconds for which a caller repeats a request that gets no answer."""


@pytest.mark.timeout(180)
@pytest.mark.parametrize("victim", ["web", "store"])
def test_each_payment_is_recorded_whole_and_once_whatever_dies(
    redis_db: "redis.Redis",
    own_store: RedisServer,
    tmp_path: Path,
    run_length: Callable[[int, int], int],
    victim: str,
) -> None:
    """Callers repeat a request, with its ``payment_id``, until it is answered."""
    client, repeated = RedisClient(redis_db), 0
    client.run(orgs.put_profile("acme", Profile(receipts=True)))
    with (
        run_web(tmp_path, own_store.url) as service,
        admin_of(service.url) as admin,
        ThreadPoolExecutor(CALLERS) as threads,
    ):
        for _ in range(run_length(2, 10)):
            made = store_links(client, [make_due() for _ in range(LINKS)])
            paying = [threads.submit(pay_whole, admin, link) for link in made]
            time.sleep(random.uniform(0, PAID_WITHIN))
            kill, start = (
                (service.web.kill_all, service.web.start)
                if victim == "web"
                else (own_store.kill, own_store.start)
            )
            kill()
            start()
            wait_until(service.is_alive, "web to be back", within=60)
            repeated += sum(answered.result(2 * PATIENCE) for answered in paying)
            for link in made:
                assert_paid(read(client, link.id))
            assert_logged_once(redis_db, made)
            assert_receipts(redis_db, made)
    log.info("%d payments had been recorded without an answer", repeated)


def make_due() -> Link:
    return make_link(
        datetime.now(UTC),
        payment_amount=sum(PARTS, Decimal(0)),
        currency="USD",
        accept_partial=True,
    )


def pay_whole(admin: httpx.Client, link: Link) -> int:
    """Pays ``link``, part by part; returns how many were recorded before an answer came."""
    return sum(
        pay(admin, link, f"ch/{number}", str(amount)) == 200 for number, amount in enumerate(PARTS)
    )


def pay(admin: httpx.Client, link: Link, payment_id: str, amount: str) -> int:
    """The status with which the payment is answered in the end."""
    path = f"/payment-links/{link.id}/payments"
    body = f'{{"payment_id":"{payment_id}","amount":{amount}}}'
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with suppress(httpx.TransportError):
            response = admin.post(path, content=body, headers=JSON)
            if response.status_code != 503:
                return response.status_code
        time.sleep(0.05)
    raise TimeoutError("no answer")


def assert_paid(link: Link) -> None:
    assert [(payment.id, payment.amount) for payment in link.payments] == [
        (f"ch/{number}", amount) for number, amount in enumerate(PARTS)
    ]
    assert (link.amount_paid, link.amount_due) == (Decimal("10.00"), Decimal(0))
    assert link.paid_at == link.payments[-1].paid_at
    assert link.delivery.state is DeliveryState.NONE


def assert_logged_once(redis_db: "redis.Redis", made: list[Link]) -> None:
    entries: Any = redis_db.xrange(keys.events("acme"))
    logged = Counter((entry["link"], entry["type"]) for _, entry in entries)
    for link in made:
        member = keys.local_id(link.id)
        assert (logged[member, "payment_recorded"], logged[member, "paid"]) == (len(PARTS), 1)


def assert_receipts(redis_db: "redis.Redis", made: list[Link]) -> None:
    """Each link owes its receipt, and its own mail no more."""
    partition = partition_of("acme")
    owed: Any = redis_db.zrange(keys.notices(partition), 0, -1)
    waiting: Any = redis_db.zrange(keys.outbox(partition), 0, -1)
    members = {keys.local_id(link.id) for link in made}
    assert {f"receipt:{member}" for member in members} <= set(owed)
    assert members.isdisjoint(waiting)
