"""A link that nobody has to pay, to show an organization what its customers see."""

from datetime import datetime, timedelta
from decimal import Decimal

from service.links.model import Delivery, DeliveryState, Link
from service.values.ids import make_link_id

SAMPLE_LINK_LIFETIME = timedelta(hours=72)


def make_sample_link(org_id: str, now: datetime) -> Link:
    """A link with an invented amount, which is stored nowhere."""
    return Link(
        id=make_link_id(org_id, bytes(32)),
        org_id=org_id,
        email="jane@example.com",
        transaction_id="order-1138",
        payment_amount=Decimal("125000.50"),
        currency="NGN",
        created_at=now,
        expires_at=now + SAMPLE_LINK_LIFETIME,
        delivery=Delivery(DeliveryState.QUEUED),
        description="Office cleaning, November",
    )
