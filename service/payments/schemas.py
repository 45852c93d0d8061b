"""Payments on the wire: the request body and the answer, each with an example."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from service.errors import Faults
from service.http.fields import EXAMPLE_TIME, Amount, Time
from service.http.schemas import RequestBody
from service.links.link_body import EXAMPLE_LINK, LinkBody, PaymentBody, payment_fields
from service.links.model import Payment, Status
from service.links.schemas import CurrencyCode
from service.payments.model import (
    MAX_METHOD_CHARACTERS,
    MAX_PAYMENT_ID_CHARACTERS,
    PaymentRequest,
    validate_request,
)
from service.values.text import LINE_PATTERN

PaymentId = Annotated[
    str,
    Meta(
        description="Your own, or the payment provider's.",
        examples=["ch_3Q9"],
        extra_json_schema={
            "minLength": 1,
            "maxLength": MAX_PAYMENT_ID_CHARACTERS,
            "pattern": f"^(?![./]+$){LINE_PATTERN.removeprefix('^')}",
        },
    ),
]
Method = Annotated[
    str,
    Meta(
        examples=["card"],
        extra_json_schema={
            "minLength": 1,
            "maxLength": MAX_METHOD_CHARACTERS,
            "pattern": LINE_PATTERN,
        },
    ),
]


class RecordPayment(RequestBody, frozen=True, kw_only=True):
    """Money that was received. ``amount`` defaults to what is due, ``paid_at`` to now."""

    payment_id: PaymentId
    amount: Amount | None = None
    currency: CurrencyCode | None = None
    paid_at: Time | None = None
    method: Method | None = None

    def parse(self, now: datetime, faults: Faults | None = None) -> PaymentRequest:
        """The request, with the values checked that do not depend on the link."""
        request = PaymentRequest(**msgspec.structs.asdict(self))
        return validate_request(request, now=now, faults=faults)


class RecordedPayment(PaymentBody, frozen=True, kw_only=True):
    """A payment, and its link as it is now."""

    link: LinkBody


def recorded_payment(payment: Payment, link: LinkBody, *, is_duplicate: bool) -> RecordedPayment:
    """``payment`` beside its ``link``."""
    return RecordedPayment(**payment_fields(payment, is_duplicate=is_duplicate), link=link)


_EXAMPLE_PAYMENT = PaymentBody(
    payment_id="ch_3Q9",
    amount=Decimal("125000.50"),
    currency="NGN",
    paid_at=EXAMPLE_TIME,
    recorded_at="2026-12-01T09:00:02.000Z",
    method="card",
    late=False,
    duplicate=False,
    voided_at=None,
)
EXAMPLES: tuple[Struct, ...] = (
    RecordPayment(payment_id="ch_3Q9", amount=Amount("125000.50"), currency="NGN", method="card"),
    RecordedPayment(
        **msgspec.structs.asdict(_EXAMPLE_PAYMENT),
        link=msgspec.structs.replace(
            EXAMPLE_LINK,
            status=Status.PAID,
            amount_paid=Decimal("125000.50"),
            amount_due=Decimal(0),
            paid_at=EXAMPLE_TIME,
            payments=[_EXAMPLE_PAYMENT],
        ),
    ),
)
