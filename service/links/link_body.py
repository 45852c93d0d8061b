"""A link in answers, with its payments and the state of its mail."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Struct

from service.http.fields import (
    EXAMPLE_EMAIL,
    EXAMPLE_LINK_ID,
    EXAMPLE_ORG_ID,
    EXAMPLE_TIME,
    LinkId,
    Timestamp,
)
from service.links.model import DeliveryState, Link, Payment, Status, page_path
from service.values.email import mask
from service.values.reminders import Reminder
from service.values.time import format_time


class DeliveryBody(Struct, frozen=True, kw_only=True):
    """The state of the link's e-mail, and how many were asked for (``sends``).

    Only admins of the organization see ``error``, which holds the mail server's words.
    """

    state: DeliveryState
    attempts: int
    sends: int
    sent_at: Timestamp | None
    error: str | msgspec.UnsetType | None = msgspec.UNSET


class PaymentBody(Struct, frozen=True, kw_only=True):
    """A payment: ``duplicate`` if the link had been paid before, ``late`` if it had ended."""

    payment_id: str
    amount: Decimal
    currency: str | None
    paid_at: Timestamp
    recorded_at: Timestamp
    method: str | None
    late: bool
    duplicate: bool
    voided_at: Timestamp | None


class LinkBody(Struct, frozen=True, kw_only=True):
    """A payment link.

    Only admins of its organization see ``metadata``, ``payments`` and ``reminders``, and also
    ``supersedes`` and ``superseded_by``: whoever knows a link's id can read it, and the other link
    may be another customer's. If a link has no ``reminders`` of its own, they are null until its
    mail is sent, and then the organization's.
    """

    id: LinkId
    url: str
    org_id: str
    email: str
    transaction_id: str | None
    description: str | None
    payment_amount: Decimal | None
    currency: str | None
    accept_partial: bool
    amount_paid: Decimal
    amount_due: Decimal | None
    status: Status
    otp_required: bool
    locale: str | None
    scheduled_at: Timestamp | None
    created_at: Timestamp
    expires_at: Timestamp
    revoked_at: Timestamp | None
    paid_at: Timestamp | None
    checkout_started_at: Timestamp | None
    version: int
    delivery: DeliveryBody
    supersedes: LinkId | msgspec.UnsetType | None = msgspec.UNSET
    superseded_by: LinkId | msgspec.UnsetType | None = msgspec.UNSET
    metadata: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    payments: list[PaymentBody] | msgspec.UnsetType = msgspec.UNSET
    reminders: list[Reminder] | msgspec.UnsetType | None = msgspec.UNSET


class MaskedLink(Struct, frozen=True, kw_only=True):
    """The part of a gated link that needs no proof."""

    id: LinkId
    status: Status
    expires_at: Timestamp
    otp_required: bool
    email: str


def link_body(link: Link, *, now: datetime, public_url: str, for_admin: bool) -> LinkBody:
    """``link`` as it is at ``now``, with or without what only admins of its organization see."""
    delivery = link.delivery
    return LinkBody(
        id=link.id,
        url=public_url + page_path(link.id),
        org_id=link.org_id,
        email=link.email,
        transaction_id=link.transaction_id,
        description=link.description,
        payment_amount=link.payment_amount,
        currency=link.currency,
        accept_partial=link.accept_partial,
        amount_paid=link.amount_paid,
        amount_due=link.amount_due,
        status=link.status(now),
        otp_required=link.otp_required,
        locale=link.locale,
        scheduled_at=_format(link.scheduled_at),
        created_at=format_time(link.created_at),
        expires_at=format_time(link.expires_at),
        revoked_at=_format(link.revoked_at),
        paid_at=_format(link.paid_at),
        checkout_started_at=_format(link.checkout_started_at),
        version=link.version,
        delivery=DeliveryBody(
            state=delivery.state,
            attempts=delivery.attempts,
            sends=delivery.sends,
            sent_at=_format(delivery.sent_at),
            error=delivery.error if for_admin else msgspec.UNSET,
        ),
        supersedes=link.supersedes if for_admin else msgspec.UNSET,
        superseded_by=link.superseded_by if for_admin else msgspec.UNSET,
        metadata=link.metadata if for_admin else msgspec.UNSET,
        payments=payment_bodies(link) if for_admin else msgspec.UNSET,
        reminders=_as_list(link.reminders) if for_admin else msgspec.UNSET,
    )


def payment_bodies(link: Link) -> list[PaymentBody]:
    """The payments of ``link``, in the order in which they were recorded."""
    if not link.payments:
        return []
    duplicates = link.duplicate_ids
    return [
        PaymentBody(**payment_fields(payment, is_duplicate=payment.id in duplicates))
        for payment in link.payments
    ]


def payment_fields(payment: Payment, *, is_duplicate: bool) -> dict[str, Any]:
    """The fields of a ``PaymentBody``."""
    return {
        "payment_id": payment.id,
        "amount": payment.amount,
        "currency": payment.currency,
        "paid_at": format_time(payment.paid_at),
        "recorded_at": format_time(payment.recorded_at),
        "method": payment.method,
        "late": payment.is_late,
        "duplicate": is_duplicate,
        "voided_at": _format(payment.voided_at),
    }


def masked_link(link: Link, *, now: datetime) -> MaskedLink:
    """What anyone may see of a gated link."""
    return MaskedLink(
        id=link.id,
        status=link.status(now),
        expires_at=format_time(link.expires_at),
        otp_required=link.otp_required,
        email=mask(link.email),
    )


def _as_list(reminders: tuple[Reminder, ...] | None) -> list[Reminder] | None:
    return None if reminders is None else list(reminders)


def _format(time: datetime | None) -> str | None:
    return None if time is None else format_time(time)


_EXAMPLE_EXPIRY = "2026-12-04T09:00:00.000Z"
EXAMPLE_LINK = LinkBody(
    id=EXAMPLE_LINK_ID,
    url=f"https://pay.example.com/pay/{EXAMPLE_LINK_ID}",
    org_id=EXAMPLE_ORG_ID,
    email=EXAMPLE_EMAIL,
    transaction_id="order-1138",
    description="Office cleaning, November",
    payment_amount=Decimal("125000.50"),
    currency="NGN",
    accept_partial=False,
    amount_paid=Decimal(0),
    amount_due=Decimal("125000.50"),
    status=Status.ACTIVE,
    otp_required=False,
    locale="en",
    scheduled_at=None,
    created_at=EXAMPLE_TIME,
    expires_at=_EXAMPLE_EXPIRY,
    revoked_at=None,
    paid_at=None,
    checkout_started_at=None,
    supersedes=None,
    superseded_by=None,
    version=0,
    delivery=DeliveryBody(
        state=DeliveryState.SENT,
        attempts=1,
        sends=1,
        sent_at="2026-12-01T09:00:01.000Z",
        error=None,
    ),
    metadata={"invoice": "2026-1138"},
    payments=[],
    reminders=[Reminder(before_expiry="24h")],
)
EXAMPLE_MASKED_LINK = MaskedLink(
    id=EXAMPLE_LINK_ID,
    status=Status.ACTIVE,
    expires_at=_EXAMPLE_EXPIRY,
    otp_required=True,
    email=mask(EXAMPLE_EMAIL),
)
