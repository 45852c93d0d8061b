"""Links in the states to which payments and checkouts bring them."""

from datetime import datetime
from decimal import Decimal

import msgspec

from service.links.model import Link, Payment


def with_payments(link: Link, *amounts: str, at: datetime) -> Link:
    """``link`` with payments of these amounts, recorded at ``at``, and paid if they suffice."""
    payments = tuple(
        Payment(
            id=f"payment-{number}",
            amount=Decimal(amount),
            currency=link.currency,
            paid_at=at,
            recorded_at=at,
        )
        for number, amount in enumerate(amounts, 1)
    )
    paid = msgspec.structs.replace(link, payments=payments)
    is_paid = paid.settling_payment is not None
    return msgspec.structs.replace(paid, paid_at=at if is_paid else None)


def with_checkout_started(link: Link, at: datetime) -> Link:
    """``link`` whose customer went to the checkout at ``at``."""
    return msgspec.structs.replace(link, checkout_started_at=at)
