"""E-mails that are owed: claimed, renewed, due; the same on every backend."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import chain, islice

import pytest

from service.links import mail_store
from service.otps import store as otps
from service.outbox import store as outbox
from service.outbox.queues import LINK_QUEUE, OTP_QUEUE
from service.storage import keys
from service.values.ids import partition_of
from tests.support.clock import Clock
from tests.support.factories import (
    MILLISECOND,
    RETENTION,
    all_keys,
    delete,
    goes_at,
    make_link,
    owed,
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


def claim_window(
    client: RedisClient, now: datetime, start: datetime, end: datetime, *, limit: int = 100
) -> list[str]:
    return client.run(
        mail_store.claim_window(PARTITION, now=now, start=start, end=end, limit=limit)
    )


def renew(
    client: RedisClient, claimed: list[str], deadline: datetime, until: datetime
) -> list[str]:
    members = [keys.local_id(link_id) for link_id in claimed]
    call = outbox.renew(LINK_QUEUE, PARTITION, members, lease_deadline=deadline, until=until)
    return keys.full_ids(PARTITION, client.run(call))


def due(client: RedisClient, now: datetime, partition: str = PARTITION) -> outbox.Due:
    return client.run(outbox.read_due(partition, now=now))


class TestClaim:
    def test_nothing_owed_is_nothing_claimed(self, client: RedisClient, clock: Clock) -> None:
        assert claim(client, clock.now) == []
        assert all_keys(client) == set()

    def test_a_claimed_link_is_under_a_lease(self, client: RedisClient, clock: Clock) -> None:
        link = store_link(client, make_link(clock.now))
        assert claim(client, clock.now) == [link.id]
        assert owed(client, link) == {"outbox": clock.now + LEASE, "pending_since": clock.now}

    @pytest.mark.parametrize(("late", "claimed"), MOMENTS)
    def test_a_claimed_link_is_claimed_again_when_its_lease_ends(
        self, client: RedisClient, clock: Clock, late: timedelta, claimed: bool
    ) -> None:
        link = store_link(client, make_link(clock.now))
        claim(client, clock.now)
        assert claim(client, clock.now + LEASE + late) == ([link.id] if claimed else [])

    @pytest.mark.parametrize(("late", "claimed"), MOMENTS)
    def test_a_scheduled_link_is_claimed_when_its_time_comes(
        self, client: RedisClient, clock: Clock, late: timedelta, claimed: bool
    ) -> None:
        link = store_link(client, make_link(clock.now, scheduled_at=clock.now + HOUR))
        assert claim(client, clock.now + HOUR + late) == ([link.id] if claimed else [])

    def test_a_claimed_scheduled_link_is_scheduled_no_more(
        self, client: RedisClient, clock: Clock
    ) -> None:
        link = store_link(client, make_link(clock.now, scheduled_at=clock.now))
        claim(client, clock.now)
        assert owed(client, link) == {"outbox": clock.now + LEASE, "pending_since": clock.now}

    def test_the_outbox_outlives_a_link_it_takes_over(
        self, client: RedisClient, clock: Clock
    ) -> None:
        link = store_link(client, make_link(clock.now, scheduled_at=clock.now))
        claim(client, clock.now)
        assert goes_at(client, keys.outbox(PARTITION)) >= link.expires_at + RETENTION

    def test_the_outbox_is_kept_for_what_it_holds_already(
        self, client: RedisClient, clock: Clock
    ) -> None:
        link = store_link(client, make_link(clock.now, expires_at=clock.now + timedelta(days=365)))
        store_link(client, make_link(clock.now, scheduled_at=clock.now))
        claim(client, clock.now)
        assert goes_at(client, keys.outbox(PARTITION)) >= link.expires_at + RETENTION

    def test_scheduled_links_come_before_lapsed_ones(
        self, client: RedisClient, clock: Clock
    ) -> None:
        lapsed = store_link(client, make_link(clock.now))
        scheduled = store_link(client, make_link(clock.now, scheduled_at=clock.now + HOUR))
        assert claim(client, clock.now + HOUR) == [scheduled.id, lapsed.id]

    def test_the_longest_due_comes_first(self, client: RedisClient, clock: Clock) -> None:
        times = [clock.now + minutes * timedelta(minutes=1) for minutes in (2, 1, 3)]
        second, first, third = store_links(
            client, [make_link(clock.now, scheduled_at=at) for at in times]
        )
        assert claim(client, clock.now + HOUR) == [first.id, second.id, third.id]

    @pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 6])
    def test_no_more_are_claimed_than_asked_for(
        self, client: RedisClient, clock: Clock, limit: int
    ) -> None:
        scheduled = [
            link.id
            for link in store_links(
                client, [make_link(clock.now, scheduled_at=clock.now) for _ in range(3)]
            )
        ]
        lapsed = [link.id for link in store_links(client, [make_link(clock.now) for _ in range(2)])]
        claimed = claim(client, clock.now, limit=limit)
        assert set(claimed) <= {*scheduled, *lapsed}
        assert len(claimed) == min(limit, 5)

    def test_neither_scheduled_nor_lapsed_ones_keep_the_others_waiting(
        self, client: RedisClient, clock: Clock
    ) -> None:
        store_links(
            client,
            [make_link(clock.now, scheduled_at=at) for at in (None, clock.now) for _ in range(8)],
        )
        owed = {
            key: set(client.connection.zrange(key(PARTITION), 0, -1))
            for key in (keys.scheduled, keys.outbox)
        }
        claimed = {*map(keys.local_id, claim(client, clock.now, limit=4))}
        assert [len(claimed & members) for members in owed.values()] == [2, 2]

    def test_what_one_claim_leaves_is_left_for_the_next(
        self, client: RedisClient, clock: Clock
    ) -> None:
        made = store_links(client, [make_link(clock.now) for _ in range(5)])
        claimed = [claim(client, clock.now, limit=2) for _ in range(4)]
        assert list(map(len, claimed)) == [2, 2, 1, 0]
        assert set(chain(*claimed)) == {link.id for link in made}

    def test_another_partition_keeps_its_links(self, client: RedisClient, clock: Clock) -> None:
        store_link(client, make_link(clock.now))
        other = "00" if PARTITION != "00" else "01"
        assert claim(client, clock.now, partition=other) == []

    def test_links_that_are_raced_for_are_claimed_once_each(
        self, client: RedisClient, clock: Clock
    ) -> None:
        made = store_links(
            client,
            [make_link(clock.now, scheduled_at=at) for at in (None, clock.now) for _ in range(100)],
        )
        call = outbox.claim(
            LINK_QUEUE, PARTITION, now=clock.now, lease_deadline=clock.now + LEASE, limit=7
        )
        with ThreadPoolExecutor(8) as pool:
            claimed = list(chain(*pool.map(client.run, [call] * 40)))
        assert sorted(claimed) == sorted(keys.local_id(link.id) for link in made)


class TestClaimWindow:
    @pytest.mark.parametrize(
        ("at", "claimed"),
        [
            pytest.param(HOUR - MILLISECOND, False, id="before its start"),
            pytest.param(HOUR, True, id="at its start"),
            pytest.param(2 * HOUR - MILLISECOND, True, id="just before its end"),
            pytest.param(2 * HOUR, False, id="at its end"),
        ],
    )
    def test_a_window_has_its_start_but_not_its_end(
        self, client: RedisClient, clock: Clock, at: timedelta, claimed: bool
    ) -> None:
        link = store_link(client, make_link(clock.now, scheduled_at=clock.now + at))
        found = claim_window(client, clock.now, clock.now + HOUR, clock.now + 2 * HOUR)
        assert found == ([link.id] if claimed else [])

    def test_a_link_is_taken_from_its_schedule_once(
        self, client: RedisClient, clock: Clock
    ) -> None:
        store_link(client, make_link(clock.now, scheduled_at=clock.now + HOUR))
        window = clock.now, clock.now + 2 * HOUR
        claim_window(client, clock.now, *window)
        assert claim_window(client, clock.now, *window) == []

    def test_what_it_takes_is_due_at_once(self, client: RedisClient, clock: Clock) -> None:
        link = store_link(client, make_link(clock.now, scheduled_at=clock.now + HOUR))
        claim_window(client, clock.now, clock.now, clock.now + 2 * HOUR)
        assert claim(client, clock.now) == [link.id]

    def test_it_leaves_links_that_are_not_scheduled(
        self, client: RedisClient, clock: Clock
    ) -> None:
        store_link(client, make_link(clock.now))
        assert claim_window(client, clock.now, clock.now - HOUR, clock.now + HOUR) == []

    def test_it_takes_no_more_than_asked_for(self, client: RedisClient, clock: Clock) -> None:
        store_links(client, [make_link(clock.now, scheduled_at=clock.now + HOUR) for _ in range(5)])
        window = clock.now, clock.now + 2 * HOUR
        assert [len(claim_window(client, clock.now, *window, limit=2)) for _ in range(4)] == [
            2,
            2,
            1,
            0,
        ]

    def test_the_outbox_outlives_a_link_it_takes_over(
        self, client: RedisClient, clock: Clock
    ) -> None:
        """Whatever the clock of whoever claims it says."""
        link = store_link(client, make_link(clock.now, scheduled_at=clock.now + HOUR))
        claim_window(client, clock.now - timedelta(minutes=1), clock.now, clock.now + 2 * HOUR)
        assert goes_at(client, keys.outbox(PARTITION)) >= link.expires_at + RETENTION


class TestRenew:
    def test_a_renewed_lease_ends_later(self, client: RedisClient, clock: Clock) -> None:
        link = store_link(client, make_link(clock.now))
        claim(client, clock.now)
        assert renew(client, [link.id], clock.now + LEASE, clock.now + 2 * LEASE) == [link.id]
        assert claim(client, clock.now + LEASE) == []

    def test_a_released_link_is_claimed_at_once(self, client: RedisClient, clock: Clock) -> None:
        link = store_link(client, make_link(clock.now))
        claim(client, clock.now)
        renew(client, [link.id], clock.now + LEASE, clock.now)
        assert claim(client, clock.now) == [link.id]

    def test_a_lease_that_another_took_over_is_not_renewed(
        self, client: RedisClient, clock: Clock
    ) -> None:
        link = store_link(client, make_link(clock.now))
        claim(client, clock.now)
        claim(client, clock.now + LEASE)
        assert renew(client, [link.id], clock.now + LEASE, clock.now + HOUR) == []
        assert owed(client, link)["outbox"] == clock.now + 2 * LEASE

    def test_only_what_is_held_is_renewed(self, client: RedisClient, clock: Clock) -> None:
        made = store_links(client, [make_link(clock.now) for _ in range(4)])
        held, sent, revoked, gone = made
        claim(client, clock.now)
        client.run(mail_store.mark_sent(sent, now=clock.now, retention=RETENTION))
        revoke(client, revoked, clock.now)
        delete(client, keys.link(gone.id))
        client.run(mail_store.load_claimed(PARTITION, [gone.id]))
        assert renew(client, [link.id for link in made], clock.now + LEASE, clock.now + HOUR) == [
            held.id
        ]
        assert [owed(client, link) for link in (sent, revoked, gone)] == [{}, {}, {}]

    def test_a_lease_on_nothing_is_renewed_in_vain(self, client: RedisClient, clock: Clock) -> None:
        assert renew(client, [], clock.now, clock.now + LEASE) == []


class TestHasPending:
    def test_an_empty_partition_owes_nothing(self, client: RedisClient) -> None:
        assert not client.run(outbox.has_pending(PARTITION))

    @pytest.mark.parametrize("later", [None, HOUR], ids=["now", "later"])
    def test_a_link_is_owed_until_its_mail_is_out(
        self, client: RedisClient, clock: Clock, later: timedelta | None
    ) -> None:
        link = store_link(client, make_link(clock.now, scheduled_at=later and clock.now + later))
        assert client.run(outbox.has_pending(PARTITION))
        claim(client, link.due_at)
        assert client.run(outbox.has_pending(PARTITION))
        client.run(mail_store.mark_sent(link, now=link.due_at, retention=RETENTION))
        assert not client.run(outbox.has_pending(PARTITION))

    def test_a_link_that_owes_no_mail_is_not_owed(self, client: RedisClient, clock: Clock) -> None:
        store_link(client, make_link(clock.now, notify=False))
        assert not client.run(outbox.has_pending(PARTITION))

    def test_a_code_is_owed(self, client: RedisClient, clock: Clock) -> None:
        (email,) = put_codes(client, clock, 1)
        assert client.run(outbox.has_pending(partition_of(email)))


class TestDue:
    def test_an_empty_partition_owes_nothing(self, client: RedisClient, clock: Clock) -> None:
        assert due(client, clock.now) == outbox.Due([], unsent=0, oldest=None)

    @pytest.mark.parametrize(("late", "is_due"), MOMENTS)
    def test_a_scheduled_link_is_due_when_its_time_comes(
        self, client: RedisClient, clock: Clock, late: timedelta, is_due: bool
    ) -> None:
        at = clock.now + HOUR
        store_link(client, make_link(clock.now, scheduled_at=at))
        expected = outbox.Due([LINK_QUEUE], unsent=1, oldest=at)
        assert due(client, at + late) == (
            expected if is_due else outbox.Due([], unsent=0, oldest=None)
        )

    @pytest.mark.parametrize(("late", "is_due"), MOMENTS)
    def test_a_claimed_link_is_due_when_its_lease_ends_and_unsent_meanwhile(
        self, client: RedisClient, clock: Clock, late: timedelta, is_due: bool
    ) -> None:
        store_link(client, make_link(clock.now))
        claim(client, clock.now)
        expected = outbox.Due([LINK_QUEUE] if is_due else [], unsent=1, oldest=clock.now)
        assert due(client, clock.now + LEASE + late) == expected

    def test_the_oldest_of_all_unsent_links_counts(self, client: RedisClient, clock: Clock) -> None:
        store_link(client, make_link(clock.now, scheduled_at=clock.now + HOUR))
        store_links(client, [make_link(clock.now + number * MILLISECOND) for number in (2, 1, 3)])
        found = due(client, clock.now + HOUR)
        assert (found.unsent, found.oldest) == (4, clock.now + MILLISECOND)

    @pytest.mark.parametrize("early", [HOUR, -HOUR], ids=["before its time", "after its time"])
    def test_what_a_window_took_is_unsent_since_then_or_since_it_was_due(
        self, client: RedisClient, clock: Clock, early: timedelta
    ) -> None:
        at = clock.now + 2 * HOUR
        link = store_link(client, make_link(clock.now, scheduled_at=at))
        claim_window(client, at - early, clock.now, clock.now + 3 * HOUR)
        claim(client, at - early)
        client.run(mail_store.retry_later(link, error="421 try later", at=at + HOUR))
        assert due(client, at + 2 * HOUR).oldest == min(at, at - early)

    def test_a_revoked_link_is_not_due(self, client: RedisClient, clock: Clock) -> None:
        revoke(client, store_link(client, make_link(clock.now)), clock.now)
        assert due(client, clock.now) == outbox.Due([], unsent=0, oldest=None)

    @pytest.mark.parametrize(("late", "is_due"), MOMENTS)
    def test_a_code_is_due_when_its_lease_ends(
        self, client: RedisClient, clock: Clock, late: timedelta, is_due: bool
    ) -> None:
        (email,) = put_codes(client, clock, 1)
        partition = partition_of(email)
        client.run(
            outbox.claim(
                OTP_QUEUE, partition, now=clock.now, lease_deadline=clock.now + LEASE, limit=1
            )
        )
        expected = outbox.Due([OTP_QUEUE] if is_due else [], unsent=1, oldest=None)
        assert due(client, clock.now + LEASE + late, partition) == expected

    def test_it_changes_nothing(self, client: RedisClient, clock: Clock) -> None:
        store_links(client, [make_link(clock.now), make_link(clock.now, scheduled_at=clock.now)])
        before = snapshot(client)
        due(client, clock.now)
        assert snapshot(client) == before


class TestClaimCodes:
    def test_codes_are_claimed_under_a_lease(self, client: RedisClient, clock: Clock) -> None:
        emails = put_codes(client, clock, 3)
        partition = partition_of(emails[0])
        claims = [
            client.run(
                outbox.claim(OTP_QUEUE, partition, now=now, lease_deadline=now + LEASE, limit=2)
            )
            for now in (clock.now, clock.now, clock.now, clock.now + LEASE)
        ]
        assert [len(claimed) for claimed in claims] == [2, 1, 0, 2]
        assert {*claims[0], *claims[1]} == set(emails)

    def test_no_links_are_among_them(self, client: RedisClient, clock: Clock) -> None:
        link = store_link(client, make_link(clock.now))
        partition = keys.partition_of_link(link.id)
        assert (
            client.run(
                outbox.claim(OTP_QUEUE, partition, now=clock.now, lease_deadline=clock.now, limit=2)
            )
            == []
        )


def put_codes(client: RedisClient, clock: Clock, count: int) -> list[str]:
    """E-mails of one partition that are owed a code."""
    addresses = (f"user{number}@example.com" for number in range(100_000))
    emails = list(
        islice((address for address in addresses if partition_of(address) == "7c"), count)
    )
    for email in emails:
        client.run(otps.create(email, b"n" * 16, now=clock.now, ttl=HOUR))
    return emails
