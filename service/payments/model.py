"""Payments of a link: what is recorded, when it pays the link, and what voiding one undoes.

All amounts are exact decimals. A change is decided here and written by ``links.change_store``.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from service.errors import (
    CurrencyMismatch,
    Faults,
    Invalid,
    PartialNotAccepted,
    PaymentConflict,
    PaymentNotFound,
    PaymentVoided,
)
from service.links.model import DeliveryState, Link, Payment
from service.storage.event_log import Actor, Event, EventType
from service.values.money import check_range, parse_amount, parse_currency
from service.values.text import parse_line
from service.values.time import EPOCH, parse_request_time, to_utc_ms

MAX_PAYMENT_ID_CHARACTERS = 128
MAX_METHOD_CHARACTERS = 32
CLOCK_GRACE = timedelta(seconds=60)
"""How far in the future a time of payment may lie, since clocks differ."""


class PaymentRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A request to record a payment. ``paid_at`` is UTC, truncated to milliseconds."""

    payment_id: str
    amount: Decimal | None = None
    currency: str | None = None
    paid_at: datetime | None = None
    method: str | None = None

    @property
    def normalized(self) -> "PaymentRequest":
        """Equal for all requests for the same payment, however they spell it."""
        amount = self.amount
        return msgspec.structs.replace(self, amount=None if amount is None else amount.normalize())


class Change(NamedTuple):
    """The changed link, and the events of the change, in their order."""

    link: Link
    events: list[Event]


def validate_request(
    request: PaymentRequest, *, now: datetime, faults: Faults | None = None
) -> PaymentRequest:
    """``request`` with the values checked that do not depend on the link.

    Args:
        request: What the caller sent. A required value that could not be read is None.
        now: The time of the request.
        faults: Those that the caller has found already.

    Raises:
        Invalid: values break their rules.
    """
    faults = faults or Faults()
    faults.check(_parse_id, request.payment_id)
    faults.check(check_range, request.amount, "amount")
    faults.check(parse_line, request.method, "method", MAX_METHOD_CHARACTERS)
    parsed = msgspec.structs.replace(
        request,
        currency=faults.check(parse_currency, request.currency),
        paid_at=faults.check(_parse_paid_at, request.paid_at, now=now),
    )
    faults.raise_if_any()
    return parsed


def find_recorded(link: Link, request: PaymentRequest) -> Payment | None:
    """The payment of ``link`` that ``request`` asks to record again; None if it is new.

    Raises:
        PaymentVoided: it was voided.
        PaymentConflict: it has another amount or currency.
    """
    payment = find(link, request.payment_id)
    if payment is None:
        return None
    if payment.voided_at is not None:
        raise PaymentVoided
    if request.amount not in {None, payment.amount} or request.currency not in {
        None,
        payment.currency,
    }:
        raise PaymentConflict
    return payment


def find(link: Link, payment_id: str) -> Payment | None:
    """The payment of ``link`` with this id, voided or not."""
    return next((payment for payment in link.payments if payment.id == payment_id), None)


def record(link: Link, request: PaymentRequest, *, actor: Actor, now: datetime) -> Change:
    """``link`` with the payment that ``request`` asks for, which is a new one.

    Raises:
        Invalid: the amount is missing, or has more decimals than the currency.
        CurrencyMismatch: the link is paid in another currency.
        PartialNotAccepted: the link has to be paid in whole, and would not be.
    """
    now = to_utc_ms(now)
    payment = _make_payment(link, request, now)
    after = _apply_payments(msgspec.structs.replace(link, payments=(*link.payments, payment)))
    if after.paid_at is None and not link.accept_partial:
        raise PartialNotAccepted(_describe_due(link))
    is_duplicate = link.paid_at is not None
    events = [
        Event(
            EventType.PAYMENT_RECORDED,
            actor,
            _describe(payment) | {"late": payment.is_late, "duplicate": is_duplicate},
        )
    ]
    if is_duplicate:
        events.append(Event(EventType.DUPLICATE_PAYMENT, actor, _describe(payment)))
    elif after.paid_at is not None:
        paid = {"amount_paid": str(after.amount_paid), "currency": payment.currency}
        events.append(Event(EventType.PAID, actor, paid))
    return Change(after, events)


def void(link: Link, payment_id: str, *, actor: Actor, now: datetime) -> Change | None:
    """``link`` without the payment, which stays in its list as voided; None if it was before.

    The other payments may still pay the link. Otherwise its times decide its status again; an
    e-mail that was taken back is not owed again.

    Raises:
        PaymentNotFound
    """
    payment = find(link, payment_id)
    if payment is None:
        raise PaymentNotFound
    if payment.voided_at is not None:
        return None
    voided = msgspec.structs.replace(payment, voided_at=to_utc_ms(now))
    payments = tuple(voided if each is payment else each for each in link.payments)
    after = _apply_payments(msgspec.structs.replace(link, payments=payments))
    return Change(after, [Event(EventType.PAYMENT_VOIDED, actor, _describe(payment))])


def _make_payment(link: Link, request: PaymentRequest, now: datetime) -> Payment:
    expected = link.currency or next(_currencies(link), None)
    if expected is not None and request.currency not in {None, expected}:
        raise CurrencyMismatch(expected)
    currency, paid_at = request.currency or expected, request.paid_at or now
    amount = request.amount or link.amount_due or link.payment_amount
    if amount is None:
        raise Invalid("amount", "is required, because the link has no amount")
    return Payment(
        id=request.payment_id,
        amount=parse_amount(amount, currency, "amount"),
        currency=currency,
        paid_at=paid_at,
        recorded_at=now,
        method=request.method,
        is_late=paid_at >= min(link.revoked_at or link.expires_at, link.expires_at),
    )


def _apply_payments(link: Link) -> Link:
    """``link`` as its payments leave it: paid or not. A paid one owes no e-mail."""
    settling, delivery = link.settling_payment, link.delivery
    if settling is None:
        return msgspec.structs.replace(link, paid_at=None)
    if delivery.state in {DeliveryState.SCHEDULED, DeliveryState.QUEUED}:
        delivery = msgspec.structs.replace(delivery, state=DeliveryState.NONE)
    return msgspec.structs.replace(link, paid_at=settling.paid_at, delivery=delivery)


def _currencies(link: Link) -> Iterator[str]:
    return (payment.currency for payment in link.valid_payments if payment.currency)


def _describe(payment: Payment) -> dict[str, Any]:
    """A payment in the data of an event; its amount is text, so that nobody reads a double."""
    return {
        "payment_id": payment.id,
        "amount": str(payment.amount),
        "currency": payment.currency,
    }


def _describe_due(link: Link) -> str:
    return f"{link.amount_due} {link.currency or ''}".rstrip()


def _parse_id(text: str) -> str:
    parse_line(text, "payment_id", MAX_PAYMENT_ID_CHARACTERS)
    if not text.strip("./"):  # clients and proxies resolve such paths (RFC 3986, 5.2.4)
        raise Invalid("payment_id", "must not consist of dots and slashes")
    return text


def _parse_paid_at(time: datetime, *, now: datetime) -> datetime:
    paid_at = parse_request_time(time, "paid_at")
    if paid_at > now + CLOCK_GRACE:
        raise Invalid("paid_at", "must not lie in the future")
    if paid_at < EPOCH:
        raise Invalid("paid_at", "is too far from today")
    return paid_at
