"""Short forms of the store's functions for the tests' e-mail."""

from datetime import datetime, timedelta

from service.otps import store as otps
from service.otps.store import Otp, TriesUsedUp
from service.outbox import store as outbox
from service.outbox.queues import OTP_QUEUE
from service.storage import keys
from service.storage.command import command
from service.values.ids import partition_of
from tests.support.factories import (
    exists,
    score,
)
from tests.support.redis_client import RedisClient

EMAIL = "jane@example.com"


NONCE, OTHER = b"\x00n" * 8, b"\xffo" * 8


TEN_MINUTES, MINUTE, HOUR, DAY = (
    timedelta(minutes=10),
    timedelta(minutes=1),
    timedelta(hours=1),
    timedelta(days=1),
)


LEASE = timedelta(seconds=20)


TAGGED, NETWORK = "jane+shop@example.com", "203.0.113.7"


FAILURES, OF_NETWORK = keys.otp_limit(EMAIL, "failures_day"), keys.otp_failures(EMAIL, NETWORK)


def create(client: RedisClient, now: datetime, nonce: bytes = NONCE, *, email: str = EMAIL) -> None:
    client.run(otps.create(email, nonce, now=now, ttl=TEN_MINUTES))


def try_code(
    client: RedisClient,
    now: datetime,
    *,
    email: str = EMAIL,
    network: str = NETWORK,
    failures_per_day: int = 100,
) -> bytes | TriesUsedUp | None:
    return client.run(
        otps.start_attempt(email, network, now=now, max_tries=5, failures_per_day=failures_per_day)
    )


def redeem(client: RedisClient, now: datetime, nonce: bytes = NONCE, *, email: str = EMAIL) -> bool:
    return client.run(otps.redeem(email, NETWORK, nonce, now=now, verified_for=DAY))


def verified(client: RedisClient, now: datetime, *, email: str = EMAIL) -> list[bytes]:
    return client.run(otps.verified(email, now=now))


def claim(client: RedisClient, now: datetime) -> list[str]:
    return client.run(
        outbox.claim(OTP_QUEUE, partition_of(EMAIL), now=now, lease_deadline=now + LEASE, limit=10)
    )


def open_code(client: RedisClient, email: str = EMAIL) -> Otp | ValueError | None:
    (opened,) = client.run(otps.load_claimed(partition_of(email), [email]))
    return opened


def settle(
    client: RedisClient, deadline: datetime | None, retry_at: datetime | None = None
) -> bool:
    return client.run(otps.settle(EMAIL, NONCE, lease_deadline=deadline, retry_at=retry_at))


def is_owed(client: RedisClient) -> datetime | None:
    """When the code's mail must be looked at again, if it is owed."""
    return score(client, keys.otp_outbox(partition_of(EMAIL)), EMAIL)


def failures(client: RedisClient, key: str = FAILURES) -> int:
    """How many tries count as failed today."""
    return int(client.run(command(str, "GET", key)) if exists(client, key) else 0)
