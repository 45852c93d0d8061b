"""Links for the store's tests, and looks at what is behind them in Redis."""

import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from service.links import change_store
from service.links import store as links
from service.links.change_store import ChangeOutcome
from service.links.link_request import LinkRequest, build_link, validate_request
from service.links.model import Link, Payment
from service.links.store import RevokeOutcome
from service.storage import keys
from service.storage.client import RedisClient
from service.storage.command import command
from service.storage.event_log import Actor
from service.values.time import datetime_from_ms

TTL = timedelta(hours=72)
RETENTION = timedelta(days=90)
MILLISECOND = timedelta(milliseconds=1)
ADMIN = Actor("clerk@acme.example.com", "request-1")
UNKNOWN_LINK_ID = "pl_00" + "0" * 22
"""The id of a link that nobody made."""


def create_link(*, entropy: bytes, now: datetime, ttl: timedelta, **fields: Any) -> Link:
    """The link that a request with these ``fields`` makes at ``now``."""
    return build_link(
        validate_request(LinkRequest(**fields), now=now),
        created_by=ADMIN.name,
        entropy=entropy,
        now=now,
        ttl=ttl,
    )


def make_link(
    now: datetime, *, org_id: str = "acme", email: str = "jane@example.com", **fields: Any
) -> Link:
    """A link that is not stored."""
    return create_link(
        entropy=secrets.token_bytes(32), now=now, ttl=TTL, org_id=org_id, email=email, **fields
    )


def store_link(client: RedisClient, link: Link) -> Link:
    """Stores ``link``."""
    return store_links(client, [link])[0]


def store_links(client: RedisClient, made: Iterable[Link]) -> list[Link]:
    """Stores links, and gives them in the same order."""
    stored = list(made)
    results = client.run_all(
        [links.create(link, now=link.created_at, retention=RETENTION) for link in stored]
    )
    assert all(results)
    return stored


def read(client: RedisClient, link_id: str) -> Link:
    """The link, which is there."""
    link = client.run(links.get(link_id))
    assert link is not None
    return link


def revoke(client: RedisClient, link: Link, now: datetime) -> bool:
    """Whether ``link`` was active until now."""
    outcome = client.run(links.revoke(link, now=now, retention=RETENTION, actor=ADMIN))
    return outcome is RevokeOutcome.REVOKED


def pay(client: RedisClient, link_id: str, now: datetime) -> Link:
    """Stores that the link was paid in whole at ``now``, and returns it."""
    stored = client.run(change_store.read(link_id))
    assert stored is not None
    amount, currency = stored.link.payment_amount or Decimal(1), stored.link.currency
    payment = Payment(
        id="payment-1", amount=amount, currency=currency, paid_at=now, recorded_at=now
    )
    paid = msgspec.structs.replace(stored.link, payments=(payment,), paid_at=now)
    change = change_store.update(stored, paid, now=now, retention=RETENTION, events=())
    assert client.run(change) is ChangeOutcome.UPDATED
    return paid


def queues_of(link: Link) -> dict[str, str]:
    """The keys of what a link's partition owes."""
    partition = keys.partition_of_link(link.id)
    return {
        name: getattr(keys, name)(partition) for name in ("scheduled", "outbox", "pending_since")
    }


def owed(client: RedisClient, link: Link) -> dict[str, datetime]:
    """In which of its partition's queues the link is, and with which moment."""
    found = {
        name: score(client, key, keys.local_id(link.id)) for name, key in queues_of(link).items()
    }
    return {name: moment for name, moment in found.items() if moment is not None}


def score(client: RedisClient, key: str, member: str) -> datetime | None:
    """The moment by which ``member`` is sorted, if it is there."""
    return client.run(
        command(
            lambda reply: None if reply is None else datetime_from_ms(reply), "ZSCORE", key, member
        )
    )


def members(client: RedisClient, key: str) -> list[str]:
    """A sorted set's members, lowest first."""
    return client.run(command(list, "ZRANGE", key, 0, -1))


def exists(client: RedisClient, key: str) -> bool:
    return client.run(command(bool, "EXISTS", key))


def delete(client: RedisClient, key: str) -> None:
    """Removes ``key``, as its TTL would have in time."""
    assert client.run(command(bool, "DEL", key))


def ids_of(key: str, local_ids: Iterable[str]) -> list[str]:
    """The ids of links that are known by these in ``key``'s partition."""
    return keys.full_ids(key.partition("{")[2][:2], local_ids)


def id_in(key: str) -> str:
    """The id of the link that is kept there."""
    return ids_of(key, [key.rpartition(":")[2]])[0]


def all_keys(client: RedisClient) -> set[str]:
    return client.run(command(set, "KEYS", "*"))


def goes_at(client: RedisClient, key: str) -> datetime:
    """When the key's TTL ends; it has one."""
    milliseconds = client.run(command(int, "PEXPIRETIME", key))
    assert milliseconds > 0, f"{key} has no TTL"
    return datetime_from_ms(milliseconds)


def ttl(client: RedisClient, key: str) -> timedelta:
    """What is left of the key's TTL; it has one."""
    milliseconds = client.run(command(int, "PTTL", key))
    assert milliseconds > 0, f"{key} has no TTL"
    return timedelta(milliseconds=milliseconds)


def snapshot(client: RedisClient) -> dict[str, tuple[Any, int]]:
    """Everything in Redis: each key's value, and when it goes."""
    return {
        key: (_value(client, key), client.run(command(int, "PEXPIRETIME", key)))
        for key in all_keys(client)
    }


def _value(client: RedisClient, key: str) -> Any:
    kind = client.run(command(str, "TYPE", key))
    if kind == "hash":
        return client.run(command(dict, "HGETALL", key))
    if kind == "zset":
        return {member: score(client, key, member) for member in members(client, key)}
    if kind == "stream":
        return client.run(command(list, "XRANGE", key, "-", "+"))
    return client.run(command(str, "GET", key))
