"""Links that supersede others in Redis: the same on every backend."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from service.errors import Unreadable
from service.links import change_store, mail_store
from service.links import store as links
from service.links.change_store import ChangeOutcome
from service.links.link_request import OnConflict
from service.links.model import Link, Payment, Status
from service.links.store import ConflictReason, Superseding, TransactionConflict
from service.outbox import store as outbox
from service.outbox.queues import LINK_QUEUE
from service.storage import keys
from service.storage.command import TTL_MARGIN, command
from service.values.reminders import Reminder
from tests.links.delivery_cases import DELIVERIES, MAKES, Make
from tests.support.clock import Clock
from tests.support.factories import (
    ADMIN,
    MILLISECOND,
    RETENTION,
    all_keys,
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

INVOICE = "invoice 7: tea/coffee"
TRANSACTION = keys.transaction("acme", INVOICE)
PARTITION = keys.partition_of_link(make_link(Clock().now).id)
LEASE = timedelta(seconds=20)


def make(now: datetime, **fields: Any) -> Link:
    """A link of the transaction that is not stored."""
    return make_link(now, **{"transaction_id": INVOICE} | fields)


def create(client: RedisClient, link: Link, on_conflict: OnConflict) -> Any:
    return client.run(
        links.create(
            link,
            now=link.created_at,
            retention=RETENTION,
            on_conflict=on_conflict,
            actor=ADMIN,
        )
    )


def supersede(client: RedisClient, now: datetime, **fields: Any) -> Link:
    """A new link that took the place of others."""
    link = make(now, **fields)
    assert isinstance(create(client, link, OnConflict.SUPERSEDE), Superseding)
    return read(client, link.id)


def change(client: RedisClient, link: Link, now: datetime, **fields: Any) -> Link:
    """``link`` with other values, stored."""
    stored = client.run(change_store.read(link.id))
    assert stored is not None
    changed = msgspec.structs.replace(stored.link, **fields)
    update = change_store.update(stored, changed, now=now, retention=RETENTION, events=())
    assert client.run(update) is ChangeOutcome.UPDATED
    return changed


def pay_partly(client: RedisClient, link: Link, now: datetime) -> Link:
    payment = Payment(id="ch_1", amount=Decimal("0.01"), paid_at=now, recorded_at=now)
    return change(client, link, now, payments=(payment,))


def test_links_of_a_transaction_are_indexed_by_their_creation(
    client: RedisClient, clock: Clock
) -> None:
    link = store_link(client, make(clock.now))
    assert score(client, TRANSACTION, keys.local_id(link.id)) == link.created_at
    assert not exists(client, keys.transaction("acme", "invoice-8"))


@pytest.mark.parametrize("days", [(1, 2), (2, 1)], ids=["longer", "shorter"])
def test_the_index_of_a_transaction_lives_as_long_as_its_longest_link(
    client: RedisClient, clock: Clock, days: tuple[int, int]
) -> None:
    ends = [clock.now + timedelta(days=number) for number in days]
    for end in ends:
        store_link(client, make(clock.now, expires_at=end))
    least = max(ends) + RETENTION
    assert least <= goes_at(client, TRANSACTION) <= least + TTL_MARGIN


def test_the_index_of_a_transaction_lives_as_long_as_a_link_whose_end_moved(
    client: RedisClient, clock: Clock
) -> None:
    link = store_link(client, make(clock.now))
    later = link.expires_at + timedelta(days=30)
    change(client, link, clock.now, expires_at=later)
    assert goes_at(client, TRANSACTION) >= later + RETENTION


def test_one_new_link_in_a_few_makes_its_transaction_forget_links_that_are_gone(
    client: RedisClient, clock: Clock
) -> None:
    old = store_link(client, make(clock.now))
    long = store_link(client, make(clock.now, expires_at=clock.now + timedelta(days=365)))
    clock.now = old.expires_at + RETENTION
    delete(client, keys.link(old.id))
    new = [
        store_link(client, make(clock.now + number * MILLISECOND))
        for number in range(links.PRUNE_EVERY)
    ]
    kept = [keys.local_id(link.id) for link in (long, *new)]
    assert members(client, TRANSACTION) == kept


class TestError:
    def test_the_newest_link_that_is_active_or_paid_is_named(
        self, client: RedisClient, clock: Clock
    ) -> None:
        made = [store_link(client, make(clock.now + number * MILLISECOND)) for number in range(4)]
        named = []
        for link in reversed(made):
            clock.advance(seconds=1)
            conflict = create(client, make(clock.now), OnConflict.ERROR)
            assert conflict.reason is ConflictReason.EXISTS
            named.append(conflict.link_id)
            revoke(client, link, clock.now)
        assert named == [link.id for link in reversed(made)]
        assert create(client, make(clock.now), OnConflict.ERROR) is True

    def test_a_paid_link_is_named_however_long_ago_it_would_have_expired(
        self, client: RedisClient, clock: Clock
    ) -> None:
        link = store_link(client, make(clock.now))
        pay(client, link.id, clock.now)
        clock.advance(days=30)
        assert create(client, make(clock.now), OnConflict.ERROR) == TransactionConflict(
            ConflictReason.EXISTS, link.id
        )

    def test_nothing_changes(self, client: RedisClient, clock: Clock) -> None:
        store_link(client, make(clock.now))
        before = snapshot(client)
        create(client, make(clock.now), OnConflict.ERROR)
        assert snapshot(client) == before

    def test_of_ten_who_race_one_makes_a_link(self, client: RedisClient, clock: Clock) -> None:
        with ThreadPoolExecutor(10) as pool:
            outcomes = [
                *pool.map(lambda _: create(client, make(clock.now), OnConflict.ERROR), range(10))
            ]
        assert outcomes.count(True) == 1
        assert len(members(client, keys.active("acme"))) == 1


class TestSupersede:
    @pytest.mark.parametrize(("make_delivery", "queues"), DELIVERIES)
    def test_the_earlier_link_stands_where_a_revoked_one_does(
        self, client: RedisClient, clock: Clock, make_delivery: Make, queues: set[str]
    ) -> None:
        earlier = msgspec.structs.replace(make_delivery(clock.now), transaction_id=INVOICE)
        store_link(client, earlier)
        assert set(owed(client, earlier)) == queues
        clock.advance(hours=1)
        link = supersede(client, clock.now, email="john@example.com", notify=False)
        member, email = keys.local_id(earlier.id), keys.email(PARTITION, "jane@example.com")
        assert members(client, keys.active("acme")) == [keys.local_id(link.id)]
        assert members(client, TRANSACTION) == [keys.local_id(link.id)]
        assert score(client, keys.revoked("acme"), member) == clock.now
        assert not exists(client, email)
        assert owed(client, earlier) == {}
        found = read(client, earlier.id)
        assert (found.status(clock.now), found.superseded_by) == (Status.REVOKED, link.id)
        assert found.delivery.state == "none"
        assert goes_at(client, keys.link(earlier.id)) == clock.now + RETENTION

    @pytest.mark.parametrize("make_delivery", MAKES)
    def test_it_leaves_what_a_revocation_leaves(
        self, client: RedisClient, clock: Clock, make_delivery: Make
    ) -> None:
        earlier = msgspec.structs.replace(make_delivery(clock.now), transaction_id=INVOICE)
        store_link(client, earlier)
        revoke(client, earlier, clock.now)
        revoked = read(client, earlier.id)
        client.run(command(str, "FLUSHDB"))
        store_link(client, earlier)
        link = supersede(client, clock.now)
        found = read(client, earlier.id)
        assert msgspec.structs.replace(found, superseded_by=None) == revoked
        assert found.superseded_by == link.id

    def test_a_mail_under_a_lease_is_taken_back(self, client: RedisClient, clock: Clock) -> None:
        earlier = store_link(client, make(clock.now))
        deadline = clock.now + LEASE
        claim = outbox.claim(
            LINK_QUEUE, PARTITION, now=clock.now, lease_deadline=deadline, limit=10
        )
        client.run(claim)
        client.run(mail_store.load_claimed(PARTITION, [earlier.id]))
        supersede(client, clock.now, notify=False)
        renew = outbox.renew(
            LINK_QUEUE,
            PARTITION,
            [keys.local_id(earlier.id)],
            lease_deadline=deadline,
            until=deadline + LEASE,
        )
        assert client.run(renew) == []
        assert owed(client, earlier) == {}

    def test_a_reminder_under_a_lease_is_taken_back(
        self, client: RedisClient, clock: Clock
    ) -> None:
        reminders = [Reminder(after_send="24h")]
        earlier = store_link(client, make(clock.now, notify=False, reminders=reminders))
        member, due_at = f"reminder:{keys.local_id(earlier.id)}", clock.now + timedelta(hours=24)
        assert score(client, keys.notices(PARTITION), member) == due_at
        claimed = command(int, "ZADD", keys.notice_outbox(PARTITION), 1, member)
        client.run(claimed)
        supersede(client, clock.now)
        assert not exists(client, keys.notices(PARTITION))
        assert not exists(client, keys.notice_outbox(PARTITION))

    def test_the_reminder_of_the_new_link_stays(self, client: RedisClient, clock: Clock) -> None:
        reminders = [Reminder(after_send="24h")]
        store_link(client, make(clock.now, notify=False, reminders=reminders))
        link = supersede(client, clock.now, notify=False, reminders=reminders)
        assert members(client, keys.notices(PARTITION)) == [f"reminder:{keys.local_id(link.id)}"]

    def test_a_link_to_another_address_by_now_leaves_the_index_of_that(
        self, client: RedisClient, clock: Clock
    ) -> None:
        earlier = store_link(client, make(clock.now))
        change(client, earlier, clock.now, email="Jo@BÜCHER.example")
        email = keys.email(PARTITION, "jo@xn--bcher-kva.example")
        assert members(client, email) == [keys.local_id(earlier.id)]
        supersede(client, clock.now)
        assert not exists(client, email)

    @pytest.mark.parametrize("how", ["whole", "partly"])
    def test_a_link_on_which_money_was_paid_is_not_superseded(
        self, client: RedisClient, clock: Clock, how: str
    ) -> None:
        paid = store_link(client, make(clock.now, payment_amount=Decimal(10)))
        store_link(client, make(clock.now + MILLISECOND))
        pay(client, paid.id, clock.now) if how == "whole" else pay_partly(client, paid, clock.now)
        before = snapshot(client)
        conflict = create(client, make(clock.now), OnConflict.SUPERSEDE)
        assert conflict == TransactionConflict(ConflictReason.PAID, paid.id)
        assert snapshot(client) == before

    def test_a_link_whose_payment_was_voided_is(self, client: RedisClient, clock: Clock) -> None:
        earlier = store_link(client, make(clock.now, payment_amount=Decimal(10)))
        [payment] = pay_partly(client, earlier, clock.now).payments
        voided = msgspec.structs.replace(payment, voided_at=clock.now)
        change(client, earlier, clock.now, payments=(voided,))
        supersede(client, clock.now)
        assert read(client, earlier.id).status(clock.now) is Status.REVOKED

    def test_a_link_that_expired_after_a_part_was_paid_is_left_alone(
        self, client: RedisClient, clock: Clock
    ) -> None:
        earlier = store_link(client, make(clock.now, payment_amount=Decimal(10)))
        pay_partly(client, earlier, clock.now)
        assert create(client, make(earlier.expires_at), OnConflict.SUPERSEDE) is True
        assert read(client, earlier.id).superseded_by is None

    @pytest.mark.parametrize(
        ("early", "is_superseded"),
        [
            pytest.param(MILLISECOND, True, id="a millisecond before its end"),
            pytest.param(timedelta(0), False, id="at its end"),
        ],
    )
    def test_an_expired_link_is_not_superseded(
        self, client: RedisClient, clock: Clock, early: timedelta, is_superseded: bool
    ) -> None:
        earlier = store_link(client, make(clock.now))
        create(client, make(earlier.expires_at - early), OnConflict.SUPERSEDE)
        assert (read(client, earlier.id).superseded_by is not None) is is_superseded

    def test_an_expired_link_that_is_active_again_is_superseded(
        self, client: RedisClient, clock: Clock
    ) -> None:
        earlier = store_link(client, make(clock.now))
        clock.now = earlier.expires_at
        change(client, earlier, clock.now, expires_at=clock.now + timedelta(days=1))
        supersede(client, clock.now)
        assert read(client, earlier.id).status(clock.now) is Status.REVOKED

    def test_of_fifty_who_race_one_link_stays_active(
        self, client: RedisClient, clock: Clock
    ) -> None:
        made = [make(clock.now + number * MILLISECOND) for number in range(50)]
        with ThreadPoolExecutor(10) as pool:
            [*pool.map(lambda link: create(client, link, OnConflict.SUPERSEDE), made)]
        found = [read(client, link.id) for link in made]
        active = [link for link in found if link.status(clock.now) is Status.ACTIVE]
        assert len(active) == 1
        member = keys.local_id(active[0].id)
        assert members(client, TRANSACTION) == members(client, keys.active("acme")) == [member]


class TestKeysOfAnotherType:
    @pytest.mark.parametrize("on_conflict", OnConflict)
    def test_a_link_that_its_transaction_cannot_index_is_not_stored(
        self, client: RedisClient, clock: Clock, on_conflict: OnConflict
    ) -> None:
        client.run(command(int, "RPUSH", TRANSACTION, "boom"))
        with pytest.raises(Unreadable):
            create(client, make(clock.now), on_conflict)
        assert all_keys(client) <= {TRANSACTION, keys.orgs(PARTITION)}

    def test_without_an_index_of_revoked_links_nothing_is_superseded(
        self, client: RedisClient, clock: Clock
    ) -> None:
        earlier, revoked = store_link(client, make(clock.now)), keys.revoked("acme")
        client.run(command(int, "RPUSH", revoked, "boom"))
        link = make(clock.now)
        with pytest.raises(Unreadable):
            create(client, link, OnConflict.SUPERSEDE)
        assert client.run(links.get(link.id)) is None
        assert read(client, earlier.id) == earlier
        assert members(client, TRANSACTION) == [keys.local_id(earlier.id)]
        assert owed(client, earlier) == {"outbox": clock.now}

    @pytest.mark.parametrize(
        "key",
        [
            keys.email(PARTITION, "john@example.com"),
            keys.scheduled(PARTITION),
            keys.pending_since(PARTITION),
            keys.notices(PARTITION),
            keys.notice_outbox(PARTITION),
            keys.events("acme"),
        ],
    )
    def test_a_link_is_superseded_whatever_another_index_holds(
        self, client: RedisClient, clock: Clock, key: str
    ) -> None:
        earlier = store_link(client, make(clock.now, email="john@example.com"))
        client.run(command(int, "DEL", key))
        client.run(command(int, "RPUSH", key, "boom"))
        link = supersede(client, clock.now)
        assert read(client, earlier.id).superseded_by == link.id
        assert members(client, keys.active("acme")) == [keys.local_id(link.id)]

    def test_a_record_of_another_type_is_left_alone(
        self, client: RedisClient, clock: Clock
    ) -> None:
        unreadable, earlier = (
            store_link(client, make(clock.now)),
            store_link(client, make(clock.now)),
        )
        delete(client, keys.link(unreadable.id))
        client.run(command(int, "RPUSH", keys.link(unreadable.id), "boom"))
        link = supersede(client, clock.now)
        assert link.supersedes == earlier.id
