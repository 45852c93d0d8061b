"""What a link and its indexes take of Redis' memory."""

import random
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path

import redis

from service.links import mail_store
from service.links import store as links
from service.links.model import Link
from tests.bench.figures import Figure, Measure, Measured, Recorder, Row, Table
from tests.support.factories import create_link
from tests.support.redis_client import RedisClient, create_client
from tests.support.servers import store, stores

LINKS = 100_000
ORGANIZATIONS = 100
AT_ONCE = 500
RETENTION = timedelta(days=90)
MOST = 750
STATES = ("mail sent", "mail owed", "mail scheduled")
FIRST_NAMES = ("jane", "ahmed", "chinwe", "oluwaseun", "maria", "li", "kofi", "amara")
LAST_NAMES = ("doe", "okafor", "garcia", "wang", "abubakar", "smith", "mensah", "silva")


@contextmanager
def prepared(_home: Path, _seconds: float) -> Iterator[dict[str, Measure]]:
    yield {
        _row(name, state, each): partial(_bytes_a_link, binary, state, each)
        for name, binary in stores().items()
        for state in STATES
        for each in (1, 4)
    }


def tables(recorder: Recorder) -> list[Table]:
    rows = []
    for name in stores():
        for state in STATES:
            for each in (1, 4):
                row = _row(name, state, each)
                if figures := recorder.of(row):
                    rows.append(Row(row, figures, f"at most {MOST}", _most(figures) <= MOST))
    return [
        Table(f"Memory of {LINKS:,} links of {ORGANIZATIONS} organizations", ["bytes a link"], rows)
    ]


def realistic(count: int, each: int, *, scheduled: bool = False) -> list[Link]:
    """``count`` links made in the last minutes, of recipients who have ``each``."""
    chance, now = random.Random(1138), datetime.now(UTC)
    recipients = [
        f"{chance.choice(FIRST_NAMES)}.{chance.choice(LAST_NAMES)}{number}@example.com"
        for number in range(-(-count // each))
    ]
    return [
        create_link(
            entropy=secrets.token_bytes(32),
            now=now - timedelta(milliseconds=count - number),
            ttl=timedelta(hours=72),
            org_id=f"org_{number // each % ORGANIZATIONS}",
            email=recipients[number // each],
            transaction_id=f"INV-2026-{number:06}",
            payment_amount=Decimal(chance.randrange(100, 10_000_000)) / 100,
            currency=chance.choice(("NGN", "USD", "EUR", "GBP")),
            scheduled_at=now + timedelta(minutes=chance.randrange(1, 50_000))
            if scheduled
            else None,
        )
        for number in range(count)
    ]


def _bytes_a_link(binary: str, state: str, each: int) -> Measured:
    made = realistic(LINKS, each, scheduled=state == "mail scheduled")
    with store(binary) as server, redis.Redis.from_url(server.url) as connection:
        client = RedisClient(create_client(server.url))
        empty = connection.info("memory")["used_memory"]
        for batch in _batches(made):
            client.run_all(
                [links.create(link, now=link.created_at, retention=RETENTION) for link in batch]
            )
        if state == "mail sent":
            for batch in _batches(made):
                client.run_all(
                    [
                        mail_store.mark_sent(link, now=datetime.now(UTC), retention=RETENTION)
                        for link in batch
                    ]
                )
        client.close()
        return {"bytes a link": (connection.info("memory")["used_memory"] - empty) / LINKS}


def _batches(made: Sequence[Link]) -> list[Sequence[Link]]:
    return [made[first : first + AT_ONCE] for first in range(0, len(made), AT_ONCE)]


def _row(store_name: str, state: str, each: int) -> str:
    return f"{store_name}, {state}, {each} {'link' if each == 1 else 'links'} a recipient"


def _most(figures: dict[str, Figure]) -> float:
    return max(figures["bytes a link"].rounds)
