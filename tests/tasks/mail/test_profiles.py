"""A worker's cache of organizations' profiles."""

import pytest

from service.errors import Unavailable
from service.orgs import store as orgs
from service.orgs.model import Profile
from service.storage import keys
from service.storage.client import RedisClient
from service.storage.connect import create_client
from tasks.mail.profiles import CACHE_SIZE, CACHE_TTL, ProfileCache
from tests.support.delivery_harness import DeliveryHarness

ACME, OTHER = Profile(display_name="Acme"), Profile(display_name="Acme Ltd")


def test_a_change_is_seen_within_ten_seconds(harness: DeliveryHarness) -> None:
    harness.client.run(orgs.put_profile("acme", ACME))
    cache = ProfileCache(harness.client, harness.clock)
    assert cache.get("acme") == ACME
    harness.client.run(orgs.put_profile("acme", OTHER))
    assert cache.get("acme") == ACME
    harness.clock.advance(seconds=CACHE_TTL.total_seconds())
    assert cache.get("acme") == OTHER


def test_an_organization_without_a_profile_has_an_empty_one(harness: DeliveryHarness) -> None:
    assert [
        ProfileCache(harness.client, harness.clock).get(org_id) for org_id in ("acme", None)
    ] == [
        Profile(),
        Profile(),
    ]


def test_an_unreadable_one_counts_as_empty(harness: DeliveryHarness) -> None:
    harness.redis.set(keys.profile("acme"), "{")
    assert ProfileCache(harness.client, harness.clock).get("acme") == Profile()


def test_an_outage_does_not_count_as_an_empty_profile(harness: DeliveryHarness) -> None:
    away = RedisClient(create_client("unix:///nobody"))
    with pytest.raises(Unavailable):
        ProfileCache(away, harness.clock).get("acme")
    away.close()


def test_the_cache_is_bounded(harness: DeliveryHarness) -> None:
    harness.client.run(orgs.put_profile("acme", ACME))
    cache = ProfileCache(harness.client, harness.clock)
    assert cache.get("acme") == ACME
    for number in range(CACHE_SIZE):
        cache.get(f"org{number}")
    harness.client.run(orgs.put_profile("acme", OTHER))
    assert cache.get("acme") == OTHER
