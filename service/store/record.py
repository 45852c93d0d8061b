"""A link as Redis keeps it: a JSON array, which takes half the memory of a hash's fields and is read in one go."""

from datetime import datetime, timedelta
from decimal import Decimal

import msgspec

from service.domain.link import Delivery, DeliveryState, Link


class Record(msgspec.Struct, array_like=True, frozen=True):
    """What the array holds, in this order, which ``common.lua`` knows too: last what is seldom there, which is then left out.

    ``created_at`` is in seconds since 1970, every other time in seconds since then, which is shorter. An amount is a string, so
    that no script rounds it.
    """

    delivery_state: DeliveryState
    org_id: str
    email: str
    created_at: datetime
    expires_at: timedelta
    delivery_attempts: int
    delivery_sent_at: timedelta | None = None
    transaction_id: str | None = None
    payment_amount: Decimal | None = None
    currency: str | None = None
    request: str | None = None
    """The digest of the request that made the link, where it may come again."""
    otp_required: bool | None = None
    scheduled_at: timedelta | None = None
    revoked_at: timedelta | None = None
    delivery_error: str | None = None
    locale: str | None = None


def encode(link: Link, request: str | None = None) -> str:
    """``link``, made by the request with this digest."""
    delivery, created_at = link.delivery, link.created_at
    values = [
        delivery.state,
        link.org_id,
        link.email,
        created_at.timestamp(),
        _since(created_at, link.expires_at),
        delivery.attempts,
        _since(created_at, delivery.sent_at),
        link.transaction_id,
        None if link.payment_amount is None else str(link.payment_amount),
        link.currency,
        request,
        link.otp_required or None,
        _since(created_at, link.scheduled_at),
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
    created_at, sent_at, scheduled_at, revoked_at = (
        record.created_at,
        record.delivery_sent_at,
        record.scheduled_at,
        record.revoked_at,
    )
    return Link(
        id=link_id,
        org_id=record.org_id,
        email=record.email,
        transaction_id=record.transaction_id,
        payment_amount=record.payment_amount,
        currency=record.currency,
        otp_required=record.otp_required is True,
        scheduled_at=None if scheduled_at is None else created_at + scheduled_at,
        created_at=created_at,
        expires_at=created_at + record.expires_at,
        revoked_at=None if revoked_at is None else created_at + revoked_at,
        delivery=Delivery(
            record.delivery_state,
            record.delivery_attempts,
            None if sent_at is None else created_at + sent_at,
            record.delivery_error,
        ),
        locale=record.locale,
    )


def decode_request(text: str | None) -> str | None:
    """The digest of the request that made the link behind ``text``."""
    return None if text is None else _DECODER.decode(text).request


def _since(created_at: datetime, moment: datetime | None) -> float | None:
    return None if moment is None else (moment - created_at).total_seconds()


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Record, strict=False)  # or it would not take a number for a time
