"""Amounts, as exact decimals, and currencies (ISO 4217)."""

from decimal import Decimal
from functools import cache

from iso4217 import Currency

from service.errors import Invalid

MAX_AMOUNT = Decimal(10) ** 12
MIN_AMOUNT = Decimal(10) ** -4
"""The smallest unit of any currency (CLF, UYW)."""


def parse_currency(text: str) -> str:
    """``text`` as an ISO 4217 code in capitals.

    Raises:
        Invalid: it is not the code of a currency with a minor unit.
    """
    code = text.upper()
    if code not in minor_units_by_currency():
        raise Invalid("currency", "must be an ISO 4217 code, such as NGN or USD")
    return code


def minor_units(currency: str | None) -> int:
    """The number of decimals that amounts have: 2 for USD, 0 for JPY, 3 for KWD.

    It is 2 without a currency, and for one that has left ISO 4217.
    """
    return minor_units_by_currency().get(currency or "", 2)


def parse_amount(amount: Decimal, currency: str | None, field: str = "payment_amount") -> Decimal:
    """``amount`` without an exponent, and without zeros that exceed the currency's decimals.

    ``1000.0`` JPY becomes ``1000``. ``field`` is the one that errors name.

    Raises:
        Invalid: ``check_range`` refuses it, or it has too many decimals.
    """
    check_range(amount, field)  # first: writing out 1e999999 would take all memory
    allowed = minor_units(currency)
    whole, _, decimals = f"{amount:f}".partition(".")
    if decimals[allowed:].strip("0"):
        few = f"no more than {allowed}" if allowed else "no"
        where = f" in {currency}" if currency else ""
        raise Invalid(field, f"must have {few} decimals{where}")
    return Decimal(f"{whole}.{decimals[:allowed]}" if decimals[:allowed] else whole)


def check_range(amount: Decimal, field: str = "payment_amount") -> Decimal:
    """``amount`` unchanged. ``field`` is the one that errors name.

    Raises:
        Invalid: it is not finite, not positive, or too large, in whatever currency.
    """
    if not amount.is_finite() or not MIN_AMOUNT <= amount < MAX_AMOUNT:
        raise Invalid(field, f"must be above 0 and below {MAX_AMOUNT:f}")
    return amount


@cache
def minor_units_by_currency() -> dict[str, int]:
    """The decimals of each currency. Gold, bonds and codes for tests have no minor unit."""
    return {
        currency.code: currency.exponent for currency in Currency if currency.exponent is not None
    }
