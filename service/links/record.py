"""A link as Redis keeps it: a JSON array, which takes half the memory of a hash's fields and is read in one go."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated

import msgspec

from service.links.model import Delivery, DeliveryState, Link

STATES = (
    DeliveryState.NONE,
    DeliveryState.SCHEDULED,
    DeliveryState.QUEUED,
    DeliveryState.SENT,
    DeliveryState.FAILED,
)
"""Records hold a state's place here, which ``common.lua`` knows too: another would be the last."""


class Record(msgspec.Struct, array_like=True, frozen=True):
    """What the array holds, in this order, which ``common.lua`` knows too: last what is seldom there, which is then left out.

    ``created_at`` is in seconds since 1970, other times in seconds since ``created_at``, and ``expires_at`` in seconds since
    ``scheduled_at`` where there is one: all of it is shorter so. An amount is a string, so that no script rounds it.
    """

    delivery_state: Annotated[int, msgspec.Meta(ge=0, lt=len(STATES))]
    """Its place among ``STATES``."""
    org_id: str
    email: str
    created_at: datetime
    expires_at: timedelta
    delivery_attempts: int
    delivery_sent_at: timedelta | None = None
    transaction_id: str | None = None
    payment_amount: Decimal | None = None
    currency: str | None = None
    scheduled_at: timedelta | None = None
    otp_required: bool | None = None
    revoked_at: timedelta | None = None
    delivery_error: str | None = None
    locale: str | None = None


def encode(link: Link) -> str:
    """``link`` as Redis keeps it."""
    delivery, created_at = link.delivery, link.created_at
    values = [
        state_number(delivery.state),
        link.org_id,
        link.email,
        created_at.timestamp(),
        _since(link.due_at, link.expires_at),
        delivery.attempts,
        _since(created_at, delivery.sent_at),
        link.transaction_id,
        None if link.payment_amount is None else str(link.payment_amount),
        link.currency,
        _since(created_at, link.scheduled_at),
        link.otp_required or None,
        _since(created_at, link.revoked_at),
        delivery.error,
        link.locale,
    ]
    while values[-1] is None:
        values.pop()
    return _ENCODER.encode(values).decode()


def decode(link_id: str, text: str | None) -> Link | None:
    """The link behind ``text``, or None where there is none."""
    if text is None:
        return None
    record = _DECODER.decode(text)
    created_at, sent_at, revoked_at = record.created_at, record.delivery_sent_at, record.revoked_at
    scheduled_at = None if record.scheduled_at is None else created_at + record.scheduled_at
    return Link(
        id=link_id,
        org_id=record.org_id,
        email=record.email,
        transaction_id=record.transaction_id,
        payment_amount=record.payment_amount,
        currency=record.currency,
        otp_required=record.otp_required is True,
        scheduled_at=scheduled_at,
        created_at=created_at,
        expires_at=(scheduled_at or created_at) + record.expires_at,
        revoked_at=None if revoked_at is None else created_at + revoked_at,
        delivery=Delivery(
            STATES[record.delivery_state],
            record.delivery_attempts,
            None if sent_at is None else created_at + sent_at,
            record.delivery_error,
        ),
        locale=record.locale,
    )


def state_number(state: DeliveryState) -> int:
    """What stands for ``state`` in a record."""
    return STATES.index(state)


def _since(start: datetime, moment: datetime | None) -> float | None:
    """Seconds, whole ones without a ``.0``."""
    if moment is None:
        return None
    seconds = (moment - start).total_seconds()
    return int(seconds) if seconds.is_integer() else seconds


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Record, strict=False)  # or it would not take a number for a time
