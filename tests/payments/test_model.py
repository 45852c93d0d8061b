"""Which payments pay a link, and which are late, duplicate or refused."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from service.errors import (
    CurrencyMismatch,
    Invalid,
    PartialNotAccepted,
    PaymentConflict,
    PaymentNotFound,
    PaymentVoided,
)
from service.links.model import Delivery, DeliveryState, Link, Status
from service.payments import model
from service.payments.model import PaymentRequest, validate_request
from service.storage.event_log import Actor
from tests.support.factories import MILLISECOND, make_link

NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
ADA = Actor("ada")


def link_of(amount: str | None = None, currency: str | None = None, **fields: Any) -> Link:
    return make_link(
        NOW,
        payment_amount=None if amount is None else Decimal(amount),
        currency=currency,
        **fields,
    )


def recorded(link: Link, payment_id: str = "ch_1", *, now: datetime = NOW, **fields: Any) -> Link:
    """``link`` with one payment more."""
    request = PaymentRequest(payment_id=payment_id, **fields)
    return model.record(link, request, actor=ADA, now=now).link


def voided(link: Link, payment_id: str = "ch_1", now: datetime = NOW) -> Link:
    change = model.void(link, payment_id, actor=ADA, now=now)
    assert change is not None
    return change.link


def with_payments(link: Link, amounts: Sequence[str]) -> Link:
    for number, amount in enumerate(amounts):
        link = recorded(link, f"ch_{number}", amount=Decimal(amount))
    return link


@pytest.mark.parametrize(
    ("due", "amounts", "paid", "left", "status"),
    [
        ("10.00", ["10.00"], "10.00", "0", Status.PAID),
        ("10.00", ["10"], "10", "0", Status.PAID),
        ("10.00", ["9.99"], "9.99", "0.01", Status.ACTIVE),
        ("0.30", ["0.10", "0.20"], "0.30", "0", Status.PAID),
        ("0.30", ["0.1"] * 3, "0.3", "0", Status.PAID),
        ("1.00", ["0.01"] * 99, "0.99", "0.01", Status.ACTIVE),
        ("1.00", ["0.01"] * 100, "1.00", "0", Status.PAID),
        ("10.00", ["99.99"], "99.99", "0", Status.PAID),
        ("999999999999.99", ["999999999999.98", "0.01"], "999999999999.99", "0", Status.PAID),
        ("999999999999.99", ["999999999999.98"], "999999999999.98", "0.01", Status.ACTIVE),
        ("0.01", ["999999999999.99"] * 3, "2999999999999.97", "0", Status.PAID),
    ],
)
def test_a_sum_is_exact(due: str, amounts: list[str], paid: str, left: str, status: Status) -> None:
    link = with_payments(link_of(due, "USD", accept_partial=True), amounts)
    assert (link.amount_paid, link.amount_due) == (Decimal(paid), Decimal(left))
    assert link.status(NOW) is status


@pytest.mark.parametrize(
    ("currency", "amount"), [("KWD", "0.001"), ("CLF", "0.0001"), ("JPY", "1"), (None, "0.01")]
)
def test_the_smallest_unit_of_a_currency_pays_the_rest(currency: str | None, amount: str) -> None:
    unit = Decimal(amount)
    link = link_of(str(1000 + unit), currency, accept_partial=True)
    link = recorded(link, amount=Decimal(1000))
    assert (link.paid_at, link.amount_due) == (None, unit)
    assert recorded(link, "ch_2", amount=unit).paid_at == NOW


@pytest.mark.parametrize(
    ("currency", "amount"), [("USD", "1.001"), ("JPY", "1.5"), ("KWD", "1.0001"), (None, "1.001")]
)
def test_an_amount_has_the_decimals_of_its_currency(currency: str | None, amount: str) -> None:
    with pytest.raises(Invalid, match="decimals") as error:
        recorded(link_of("1", currency, accept_partial=True), amount=Decimal(amount))
    assert error.value.field == "amount"


def test_zeros_beyond_the_currencys_decimals_are_dropped() -> None:
    link = recorded(link_of("1000", "JPY"), amount=Decimal("1000.00"))
    assert str(link.payments[0].amount) == "1000"


def test_without_an_amount_all_that_is_due_is_paid() -> None:
    link = recorded(link_of("10.00", "USD", accept_partial=True), amount=Decimal("9.99"))
    assert recorded(link, "ch_2").payments[1].amount == Decimal("0.01")


def test_less_than_what_is_due_is_refused_where_partial_payments_are_not_accepted() -> None:
    with pytest.raises(PartialNotAccepted, match=r"10\.00 USD") as error:
        recorded(link_of("10.00", "USD"), amount=Decimal("9.99"))
    assert error.value.field == "amount"


@pytest.mark.parametrize("amount", ["0.01", "1000000"])
def test_any_payment_pays_a_link_without_an_amount(amount: str) -> None:
    link = recorded(link_of(), amount=Decimal(amount))
    assert (link.status(NOW), link.amount_paid, link.amount_due) == (
        Status.PAID,
        Decimal(amount),
        None,
    )


def test_a_link_without_an_amount_needs_one() -> None:
    with pytest.raises(Invalid, match="required") as error:
        recorded(link_of())
    assert error.value.field == "amount"


@pytest.mark.parametrize(
    ("of_link", "earlier", "sent", "stored"),
    [
        ("USD", None, None, "USD"),
        ("USD", None, "USD", "USD"),
        (None, None, None, None),
        (None, None, "EUR", "EUR"),
        (None, "EUR", None, "EUR"),
        (None, "EUR", "EUR", "EUR"),
    ],
)
def test_a_payment_is_in_the_currency_of_the_link_or_of_earlier_ones(
    of_link: str | None, earlier: str | None, sent: str | None, stored: str | None
) -> None:
    link = link_of("10.00", of_link, accept_partial=True)
    if earlier:
        link = recorded(link, amount=Decimal(1), currency=earlier)
    link = recorded(link, "ch_2", amount=Decimal(1), currency=sent)
    assert link.payments[-1].currency == stored


@pytest.mark.parametrize(("of_link", "earlier"), [("USD", None), (None, "USD")])
def test_another_currency_is_refused(of_link: str | None, earlier: str | None) -> None:
    link = link_of("10.00", of_link, accept_partial=True)
    if earlier:
        link = recorded(link, amount=Decimal(1), currency=earlier)
    with pytest.raises(CurrencyMismatch, match="USD"):
        recorded(link, "ch_2", amount=Decimal(1), currency="EUR")


def test_a_voided_payment_no_longer_decides_the_currency() -> None:
    link = voided(recorded(link_of("10.00", accept_partial=True), currency="USD"))
    assert recorded(link, "ch_2", currency="EUR").payments[-1].currency == "EUR"


@pytest.mark.parametrize(
    ("early", "late"), [(MILLISECOND, False), (timedelta(0), True), (-HOUR, True)]
)
@pytest.mark.parametrize("end", ["expired", "revoked"])
def test_a_payment_is_late_once_its_link_has_ended(end: str, early: timedelta, late: bool) -> None:
    link = link_of("10.00", "USD")
    ended_at = link.expires_at if end == "expired" else NOW + HOUR
    if end == "revoked":
        link = msgspec.structs.replace(link, revoked_at=ended_at)
    now = ended_at + 2 * HOUR
    link = recorded(link, paid_at=ended_at - early, now=now)
    assert link.payments[0].is_late is late
    assert (link.status(now), link.paid_at) == (Status.PAID, ended_at - early)


def test_less_than_what_is_due_is_refused_after_the_end_too() -> None:
    link = link_of("10.00", "USD")
    with pytest.raises(PartialNotAccepted):
        recorded(link, amount=Decimal("9.99"), now=link.expires_at + HOUR)


def test_a_late_part_of_what_is_due_leaves_the_link_ended() -> None:
    link = link_of("10.00", "USD", accept_partial=True)
    now = link.expires_at + HOUR
    link = recorded(link, amount=Decimal("9.99"), now=now)
    assert (link.payments[0].is_late, link.status(now)) == (True, Status.EXPIRED)


@pytest.mark.parametrize("amount", [None, "0.01", "10.00", "99"])
def test_money_for_a_paid_link_is_a_duplicate_whatever_the_amount(amount: str | None) -> None:
    link = recorded(link_of("10.00", "USD"))
    sent = None if amount is None else Decimal(amount)
    after = recorded(link, "ch_2", now=NOW + HOUR, amount=sent)
    assert after.duplicate_ids == {"ch_2"}
    assert after.payments[1].amount == Decimal(amount or "10.00")
    assert after.paid_at == link.paid_at


def test_payments_before_the_one_that_pays_are_no_duplicates() -> None:
    link = with_payments(link_of("3", "USD", accept_partial=True), ["1", "1", "1", "1", "5"])
    assert link.duplicate_ids == {"ch_3", "ch_4"}


def test_of_a_paid_link_the_time_is_that_of_the_payment_which_paid_it() -> None:
    link = recorded(link_of("3", "USD", accept_partial=True), amount=Decimal(1))
    link = recorded(link, "ch_2", amount=Decimal(2), paid_at=NOW - HOUR, now=NOW + HOUR)
    assert (link.paid_at, link.settled_at) == (NOW - HOUR, NOW + HOUR)


@pytest.mark.parametrize("state", [DeliveryState.QUEUED, DeliveryState.SCHEDULED])
def test_a_paid_link_owes_no_mail(state: DeliveryState) -> None:
    link = msgspec.structs.replace(link_of("3", "USD"), delivery=Delivery(state, attempts=1))
    assert recorded(link).delivery == Delivery(DeliveryState.NONE, attempts=1, sends=1)


@pytest.mark.parametrize("state", [DeliveryState.SENT, DeliveryState.FAILED, DeliveryState.NONE])
def test_what_became_of_a_mail_stays(state: DeliveryState) -> None:
    link = msgspec.structs.replace(link_of("3", "USD"), delivery=Delivery(state))
    assert recorded(link).delivery.state is state


def test_a_link_that_is_paid_in_part_still_owes_its_mail() -> None:
    link = recorded(link_of("3", "USD", accept_partial=True), amount=Decimal(1))
    assert link.delivery.state is DeliveryState.QUEUED


class TestAgain:
    @pytest.mark.parametrize(
        ("amount", "currency"),
        [(None, None), ("10.00", None), ("10", None), ("10.000", "USD"), (None, "USD")],
    )
    def test_the_same_payment_is_found(self, amount: str | None, currency: str | None) -> None:
        link = recorded(link_of("10.00", "USD"))
        sent = None if amount is None else Decimal(amount)
        request = PaymentRequest(payment_id="ch_1", amount=sent, currency=currency)
        assert model.find_recorded(link, request) == link.payments[0]

    @pytest.mark.parametrize(
        ("amount", "currency"), [("9.99", None), ("10.001", None), (None, "EUR")]
    )
    def test_another_amount_or_currency_is_a_conflict(
        self, amount: str | None, currency: str | None
    ) -> None:
        link = recorded(link_of("10.00", "USD"))
        sent = None if amount is None else Decimal(amount)
        with pytest.raises(PaymentConflict):
            model.find_recorded(
                link, PaymentRequest(payment_id="ch_1", amount=sent, currency=currency)
            )

    def test_a_voided_payment_is_not_recorded_again(self) -> None:
        link = voided(recorded(link_of("10.00", "USD")))
        with pytest.raises(PaymentVoided):
            model.find_recorded(link, PaymentRequest(payment_id="ch_1"))

    def test_ids_are_compared_as_they_are(self) -> None:
        link = recorded(link_of("10.00", "USD"))
        assert model.find_recorded(link, PaymentRequest(payment_id="CH_1")) is None


class TestVoid:
    def test_a_link_that_is_not_paid_any_more_is_what_its_times_say(self) -> None:
        link = voided(recorded(link_of("10.00", "USD")))
        assert (link.paid_at, link.amount_paid, link.amount_due) == (
            None,
            Decimal(0),
            Decimal("10.00"),
        )
        assert [link.status(at) for at in (NOW, link.expires_at)] == [
            Status.ACTIVE,
            Status.EXPIRED,
        ]

    def test_a_revoked_link_that_was_paid_late_is_revoked_again(self) -> None:
        link = msgspec.structs.replace(link_of("10.00", "USD"), revoked_at=NOW)
        assert voided(recorded(link)).status(NOW) is Status.REVOKED

    def test_its_mail_stays_taken_back(self) -> None:
        assert voided(recorded(link_of("10.00", "USD"))).delivery == Delivery(
            DeliveryState.NONE, sends=1
        )

    def test_a_duplicate_takes_its_place(self) -> None:
        link = recorded(recorded(link_of("10.00", "USD")), "ch_2", paid_at=NOW - HOUR)
        link = voided(link)
        assert (link.paid_at, link.duplicate_ids) == (NOW - HOUR, set())

    def test_a_duplicate_of_less_does_not_pay(self) -> None:
        link = recorded(recorded(link_of("10.00", "USD")), "ch_2", amount=Decimal(4))
        link = voided(link)
        assert (link.paid_at, link.amount_due) == (None, Decimal("6.00"))
        assert recorded(link, "ch_3", amount=Decimal(6)).paid_at == NOW

    def test_it_is_voided_once(self) -> None:
        link = voided(recorded(link_of("10.00", "USD")))
        assert model.void(link, "ch_1", actor=ADA, now=NOW + HOUR) is None
        assert link.payments[0].voided_at == NOW

    def test_an_unknown_payment_is_not_found(self) -> None:
        with pytest.raises(PaymentNotFound):
            voided(recorded(link_of("10.00", "USD")), "ch_2")


class TestValidation:
    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"payment_id": ""}, "payment_id"),
            ({"payment_id": " "}, "payment_id"),
            ({"payment_id": "x" * 129}, "payment_id"),
            ({"payment_id": "a\nb"}, "payment_id"),
            *(({"payment_id": text}, "payment_id") for text in (".", "..", "/", "./..", "//")),
            *(({"amount": Decimal(text)}, "amount") for text in ("0", "-1", "1e12", "NaN", "1e-9")),
            ({"currency": "XXX"}, "currency"),
            ({"method": "x" * 33}, "method"),
            ({"method": ""}, "method"),
            ({"method": "\u202ecard"}, "method"),
            ({"paid_at": NOW + timedelta(seconds=60, milliseconds=1)}, "paid_at"),
            ({"paid_at": datetime(1, 1, 1, tzinfo=UTC)}, "paid_at"),
        ],
    )
    def test_a_value_that_breaks_its_rule_is_named(
        self, fields: dict[str, Any], field: str
    ) -> None:
        with pytest.raises(Invalid) as error:
            validate_request(PaymentRequest(**{"payment_id": "ch_1"} | fields), now=NOW)
        assert [fault.field for fault in error.value.faults] == [field]

    @pytest.mark.parametrize(
        "fields",
        [
            {"payment_id": "x" * 128},
            {"payment_id": "ch/1"},
            {"payment_id": "n°\u00a012 👩\u200d🍳"},
            {"amount": Decimal("0.0001")},
            {"amount": Decimal("999999999999.99")},
            {"method": "x" * 32},
            {"paid_at": NOW + timedelta(seconds=60)},
            {"paid_at": datetime(1970, 1, 1, tzinfo=UTC)},
        ],
    )
    def test_a_value_at_its_limit_is_taken(self, fields: dict[str, Any]) -> None:
        request = PaymentRequest(**{"payment_id": "ch_1"} | fields)
        assert validate_request(request, now=NOW) == request

    def test_all_faults_are_named_together(self) -> None:
        request = PaymentRequest(payment_id="", amount=Decimal(0), currency="?", method="")
        with pytest.raises(Invalid) as error:
            validate_request(request, now=NOW)
        assert [fault.field for fault in error.value.faults] == [
            "payment_id",
            "amount",
            "method",
            "currency",
        ]
