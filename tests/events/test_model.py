"""The order of events, and cursors."""

import base64
from datetime import timedelta

import pytest

from service.errors import Invalid
from service.events.model import (
    ListedEvent,
    Origin,
    Position,
    Slice,
    decode_cursor,
    derive_events,
    encode_cursor,
    merge,
)
from service.storage.event_log import EventType
from tests.support.clock import Clock
from tests.support.factories import MILLISECOND, make_link

LOCAL_ID = "0" * 22


def event(ms: int, origin: Origin = Origin.LOG, key: str = "0") -> ListedEvent:
    return ListedEvent(
        id=f"{ms}-{key}",
        type=EventType.SENT,
        position=Position(ms, origin, key),
        link_id=f"pl_00{LOCAL_ID}",
        actor="system",
    )


def test_the_latest_come_first_and_an_expiry_after_what_else_happened_in_its_millisecond() -> None:
    ordered = [
        event(2, Origin.EXPIRY, LOCAL_ID),
        event(2, Origin.LOG, "10"),
        event(2, Origin.LOG, "9"),
        event(2, Origin.CREATION, LOCAL_ID),
        event(1, Origin.EXPIRY, LOCAL_ID),
    ]
    slices = [Slice(ordered[3::-3]), Slice(ordered[1:3]), Slice(ordered[4:])]
    assert merge(slices, 9) == (ordered, None)


def test_a_full_page_ends_with_its_last_event() -> None:
    page = merge([Slice([event(3), event(1)]), Slice([event(2, Origin.EXPIRY, LOCAL_ID)])], 2)
    assert [each.at.microsecond for each in page.events] == [3000, 2000]
    assert page.next_cursor is not None
    assert decode_cursor(page.next_cursor) == Position(2, Origin.EXPIRY, LOCAL_ID)


def test_what_comes_before_an_unfinished_slice_waits_for_the_next_page() -> None:
    """Between the events of the other slices there may be others of this one."""
    page = merge([Slice([event(1)]), Slice([event(9)], Position(5, Origin.LOG, "0"))], 9)
    assert [each.position.ms for each in page.events] == [9]
    assert page.next_cursor == encode_cursor(Position(5, Origin.LOG, "0"))


def test_nothing_at_all_is_the_last_page() -> None:
    assert merge([Slice([]), Slice([])], 9) == ([], None)


@pytest.mark.parametrize(
    "position",
    [
        Position(1796083200000, Origin.LOG, "0"),
        Position(1, Origin.LOG, "9" * 19),
        Position(1796083200000, Origin.CREATION, "aZ" * 11),
        Position(1796083200000, Origin.EXPIRY, LOCAL_ID),
    ],
)
def test_a_cursor_is_the_position_that_it_was_made_of(position: Position) -> None:
    assert decode_cursor(encode_cursor(position)) == position


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "0-1-0",
        "1-1-0x",
        "1-1-" + "9" * 20,
        "1-3-0",
        "1-0-0",
        "1-0-" + "0" * 23,
        "1-2-" + "é" * 22,
        "9" * 16 + "-1-0",
        "1-1-0-0",
        "٣-1-0",
        "1-1-0\n",
    ],
)
def test_any_other_text_is_no_cursor(text: str) -> None:
    with pytest.raises(Invalid, match="next_cursor"):
        decode_cursor(base64.urlsafe_b64encode(text.encode()).decode())


@pytest.mark.parametrize("cursor", ["x", "é", "=", "MS0xLTA!", "\ud800"])
def test_what_is_not_base64_is_no_cursor(cursor: str) -> None:
    with pytest.raises(Invalid, match="next_cursor"):
        decode_cursor(cursor)


def test_a_link_tells_of_its_expiry_once_it_has_expired(clock: Clock) -> None:
    link = make_link(clock.now)
    before = derive_events(link, link.expires_at - MILLISECOND)
    after = derive_events(link, link.expires_at)
    assert [(each.type, each.actor, each.at) for each in before] == [
        (EventType.CREATED, link.created_by, link.created_at)
    ]
    assert [(each.type, each.actor, each.at) for each in after[:-1]] == [
        (EventType.EXPIRED, "system", link.created_at + timedelta(hours=72))
    ]
    assert after[-1:] == before
