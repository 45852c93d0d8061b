"""A link as a Redis hash, with a field for each value that the link has.

One-word names and text keep it a listpack, which takes half the memory of a table and is read
faster. An error of more than 64 bytes makes it a table: some 220 bytes more on Valkey, and only
where a mail server's answer is that long.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated

import msgspec

from service.links.model import Delivery, DeliveryState, Link
from service.values.time import format_time

Time = Annotated[datetime, msgspec.Meta(tz=True)]


class LinkHash(msgspec.Struct, array_like=True, frozen=True):
    """The fields, in the order in which they are read; None where the hash has no such field.

    Times are RFC 3339 in UTC with three decimals, so that scripts can compare them as text.
    ``amount`` is the exact decimal, ``gated`` is ``1``.
    """

    org: str
    email: str
    created: Time
    expires: Time
    state: DeliveryState
    attempts: Annotated[int, msgspec.Meta(ge=0)]
    sent: Time | None
    error: str | None
    reference: str | None
    amount: Decimal | None
    currency: str | None
    gated: bool | None
    scheduled: Time | None
    revoked: Time | None
    locale: str | None


FIELDS: tuple[str, ...] = LinkHash.__struct_fields__


def encode(link: Link) -> list[str]:
    """Names and values in turn, as ``HSET`` takes them."""
    delivery = link.delivery
    values = {
        "org": link.org_id,
        "email": link.email,
        "created": format_time(link.created_at),
        "expires": format_time(link.expires_at),
        "state": delivery.state.value,
        "attempts": str(delivery.attempts),
        "sent": _format(delivery.sent_at),
        "error": delivery.error,
        "reference": link.transaction_id,
        "amount": None if link.payment_amount is None else str(link.payment_amount),
        "currency": link.currency,
        "gated": "1" if link.otp_required else None,
        "scheduled": _format(link.scheduled_at),
        "revoked": _format(link.revoked_at),
        "locale": link.locale,
    }
    return [text for name, value in values.items() if value is not None for text in (name, value)]


def decode(link_id: str, values: Sequence[str | None]) -> Link | None:
    """The link whose ``FIELDS`` have these values, or None if there is no such hash.

    Raises:
        ValueError: a value is missing or of another type.
    """
    if not any(values):
        return None
    record = msgspec.convert(values, LinkHash, strict=False)
    return Link(
        id=link_id,
        org_id=record.org,
        email=record.email,
        transaction_id=record.reference,
        payment_amount=record.amount,
        currency=record.currency,
        otp_required=record.gated is True,
        scheduled_at=record.scheduled,
        created_at=record.created,
        expires_at=record.expires,
        revoked_at=record.revoked,
        delivery=Delivery(record.state, record.attempts, record.sent, record.error),
        locale=record.locale,
    )


def _format(moment: datetime | None) -> str | None:
    return None if moment is None else format_time(moment)
