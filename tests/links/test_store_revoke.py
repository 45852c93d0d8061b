"""Revoking links in Redis, one or all of a recipient."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import msgspec
import pytest

from service.links import change_store, mail_store
from service.links import store as links
from service.links.model import Link, Status
from service.outbox import store as outbox
from service.outbox.queues import LINK_QUEUE
from service.storage import keys
from tests.links.delivery_cases import MAKES, Make
from tests.links.test_page import put_newest_last
from tests.support.clock import Clock
from tests.support.factories import (
    MILLISECOND,
    RETENTION,
    all_keys,
    exists,
    goes_at,
    make_link,
    members,
    owed,
    read,
    revoke,
    score,
    snapshot,
    store_link,
    store_links,
)
from tests.support.redis_client import RedisClient


class TestRevoke:
    def test_a_revoked_link_says_since_when(self, client: RedisClient, clock: Clock) -> None:
        link = store_link(client, make_link(clock.now))
        clock.advance(hours=1)
        assert revoke(client, link, clock.now) is True
        assert read(client, link.id).revoked_at == clock.now
        assert read(client, link.id).status(clock.now) is Status.REVOKED

    def test_a_revoked_link_stands_among_the_revoked_only(
        self, client: RedisClient, clock: Clock
    ) -> None:
        link, other = store_links(client, [make_link(clock.now), make_link(clock.now)])
        revoke(client, link, clock.now)
        email = keys.email(keys.partition_of_link(link.id), "jane@example.com")
        assert (
            members(client, keys.active("acme"))
            == members(client, email)
            == [keys.local_id(other.id)]
        )
        assert score(client, keys.revoked("acme"), keys.local_id(link.id)) == clock.now
        assert set(members(client, keys.org("acme"))) == {
            keys.local_id(link.id),
            keys.local_id(other.id),
        }

    @pytest.mark.parametrize("make", MAKES)
    def test_the_e_mail_it_owes_is_taken_back(
        self, client: RedisClient, clock: Clock, make: Make
    ) -> None:
        link = store_link(client, make(clock.now))
        revoke(client, link, clock.now)
        assert owed(client, link) == {}
        assert read(client, link.id).delivery.state == "none"

    def test_another_link_still_owes_its_e_mail(self, client: RedisClient, clock: Clock) -> None:
        link, other = store_links(client, [make_link(clock.now), make_link(clock.now)])
        revoke(client, link, clock.now)
        assert owed(client, other) == {"outbox": clock.now}

    def test_the_e_mail_of_a_claimed_link_is_taken_back(
        self, client: RedisClient, clock: Clock
    ) -> None:
        link = store_link(client, make_link(clock.now))
        partition = keys.partition_of_link(link.id)
        deadline = clock.now + timedelta(seconds=20)
        client.run(
            outbox.claim(LINK_QUEUE, partition, now=clock.now, lease_deadline=deadline, limit=10)
        )
        revoke(client, link, clock.now)
        until = deadline + timedelta(seconds=20)
        assert (
            client.run(
                outbox.renew(
                    LINK_QUEUE,
                    partition,
                    [keys.local_id(link.id)],
                    lease_deadline=deadline,
                    until=until,
                )
            )
            == []
        )

    def test_what_was_sent_stays_sent(self, client: RedisClient, clock: Clock) -> None:
        link = store_link(client, make_link(clock.now))
        client.run(mail_store.mark_sent(link, now=clock.now, retention=RETENTION))
        before = read(client, link.id).delivery
        revoke(client, link, clock.now)
        assert read(client, link.id).delivery == before

    def test_what_failed_stays_failed(self, client: RedisClient, clock: Clock) -> None:
        link = store_link(client, make_link(clock.now))
        client.run(
            mail_store.mark_failed(
                link,
                error="550 no such user",
                counts_as_attempt=True,
                now=clock.now,
                retention=RETENTION,
            )
        )
        before = read(client, link.id).delivery
        revoke(client, link, clock.now)
        assert read(client, link.id).delivery == before

    def test_a_link_to_another_address_meanwhile_leaves_the_index_of_that(
        self, client: RedisClient, clock: Clock
    ) -> None:
        """Its e-mail is changed after the caller has read it, and before it is revoked."""
        link = store_link(client, make_link(clock.now))
        stored = client.run(change_store.read(link.id))
        assert stored is not None
        changed = msgspec.structs.replace(link, email="Jo@BÜCHER.example")
        client.run(
            change_store.update(stored, changed, now=clock.now, retention=RETENTION, events=())
        )
        assert revoke(client, link, clock.now) is True
        assert not exists(client, keys.email(keys.partition_of_link(link.id), changed.recipient))

    def test_its_retention_begins_when_it_is_revoked(
        self, client: RedisClient, clock: Clock
    ) -> None:
        link = store_link(client, make_link(clock.now))
        clock.advance(hours=1)
        revoke(client, link, clock.now)
        assert goes_at(client, keys.link(link.id)) == clock.now + RETENTION

    def test_the_index_of_revoked_links_lives_as_long_as_they(
        self, client: RedisClient, clock: Clock
    ) -> None:
        first, second = store_links(client, [make_link(clock.now), make_link(clock.now)])
        revoke(client, second, clock.now + timedelta(hours=1))
        revoke(client, first, clock.now)
        assert goes_at(client, keys.revoked("acme")) >= clock.now + timedelta(hours=1) + RETENTION

    def test_a_link_is_revoked_once(self, client: RedisClient, clock: Clock) -> None:
        link = store_link(client, make_link(clock.now))
        revoke(client, link, clock.now)
        before = snapshot(client)
        assert revoke(client, link, clock.now + timedelta(hours=1)) is False
        assert snapshot(client) == before

    @pytest.mark.parametrize(
        ("late", "revocable"),
        [
            pytest.param(-MILLISECOND, True, id="a millisecond before"),
            pytest.param(timedelta(0), False, id="at its end"),
            pytest.param(timedelta(days=1), False, id="a day later"),
        ],
    )
    def test_an_expired_link_cannot_be_revoked(
        self, client: RedisClient, clock: Clock, late: timedelta, revocable: bool
    ) -> None:
        link = store_link(client, make_link(clock.now))
        assert revoke(client, link, link.expires_at + late) is revocable
        assert (read(client, link.id).revoked_at is not None) is revocable

    def test_a_link_that_is_gone_is_not_revoked(self, client: RedisClient, clock: Clock) -> None:
        assert revoke(client, make_link(clock.now), clock.now) is False
        assert all_keys(client) == set()

    def test_of_ten_who_race_one_revokes(self, client: RedisClient, clock: Clock) -> None:
        link = store_link(client, make_link(clock.now))
        with ThreadPoolExecutor(10) as pool:
            outcomes = pool.map(lambda _: revoke(client, link, clock.now), range(10))
            assert sorted(outcomes) == [False] * 9 + [True]


class TestActiveIds:
    def active(
        self, client: RedisClient, link: Link, now: datetime, *, offset: int = 0, limit: int = 100
    ) -> list[str]:
        partition = keys.partition_of_link(link.id)
        return client.run(
            links.active_ids(partition, "jane@example.com", now=now, offset=offset, limit=limit)
        )

    def test_the_case_of_an_e_mail_does_not_matter(self, client: RedisClient, clock: Clock) -> None:
        made = store_links(
            client,
            [
                make_link(clock.now, email=email)
                for email in ("jane@example.com", "JANE@Example.com")
            ],
        )
        assert set(self.active(client, made[0], clock.now)) == {link.id for link in made}

    def test_another_recipients_links_are_not_among_them(
        self, client: RedisClient, clock: Clock
    ) -> None:
        link = store_link(client, make_link(clock.now, email="john@example.com"))
        assert self.active(client, link, clock.now) == []

    @pytest.mark.parametrize(
        ("late", "active"),
        [
            pytest.param(-MILLISECOND, True, id="a millisecond before"),
            pytest.param(timedelta(0), False, id="at its end"),
            pytest.param(MILLISECOND, False, id="a millisecond later"),
        ],
    )
    def test_an_expired_link_is_not_among_them(
        self, client: RedisClient, clock: Clock, late: timedelta, active: bool
    ) -> None:
        link = store_link(client, make_link(clock.now))
        assert self.active(client, link, link.expires_at + late) == ([link.id] if active else [])

    def test_a_revoked_link_is_not_among_them(self, client: RedisClient, clock: Clock) -> None:
        link = store_link(client, make_link(clock.now))
        revoke(client, link, clock.now)
        assert self.active(client, link, clock.now) == []

    def test_they_come_in_parts_first_to_end_first(self, client: RedisClient, clock: Clock) -> None:
        ids = put_newest_last(client, clock, 5)
        link = read(client, ids[0])
        assert [
            self.active(client, link, clock.now, offset=offset, limit=2) for offset in (0, 2, 4, 6)
        ] == [
            ids[:2],
            ids[2:4],
            ids[4:],
            [],
        ]

    def test_they_are_of_every_organization_in_the_partition(
        self, client: RedisClient, clock: Clock
    ) -> None:
        neighbours = [
            f"org-{number}"
            for number in range(3000)
            if keys.org(f"org-{number}")[:7] == keys.org("acme")[:7]
        ]
        made = store_links(
            client, [make_link(clock.now, org_id=org_id) for org_id in ["acme", *neighbours[:2]]]
        )
        assert set(self.active(client, made[0], clock.now)) == {link.id for link in made}
