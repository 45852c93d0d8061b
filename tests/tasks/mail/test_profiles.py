"""A worker's cache of organizations' profiles."""

import asyncio
from collections.abc import Callable

import pytest

from service.errors import Unavailable
from service.orgs import store as orgs
from service.orgs.model import Profile
from service.storage import keys
from service.storage.connect import create_transport
from service.storage.pipeline import AutoPipeline
from tasks.mail.profiles import CACHE_SIZE, CACHE_TTL, ProfileCache
from tests.support.clock import Clock
from tests.support.delivery_harness import DeliveryHarness

ACME, OTHER = Profile(display_name="Acme"), Profile(display_name="Acme Ltd")


Step = Callable[[], object]


def get(url: str, clock: Clock, *steps: str | Step | None) -> list[Profile]:
    """What one cache gets for each organization in turn; in between, it calls the other steps."""

    async def run() -> list[Profile]:
        async with AutoPipeline(create_transport(url)) as pipeline:
            cache, profiles = ProfileCache(pipeline, clock), []
            for step in steps:
                if callable(step):
                    step()
                else:
                    profiles.append(await cache.get(step))
            return profiles

    return asyncio.run(run())


def test_a_change_is_seen_within_ten_seconds(harness: DeliveryHarness) -> None:
    harness.client.run(orgs.put_profile("acme", ACME))
    assert get(
        harness.url,
        harness.clock,
        "acme",
        lambda: harness.client.run(orgs.put_profile("acme", OTHER)),
        "acme",
        lambda: harness.clock.advance(seconds=CACHE_TTL.total_seconds()),
        "acme",
    ) == [ACME, ACME, OTHER]


def test_an_organization_without_a_profile_has_an_empty_one(harness: DeliveryHarness) -> None:
    assert get(harness.url, harness.clock, "acme", None) == [Profile(), Profile()]


def test_an_unreadable_one_counts_as_empty(harness: DeliveryHarness) -> None:
    harness.redis.set(keys.profile("acme"), "{")
    assert get(harness.url, harness.clock, "acme") == [Profile()]


def test_an_outage_does_not_count_as_an_empty_profile(clock: Clock) -> None:
    with pytest.raises(Unavailable):
        get("unix:///nobody", clock, "acme")


def test_the_cache_is_bounded(harness: DeliveryHarness) -> None:
    harness.client.run(orgs.put_profile("acme", ACME))
    others = [f"org{number}" for number in range(CACHE_SIZE)]

    def change() -> None:
        harness.client.run(orgs.put_profile("acme", OTHER))

    first, *_, last = get(harness.url, harness.clock, "acme", *others, change, "acme")
    assert (first, last) == (ACME, OTHER)
