"""Changes of links, what they answer, and what becomes of a link meanwhile."""

from datetime import timedelta
from typing import Any

import httpx

from service.links import mail_store
from service.storage import keys
from tests.support.api import Api, stamp
from tests.support.factories import RETENTION, read
from tests.support.redis_client import RedisClient

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def settle(api: Api, link_id: str, state: str) -> None:
    """The link's mail was ``sent``, or ``failed``."""
    client = RedisClient(api.redis)
    link = read(client, link_id)
    command = (
        mail_store.mark_sent(link, now=api.now, retention=RETENTION)
        if state == "sent"
        else mail_store.mark_failed(
            link,
            error="550 no such mailbox",
            counts_as_attempt=True,
            now=api.now,
            retention=RETENTION,
        )
    )
    assert client.run(command) is True


def pay(api: Api, link_id: str, amount: float) -> None:
    response = api.client.post(
        f"/payment-links/{link_id}/payments",
        json={"payment_id": f"ch_{amount}", "amount": amount},
        headers=api.internal(),
    )
    assert response.status_code == 201, response.text


def changed(response: httpx.Response) -> dict[str, Any]:
    """The link that the answer is."""
    assert response.status_code == 200, response.text
    link: dict[str, Any] = response.json()
    return link


def events(api: Api, link_id: str, kind: str = "updated") -> list[dict[str, Any]]:
    response = api.client.get(
        f"/payment-links/{link_id}/events", params={"type": kind}, headers=api.internal()
    )
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["events"]
    return found


def in_an_hour(api: Api) -> str:
    return stamp(api.now + HOUR)


def queues(api: Api, link_id: str) -> dict[str, Any]:
    """In which queues of its partition the link is, and with which moment."""
    partition, local_id = keys.partition_of_link(link_id), keys.local_id(link_id)
    found = {
        name: api.redis.zscore(getattr(keys, name)(partition), local_id)
        for name in ("scheduled", "outbox", "pending_since", "failed")
    }
    return {
        name: api.now + timedelta(milliseconds=score - api.now.timestamp() * 1000)
        for name, score in found.items()
        if score is not None
    }
