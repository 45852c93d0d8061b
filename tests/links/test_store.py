"""Links in Redis: the same on every backend."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
import pytest

from service.errors import Invalid
from service.links import mail_store
from service.links import store as links
from service.links.model import Link, Status
from service.links.redis_hash import FIELDS, decode, encode
from service.outbox import store as outbox
from service.outbox.queues import LINKS
from service.storage import keys
from service.storage.client import RedisClient
from service.storage.command import TTL_MARGIN, command
from service.values.ids import partition_of
from service.values.time import datetime_to_ms, truncate_to_ms
from tests.support.clock import Clock
from tests.support.factories import (
    MILLISECOND,
    RETENTION,
    UNKNOWN_LINK_ID,
    all_keys,
    exists,
    goes_at,
    make_link,
    members,
    owed,
    put,
    put_all,
    queues_of,
    read,
    revoke,
    score,
    snapshot,
)
from tests.support.servers import wait_until

SOON = timedelta(minutes=5)
"""The shortest life of a link."""
DELIVERIES = [
    pytest.param(make_link, {"outbox"}, id="e-mailed now"),
    pytest.param(
        lambda now: make_link(now, scheduled_at=now + timedelta(hours=1)),
        {"scheduled"},
        id="scheduled",
    ),
    pytest.param(lambda now: make_link(now, notify=False), set(), id="not e-mailed"),
]
"""How a link is made, and which queues it is in then."""
MAKES = [pytest.param(case.values[0], id=case.id) for case in DELIVERIES]
Make = Callable[[datetime], Link]


class Found(NamedTuple):
    """A page, with whole ids."""

    total: int
    counts: dict[Status, int]
    ids: list[str]
    next_cursor: str | None


def page(
    client: RedisClient,
    now: datetime,
    *,
    org_id: str = "acme",
    limit: int = 100,
    retention: timedelta = RETENTION,
    **options: Any,
) -> Found:
    found = client.run(
        links.read_page(org_id, now=now, retention=retention, limit=limit, **options)
    )
    return Found(
        found.total,
        found.counts,
        [link.id for link in found.links],
        found.next_cursor,
    )


def all_pages(client: RedisClient, now: datetime, *, limit: int, **options: Any) -> list[str]:
    """The ids of all pages, of which none but the last is short."""
    ids: list[str] = []
    cursor = None
    while True:
        found = page(client, now, limit=limit, cursor=cursor, **options)
        ids += found.ids
        if found.next_cursor is None:
            return ids
        assert len(found.ids) == limit
        cursor = found.next_cursor


def put_newest_last(client: RedisClient, clock: Clock, count: int, **fields: Any) -> list[str]:
    """Ids of links made a millisecond apart."""
    made = [make_link(clock.now + number * MILLISECOND, **fields) for number in range(count)]
    return [link.id for link in put_all(client, made)]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("org", None),
        ("state", "lost"),
        ("attempts", "-1"),
        ("attempts", "many"),
        ("created", "2026-12-01"),
        ("expires", "2026-12-01T09:00:00.000"),
        ("amount", "ten"),
        ("gated", "maybe"),
    ],
)
def test_a_record_with_a_value_of_another_kind_cannot_be_read(
    field: str, value: str | None
) -> None:
    written = encode(make_link(datetime.now(UTC)))
    fields = dict(zip(written[::2], written[1::2], strict=True)) | {field: value}
    with pytest.raises(msgspec.ValidationError):
        decode(UNKNOWN_LINK_ID, [fields.get(name) for name in FIELDS])


def test_a_link_is_a_hash_with_named_fields(client: RedisClient) -> None:
    now = datetime(2026, 12, 1, 9, tzinfo=UTC)
    link = make_link(
        now,
        org_id="acme",
        transaction_id="INV-1",
        payment_amount=Decimal("10.50"),
        currency="EUR",
        otp_required=True,
        scheduled_at=now + timedelta(hours=1),
        locale="de",
    )
    client.run(links.create(link, now=now, retention=RETENTION))
    assert client.run(command(dict, "HGETALL", keys.link(link.id))) == {
        "org": "acme",
        "email": "jane@example.com",
        "created": "2026-12-01T09:00:00.000Z",
        "expires": "2026-12-04T10:00:00.000Z",
        "state": "scheduled",
        "attempts": "0",
        "reference": "INV-1",
        "amount": "10.50",
        "currency": "EUR",
        "gated": "1",
        "scheduled": "2026-12-01T10:00:00.000Z",
        "locale": "de",
    }


class TestCreate:
    @pytest.mark.parametrize(
        "fields",
        [
            pytest.param({}, id="bare"),
            pytest.param(
                {
                    "email": "Jane.Doe@Example.COM",
                    "transaction_id": "order 42: tea & Käse",
                    "payment_amount": Decimal("999999999999.10"),
                    "currency": "NGN",
                    "otp_required": True,
                },
                id="full",
            ),
            pytest.param(
                {"org_id": "null", "transaction_id": "null", "otp_required": True},
                id="what looks like nothing",
            ),
            pytest.param({"transaction_id": '"\\/] 💶, 1e5'}, id="what looks like a record"),
            pytest.param(
                {"payment_amount": Decimal("1.234"), "currency": "KWD"}, id="three decimals"
            ),
            pytest.param({"payment_amount": Decimal("0.10")}, id="a zero at the end"),
            pytest.param({"notify": False}, id="not e-mailed"),
        ],
    )
    def test_a_link_reads_as_it_was_written(
        self, client: RedisClient, clock: Clock, fields: dict[str, Any]
    ) -> None:
        clock.advance(milliseconds=7)
        link = put(client, make_link(clock.now, **fields))
        assert client.run(links.get(link.id)) == link
        assert str(read(client, link.id).payment_amount) == str(link.payment_amount)

    @pytest.mark.parametrize(
        "wait",
        [timedelta(days=3, milliseconds=1), timedelta(seconds=-59, milliseconds=-999)],
        ids=["later", "just passed"],
    )
    def test_a_scheduled_link_reads_as_it_was_written(
        self, client: RedisClient, clock: Clock, wait: timedelta
    ) -> None:
        at = clock.now + wait
        link = put(
            client, make_link(clock.now, scheduled_at=at, expires_at=max(at, clock.now) + SOON)
        )
        assert client.run(links.get(link.id)) == link

    def test_there_is_no_link_that_nobody_made(self, client: RedisClient) -> None:
        assert client.run(links.get(UNKNOWN_LINK_ID)) is None

    def test_an_id_with_another_partition_is_another_id(
        self, client: RedisClient, clock: Clock
    ) -> None:
        link = put(client, make_link(clock.now))
        elsewhere = UNKNOWN_LINK_ID[:5] + keys.local_id(link.id)
        assert client.run(links.get(elsewhere)) is None
        assert not revoke(client, msgspec.structs.replace(link, id=elsewhere), clock.now)
        assert client.run(links.get(link.id)) == link

    @pytest.mark.parametrize(("make", "queues"), DELIVERIES)
    def test_a_link_has_these_keys_and_no_others(
        self, client: RedisClient, clock: Clock, make: Make, queues: set[str]
    ) -> None:
        link = put(client, make(clock.now))
        partition = keys.partition_of_link(link.id)
        indexes = {
            keys.org("acme"),
            keys.active("acme"),
            keys.email(partition, "jane@example.com"),
            keys.orgs(partition),
        }
        assert all_keys(client) == {keys.link(link.id)} | indexes | {
            queues_of(link)[queue] for queue in queues
        }

    @pytest.mark.parametrize(("make", "queues"), DELIVERIES)
    def test_the_e_mail_is_owed_when_it_is_due(
        self, client: RedisClient, clock: Clock, make: Make, queues: set[str]
    ) -> None:
        link = put(client, make(clock.now))
        assert owed(client, link) == dict.fromkeys(queues, link.due_at)

    @pytest.mark.parametrize(("make", "queues"), DELIVERIES)
    def test_the_record_goes_when_its_retention_ends(
        self, client: RedisClient, clock: Clock, make: Make, queues: set[str]
    ) -> None:
        link = put(client, make(clock.now))
        assert goes_at(client, keys.link(link.id)) == link.expires_at + RETENTION

    @pytest.mark.parametrize("make", MAKES)
    @pytest.mark.parametrize(
        "days", [pytest.param((1, 2), id="longer"), pytest.param((2, 1), id="shorter")]
    )
    def test_an_index_lives_as_long_as_its_longest_link(
        self, client: RedisClient, clock: Clock, make: Make, days: tuple[int, int]
    ) -> None:
        ends = [clock.now + timedelta(days=number) for number in days]
        made = put_all(
            client, [msgspec.structs.replace(make(clock.now), expires_at=end) for end in ends]
        )
        indexes = all_keys(client) - {keys.link(link.id) for link in made}
        least = max(ends) + RETENTION
        assert all(least <= goes_at(client, key) <= least + TTL_MARGIN for key in indexes)

    def test_indexes_sort_a_link_by_its_times(self, client: RedisClient, clock: Clock) -> None:
        link = put(client, make_link(clock.now))
        email = keys.email(keys.partition_of_link(link.id), "jane@example.com")
        assert score(client, keys.org("acme"), keys.local_id(link.id)) == link.created_at
        assert score(client, keys.active("acme"), keys.local_id(link.id)) == link.expires_at
        assert score(client, email, keys.local_id(link.id)) == link.expires_at

    def test_a_second_link_of_the_same_id_changes_nothing(
        self, client: RedisClient, clock: Clock
    ) -> None:
        link = put(client, make_link(clock.now))
        before = snapshot(client)
        other = msgspec.structs.replace(
            make_link(
                clock.now,
                email="else@example.com",
                expires_at=clock.now + SOON,
                transaction_id="other",
            ),
            id=link.id,
        )
        assert client.run(links.create(other, now=clock.now, retention=RETENTION * 2)) is False
        assert snapshot(client) == before

    def test_a_revoked_link_is_not_made_again(self, client: RedisClient, clock: Clock) -> None:
        link = put(client, make_link(clock.now))
        revoke(client, link, clock.now)
        assert client.run(links.create(link, now=clock.now, retention=RETENTION)) is False
        assert read(client, link.id).revoked_at == clock.now

    def test_of_ten_racing_for_one_id_one_makes_the_link(
        self, client: RedisClient, clock: Clock
    ) -> None:
        create = links.create(make_link(clock.now), now=clock.now, retention=RETENTION)
        with ThreadPoolExecutor(10) as pool:
            assert sorted(pool.map(client.run, [create] * 10)) == [False] * 9 + [True]

    def test_one_new_link_in_a_few_makes_its_indexes_forget_old_ones(
        self, client: RedisClient, clock: Clock
    ) -> None:
        old = put(client, make_link(clock.now))
        revoked = put(client, make_link(clock.now))
        revoke(client, revoked, clock.now)
        clock.now = old.expires_at + RETENTION
        new = put_newest_last(client, clock, links.PRUNE_EVERY)
        email = keys.email(keys.partition_of_link(old.id), "jane@example.com")
        for index in (keys.org("acme"), keys.active("acme"), email):
            assert members(client, index) == [*map(keys.local_id, new)]
        assert not exists(client, keys.revoked("acme"))


class TestRevoke:
    def test_a_revoked_link_says_since_when(self, client: RedisClient, clock: Clock) -> None:
        link = put(client, make_link(clock.now))
        clock.advance(hours=1)
        assert revoke(client, link, clock.now) is True
        assert read(client, link.id).revoked_at == clock.now
        assert read(client, link.id).status(clock.now) is Status.REVOKED

    def test_a_revoked_link_stands_among_the_revoked_only(
        self, client: RedisClient, clock: Clock
    ) -> None:
        link, other = put_all(client, [make_link(clock.now), make_link(clock.now)])
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
        link = put(client, make(clock.now))
        revoke(client, link, clock.now)
        assert owed(client, link) == {}
        assert read(client, link.id).delivery.state == "none"

    def test_another_link_still_owes_its_e_mail(self, client: RedisClient, clock: Clock) -> None:
        link, other = put_all(client, [make_link(clock.now), make_link(clock.now)])
        revoke(client, link, clock.now)
        assert owed(client, other) == {"outbox": clock.now}

    def test_the_e_mail_of_a_claimed_link_is_taken_back(
        self, client: RedisClient, clock: Clock
    ) -> None:
        link = put(client, make_link(clock.now))
        partition = keys.partition_of_link(link.id)
        deadline = clock.now + timedelta(seconds=20)
        client.run(outbox.claim(LINKS, partition, now=clock.now, lease_deadline=deadline, limit=10))
        revoke(client, link, clock.now)
        until = deadline + timedelta(seconds=20)
        assert (
            client.run(
                outbox.renew(
                    LINKS, partition, [keys.local_id(link.id)], lease_deadline=deadline, until=until
                )
            )
            == []
        )

    def test_what_was_sent_stays_sent(self, client: RedisClient, clock: Clock) -> None:
        link = put(client, make_link(clock.now))
        client.run(mail_store.mark_sent(link.id, now=clock.now))
        before = read(client, link.id).delivery
        revoke(client, link, clock.now)
        assert read(client, link.id).delivery == before

    def test_what_failed_stays_failed(self, client: RedisClient, clock: Clock) -> None:
        link = put(client, make_link(clock.now))
        client.run(
            mail_store.mark_failed(
                link.id,
                error="550 no such user",
                counts_as_attempt=True,
                now=clock.now,
                retention=RETENTION,
            )
        )
        before = read(client, link.id).delivery
        revoke(client, link, clock.now)
        assert read(client, link.id).delivery == before

    def test_its_retention_begins_when_it_is_revoked(
        self, client: RedisClient, clock: Clock
    ) -> None:
        link = put(client, make_link(clock.now))
        clock.advance(hours=1)
        revoke(client, link, clock.now)
        assert goes_at(client, keys.link(link.id)) == clock.now + RETENTION

    def test_the_index_of_revoked_links_lives_as_long_as_they(
        self, client: RedisClient, clock: Clock
    ) -> None:
        first, second = put_all(client, [make_link(clock.now), make_link(clock.now)])
        revoke(client, second, clock.now + timedelta(hours=1))
        revoke(client, first, clock.now)
        assert goes_at(client, keys.revoked("acme")) >= clock.now + timedelta(hours=1) + RETENTION

    def test_a_link_is_revoked_once(self, client: RedisClient, clock: Clock) -> None:
        link = put(client, make_link(clock.now))
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
        link = put(client, make_link(clock.now))
        assert revoke(client, link, link.expires_at + late) is revocable
        assert (read(client, link.id).revoked_at is not None) is revocable

    def test_a_link_that_is_gone_is_not_revoked(self, client: RedisClient, clock: Clock) -> None:
        assert revoke(client, make_link(clock.now), clock.now) is False
        assert all_keys(client) == set()

    def test_of_ten_who_race_one_revokes(self, client: RedisClient, clock: Clock) -> None:
        call = links.revoke(put(client, make_link(clock.now)), now=clock.now, retention=RETENTION)
        with ThreadPoolExecutor(10) as pool:
            assert sorted(pool.map(client.run, [call] * 10)) == [False] * 9 + [True]


class TestActiveIds:
    def active(
        self, client: RedisClient, link: Link, now: datetime, *, offset: int = 0, limit: int = 100
    ) -> list[str]:
        partition = keys.partition_of_link(link.id)
        return client.run(
            links.active_ids(partition, "jane@example.com", now=now, offset=offset, limit=limit)
        )

    def test_the_case_of_an_e_mail_does_not_matter(self, client: RedisClient, clock: Clock) -> None:
        made = put_all(
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
        link = put(client, make_link(clock.now, email="john@example.com"))
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
        link = put(client, make_link(clock.now))
        assert self.active(client, link, link.expires_at + late) == ([link.id] if active else [])

    def test_a_revoked_link_is_not_among_them(self, client: RedisClient, clock: Clock) -> None:
        link = put(client, make_link(clock.now))
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
        made = put_all(
            client, [make_link(clock.now, org_id=org_id) for org_id in ["acme", *neighbours[:2]]]
        )
        assert set(self.active(client, made[0], clock.now)) == {link.id for link in made}


class TestPage:
    def test_an_organization_without_links_has_an_empty_page(
        self, client: RedisClient, clock: Clock
    ) -> None:
        assert page(client, clock.now) == Found(0, dict.fromkeys(Status, 0), [], None)

    def test_the_newest_link_comes_first(self, client: RedisClient, clock: Clock) -> None:
        ids = put_newest_last(client, clock, 3)
        assert page(client, clock.now).ids == ids[::-1]

    def test_another_organizations_links_are_not_in_it(
        self, client: RedisClient, clock: Clock
    ) -> None:
        put(client, make_link(clock.now, org_id="globex"))
        assert page(client, clock.now).total == 0

    @pytest.mark.parametrize("kind", ["active", "revoked"])
    def test_an_organization_is_not_taken_for_anothers_index(
        self, client: RedisClient, clock: Clock, kind: str
    ) -> None:
        """Its id may hold colons, and both may be in one partition."""
        pairs = ((f"org{number}", f"org{number}:{kind}") for number in range(10_000))
        pair = next(pair for pair in pairs if len(set(map(partition_of, pair))) == 1)
        made = [put(client, make_link(clock.now, org_id=org_id)) for org_id in pair]
        for link in made:
            revoke(client, put(client, make_link(clock.now, org_id=link.org_id)), clock.now)
        for link in made:
            found = page(client, clock.now, org_id=link.org_id, status=Status.ACTIVE)
            assert (found.total, found.ids) == (2, [link.id])

    @pytest.mark.parametrize("limit", [1, 2, 3, 6, 7, 8])
    def test_pages_hold_every_link_once(
        self, client: RedisClient, clock: Clock, limit: int
    ) -> None:
        ids = put_newest_last(client, clock, 7)
        assert all_pages(client, clock.now, limit=limit) == ids[::-1]

    @pytest.mark.parametrize("limit", [1, 2, 3, 7])
    @pytest.mark.parametrize("status", [None, Status.ACTIVE], ids=["all", "active"])
    def test_pages_hold_links_of_one_moment_once(
        self, client: RedisClient, clock: Clock, limit: int, status: Status | None
    ) -> None:
        made = put_all(client, [make_link(clock.now) for _ in range(7)])
        ids = all_pages(client, clock.now, limit=limit, status=status)
        assert sorted(ids) == sorted(link.id for link in made)

    def test_the_last_page_has_no_cursor(self, client: RedisClient, clock: Clock) -> None:
        put_newest_last(client, clock, 4)
        first = page(client, clock.now, limit=2)
        last = page(client, clock.now, limit=2, cursor=first.next_cursor)
        assert first.next_cursor is not None
        assert last.next_cursor is None

    def test_a_link_made_meanwhile_moves_nothing(self, client: RedisClient, clock: Clock) -> None:
        ids = put_newest_last(client, clock, 4)
        cursor = page(client, clock.now, limit=2).next_cursor
        put(client, make_link(clock.now + timedelta(seconds=1)))
        assert page(client, clock.now, limit=2, cursor=cursor).ids == ids[1::-1]

    def test_a_cursor_of_another_organization_gives_none_of_its_links(
        self, client: RedisClient, clock: Clock
    ) -> None:
        put_newest_last(client, clock, 4, org_id="globex")
        own = put(client, make_link(clock.now - timedelta(seconds=1)))
        cursor = page(client, clock.now, org_id="globex", limit=2).next_cursor
        assert page(client, clock.now, cursor=cursor).ids == [own.id]


class TestPageOfAStatus:
    @pytest.fixture
    def ids(self, client: RedisClient, clock: Clock) -> dict[Status, list[str]]:
        """Three links of each status, the last to end first, at the time of the clock."""
        lives = {Status.REVOKED: 3 * SOON, Status.ACTIVE: 2 * SOON, Status.EXPIRED: SOON}
        made = {
            status: put_all(
                client,
                [
                    make_link(clock.now, expires_at=clock.now + life + n * MILLISECOND)
                    for n in (3, 2, 1)
                ],
            )
            for status, life in lives.items()
        }
        clock.advance(minutes=7)
        for number, link in enumerate(made[Status.REVOKED]):
            revoke(client, link, clock.now - number * MILLISECOND)
        return {status: [link.id for link in found] for status, found in made.items()}

    @pytest.mark.parametrize("status", Status)
    def test_it_holds_links_of_that_status_last_to_end_first(
        self, client: RedisClient, clock: Clock, ids: dict[Status, list[str]], status: Status
    ) -> None:
        assert page(client, clock.now, status=status).ids == ids[status]

    @pytest.mark.parametrize("limit", [1, 2, 3])
    @pytest.mark.parametrize("status", Status)
    def test_pages_hold_every_link_of_it_once(
        self,
        client: RedisClient,
        clock: Clock,
        ids: dict[Status, list[str]],
        status: Status,
        limit: int,
    ) -> None:
        assert all_pages(client, clock.now, limit=limit, status=status) == ids[status]

    @pytest.mark.parametrize("status", [None, *Status], ids=str)
    def test_total_and_counts_are_of_all(
        self, client: RedisClient, clock: Clock, ids: dict[Status, list[str]], status: Status | None
    ) -> None:
        found = page(client, clock.now, status=status, limit=1)
        assert (found.total, found.counts) == (9, dict.fromkeys(Status, 3))

    @pytest.mark.parametrize(
        ("late", "status"),
        [
            pytest.param(-MILLISECOND, Status.ACTIVE, id="a millisecond before"),
            pytest.param(timedelta(0), Status.EXPIRED, id="at its end"),
            pytest.param(MILLISECOND, Status.EXPIRED, id="a millisecond later"),
        ],
    )
    def test_a_link_is_expired_from_the_moment_it_ends(
        self, client: RedisClient, clock: Clock, late: timedelta, status: Status
    ) -> None:
        link = put(client, make_link(clock.now))
        now = link.expires_at + late
        assert link.status(now) is status
        assert page(client, now).counts == dict.fromkeys(Status, 0) | {status: 1}
        assert [page(client, now, status=each).ids for each in Status] == [
            [link.id] if each is status else [] for each in Status
        ]

    def test_a_cursor_goes_on_behind_a_link_that_was_revoked_meanwhile(
        self, client: RedisClient, clock: Clock
    ) -> None:
        ids = put_newest_last(client, clock, 5)
        cursor = page(client, clock.now, status=Status.ACTIVE, limit=2).next_cursor
        revoke(client, read(client, ids[3]), clock.now)
        assert page(client, clock.now, status=Status.ACTIVE, limit=2, cursor=cursor).ids == [
            ids[2],
            ids[1],
        ]

    def test_a_cursor_goes_on_though_its_whole_page_was_revoked_meanwhile(
        self, client: RedisClient, clock: Clock
    ) -> None:
        ids = put_newest_last(client, clock, 5)
        cursor = page(client, clock.now, status=Status.ACTIVE, limit=2).next_cursor
        for link_id in ids[3:]:
            revoke(client, read(client, link_id), clock.now)
        assert page(client, clock.now, status=Status.ACTIVE, limit=2, cursor=cursor).ids == [
            ids[2],
            ids[1],
        ]

    def test_a_cursor_at_a_revoked_link_repeats_none_that_end_with_it(
        self, client: RedisClient, clock: Clock
    ) -> None:
        """Links of one campaign often end at one moment."""
        put_all(client, [make_link(clock.now) for _ in range(6)])
        first = page(client, clock.now, status=Status.ACTIVE, limit=3)
        revoke(client, read(client, first.ids[-1]), clock.now)
        rest = page(client, clock.now, status=Status.ACTIVE, limit=3, cursor=first.next_cursor)
        assert not set(first.ids) & set(rest.ids)
        assert len(rest.ids) == 3

    def test_a_cursor_among_the_active_ends_when_its_link_has_expired_meanwhile(
        self, client: RedisClient, clock: Clock
    ) -> None:
        ids = put_newest_last(client, clock, 4)
        cursor = page(client, clock.now, status=Status.ACTIVE, limit=2).next_cursor
        later = read(client, ids[-1]).expires_at
        assert page(client, later, status=Status.ACTIVE, limit=2, cursor=cursor) == Found(
            4, {Status.ACTIVE: 0, Status.EXPIRED: 4, Status.REVOKED: 0}, [], None
        )


class TestRetention:
    @pytest.mark.parametrize(
        ("late", "total"),
        [
            pytest.param(-MILLISECOND, 1, id="a millisecond before"),
            pytest.param(timedelta(0), 0, id="at its end"),
        ],
    )
    def test_an_expired_link_leaves_the_list_when_its_retention_ends(
        self, client: RedisClient, clock: Clock, late: timedelta, total: int
    ) -> None:
        link = put(client, make_link(clock.now))
        found = page(client, link.expires_at + RETENTION + late)
        counts = {Status.ACTIVE: 0, Status.EXPIRED: total, Status.REVOKED: 0}
        assert found == Found(total, counts, [link.id] * total, None)

    @pytest.mark.parametrize(
        ("late", "total"),
        [
            pytest.param(-MILLISECOND, 1, id="a millisecond before"),
            pytest.param(timedelta(0), 0, id="at its end"),
        ],
    )
    def test_a_revoked_link_leaves_the_list_when_its_retention_ends(
        self, client: RedisClient, clock: Clock, late: timedelta, total: int
    ) -> None:
        link = put(client, make_link(clock.now))
        revoke(client, link, clock.now)
        found = page(client, clock.now + RETENTION + late)
        counts = {Status.ACTIVE: 0, Status.EXPIRED: 0, Status.REVOKED: total}
        assert found == Found(total, counts, [link.id] * total, None)

    def test_links_that_are_kept_stay_in_the_list(self, client: RedisClient, clock: Clock) -> None:
        old = put(client, make_link(clock.now))
        kept = put(client, make_link(clock.now + timedelta(days=1)))
        assert page(client, old.expires_at + RETENTION).ids == [kept.id]

    def test_more_than_a_call_forgets_leave_total_and_counts_at_once(
        self, client: RedisClient, clock: Clock
    ) -> None:
        made = put_all(client, [make_link(clock.now) for _ in range(250)])
        for link in made[:125]:
            revoke(client, link, clock.now)
        kept = put(client, make_link(clock.now + timedelta(days=1)))
        found = page(client, made[0].expires_at + RETENTION)
        assert (found.total, found.counts) == (
            1,
            {Status.ACTIVE: 0, Status.EXPIRED: 1, Status.REVOKED: 0},
        )
        assert found.ids[0] == kept.id

    def test_pages_forget_old_links_part_by_part(self, client: RedisClient, clock: Clock) -> None:
        made = put_all(client, [make_link(clock.now) for _ in range(250)])
        later = made[0].expires_at + RETENTION
        sizes = []
        for _ in range(3):
            page(client, later)
            sizes.append(len(members(client, keys.org("acme"))))
        assert sizes == [150, 50, 0]

    def test_a_revoked_link_leaves_the_total_though_redis_expired_its_index(
        self, client: RedisClient
    ) -> None:
        """The last revoked link's retention ends with the index that it alone is in."""
        now, short = truncate_to_ms(datetime.now(UTC)), timedelta(milliseconds=200)
        revoked, kept = put_all(client, [make_link(now), make_link(now + MILLISECOND)])
        client.run(links.revoke(revoked, now=now, retention=short))
        wait_until(lambda: not exists(client, keys.link(revoked.id)), "the retention to end")
        found = page(client, now + short, retention=short)
        assert (found.total, found.ids) == (1, [kept.id])

    def test_an_expired_link_leaves_the_total_though_redis_expired_its_index(
        self, client: RedisClient, clock: Clock
    ) -> None:
        """The index of active links begins anew after a revocation of the last; the total stays."""
        long = put(client, make_link(clock.now, expires_at=clock.now + timedelta(days=365)))
        revoke(client, long, clock.now + SOON)
        made_at, short = clock.now - SOON, MILLISECOND
        brief = make_link(made_at, expires_at=clock.now)
        client.run(links.create(brief, now=made_at, retention=short))
        wait_until(lambda: not exists(client, keys.link(brief.id)), "the retention to end")
        found = page(client, clock.now + short, retention=short)
        assert (found.total, found.ids) == (1, [long.id])


@pytest.mark.parametrize(
    "cursor",
    [
        pytest.param("nonsense", id="no cursor at all"),
        pytest.param("=", id="padding only"),
        pytest.param("ab!d", id="not base64"),
        pytest.param("a", id="cut off"),
        pytest.param("kä", id="not ASCII"),
        pytest.param("\ud800", id="a lone surrogate"),
        pytest.param("_____w", id="not UTF-8"),
        pytest.param(links.encode_cursor("", UNKNOWN_LINK_ID), id="no score"),
        pytest.param(links.encode_cursor("-1", UNKNOWN_LINK_ID), id="a negative score"),
        pytest.param(links.encode_cursor("1.5", UNKNOWN_LINK_ID), id="a fraction"),
        pytest.param(links.encode_cursor("inf", UNKNOWN_LINK_ID), id="infinity"),
        pytest.param(links.encode_cursor("1" * 16, UNKNOWN_LINK_ID), id="a score too long"),
        pytest.param(links.encode_cursor("٣", UNKNOWN_LINK_ID), id="digits of another script"),
        pytest.param(links.encode_cursor("1", ""), id="no id"),
        pytest.param(links.encode_cursor("1", "pl_zz" + "0" * 22), id="no link's id"),
        pytest.param(links.encode_cursor("1", UNKNOWN_LINK_ID + "\n"), id="a line break"),
    ],
)
def test_a_cursor_that_no_page_gave_out_is_invalid(clock: Clock, cursor: str) -> None:
    with pytest.raises(Invalid) as refusal:
        links.read_page("acme", now=clock.now, retention=RETENTION, limit=10, cursor=cursor)
    assert refusal.value.field == "cursor"


def test_a_cursor_is_read_as_it_was_written(clock: Clock) -> None:
    score = str(datetime_to_ms(clock.now))
    assert links.decode_cursor(links.encode_cursor(score, UNKNOWN_LINK_ID)) == (
        score,
        UNKNOWN_LINK_ID,
    )
