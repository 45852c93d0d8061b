"""The log of an organization's events: a stream, written by the script that makes a change.

A script appends with ``add_event`` in ``common.lua``; ``service/events`` reads.
"""

from datetime import timedelta
from enum import StrEnum
from typing import Any

import msgspec

from service.values.time import duration_ms

MAX_EVENTS = 100_000
"""About how many events of an organization are kept: Redis trims whole nodes of a stream."""


class EventType(StrEnum):
    """What happened. ``created`` and ``expired`` are read from links, the others are logged."""

    CREATED = "created"
    SENT = "sent"
    DELIVERY_FAILED = "delivery_failed"
    RESENT = "resent"
    CODE_VERIFIED = "code_verified"
    CHECKOUT_STARTED = "checkout_started"
    UPDATED = "updated"
    REVOKED = "revoked"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"
    PAYMENT_RECORDED = "payment_recorded"
    PAID = "paid"
    PAYMENT_VOIDED = "payment_voided"
    DUPLICATE_PAYMENT = "duplicate_payment"
    REMINDED = "reminded"
    REMINDERS_STOPPED = "reminders_stopped"


class Actor(msgspec.Struct, frozen=True):
    """Who makes a change, and in which request."""

    name: str
    """The ``sub`` of an admin's token as it is, ``customer`` or ``system``."""
    request_id: str | None = None


CUSTOMER = "customer"
SYSTEM = Actor("system")
"""Workers, and what time does."""


class Event(msgspec.Struct, frozen=True):
    """Something that happens to a link. ``data`` holds no e-mail, code or token."""

    type: EventType
    actor: Actor
    data: dict[str, Any] = {}


def script_args(event: Event, retention: timedelta) -> list[str | int]:
    """``event`` as ``add_event`` in ``common.lua`` takes it."""
    data = msgspec.json.encode(event.data).decode() if event.data else ""
    return [
        event.type.value,
        event.actor.name,
        event.actor.request_id or "",
        data,
        duration_ms(retention),
    ]


EVENT_ARGS = 5
"""How many arguments ``script_args`` gives."""
