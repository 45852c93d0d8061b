"""E-mails of links in Redis: loaded, settled, counted; the same on every backend."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from service.links import mail_store
from service.links import store as links
from service.links.model import Delivery, DeliveryState, Link
from service.outbox import store as outbox
from service.outbox.queues import LINK_QUEUE
from service.storage import keys
from service.storage.command import Command
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
    queues_of,
    read,
    revoke,
    snapshot,
    store_link,
    store_links,
)
from tests.support.redis_client import RedisClient

LEASE = timedelta(seconds=20)
HOUR = timedelta(hours=1)
PARTITION = keys.partition_of_link(make_link(Clock().now).id)
"""Where the links of these tests are."""
MOMENTS = [
    pytest.param(-MILLISECOND, False, id="a millisecond before"),
    pytest.param(timedelta(0), True, id="at that moment"),
    pytest.param(MILLISECOND, True, id="a millisecond later"),
]


def claim(
    client: RedisClient, now: datetime, *, limit: int = 100, partition: str = PARTITION
) -> list[str]:
    call = outbox.claim(LINK_QUEUE, partition, now=now, lease_deadline=now + LEASE, limit=limit)
    return keys.full_ids(partition, client.run(call))


def load_claimed(client: RedisClient, claimed: list[str]) -> list[Link | ValueError | None]:
    return client.run(mail_store.load_claimed(PARTITION, claimed))


class TestLoadClaimed:
    def test_claimed_links_are_read_in_order(self, client: RedisClient, clock: Clock) -> None:
        made = store_links(
            client, [make_link(clock.now, transaction_id=str(number)) for number in range(3)]
        )
        assert load_claimed(client, [link.id for link in made[::-1]]) == made[::-1]

    def test_a_scheduled_link_is_queued_when_it_is_loaded(
        self, client: RedisClient, clock: Clock
    ) -> None:
        link = store_link(client, make_link(clock.now, scheduled_at=clock.now))
        claim(client, clock.now)
        (loaded,) = load_claimed(client, [link.id])
        assert loaded == read(client, link.id)
        assert loaded.delivery == Delivery(DeliveryState.QUEUED)

    @pytest.mark.parametrize("state", ["queued", "sent", "failed", "none"])
    def test_a_link_that_is_not_scheduled_stays_what_it_was(
        self, client: RedisClient, clock: Clock, state: str
    ) -> None:
        link = store_link(client, make_link(clock.now, notify=state != "none"))
        settle = {
            "sent": mail_store.mark_sent(link, now=clock.now, retention=RETENTION),
            "failed": failed(link, clock.now),
        }
        client.run_all([settle[state]] if state in settle else [])
        before = read(client, link.id)
        assert load_claimed(client, [link.id]) == [before]
        assert read(client, link.id) == before

    def test_a_link_that_is_gone_owes_nothing(self, client: RedisClient, clock: Clock) -> None:
        gone, other = store_links(client, [make_link(clock.now), make_link(clock.now)])
        delete(client, keys.link(gone.id))
        assert load_claimed(client, [gone.id, other.id]) == [None, other]
        assert (owed(client, gone), set(owed(client, other))) == ({}, {"outbox"})

    def test_a_link_that_was_revoked_meanwhile_says_so(
        self, client: RedisClient, clock: Clock
    ) -> None:
        link = store_link(client, make_link(clock.now))
        claim(client, clock.now)
        revoke(client, link, clock.now)
        (loaded,) = load_claimed(client, [link.id])
        assert isinstance(loaded, Link)
        assert loaded.revoked_at == clock.now

    def test_a_batch_of_two_hundred_is_loaded_at_once(
        self, client: RedisClient, clock: Clock
    ) -> None:
        made = store_links(client, [make_link(clock.now) for _ in range(200)])
        assert load_claimed(client, [link.id for link in made]) == made


def sent(link: Link, now: datetime) -> Command[bool]:
    return mail_store.mark_sent(link, now=now, retention=RETENTION)


def failed(link: Link, now: datetime, **lease: datetime) -> Command[bool]:
    return mail_store.mark_failed(
        link,
        error="550 no such user",
        counts_as_attempt=True,
        now=now,
        retention=RETENTION,
        **lease,
    )


def put_off(link: Link, now: datetime, *, unconfirmed: bool = False) -> Command[bool]:
    return mail_store.retry_later(
        link, error="421 try later", at=now + HOUR, unconfirmed=unconfirmed
    )


Settle = Callable[[Link, datetime], Command[bool]]

SETTLES = [
    pytest.param(sent, id="sent"),
    pytest.param(failed, id="failed"),
    pytest.param(put_off, id="put off"),
]


class TestSettle:
    @pytest.fixture
    def link(self, client: RedisClient, clock: Clock) -> Link:
        """A link under a lease."""
        link = store_link(client, make_link(clock.now))
        claim(client, clock.now)
        return link

    @pytest.mark.parametrize(
        ("settle", "delivery"),
        [
            pytest.param(sent, {"state": DeliveryState.SENT}, id="sent"),
            pytest.param(
                failed, {"state": DeliveryState.FAILED, "error": "550 no such user"}, id="failed"
            ),
            pytest.param(
                put_off, {"state": DeliveryState.QUEUED, "error": "421 try later"}, id="put off"
            ),
        ],
    )
    def test_a_link_says_what_became_of_its_e_mail(
        self,
        client: RedisClient,
        clock: Clock,
        link: Link,
        settle: Settle,
        delivery: dict[str, Any],
    ) -> None:
        assert client.run(settle(link, clock.now)) is True
        sent_at = clock.now if settle is sent else None
        assert read(client, link.id).delivery == Delivery(**delivery, attempts=1, sent_at=sent_at)

    @pytest.mark.parametrize(
        "settle", [pytest.param(sent, id="sent"), pytest.param(failed, id="failed")]
    )
    def test_what_is_settled_is_owed_no_more(
        self, client: RedisClient, clock: Clock, link: Link, settle: Settle
    ) -> None:
        client.run(settle(link, clock.now))
        assert owed(client, link) == {}
        assert claim(client, clock.now + LEASE) == []

    @pytest.mark.parametrize(("late", "claimed"), MOMENTS)
    def test_what_is_put_off_is_claimed_when_its_next_try_comes(
        self, client: RedisClient, clock: Clock, link: Link, late: timedelta, claimed: bool
    ) -> None:
        client.run(put_off(link, clock.now))
        assert claim(client, clock.now + HOUR + late) == ([link.id] if claimed else [])

    def test_what_is_put_off_is_unsent_since_it_was_due(
        self, client: RedisClient, clock: Clock, link: Link
    ) -> None:
        claim(client, clock.now)
        client.run(put_off(link, clock.now))
        found = client.run(outbox.read_due(PARTITION, now=clock.now + HOUR))
        assert found.oldest == link.due_at

    def test_every_try_counts(self, client: RedisClient, clock: Clock, link: Link) -> None:
        client.run_all([put_off(link, clock.now), put_off(link, clock.now), sent(link, clock.now)])
        assert read(client, link.id).delivery.attempts == 3

    def test_what_was_sent_in_the_end_has_no_error(
        self, client: RedisClient, clock: Clock, link: Link
    ) -> None:
        client.run_all([put_off(link, clock.now), sent(link, clock.now)])
        assert read(client, link.id).delivery.error is None

    def test_tries_without_an_answer_are_counted_until_one_succeeds(
        self, client: RedisClient, clock: Clock, link: Link
    ) -> None:
        for unconfirmed in (True, False, True):
            client.run(put_off(link, clock.now, unconfirmed=unconfirmed))
        assert read(client, link.id).delivery.unconfirmed == 2
        client.run(sent(link, clock.now))
        assert read(client, link.id).delivery == Delivery(DeliveryState.SENT, 4, clock.now)

    def test_what_is_given_up_untried_counts_no_try(
        self, client: RedisClient, clock: Clock, link: Link
    ) -> None:
        call = mail_store.mark_failed(
            link,
            error="the link has expired",
            counts_as_attempt=False,
            now=clock.now,
            retention=RETENTION,
        )
        client.run(call)
        assert read(client, link.id).delivery == Delivery(
            DeliveryState.FAILED, 0, None, "the link has expired"
        )

    def test_a_link_revoked_meanwhile_that_went_out_says_so(
        self, client: RedisClient, clock: Clock, link: Link
    ) -> None:
        revoke(client, link, clock.now)
        assert client.run(sent(link, clock.now)) is False
        assert read(client, link.id).delivery == Delivery(DeliveryState.SENT, 1, clock.now)
        assert owed(client, link) == {}

    def test_what_another_send_brought_out_does_not_settle_this_one(
        self, client: RedisClient, clock: Clock, link: Link
    ) -> None:
        resent = replace(link, delivery=replace(link.delivery, sends=2))
        before = snapshot(client)
        assert client.run(sent(resent, clock.now)) is False
        assert snapshot(client) == before

    @pytest.mark.parametrize(
        "settle", [pytest.param(failed, id="failed"), pytest.param(put_off, id="put off")]
    )
    def test_a_link_revoked_meanwhile_owes_nothing_again(
        self, client: RedisClient, clock: Clock, link: Link, settle: Settle
    ) -> None:
        revoke(client, link, clock.now)
        before = snapshot(client)
        assert client.run(settle(link, clock.now)) is False
        assert snapshot(client) == before

    @pytest.mark.parametrize(
        "settle", [pytest.param(failed, id="failed"), pytest.param(put_off, id="put off")]
    )
    def test_a_link_that_another_sent_stays_sent(
        self, client: RedisClient, clock: Clock, link: Link, settle: Settle
    ) -> None:
        client.run(sent(link, clock.now))
        before = snapshot(client)
        assert client.run(settle(link, clock.now)) is False
        assert snapshot(client) == before

    @pytest.mark.parametrize("verdict", ["failed", "put off"])
    def test_a_lease_that_another_took_over_settles_nothing(
        self, client: RedisClient, clock: Clock, link: Link, verdict: str
    ) -> None:
        lost = clock.now + LEASE
        claim(client, lost)
        before = snapshot(client)
        settles = {
            "failed": failed(link, clock.now, lease_deadline=lost),
            "put off": mail_store.retry_later(
                link, error="421 try later", at=lost + HOUR, lease_deadline=lost
            ),
        }
        assert client.run(settles[verdict]) is False
        assert snapshot(client) == before

    def test_what_is_put_off_untried_counts_no_try(
        self, client: RedisClient, clock: Clock, link: Link
    ) -> None:
        client.run(
            mail_store.retry_later(
                link, error="the server is away", at=clock.now + HOUR, counts_as_attempt=False
            )
        )
        assert read(client, link.id).delivery == Delivery(
            DeliveryState.QUEUED, 0, None, "the server is away"
        )

    @pytest.mark.parametrize("settle", SETTLES)
    def test_a_link_that_is_gone_owes_nothing_and_does_not_come_back(
        self, client: RedisClient, clock: Clock, link: Link, settle: Settle
    ) -> None:
        delete(client, keys.link(link.id))
        assert client.run(settle(link, clock.now)) is False
        assert owed(client, link) == {}
        assert client.run(links.get(link.id)) is None

    @pytest.mark.parametrize("settle", SETTLES)
    def test_the_record_goes_when_it_would_have(
        self, client: RedisClient, clock: Clock, link: Link, settle: Settle
    ) -> None:
        client.run(settle(link, clock.now))
        assert goes_at(client, keys.link(link.id)) == link.expires_at + RETENTION


class TestRequeue:
    @pytest.fixture
    def link(self, client: RedisClient, clock: Clock) -> Link:
        """A link whose e-mail was given up at its second try."""
        link = store_link(client, make_link(clock.now))
        claim(client, clock.now)
        client.run_all([put_off(link, clock.now, unconfirmed=True), failed(link, clock.now)])
        return link

    def test_a_failed_e_mail_is_owed_again_as_if_it_had_been_put_off(
        self, client: RedisClient, clock: Clock, link: Link
    ) -> None:
        at = clock.now + HOUR
        assert client.run(mail_store.requeue(link.id, at=at)) is True
        assert read(client, link.id).delivery == Delivery(
            DeliveryState.QUEUED, 2, error="550 no such user", unconfirmed=1
        )
        assert owed(client, link) == {"outbox": at}
        assert not exists(client, keys.failed(PARTITION))
        assert claim(client, at - MILLISECOND) == []
        assert claim(client, at) == [link.id]

    def test_the_outbox_lasts_as_long_as_the_link(
        self, client: RedisClient, clock: Clock, link: Link
    ) -> None:
        client.run(mail_store.requeue(link.id, at=clock.now + HOUR))
        assert goes_at(client, keys.outbox(PARTITION)) >= link.expires_at + RETENTION

    @pytest.mark.parametrize("meanwhile", ["sent", "owed again", "revoked", "expired", "gone"])
    def test_one_that_need_not_go_out_is_not_owed_again(
        self, client: RedisClient, clock: Clock, link: Link, meanwhile: str
    ) -> None:
        match meanwhile:
            case "sent":
                client.run(sent(link, clock.now))
            case "owed again":
                client.run(mail_store.requeue(link.id, at=clock.now))
            case "revoked":
                revoke(client, link, clock.now)
            case "expired":
                clock.now = link.expires_at
            case "gone":
                delete(client, keys.link(link.id))
        before = snapshot(client)
        assert client.run(mail_store.requeue(link.id, at=clock.now)) is False
        assert snapshot(client) == before


def test_queues_that_owe_nothing_any_more_are_gone(client: RedisClient, clock: Clock) -> None:
    link, other = store_links(
        client, [make_link(clock.now, scheduled_at=clock.now), make_link(clock.now)]
    )
    claim(client, clock.now)
    client.run_all([sent(link, clock.now), failed(other, clock.now)])
    assert not any(exists(client, key) for key in queues_of(link).values())


class TestFailures:
    def failures(self, client: RedisClient, now: datetime, limit: int = 9) -> mail_store.Failures:
        return client.run(
            mail_store.read_failures(PARTITION, now=now, retention=RETENTION, limit=limit)
        )

    def test_what_is_sent_or_put_off_is_no_failure(self, client: RedisClient, clock: Clock) -> None:
        first, second = store_links(client, [make_link(clock.now), make_link(clock.now)])
        claim(client, clock.now)
        client.run_all([sent(first, clock.now), put_off(second, clock.now)])
        assert self.failures(client, clock.now) == mail_store.Failures(0, [])
        assert not exists(client, keys.failed(PARTITION))

    def test_the_latest_come_first_and_all_are_counted(
        self, client: RedisClient, clock: Clock
    ) -> None:
        made = store_links(client, [make_link(clock.now) for _ in range(3)])
        claim(client, clock.now)
        for link in made:
            clock.advance(seconds=1)
            client.run(failed(link, clock.now))
        latest = [
            mail_store.Failure(made[2].id, clock.now),
            mail_store.Failure(made[1].id, clock.now - timedelta(seconds=1)),
        ]
        assert self.failures(client, clock.now, limit=2) == mail_store.Failures(3, latest)

    def test_a_link_that_ends_afterwards_still_failed(
        self, client: RedisClient, clock: Clock
    ) -> None:
        link = store_link(client, make_link(clock.now))
        claim(client, clock.now)
        client.run(failed(link, clock.now))
        revoke(client, link, clock.now)
        assert self.failures(client, clock.now).total == 1

    @pytest.mark.parametrize(
        "wait",
        [None, timedelta(days=3, milliseconds=1), timedelta(seconds=-59, milliseconds=-999)],
        ids=["owed at once", "scheduled", "scheduled just before"],
    )
    def test_a_link_failed_at_the_latest_when_it_expired(
        self, client: RedisClient, clock: Clock, wait: timedelta | None
    ) -> None:
        link = store_link(
            client, make_link(clock.now, scheduled_at=None if wait is None else clock.now + wait)
        )
        claim(client, link.due_at)
        client.run(failed(link, link.expires_at + timedelta(hours=1)))
        assert self.failures(client, link.expires_at) == mail_store.Failures(
            1, [mail_store.Failure(link.id, link.expires_at)]
        )

    def test_what_went_out_after_all_is_no_failure(self, client: RedisClient, clock: Clock) -> None:
        link = store_link(client, make_link(clock.now))
        claim(client, clock.now)
        client.run_all([failed(link, clock.now), sent(link, clock.now)])
        assert self.failures(client, clock.now).total == 0

    def test_a_failure_is_told_of_for_the_retention(
        self, client: RedisClient, clock: Clock
    ) -> None:
        first, second = store_links(client, [make_link(clock.now), make_link(clock.now)])
        claim(client, clock.now)
        client.run(failed(first, clock.now))
        assert goes_at(client, keys.failed(PARTITION)) == clock.now + RETENTION
        assert self.failures(client, clock.now + RETENTION - MILLISECOND).total == 1
        assert self.failures(client, clock.now + RETENTION).total == 0
        client.run(failed(second, clock.now + RETENTION))
        assert members(client, keys.failed(PARTITION)) == [keys.local_id(second.id)]


class TestScheduled:
    @pytest.mark.parametrize(
        ("start", "end", "count"),
        [(0, None, 2), (1, None, 2), (1.5, None, 1), (3, None, 0), (0, 1, 0), (1, 2, 1), (1, 3, 2)],
    )
    def test_mails_that_are_due_later_are_counted(
        self, client: RedisClient, clock: Clock, start: float, end: float | None, count: int
    ) -> None:
        store_links(
            client,
            [make_link(clock.now, scheduled_at=clock.now + late) for late in (HOUR, 2 * HOUR)],
        )
        until = None if end is None else clock.now + end * HOUR
        assert (
            client.run(
                mail_store.count_scheduled(PARTITION, start=clock.now + start * HOUR, end=until)
            )
            == count
        )
