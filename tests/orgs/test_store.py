"""The index of organizations, on every backend."""

from datetime import datetime, timedelta

from service.links.store import PRUNE_EVERY
from service.orgs import store as orgs
from service.storage import keys
from service.storage.command import TTL_MARGIN
from service.values.ids import partition_of
from tests.support.clock import Clock
from tests.support.factories import (
    MILLISECOND,
    RETENTION,
    all_keys,
    goes_at,
    make_link,
    members,
    revoke,
    store_link,
    store_links,
)
from tests.support.redis_client import RedisClient

PARTITION = partition_of("acme")
BESIDE = next(name for number in range(9999) if partition_of(name := f"acme:{number}") == PARTITION)
"""Another organization of the same partition."""
SECOND = timedelta(seconds=1)


def ids(client: RedisClient, now: datetime) -> list[str]:
    return client.run(orgs.list_ids(PARTITION, now=now, retention=RETENTION))


def test_without_links_there_is_no_organization(client: RedisClient, clock: Clock) -> None:
    assert ids(client, clock.now) == []


def test_an_organization_is_there_from_its_first_link_on(client: RedisClient, clock: Clock) -> None:
    store_links(
        client, [make_link(clock.now, org_id=org_id) for org_id in ("acme", "acme", BESIDE)]
    )
    assert sorted(ids(client, clock.now)) == ["acme", BESIDE]


def test_an_organization_is_there_until_its_last_link_is_forgotten(
    client: RedisClient, clock: Clock
) -> None:
    last = store_link(
        client, make_link(clock.now, expires_at=clock.now + timedelta(days=30, milliseconds=1))
    )
    store_link(client, make_link(clock.now))
    assert ids(client, last.expires_at + RETENTION - MILLISECOND) == ["acme"]
    assert ids(client, last.expires_at + RETENTION + SECOND) == []


def test_revoking_its_links_forgets_no_organization(client: RedisClient, clock: Clock) -> None:
    revoke(client, store_link(client, make_link(clock.now)), clock.now)
    assert ids(client, clock.now) == ["acme"]


def test_the_index_goes_with_the_last_link_there_is(client: RedisClient, clock: Clock) -> None:
    made = [
        make_link(clock.now, expires_at=clock.now + timedelta(days=days, milliseconds=1))
        for days in (2, 9, 3)
    ]
    store_links(client, made)
    late = goes_at(client, keys.orgs(PARTITION)) - (made[1].expires_at + RETENTION)
    assert timedelta(0) <= late < TTL_MARGIN + SECOND


def test_an_organization_whose_links_are_forgotten_leaves_the_index_when_another_writes(
    client: RedisClient, clock: Clock
) -> None:
    store_link(client, make_link(clock.now))
    clock.advance(days=94)
    later = [clock.now + number * MILLISECOND for number in range(PRUNE_EVERY)]
    store_links(client, [make_link(now, org_id=BESIDE) for now in later])
    assert members(client, keys.orgs(PARTITION)) == [BESIDE]


def test_a_partition_has_one_index(client: RedisClient, clock: Clock) -> None:
    store_links(client, [make_link(clock.now, org_id=org_id) for org_id in ("acme", BESIDE)])
    assert [key for key in all_keys(client) if key.endswith(":orgs")] == [keys.orgs(PARTITION)]
