"""Amounts and currencies (ISO 4217), in exact decimals."""

from decimal import Decimal
from functools import cache

from iso4217 import Currency

from service.errors import Invalid

MAX_AMOUNT = Decimal(10) ** 12
MIN_AMOUNT = Decimal(10) ** -4
"""Of the smallest unit there is (CLF, UYW): no amount is written out before it is known to have a bearable length."""
DECIMALS_WITHOUT_CURRENCY = 2


def parse_currency(text: str) -> str:
    """``text`` as an ISO 4217 code in capitals.

    Raises:
        Invalid: it is none that money is counted in.
    """
    code = text.upper()
    if code not in currencies():
        raise Invalid("currency", "must be an ISO 4217 code, such as NGN or USD")
    return code


def minor_units(currency: str | None) -> int:
    """How many decimals amounts have: 2 for USD, 0 for JPY, 3 for KWD; 2 without a currency, or with one that ISO 4217 dropped."""
    return currencies().get(currency or "", DECIMALS_WITHOUT_CURRENCY)


def parse_amount(amount: Decimal, currency: str | None) -> Decimal:
    """``amount`` without an exponent and without zeros beyond the currency's smallest unit (``1000.0`` JPY is ``1000``).

    Raises:
        Invalid: it is not finite, not above zero, too large, or finer than that unit.
    """
    check_range(amount)
    allowed = minor_units(currency)
    whole, _, decimals = f"{amount:f}".partition(".")
    if decimals[allowed:].strip("0"):
        few = f"no more than {allowed}" if allowed else "no"
        raise Invalid(
            "payment_amount", f"must have {few} decimals" + (f" in {currency}" if currency else "")
        )
    return Decimal(f"{whole}.{decimals[:allowed]}" if decimals[:allowed] else whole)


def check_range(amount: Decimal) -> Decimal:
    """``amount``, whatever its currency.

    Raises:
        Invalid: it is not finite, not above zero, or too large.
    """
    if not amount.is_finite() or not MIN_AMOUNT <= amount < MAX_AMOUNT:
        raise Invalid("payment_amount", f"must be above 0 and below {MAX_AMOUNT:f}")
    return amount


@cache
def currencies() -> dict[str, int]:
    """The decimals of each currency that has a minor unit; gold, bonds and testing codes have none."""
    return {
        currency.code: currency.exponent for currency in Currency if currency.exponent is not None
    }
