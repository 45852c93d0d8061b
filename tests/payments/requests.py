"""Requests for tests of payments, and looks at what they leave behind."""

import json
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import httpx

from service.links.model import Link
from service.storage import keys
from tests.support.api import Api, Headers
from tests.support.factories import read
from tests.support.redis_client import RedisClient


def pay(
    api: Api,
    link_id: str,
    payment_id: str = "ch_1",
    *,
    key: str | None = None,
    headers: Headers | None = None,
    **fields: Any,
) -> httpx.Response:
    """Records a payment."""
    sent = (headers or api.org()) | ({"Idempotency-Key": key} if key else {})
    return api.client.post(
        f"/payment-links/{link_id}/payments",
        json={"payment_id": payment_id} | fields,
        headers=sent,
    )


def record(api: Api, link_id: str, payment_id: str = "ch_1", **fields: Any) -> dict[str, Any]:
    """A payment that is new, as the API answers."""
    response = pay(api, link_id, payment_id, **fields)
    assert response.status_code == 201, response.text
    payment: dict[str, Any] = response.json()
    return payment


def void(
    api: Api, link_id: str, payment_id: str = "ch_1", headers: Headers | None = None
) -> httpx.Response:
    return api.client.delete(
        f"/payment-links/{link_id}/payments/{quote(payment_id, safe='')}",
        headers=headers or api.org(),
    )


def exact(response: httpx.Response) -> Any:
    """The answer, with its numbers digit for digit."""
    return json.loads(response.text, parse_float=Decimal)


def events(api: Api, org_id: str = "acme") -> list[tuple[str, dict[str, Any]]]:
    """Type and data of each event in the organization's log, oldest first."""
    entries: Any = api.redis.xrange(keys.events(org_id))
    return [(entry["type"], json.loads(entry["data"] or "{}")) for _, entry in entries]


def types(api: Api) -> list[str]:
    """The types of the events in the log, oldest first."""
    return [kind for kind, _ in events(api)]


def stored(api: Api, link_id: str) -> Link:
    return read(RedisClient(api.redis), link_id)


def indexes(api: Api, link_id: str) -> set[str]:
    """Which of its organization's and recipient's indexes contain the link."""
    partition, member = keys.partition_of_link(link_id), keys.local_id(link_id)
    found = {
        "active": keys.active("acme"),
        "revoked": keys.revoked("acme"),
        "paid": keys.paid("acme"),
        "email": keys.email(partition, "jane@example.com"),
        "org": keys.org("acme"),
    }
    return {name for name, key in found.items() if api.redis.zscore(key, member) is not None}


def queues(api: Api, link_id: str) -> set[str]:
    """In which of its partition's queues the link's own mail is."""
    partition, member = keys.partition_of_link(link_id), keys.local_id(link_id)
    found = {name: getattr(keys, name)(partition) for name in ("scheduled", "outbox", "failed")}
    return {name for name, key in found.items() if api.redis.zscore(key, member) is not None}


def notices(api: Api, link_id: str) -> set[str]:
    """The notices that the link owes: ``receipt``, ``reminder``."""
    partition, member = keys.partition_of_link(link_id), keys.local_id(link_id)
    owed: Any = api.redis.zrange(keys.notices(partition), 0, -1)
    return {name.partition(":")[0] for name in owed if name.endswith(f":{member}")}
