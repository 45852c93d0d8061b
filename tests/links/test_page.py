"""A page of an organization's links, and what its indexes keep."""

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest

from service.errors import Invalid
from service.links import store as links
from service.links.model import Status
from service.storage import keys
from service.values.ids import partition_of
from service.values.time import datetime_to_ms, to_utc_ms
from tests.links.delivery_cases import SOON
from tests.support.clock import Clock
from tests.support.factories import (
    ADMIN,
    MILLISECOND,
    RETENTION,
    UNKNOWN_LINK_ID,
    exists,
    make_link,
    members,
    pay,
    read,
    revoke,
    store_link,
    store_links,
)
from tests.support.redis_client import RedisClient
from tests.support.servers import wait_until

NONE = dict.fromkeys(Status, 0)


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
    return [link.id for link in store_links(client, made)]


class TestPage:
    def test_an_organization_without_links_has_an_empty_page(
        self, client: RedisClient, clock: Clock
    ) -> None:
        assert page(client, clock.now) == Found(0, NONE, [], None)

    def test_the_newest_link_comes_first(self, client: RedisClient, clock: Clock) -> None:
        ids = put_newest_last(client, clock, 3)
        assert page(client, clock.now).ids == ids[::-1]

    def test_another_organizations_links_are_not_in_it(
        self, client: RedisClient, clock: Clock
    ) -> None:
        store_link(client, make_link(clock.now, org_id="globex"))
        assert page(client, clock.now).total == 0

    @pytest.mark.parametrize("kind", ["active", "revoked", "paid"])
    def test_an_organization_is_not_taken_for_anothers_index(
        self, client: RedisClient, clock: Clock, kind: str
    ) -> None:
        """Its id may hold colons, and both may be in one partition."""
        pairs = ((f"org{number}", f"org{number}:{kind}") for number in range(10_000))
        pair = next(pair for pair in pairs if len(set(map(partition_of, pair))) == 1)
        made = [store_link(client, make_link(clock.now, org_id=org_id)) for org_id in pair]
        for link in made:
            revoke(client, store_link(client, make_link(clock.now, org_id=link.org_id)), clock.now)
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
        made = store_links(client, [make_link(clock.now) for _ in range(7)])
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
        store_link(client, make_link(clock.now + timedelta(seconds=1)))
        assert page(client, clock.now, limit=2, cursor=cursor).ids == ids[1::-1]

    def test_a_cursor_of_another_organization_gives_none_of_its_links(
        self, client: RedisClient, clock: Clock
    ) -> None:
        put_newest_last(client, clock, 4, org_id="globex")
        own = store_link(client, make_link(clock.now - timedelta(seconds=1)))
        cursor = page(client, clock.now, org_id="globex", limit=2).next_cursor
        assert page(client, clock.now, cursor=cursor).ids == [own.id]


class TestPageOfAStatus:
    @pytest.fixture
    def ids(self, client: RedisClient, clock: Clock) -> dict[Status, list[str]]:
        """Three links of each status, the last to end first, at the time of the clock."""
        lives = dict.fromkeys(Status, 2 * SOON) | {Status.EXPIRED: SOON}
        made = {
            status: store_links(
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
        for number, link in enumerate(made[Status.PAID]):
            pay(client, link.id, clock.now - number * MILLISECOND)
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
        assert (found.total, found.counts) == (12, dict.fromkeys(Status, 3))

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
        link = store_link(client, make_link(clock.now))
        now = link.expires_at + late
        assert link.status(now) is status
        assert page(client, now).counts == NONE | {status: 1}
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
        store_links(client, [make_link(clock.now) for _ in range(6)])
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
            4, NONE | {Status.EXPIRED: 4}, [], None
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
        link = store_link(client, make_link(clock.now))
        found = page(client, link.expires_at + RETENTION + late)
        counts = NONE | {Status.EXPIRED: total}
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
        link = store_link(client, make_link(clock.now))
        revoke(client, link, clock.now)
        found = page(client, clock.now + RETENTION + late)
        counts = NONE | {Status.REVOKED: total}
        assert found == Found(total, counts, [link.id] * total, None)

    def test_links_that_are_kept_stay_in_the_list(self, client: RedisClient, clock: Clock) -> None:
        old = store_link(client, make_link(clock.now))
        kept = store_link(client, make_link(clock.now + timedelta(days=1)))
        assert page(client, old.expires_at + RETENTION).ids == [kept.id]

    def test_more_than_a_call_forgets_leave_total_and_counts_at_once(
        self, client: RedisClient, clock: Clock
    ) -> None:
        made = store_links(client, [make_link(clock.now) for _ in range(250)])
        for link in made[:125]:
            revoke(client, link, clock.now)
        kept = store_link(client, make_link(clock.now + timedelta(days=1)))
        found = page(client, made[0].expires_at + RETENTION)
        assert (found.total, found.counts) == (
            1,
            NONE | {Status.EXPIRED: 1},
        )
        assert found.ids[0] == kept.id

    def test_pages_forget_old_links_part_by_part(self, client: RedisClient, clock: Clock) -> None:
        made = store_links(client, [make_link(clock.now) for _ in range(250)])
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
        now, short = to_utc_ms(datetime.now(UTC)), timedelta(milliseconds=200)
        revoked, kept = store_links(client, [make_link(now), make_link(now + MILLISECOND)])
        client.run(links.revoke(revoked, now=now, retention=short, actor=ADMIN))
        wait_until(lambda: not exists(client, keys.link(revoked.id)), "the retention to end")
        found = page(client, now + short, retention=short)
        assert (found.total, found.ids) == (1, [kept.id])

    def test_an_expired_link_leaves_the_total_though_redis_expired_its_index(
        self, client: RedisClient, clock: Clock
    ) -> None:
        """The index of active links begins anew after a revocation of the last; the total stays."""
        long = store_link(client, make_link(clock.now, expires_at=clock.now + timedelta(days=365)))
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
