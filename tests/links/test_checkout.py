"""The address of the checkout, with what the link holds filled in."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from service.links.checkout import fill_checkout_url
from tests.support.factories import make_link
from tests.support.link_states import with_payments

NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)
ALL = "https://shop.example/{transaction_id}?a={amount}&c={currency}&t={transaction_id}"
FULL: dict[str, Any] = {
    "payment_amount": Decimal("125000.50"),
    "currency": "NGN",
    "transaction_id": "INV-7",
}


@pytest.mark.parametrize(
    ("fields", "filled"),
    [
        (FULL, "https://shop.example/INV-7?a=125000.50&c=NGN&t=INV-7"),
        ({}, "https://shop.example/?a=&c=&t="),
        (
            {"transaction_id": "a b/c?d&e=é#{amount}%"},
            "https://shop.example/{0}?a=&c=&t={0}".format(
                "a%20b%2Fc%3Fd%26e%3D%C3%A9%23%7Bamount%7D%25"
            ),
        ),
        (
            {"payment_amount": Decimal("1E+3"), "currency": "JPY"},
            "https://shop.example/?a=1000&c=JPY&t=",
        ),
        (
            {"payment_amount": Decimal("999999999999.9999"), "currency": "CLF"},
            "https://shop.example/?a=999999999999.9999&c=CLF&t=",
        ),
    ],
    ids=["all", "none", "reserved characters", "no exponent", "every digit"],
)
def test_each_value_is_filled_in_percent_encoded(fields: dict[str, Any], filled: str) -> None:
    assert fill_checkout_url(ALL, make_link(NOW, **fields)) == filled


def test_the_id_is_filled_in_wherever_it_stands() -> None:
    link = make_link(NOW)
    assert fill_checkout_url("https://x/{link_id}#{link_id}", link) == (
        f"https://x/{link.id}#{link.id}"
    )


@pytest.mark.parametrize(
    ("paid", "due"), [(["50000"], "75000.50"), (["0.01", "0.02"], "125000.47")]
)
def test_the_amount_is_what_is_due(paid: list[str], due: str) -> None:
    link = with_payments(make_link(NOW, **FULL), *paid, at=NOW)
    assert fill_checkout_url("{amount}", link) == due


def test_a_reference_of_a_currency_no_longer_in_use_is_passed_on_as_it_is() -> None:
    link = msgspec.structs.replace(make_link(NOW, **FULL), currency="ZZZ")
    assert fill_checkout_url("{currency}", link) == "ZZZ"
