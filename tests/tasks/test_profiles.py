"""How organizations present themselves, as a worker remembers it."""

import pytest

from service.errors import Unavailable
from service.orgs import store as orgs
from service.orgs.model import Profile
from service.storage import keys
from service.storage.client import Client
from service.storage.redis_url import connect
from tasks.profiles import FRESH_FOR, MOST, Profiles
from tests.support.harness import Office

ACME, OTHER = Profile(display_name="Acme"), Profile(display_name="Acme Ltd")


def test_a_change_is_seen_within_ten_seconds(office: Office) -> None:
    office.client.run(orgs.put_profile("acme", ACME))
    remembered = Profiles(office.client, office.clock)
    assert remembered.of("acme") == ACME
    office.client.run(orgs.put_profile("acme", OTHER))
    assert remembered.of("acme") == ACME
    office.clock.advance(seconds=FRESH_FOR.total_seconds())
    assert remembered.of("acme") == OTHER


def test_who_said_nothing_has_an_empty_one(office: Office) -> None:
    assert [Profiles(office.client, office.clock).of(org_id) for org_id in ("acme", None)] == [
        Profile(),
        Profile(),
    ]


def test_one_that_cannot_be_read_keeps_no_mail_back(office: Office) -> None:
    office.redis.set(keys.profile("acme"), "{")
    assert Profiles(office.client, office.clock).of("acme") == Profile()


def test_a_store_that_is_away_is_no_empty_profile(office: Office) -> None:
    away = Client(connect("unix:///nobody"))
    with pytest.raises(Unavailable):
        Profiles(away, office.clock).of("acme")
    away.close()


def test_no_more_are_remembered_than_fit(office: Office) -> None:
    remembered = Profiles(office.client, office.clock)
    for number in range(MOST + 10):
        remembered.of(f"org{number}")
    assert len(remembered._known) <= MOST  # noqa: SLF001 - what it costs cannot be seen otherwise
