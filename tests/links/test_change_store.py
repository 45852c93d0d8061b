"""Changes of a link in Redis: compared, then written as a whole; the same on every backend."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from service.errors import Unreadable
from service.links import change_store, mail_store
from service.links.change_store import ChangeOutcome, StoredLink
from service.links.model import Delivery, DeliveryState, Link, Payment
from service.orgs import store as orgs
from service.outbox import store as outbox
from service.outbox.queues import LINK_QUEUE, NOTICE_QUEUE, MailQueue
from service.storage import keys
from service.storage.command import TTL_MARGIN, command
from service.storage.event_log import SYSTEM, Event, EventType
from service.values.reminders import Reminder
from tests.support.clock import Clock
from tests.support.factories import (
    MILLISECOND,
    RETENTION,
    delete,
    exists,
    goes_at,
    make_link,
    members,
    owed,
    pay,
    read,
    revoke,
    score,
    snapshot,
    store_link,
)
from tests.support.redis_client import RedisClient

LEASE, HOUR, DAY = timedelta(seconds=20), timedelta(hours=1), timedelta(days=1)
UPDATED = Event(EventType.UPDATED, SYSTEM, {"changed": ["description"]})


def load(client: RedisClient, link: Link) -> StoredLink:
    stored = client.run(change_store.read(link.id))
    assert stored is not None
    return stored


def change(
    client: RedisClient, stored: StoredLink, now: datetime, *, is_in_mail: bool = False, **to: Any
) -> object:
    """What is answered to a change of ``stored`` to these fields."""
    return client.run(
        change_store.update(
            stored,
            replace(stored.link, **to),
            now=now,
            retention=RETENTION,
            events=[UPDATED],
            changes_mail=is_in_mail,
        )
    )


def claim(client: RedisClient, now: datetime, *, queue: MailQueue = LINK_QUEUE) -> None:
    partition = keys.partition_of_link(make_link(now).id)
    assert client.run(outbox.claim(queue, partition, now=now, lease_deadline=now + LEASE, limit=9))


class TestCompare:
    @pytest.mark.parametrize(
        "meanwhile",
        [
            revoke,
            lambda client, link, now: pay(client, link.id, now),
            lambda client, link, now: client.run(
                mail_store.mark_sent(link, now=now, retention=RETENTION)
            ),
            lambda client, link, _: delete(client, keys.link(link.id)),
        ],
        ids=["revoked", "paid", "mailed", "gone"],
    )
    def test_a_link_that_is_another_by_now_stays_as_it_is(
        self, client: RedisClient, clock: Clock, meanwhile: Any
    ) -> None:
        link = store_link(client, make_link(clock.now, payment_amount=Decimal(10)))
        stored = load(client, link)
        meanwhile(client, link, clock.now)
        before = snapshot(client)
        assert change(client, stored, clock.now, description="x") is ChangeOutcome.CHANGED
        assert snapshot(client) == before

    def test_a_value_that_is_removed_leaves_no_field(
        self, client: RedisClient, clock: Clock
    ) -> None:
        link = store_link(client, make_link(clock.now, description="Cleaning"))
        change(client, load(client, link), clock.now, description=None)
        assert not client.run(command(bool, "HEXISTS", keys.link(link.id), "description"))


class TestIndexes:
    def test_an_expired_link_returns_to_its_indexes_for_as_long_as_it_lives(
        self, client: RedisClient, clock: Clock
    ) -> None:
        """The indexes are gone: they expire with their last link, or were pruned."""
        link = store_link(client, make_link(clock.now))
        clock.now = link.expires_at + DAY
        partition = keys.partition_of_link(link.id)
        email, orgs_key = keys.email(partition, link.recipient), keys.orgs(partition)
        delete(client, email)
        delete(client, orgs_key)
        until = clock.now + 300 * DAY
        assert change(client, load(client, link), clock.now, expires_at=until) == "updated"
        for key in (keys.active("acme"), email):
            assert score(client, key, keys.local_id(link.id)) == until
        gone_at = until + RETENTION
        assert goes_at(client, keys.link(link.id)) == gone_at
        for key in (keys.org("acme"), keys.active("acme"), email, orgs_key):
            assert gone_at <= goes_at(client, key) <= gone_at + TTL_MARGIN + HOUR
        found = orgs.list_ids(partition, now=gone_at - MILLISECOND, retention=RETENTION)
        assert client.run(found) == ["acme"]

    def test_an_earlier_end_takes_no_index_from_other_links(
        self, client: RedisClient, clock: Clock
    ) -> None:
        link, other = (store_link(client, make_link(clock.now)) for _ in range(2))
        change(client, load(client, link), clock.now, expires_at=clock.now + HOUR)
        assert goes_at(client, keys.link(link.id)) == clock.now + HOUR + RETENTION
        for key in (keys.org("acme"), keys.active("acme")):
            assert goes_at(client, key) >= other.expires_at + RETENTION

    def test_an_email_moves_between_recipients(self, client: RedisClient, clock: Clock) -> None:
        link = store_link(client, make_link(clock.now))
        partition = keys.partition_of_link(link.id)
        change(client, load(client, link), clock.now, email="JOHN@bücher.example")
        assert not exists(client, keys.email(partition, "jane@example.com"))
        new = keys.email(partition, "john@xn--bcher-kva.example")
        assert members(client, new) == [keys.local_id(link.id)]
        assert goes_at(client, new) >= link.expires_at + RETENTION
        assert revoke(client, read(client, link.id), clock.now)
        assert not exists(client, new)

    @pytest.mark.parametrize("kind", ["active", "email", "scheduled", "link"])
    def test_a_key_of_another_type_leaves_all_as_it_is(
        self, client: RedisClient, clock: Clock, kind: str
    ) -> None:
        link = store_link(client, make_link(clock.now))
        stored, partition = load(client, link), keys.partition_of_link(link.id)
        key = {
            "active": keys.active("acme"),
            "email": keys.email(partition, "john@example.com"),
            "scheduled": keys.scheduled(partition),
            "link": keys.link(link.id),
        }[kind]
        client.run(command(int, "DEL", key))
        client.run(command(str, "SET", key, "boom"))
        before = snapshot(client)
        at = clock.now + HOUR
        delivery = Delivery(DeliveryState.SCHEDULED)
        to: dict[str, Any] = {"email": "john@example.com", "scheduled_at": at, "delivery": delivery}
        with pytest.raises(Unreadable):
            change(client, stored, clock.now, expires_at=at + DAY, **to)
        assert snapshot(client) == before

    @pytest.mark.parametrize("kind", ["events", "orgs", "revoked", "paid"])
    def test_a_link_changes_without_an_index_that_it_is_not_in(
        self, client: RedisClient, clock: Clock, kind: str
    ) -> None:
        link = store_link(client, make_link(clock.now))
        key = keys.orgs(keys.partition_of_link(link.id)) if kind == "orgs" else None
        key = key or getattr(keys, kind)("acme")
        client.run(command(int, "DEL", key))
        client.run(command(str, "SET", key, "boom"))
        assert change(client, load(client, link), clock.now, description="x") == "updated"

    @pytest.mark.parametrize(
        "kind", ["outbox", "scheduled", "pending_since", "failed", "notices", "notice_outbox"]
    )
    def test_a_link_is_paid_where_a_queue_that_it_leaves_is_of_another_type(
        self, client: RedisClient, clock: Clock, kind: str
    ) -> None:
        """One bad key does not keep a partition's payments from being recorded."""
        link = store_link(client, make_link(clock.now))
        key = getattr(keys, kind)(keys.partition_of_link(link.id))
        client.run(command(int, "DEL", key))
        client.run(command(str, "SET", key, "boom"))
        payment = Payment(id="ch_1", amount=Decimal(1), paid_at=clock.now, recorded_at=clock.now)
        to: dict[str, Any] = {"delivery": Delivery(DeliveryState.NONE), "paid_at": clock.now}
        stored = load(client, link)
        assert change(client, stored, clock.now, payments=(payment,), **to) == "updated"
        assert members(client, keys.paid("acme")) == [keys.local_id(link.id)]


class TestMail:
    """What a mail tells changes for all who see it, or for none."""

    def test_one_that_nobody_has_claimed_changes(self, client: RedisClient, clock: Clock) -> None:
        link = store_link(client, make_link(clock.now))
        assert change(client, load(client, link), clock.now, is_in_mail=True, email="j@e.co") == (
            "updated"
        )
        assert owed(client, link) == {"outbox": clock.now}

    @pytest.mark.parametrize("late", [timedelta(0), LEASE, 60 * LEASE], ids=str)
    def test_one_that_was_claimed_does_not_change_also_when_its_lease_has_lapsed(
        self, client: RedisClient, clock: Clock, late: timedelta
    ) -> None:
        """The worker may have handed it over before it died."""
        link = store_link(client, make_link(clock.now))
        claim(client, clock.now)
        client.run(mail_store.load_claimed(keys.partition_of_link(link.id), [link.id]))
        clock.now += late
        stored, before = load(client, link), snapshot(client)
        assert change(client, stored, clock.now, is_in_mail=True, email="j@e.co") == "held"
        assert snapshot(client) == before
        assert change(client, stored, clock.now, description="x") == "updated"

    def test_a_scheduled_one_that_was_just_claimed_does_not_change(
        self, client: RedisClient, clock: Clock
    ) -> None:
        link = store_link(client, make_link(clock.now, scheduled_at=clock.now))
        stored = load(client, link)
        claim(client, clock.now)
        assert change(client, stored, clock.now, is_in_mail=True, email="j@e.co") == "held"

    def test_a_reminder_that_was_claimed_does_not_change(
        self, client: RedisClient, clock: Clock
    ) -> None:
        """It may be the first mail that the customer gets."""
        reminders = (Reminder(after_send="1h"),)
        link = store_link(client, make_link(clock.now, notify=False))
        change(client, load(client, link), clock.now, reminders=reminders)
        clock.advance(hours=1)
        stored = load(client, link)
        claim(client, clock.now, queue=NOTICE_QUEUE)
        assert change(client, stored, clock.now, is_in_mail=True, email="j@e.co") == "held"
        assert change(client, stored, clock.now, description="x") == "updated"

    def test_one_that_was_put_off_changes_until_it_is_claimed_again(
        self, client: RedisClient, clock: Clock
    ) -> None:
        link, at = store_link(client, make_link(clock.now)), clock.now + HOUR
        claim(client, clock.now)
        deadline = clock.now + LEASE
        retry = mail_store.retry_later(link, error="451 later", at=at, lease_deadline=deadline)
        assert client.run(retry)
        stored = load(client, link)
        assert change(client, stored, clock.now, is_in_mail=True, email="j@e.co") == "updated"
        assert owed(client, link)["outbox"] == at
        claim(client, at)
        stored = load(client, link)
        assert change(client, stored, at, is_in_mail=True, email="k@e.co") == "held"
