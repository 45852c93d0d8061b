"""Every field of a link: as it is stored, and as it is shown."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from service.http.schemas import ENCODER
from service.links.link_body import link_body
from service.links.model import Delivery, DeliveryState, Link, Payment
from service.links.redis_hash import by_name, decode, decode_list, encode
from service.values.reminders import Reminder
from service.values.time import format_time

NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)
PAYMENT = Payment(
    id="pay_1",
    amount=Decimal("20.00"),
    currency="EUR",
    paid_at=NOW + timedelta(hours=10),
    recorded_at=NOW + timedelta(hours=11),
    method="card",
    is_late=True,
    voided_at=NOW + timedelta(hours=12),
)
LINK = Link(
    id="pl_3fUgF8kQ2mZpR7sT1vXyW4aB",
    org_id="acme",
    email="jane@example.com",
    created_at=NOW,
    expires_at=NOW + timedelta(hours=1),
    delivery=Delivery(
        state=DeliveryState.FAILED,
        attempts=3,
        sent_at=NOW + timedelta(hours=2),
        error="550 no such user",
        sends=4,
        unconfirmed=5,
        first_sent_at=NOW + timedelta(hours=3),
        is_doubtful=True,
    ),
    transaction_id="order-1",
    payment_amount=Decimal("100.00"),
    currency="EUR",
    otp_required=True,
    scheduled_at=NOW + timedelta(hours=4),
    revoked_at=NOW + timedelta(hours=5),
    locale="de",
    description="Office cleaning",
    metadata={"invoice": "1"},
    created_by="clerk@acme.example.com",
    accept_partial=True,
    payments=(PAYMENT,),
    paid_at=NOW + timedelta(hours=6),
    supersedes="pl_3fold",
    superseded_by="pl_3fnew",
    reminders=(Reminder(before_expiry="24h"),),
    reminded_at=NOW + timedelta(hours=7),
    reminders_stopped_at=NOW + timedelta(hours=8),
    checkout_started_at=NOW + timedelta(hours=9),
    version=6,
)


def test_every_field_is_read_as_it_was_written() -> None:
    for record in (LINK, LINK.delivery, PAYMENT):
        fields: Any = msgspec.structs.fields(record)
        assert [each.name for each in fields if getattr(record, each.name) == each.default] == []
    assert decode(LINK.id, by_name(encode(LINK))) == LINK
    assert decode_list(LINK.id, encode(LINK)) == LINK


def test_a_field_without_a_value_is_absent() -> None:
    link = Link(
        id="pl_1",
        org_id="acme",
        email="jane@example.com",
        created_at=NOW,
        expires_at=NOW + timedelta(hours=1),
        delivery=Delivery(DeliveryState.QUEUED),
    )
    assert set(by_name(encode(link))) == {"org", "email", "created", "expires", "state", "attempts"}
    assert decode_list(link.id, encode(link)) == link


def test_every_field_is_shown_under_its_name() -> None:
    body = link_body(LINK, now=NOW, public_url="https://pay.example.com", for_admin=True)
    assert _decode(body) == {
        "id": LINK.id,
        "url": f"https://pay.example.com/pay/{LINK.id}",
        "org_id": "acme",
        "email": "jane@example.com",
        "transaction_id": "order-1",
        "description": "Office cleaning",
        "payment_amount": 100,
        "currency": "EUR",
        "accept_partial": True,
        "amount_paid": 0,
        "amount_due": 100,
        "status": "paid",
        "otp_required": True,
        "locale": "de",
        "scheduled_at": _after(hours=4),
        "created_at": _after(hours=0),
        "expires_at": _after(hours=1),
        "revoked_at": _after(hours=5),
        "paid_at": _after(hours=6),
        "checkout_started_at": _after(hours=9),
        "version": 6,
        "delivery": {
            "state": "failed",
            "attempts": 3,
            "sends": 4,
            "sent_at": _after(hours=2),
            "error": "550 no such user",
        },
        "supersedes": "pl_3fold",
        "superseded_by": "pl_3fnew",
        "metadata": {"invoice": "1"},
        "payments": [
            {
                "payment_id": "pay_1",
                "amount": 20,
                "currency": "EUR",
                "paid_at": _after(hours=10),
                "recorded_at": _after(hours=11),
                "method": "card",
                "late": True,
                "duplicate": False,
                "voided_at": _after(hours=12),
            }
        ],
        "reminders": [{"before_expiry": "24h"}],
    }


def test_what_is_for_admins_only_is_left_out_for_others() -> None:
    shown = link_body(LINK, now=NOW, public_url="https://pay.example.com", for_admin=False)
    everything = link_body(LINK, now=NOW, public_url="https://pay.example.com", for_admin=True)
    public, private = (set(_decode(body)) for body in (shown, everything))
    assert private - public == {
        "supersedes",
        "superseded_by",
        "metadata",
        "payments",
        "reminders",
    }
    assert "error" not in _decode(shown)["delivery"]


def _decode(body: msgspec.Struct) -> Any:
    return msgspec.json.decode(ENCODER.encode(body))


def _after(*, hours: int) -> str:
    return format_time(NOW + timedelta(hours=hours))
