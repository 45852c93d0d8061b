"""Reading events, on every backend: each part goes on exactly where the one before ended."""

from datetime import timedelta

import pytest

from service.errors import Unreadable
from service.events import store as events
from service.events.model import ListedEvent, Origin, Position
from service.links.model import Link
from service.storage import keys
from service.storage.command import command
from service.storage.event_log import Actor, Event, EventType
from service.values.time import datetime_to_ms
from tests.support.clock import Clock
from tests.support.factories import (
    RETENTION,
    goes_at,
    make_link,
    store_link,
    store_links,
)
from tests.support.redis_client import RedisClient

ADA = Actor("ada", "req-1")


def log(client: RedisClient, clock: Clock, link: Link, kind: EventType = EventType.SENT) -> None:
    event = Event(kind, ADA, {"sends": 1})
    client.run(events.append("acme", link.id, event, now=clock.now, retention=RETENTION))


def read_log(
    client: RedisClient,
    clock: Clock,
    after: Position | None = None,
    *,
    entries: int = 100,
    limit: int = 100,
    link: Link | None = None,
    kind: EventType | None = None,
) -> tuple[list[ListedEvent], Position | None]:
    part = client.run(
        events.read_log(
            "acme",
            after=after,
            since=clock.now - RETENTION,
            entries=entries,
            limit=limit,
            link_id=link.id if link else None,
            kind=kind,
        )
    )
    assert part.unreadable == []
    return part.slice


def test_an_event_is_read_as_it_was_logged(client: RedisClient, clock: Clock) -> None:
    link = make_link(clock.now)
    log(client, clock, link)
    [event], frontier = read_log(client, clock)
    assert frontier is None
    assert (event.type, event.link_id, event.at) == (EventType.SENT, link.id, clock.now)
    assert (event.actor, event.request_id, event.data) == ("ada", "req-1", {"sends": 1})
    assert event.id == f"{datetime_to_ms(clock.now)}-0"


def test_a_log_lives_as_long_as_its_last_event_is_kept(client: RedisClient, clock: Clock) -> None:
    log(client, clock, make_link(clock.now))
    kept_until = clock.now + RETENTION
    assert kept_until <= goes_at(client, keys.events("acme")) <= kept_until + timedelta(days=1)


@pytest.mark.parametrize("entries", [1, 2, 3, 9])
@pytest.mark.parametrize("limit", [1, 2, 9])
def test_parts_of_a_log_leave_nothing_out(
    client: RedisClient, clock: Clock, entries: int, limit: int
) -> None:
    """Several events share a millisecond."""
    one, other = make_link(clock.now), make_link(clock.now)
    for number in range(9):
        log(client, clock, (one, other)[number % 2])
        clock.advance(milliseconds=number % 3)
    for link in (None, one):
        wanted, _ = read_log(client, clock, link=link)
        found, after = read_log(client, clock, entries=entries, limit=limit, link=link)
        while after is not None:
            assert len(found) <= 9
            more, after = read_log(client, clock, after, entries=entries, limit=limit, link=link)
            found += more
        assert found == wanted
        assert len(found) == (5 if link else 9)


def test_a_part_ends_with_the_first_event_that_is_kept(client: RedisClient, clock: Clock) -> None:
    link = make_link(clock.now)
    log(client, clock, link)
    log(client, clock, link)
    clock.advance(seconds=RETENTION.total_seconds())
    assert len(read_log(client, clock)[0]) == 2
    clock.advance(milliseconds=1)
    assert read_log(client, clock) == ([], None)


@pytest.mark.parametrize(
    ("origin", "left"), [(Origin.EXPIRY, 3), (Origin.LOG, 2), (Origin.CREATION, 1)]
)
def test_a_log_goes_on_after_whatever_came_last(
    client: RedisClient, clock: Clock, origin: Origin, left: int
) -> None:
    """In one millisecond, an expiry comes after what is logged, and a creation before it."""
    link = make_link(clock.now)
    log(client, clock, link)
    clock.advance(milliseconds=1)
    log(client, clock, link)
    log(client, clock, link)
    key = "1" if origin is Origin.LOG else keys.local_id(link.id)
    after = Position(datetime_to_ms(clock.now), origin, key)
    assert len(read_log(client, clock, after)[0]) == left


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_links_created_in_one_millisecond_are_read_once_each(
    client: RedisClient, clock: Clock, limit: int
) -> None:
    """Also where the last one that was read has left the index meanwhile."""
    links = store_links(client, [make_link(clock.now) for _ in range(6)])
    clock.advance(milliseconds=1)
    links += store_links(client, [make_link(clock.now)])
    found: list[ListedEvent] = []
    after: Position | None = None
    while True:
        part = client.run(events.read_created("acme", after=after, limit=limit))
        found += part.slice.events
        after = part.slice.frontier
        if after is None:
            break
        client.run(command(int, "ZREM", keys.org("acme"), after.key))
    assert {event.link_id for event in found} == {link.id for link in links}
    assert len(found) == len(links)
    assert found[0].link_id == links[-1].id
    assert found[0].actor == "clerk@acme.example.com"


def test_links_are_read_from_the_millisecond_in_which_they_expire(
    client: RedisClient, clock: Clock
) -> None:
    link = store_link(client, make_link(clock.now))
    clock.now = link.expires_at - timedelta(milliseconds=1)

    def expired() -> list[ListedEvent]:
        command = events.read_expired(
            "acme", after=None, now=clock.now, retention=RETENTION, limit=9
        )
        return client.run(command).slice.events

    assert expired() == []
    clock.advance(milliseconds=1)
    assert [(event.link_id, event.at, event.actor) for event in expired()] == [
        (link.id, link.expires_at, "system")
    ]


def test_a_log_of_another_type_cannot_be_read_and_stays_as_it_is(
    client: RedisClient, clock: Clock
) -> None:
    client.run(command(str, "SET", keys.events("acme"), "boom"))
    log(client, clock, make_link(clock.now))
    assert client.run(command(str, "GET", keys.events("acme"))) == "boom"
    with pytest.raises(Unreadable):
        read_log(client, clock)
