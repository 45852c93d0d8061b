"""Amounts are exact, and no finer than their currency; refusing one costs nothing."""

import tracemalloc
from decimal import Decimal

import pytest

from service.errors import Invalid
from service.values.money import minor_units, parse_amount, parse_currency


class TestCurrency:
    @pytest.mark.parametrize("text", ["NGN", "ngn", "Usd", "kwd", "JPY", "IQD"])
    def test_a_currency_is_an_iso_4217_code_in_any_case(self, text: str) -> None:
        assert parse_currency(text) == text.upper()

    @pytest.mark.parametrize(
        "text",
        ["", "ZZZ", "US", "USDD", " USD", "$", "XAU", "XXX", "XTS", "ﬁm", "USD\n"],
        ids=[
            "empty",
            "unknown",
            "short",
            "long",
            "space",
            "symbol",
            "gold",
            "no currency",
            "testing",
            "ligature",
            "newline",
        ],
    )
    def test_another_code_is_refused_by_name_of_the_field(self, text: str) -> None:
        with pytest.raises(Invalid, match="ISO 4217") as refusal:
            parse_currency(text)
        assert refusal.value.field == "currency"

    @pytest.mark.parametrize(
        ("currency", "decimals"),
        [
            (None, 2),
            ("USD", 2),
            ("NGN", 2),
            ("JPY", 0),
            ("KRW", 0),
            ("KWD", 3),
            ("IQD", 3),
            ("CLF", 4),
        ],
    )
    def test_iso_4217_says_how_many_decimals_a_currency_has(
        self, currency: str | None, decimals: int
    ) -> None:
        assert minor_units(currency) == decimals

    def test_a_currency_that_left_iso_4217_has_two(self) -> None:
        assert minor_units("ZZZ") == 2


class TestAmount:
    @pytest.mark.parametrize(
        ("amount", "currency", "expected"),
        [
            ("1", None, "1"),
            ("0.01", None, "0.01"),
            ("125000.50", "NGN", "125000.50"),
            ("12.5", "USD", "12.5"),
            ("12.500", "USD", "12.50"),
            ("12.00000000", None, "12.00"),
            ("1000.0", "JPY", "1000"),
            ("1000.", "JPY", "1000"),
            ("0.001", "KWD", "0.001"),
            ("1.2500", "KWD", "1.250"),
            ("0.0001", "CLF", "0.0001"),
            ("1e3", "JPY", "1000"),
            ("1E+11", None, "100000000000"),
            ("1.5e1", "USD", "15"),
            ("1500e-2", "JPY", "15"),
            ("1e-2", "USD", "0.01"),
            ("999999999999.99", "USD", "999999999999.99"),
            ("0" * 50 + "7", "USD", "7"),
            ("7." + "0" * 5000, "USD", "7.00"),
        ],
        ids=[
            "whole",
            "a cent",
            "two decimals",
            "one decimal",
            "zero beyond the cent",
            "many zeros",
            "yen with a zero",
            "yen with a point",
            "a fils",
            "zero beyond the fils",
            "four decimals",
            "exponent",
            "large exponent",
            "exponent and decimals",
            "negative exponent",
            "a cent by exponent",
            "largest",
            "leading zeros",
            "thousands of zeros",
        ],
    )
    def test_an_amount_is_kept_digit_for_digit(
        self, amount: str, currency: str | None, expected: str
    ) -> None:
        assert str(parse_amount(Decimal(amount), currency)) == expected

    @pytest.mark.parametrize(
        ("amount", "currency"),
        [
            ("0.001", None),
            ("0.001", "USD"),
            ("1.005", "NGN"),
            ("1000.5", "JPY"),
            ("0.1", "JPY"),
            ("0.0001", "KWD"),
            ("1.00001", "CLF"),
            ("1e-3", "USD"),
            ("7." + "0" * 5000 + "1", "USD"),
        ],
        ids=[
            "no currency",
            "USD",
            "NGN",
            "JPY",
            "a tenth of a yen",
            "KWD",
            "CLF",
            "by exponent",
            "far behind",
        ],
    )
    def test_an_amount_finer_than_its_currency_is_refused_not_rounded(
        self, amount: str, currency: str | None
    ) -> None:
        with pytest.raises(Invalid, match="decimals") as refusal:
            parse_amount(Decimal(amount), currency)
        assert refusal.value.field == "payment_amount"

    @pytest.mark.parametrize(
        ("currency", "words"),
        [
            ("JPY", "no decimals in JPY"),
            ("KWD", "no more than 3 decimals in KWD"),
            (None, "no more than 2 decimals"),
        ],
    )
    def test_a_refusal_says_how_many_decimals_there_may_be(
        self, currency: str | None, words: str
    ) -> None:
        with pytest.raises(Invalid) as refusal:
            parse_amount(Decimal("1.2345"), currency)
        assert str(refusal.value) == f"must have {words}"

    @pytest.mark.parametrize(
        "amount",
        [
            "0",
            "-0",
            "0.00",
            "0e5",
            "0e-5",
            "-1",
            "-0.01",
            "1e12",
            "1000000000000",
            "1e400",
            "1e999999999",
            "NaN",
            "-NaN",
            "sNaN",
            "NaN123",
            "Infinity",
            "-Infinity",
            pytest.param("9" * 5000, id="5000 digits"),
        ],
    )
    def test_what_is_no_amount_is_refused(self, amount: str) -> None:
        with pytest.raises(Invalid, match="must be above 0") as refusal:
            parse_amount(Decimal(amount), "USD")
        assert refusal.value.field == "payment_amount"

    @pytest.mark.parametrize(
        "amount", ["1e-10000000", "0." + "0" * 20 + "1e-10000000"], ids=["one digit", "many digits"]
    )
    def test_a_tiny_amount_costs_nothing_to_refuse(self, amount: str) -> None:
        """``1e-9999999999`` fits into a request; written out it would fill the memory."""
        tracemalloc.start()
        try:
            with pytest.raises(Invalid):
                parse_amount(Decimal(amount), None)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert most < 1_000_000
