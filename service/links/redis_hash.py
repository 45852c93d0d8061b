"""A link as a Redis hash, with a field for each value that the link has.

One-word names and text keep it a listpack, which takes half the memory of a table and is read
faster. An error of more than 64 bytes makes it a table: some 220 bytes more on Valkey, and only
where a mail server's answer is that long.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated

import msgspec

from service.links.model import Delivery, DeliveryState, Link, Payment
from service.values.reminders import decode_reminders, encode_reminders
from service.values.time import format_time

Time = Annotated[datetime, msgspec.Meta(tz=True)]
Count = Annotated[int, msgspec.Meta(ge=0)]


class LinkHash(msgspec.Struct, frozen=True):
    """The fields of the hash, which has no field for a value that is the default.

    Times are RFC 3339 in UTC with three decimals, so that scripts can compare them as text.
    ``amount`` is the exact decimal; ``gated``, ``partial``, ``partly`` and ``doubtful`` are ``1``.
    Without ``sends`` it is ``default_sends``. ``metadata`` and ``payments`` are JSON, which no
    script reads. Two fields follow from others, for scripts: ``recipient``, the canonical e-mail
    where they cannot derive it, and ``partly``, if the link is paid in part.
    """

    org: str
    email: str
    created: Time
    expires: Time
    state: DeliveryState
    attempts: Count
    sent: Time | None = None
    error: str | None = None
    sends: Count | None = None
    unconfirmed: Count = 0
    reference: str | None = None
    amount: Decimal | None = None
    currency: str | None = None
    gated: bool = False
    scheduled: Time | None = None
    revoked: Time | None = None
    locale: str | None = None
    first: Time | None = None
    doubtful: bool = False
    description: str | None = None
    metadata: str | None = None
    by: str | None = None
    partial: bool = False
    payments: str | None = None
    paid: Time | None = None
    supersedes: str | None = None
    superseded: str | None = None
    reminders: str | None = None
    reminded: Time | None = None
    unsubscribed: Time | None = None
    checkout: Time | None = None
    version: Count = 0
    recipient: str | None = None
    partly: bool = False


class PaymentRecord(msgspec.Struct, array_like=True, frozen=True):
    """A payment in the JSON of ``payments``."""

    id: str
    amount: Decimal
    currency: str | None
    paid_at: Time
    recorded_at: Time
    method: str | None
    is_late: bool
    voided_at: Time | None


FIELDS: tuple[str, ...] = LinkHash.__struct_fields__


def default_sends(state: DeliveryState) -> int:
    """How many e-mails were asked for where the hash does not tell: most links have one."""
    return 0 if state is DeliveryState.NONE else 1


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
        "sends": _unless(default_sends(delivery.state), delivery.sends),
        "unconfirmed": _unless(0, delivery.unconfirmed),
        "reference": link.transaction_id,
        "amount": None if link.payment_amount is None else str(link.payment_amount),
        "currency": link.currency,
        "gated": "1" if link.otp_required else None,
        "scheduled": _format(link.scheduled_at),
        "revoked": _format(link.revoked_at),
        "locale": link.locale,
        "first": _format(delivery.first_sent_at),
        "doubtful": "1" if delivery.is_doubtful else None,
        "description": link.description,
        "metadata": msgspec.json.encode(link.metadata).decode() if link.metadata else None,
        "by": link.created_by,
        "partial": "1" if link.accept_partial else None,
        "payments": _encode_payments(link.payments) if link.payments else None,
        "paid": _format(link.paid_at),
        "supersedes": link.supersedes,
        "superseded": link.superseded_by,
        "reminders": None if link.reminders is None else encode_reminders(link.reminders),
        "reminded": _format(link.reminded_at),
        "unsubscribed": _format(link.reminders_stopped_at),
        "checkout": _format(link.checkout_started_at),
        "version": _unless(0, link.version),
        "recipient": None if link.email.isascii() else link.recipient,
        "partly": "1" if link.paid_at is None and any(link.valid_payments) else None,
    }
    return [text for name, value in values.items() if value is not None for text in (name, value)]


def decode(link_id: str, fields: Mapping[str, str]) -> Link | None:
    """The link whose hash has these ``fields``, by name, or None if there is no such hash.

    Raises:
        ValueError: a value is missing or of another type.
    """
    if not fields:
        return None
    record = msgspec.convert(fields, LinkHash, strict=False)
    return Link(
        id=link_id,
        org_id=record.org,
        email=record.email,
        transaction_id=record.reference,
        payment_amount=record.amount,
        currency=record.currency,
        otp_required=record.gated,
        scheduled_at=record.scheduled,
        created_at=record.created,
        expires_at=record.expires,
        revoked_at=record.revoked,
        delivery=Delivery(
            record.state,
            record.attempts,
            record.sent,
            record.error,
            default_sends(record.state) if record.sends is None else record.sends,
            record.unconfirmed,
            record.first,
            record.doubtful,
        ),
        locale=record.locale,
        description=record.description,
        metadata=_decode_metadata(record.metadata) if record.metadata else {},
        created_by=record.by,
        accept_partial=record.partial,
        payments=_decode_payments(record.payments) if record.payments else (),
        paid_at=record.paid,
        supersedes=record.supersedes,
        superseded_by=record.superseded,
        reminders=None if record.reminders is None else decode_reminders(record.reminders),
        reminded_at=record.reminded,
        reminders_stopped_at=record.unsubscribed,
        checkout_started_at=record.checkout,
        version=record.version,
    )


def decode_list(link_id: str, fields: Sequence[str]) -> Link | None:
    """``decode``, for names and values in turn, as scripts return what ``HGETALL`` replied.

    Raises:
        ValueError: as ``decode``.
        TypeError: ``fields`` is None.
    """
    return decode(link_id, by_name(fields))


def by_name(fields: Sequence[str]) -> dict[str, str]:
    """The values of ``fields``, names and values in turn, by name."""
    each = iter(fields)
    return dict(zip(each, each, strict=True))


def _encode_payments(payments: Sequence[Payment]) -> str:
    records = [
        msgspec.convert(payment, PaymentRecord, from_attributes=True) for payment in payments
    ]
    return msgspec.json.encode(records).decode()


def _decode_payments(text: str) -> tuple[Payment, ...]:
    records = msgspec.json.decode(text, type=list[PaymentRecord])
    return tuple(Payment(**msgspec.structs.asdict(record)) for record in records)


def _decode_metadata(text: str) -> dict[str, str]:
    return msgspec.json.decode(text, type=dict[str, str])


def _unless(default: int, number: int) -> str | None:
    return None if number == default else str(number)


def _format(moment: datetime | None) -> str | None:
    return None if moment is None else format_time(moment)
