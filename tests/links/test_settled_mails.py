"""What is logged of a link's e-mail, and remembered of earlier ones; the same on every backend."""

from datetime import timedelta
from typing import Any

import pytest

from service.links import mail_store
from service.links.model import Link
from service.storage import keys
from service.storage.command import command
from service.values.time import datetime_to_ms
from tests.support.clock import Clock
from tests.support.factories import RETENTION, make_link, read, store_link
from tests.support.redis_client import RedisClient

HOUR = timedelta(hours=1)


@pytest.fixture
def link(client: RedisClient, clock: Clock) -> Link:
    return store_link(client, make_link(clock.now))


def send(client: RedisClient, link: Link, clock: Clock) -> None:
    client.run(mail_store.mark_sent(read(client, link.id), now=clock.now, retention=RETENTION))


def put_off(client: RedisClient, link: Link, clock: Clock) -> None:
    client.run(mail_store.retry_later(link, error="421 try later", at=clock.now + HOUR))


def logged(client: RedisClient, link: Link) -> list[dict[str, str]]:
    entries: list[Any] = client.run(command(list, "XRANGE", keys.events(link.org_id), "-", "+"))
    return [dict(fields) for _, fields in entries]


def retry_of(client: RedisClient, link: Link) -> str | None:
    return client.run(
        command(lambda reply: reply and str(reply), "HGET", keys.link(link.id), "retry")
    )


def test_each_mail_that_is_sent_is_logged_once(
    client: RedisClient, clock: Clock, link: Link
) -> None:
    put_off(client, link, clock)
    for _ in range(2):
        send(client, link, clock)
    assert [entry["type"] for entry in logged(client, link)] == ["sent"]


def test_one_that_is_given_up_is_logged_with_its_code_alone(
    client: RedisClient, clock: Clock, link: Link
) -> None:
    client.run(
        mail_store.mark_failed(
            link,
            error="550 5.1.1 <jane@example.com> unknown",
            counts_as_attempt=True,
            now=clock.now,
            retention=RETENTION,
        )
    )
    assert logged(client, link) == [
        {
            "type": "delivery_failed",
            "link": keys.local_id(link.id),
            "actor": "system",
            "request": "",
            "data": '{"mail":"link","error":"550 5.1.1"}',
        }
    ]


def test_when_the_first_of_two_was_sent_is_remembered(
    client: RedisClient, clock: Clock, link: Link
) -> None:
    first_at = clock.now
    send(client, link, clock)
    clock.advance(hours=1)
    send(client, link, clock)
    delivery = read(client, link.id).delivery
    assert (delivery.first_sent_at, delivery.sent_at) == (first_at, clock.now)


def test_a_mail_that_is_put_off_says_until_when(
    client: RedisClient, clock: Clock, link: Link
) -> None:
    put_off(client, link, clock)
    assert retry_of(client, link) == str(datetime_to_ms(clock.now + HOUR))
    send(client, link, clock)
    assert retry_of(client, link) is None
