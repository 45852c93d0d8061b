"""Events on the wire, each answer with an example."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from service.events import model
from service.events.model import ListedEvent
from service.http.fields import EXAMPLE_LINK_ID, LinkId, Timestamp
from service.storage.event_log import EventType
from service.values.time import format_time


class EventBody(Struct, frozen=True):
    """What happened to a link, when, and who did it."""

    id: Annotated[str, Meta(description="Unique within the organization.")]
    type: EventType
    at: Timestamp
    link_id: LinkId
    actor: Annotated[
        str | None,
        Meta(
            description="The `sub` of an admin's token, `customer` or `system`. Null for the"
            " creation of a link by an earlier version."
        ),
    ]
    request_id: Annotated[
        str | None,
        Meta(description="The `X-Request-ID` of the request that did it. Null if none is known."),
    ]
    data: Annotated[dict[str, Any], Meta(description="What else is known; depends on the type.")]


class EventPage(Struct, frozen=True):
    """Events, latest first. A page may be short, even empty, and still have a ``next_cursor``."""

    events: list[EventBody]
    next_cursor: str | None


def page_body(page: model.EventPage) -> EventPage:
    """``page`` as it is answered."""
    return EventPage([*map(_event_body, page.events)], page.next_cursor)


def _event_body(event: ListedEvent) -> EventBody:
    return EventBody(
        id=event.id,
        type=event.type,
        at=format_time(event.at),
        link_id=event.link_id,
        actor=event.actor,
        request_id=event.request_id,
        data=event.data,
    )


EXAMPLES: tuple[Struct, ...] = (
    EventPage(
        events=[
            EventBody(
                id="1796115600000-0",
                type=EventType.REVOKED,
                at="2026-12-01T09:00:00.000Z",
                link_id=EXAMPLE_LINK_ID,
                actor="clerk@acme.example.com",
                request_id="01KB9W3G5V8M2Q4T6X8Z0A2C4E",
                data={},
            ),
            EventBody(
                id=f"{EXAMPLE_LINK_ID}-created",
                type=EventType.CREATED,
                at="2026-12-01T08:00:00.000Z",
                link_id=EXAMPLE_LINK_ID,
                actor="clerk@acme.example.com",
                request_id=None,
                data={},
            ),
        ],
        next_cursor=None,
    ),
)
