"""Formats of amounts and times for a locale (CLDR), and messages in its language (gettext)."""

import io
import re
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from babel import Locale
from babel.dates import format_date, format_time, format_timedelta, get_datetime_format
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal, parse_pattern
from babel.support import NullTranslations, Translations
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from service.values.languages import LANGUAGES, language_of
from service.values.money import minor_units

CATALOGS = files("service.i18n") / "catalogs"
Unit = Literal["day", "hour", "minute", "second"]
UNITS: dict[Unit, timedelta] = {
    "day": timedelta(days=1),
    "hour": timedelta(hours=1),
    "minute": timedelta(minutes=1),
    "second": timedelta(seconds=1),
}
_BETWEEN_LETTER_AND_DIGIT = re.compile(r"(?<=[^\W\d_])(?=\d)")


class LocaleFormats:
    """Formats for ``locale``, a tag that ``parse_locale`` accepts, and messages in its language."""

    def __init__(self, locale: str) -> None:
        self.tag = locale
        self._locale = Locale.parse(locale, sep="-")
        # English without a region is written as in Britain: day before month, 24 hours.
        self._time_locale = Locale.parse("en-GB" if locale == "en" else locale, sep="-")
        self.direction = self._locale.text_direction
        self.messages = _load_messages(language_of(locale))

    @property
    def display_name(self) -> str:
        """The language's name in the language itself."""
        return str(self._locale.get_display_name())

    def format_amount(self, amount: Decimal | None, currency: str | None) -> str:
        """``$125.50``, ``125 000,50 NGN``; "" if there is no amount.

        The number of decimals is ISO 4217's, which CLDR sometimes reduces, or the amount's own if
        its currency has left ISO 4217 and it has more.
        """
        if amount is None:
            return ""
        pattern = parse_pattern(self._locale.currency_formats["standard"].pattern)
        if currency is None:
            pattern = parse_pattern(self._locale.decimal_formats[None].pattern)
        decimals = max(minor_units(currency), -int(amount.as_tuple().exponent))
        pattern.frac_prec = (decimals, decimals)
        text: str = pattern.apply(amount, self._locale, currency=currency, currency_digits=False)
        return _BETWEEN_LETTER_AND_DIGIT.sub("\u00a0", text)

    def format_datetime(self, time: datetime, zone: tzinfo = UTC) -> str:
        """``2 December 2026, 11:58 WAT``: ``time`` in ``zone``, to the minute."""
        local = time.astimezone(zone)
        return f"{self._format_local(local)} {_zone_name(local)}"

    def format_widest_datetime(self, time: datetime, zone: tzinfo) -> str:
        """As ``format_datetime``, but as wide as in any zone of the reader's browser."""
        return f"{self._format_local(time.astimezone(zone))} {self._widest_zone}"

    def format_time(self, time: datetime, zone: tzinfo = UTC) -> str:
        """``11:58 WAT``: the time of day of ``time`` in ``zone``, to the minute."""
        local = time.astimezone(zone)
        return f"{format_time(local, 'short', locale=self._time_locale)} {_zone_name(local)}"

    def format_widest_time(self, time: datetime, zone: tzinfo) -> str:
        """As ``format_time``, but as wide as in any zone of the reader's browser."""
        local = time.astimezone(zone)
        return f"{format_time(local, 'short', locale=self._time_locale)} {self._widest_zone}"

    def format_duration(self, duration: timedelta) -> str:
        """``3 days``, ``5 hours``, ``10 minutes``: rounded down to the largest whole unit."""
        longest = (unit for unit, length in UNITS.items() if duration >= length)
        unit: Unit = next(longest, "minute")
        rounded = max(UNITS[unit], duration // UNITS[unit] * UNITS[unit])
        return format_timedelta(rounded, granularity=unit, threshold=10**6, locale=self._locale)

    def format_wait(self, duration: timedelta) -> str:
        """As ``format_duration``, but rounded up: a shorter wait would be in vain."""
        unit = next((length for length in UNITS.values() if duration >= length), UNITS["second"])
        return self.format_duration(max(1, -(-duration // unit)) * unit)

    def format_number(self, number: int) -> str:
        return format_decimal(number, locale=self._locale)

    def isolate(self, value: str) -> str:
        """``value``, isolated from a text that runs from right to left (UAX #9: FSI, PDI)."""
        return f"\u2068{value}\u2069" if self.direction == "rtl" else value

    @property
    def _widest_zone(self) -> str:
        """The widest name that browsers give to most zones: ``GMT+12``."""
        return str(self._locale.zone_formats["gmt"] % "+12")

    def _format_local(self, local: datetime) -> str:
        date = format_date(local, "long", self._time_locale)
        time = format_time(local.replace(tzinfo=None), "short", locale=self._time_locale)
        pattern = str(get_datetime_format("medium", self._time_locale)).replace("'", "")
        return pattern.replace("{0}", time).replace("{1}", date)


get_formats = cache(LocaleFormats)


@cache
def get_templates(package: str, language: str = LANGUAGES[0]) -> Environment:
    """The templates of ``package``, with messages in ``language``, compiled once for its locales.

    Compiling the four of a page takes 20 ms.
    """
    environment = Environment(
        loader=PackageLoader(package),
        autoescape=select_autoescape(["html", "svg"]),
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    extended: Any = environment  # by the i18n extension, with methods that have no types
    extended.install_gettext_translations(_load_messages(language), newstyle=True)
    return environment


@cache
def _load_messages(language: str) -> NullTranslations:
    """The catalog of ``language``; English messages are their own keys."""
    if language == LANGUAGES[0]:
        return NullTranslations()
    compiled = io.BytesIO()
    with (CATALOGS / f"{language}.po").open("rb") as file:
        write_mo(compiled, read_po(file, locale=language))
    compiled.seek(0)
    return Translations(compiled)


def _zone_name(local: datetime) -> str:
    """``WAT`` in every language; ``UTC+4`` where the time zone database has only an offset."""
    name = local.tzname() or ""
    if not name.startswith(("+", "-")):
        return name
    sign, hours, minutes = name[0], name[1:3].lstrip("0"), name[3:]
    return f"UTC{sign}{hours}" + (f":{minutes}" if minutes else "")
