"""A language: its texts (gettext), and how it writes amounts and times (CLDR)."""

import io
import re
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any

from babel import Locale
from babel.dates import format_date, format_time, format_timedelta, get_datetime_format
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal, parse_pattern
from babel.support import NullTranslations, Translations
from jinja2 import BytecodeCache, Environment, PackageLoader, StrictUndefined, select_autoescape
from jinja2.bccache import Bucket

from service.values.locale import LANGUAGES, language_of
from service.values.money import minor_units

CATALOGUES = files("service.i18n") / "catalogues"
LETTER_BESIDE_DIGIT = re.compile(r"(?<=[^\W\d_])(?=\d)")


class Language:
    """How somebody is addressed. ``locale`` is a tag that ``parse_locale`` gave."""

    def __init__(self, locale: str) -> None:
        self.tag = locale
        self._locale = Locale.parse(locale, sep="-")
        self._times = Locale.parse(
            "en-GB" if locale == "en" else locale, sep="-"
        )  # the English of no country is not American
        self.direction = self._locale.text_direction
        self.texts = _texts(language_of(locale))

    def amount(self, amount: Decimal | None, currency: str | None) -> str:
        """``$125.50``, ``125 000,50 NGN``: as many decimals as ISO 4217 gives, where CLDR may show fewer. "" for none.

        An amount of a currency that has left ISO 4217 shows no fewer than it has.
        """
        if amount is None:
            return ""
        decimals = (max(minor_units(currency), -int(amount.as_tuple().exponent)),) * 2
        pattern = parse_pattern(self._locale.currency_formats["standard"].pattern)
        if currency is None:
            pattern = parse_pattern(self._locale.decimal_formats[None].pattern)
        pattern.frac_prec = decimals
        written: str = pattern.apply(amount, self._locale, currency=currency, currency_digits=False)
        return LETTER_BESIDE_DIGIT.sub("\u00a0", written)

    def moment(self, moment: datetime, zone: tzinfo = UTC) -> str:
        """``2 December 2026, 11:58 WAT``: a time in ``zone``, to the minute."""
        local = moment.astimezone(zone)
        return f"{self._date_and_time(local)} {_zone_name(local)}"

    def wide_moment(self, moment: datetime, zone: tzinfo) -> str:
        """As wide as ``moment`` is in any zone, by whatever name a browser calls that: ``GMT+12`` for most."""
        return f"{self._date_and_time(moment.astimezone(zone))} {self._locale.zone_formats['gmt'] % '+12'}"

    def time(self, moment: datetime, zone: tzinfo = UTC) -> str:
        """``11:58 WAT``: the time of day of a moment in ``zone``, to the minute."""
        local = moment.astimezone(zone)
        return f"{format_time(local, 'short', locale=self._times)} {_zone_name(local)}"

    def span(self, span: timedelta) -> str:
        """``3 days``, ``5 hours``, ``10 minutes``: in its largest whole unit."""
        unit = next((unit for unit, one in UNITS.items() if span >= one), "minute")
        whole = max(UNITS[unit], span // UNITS[unit] * UNITS[unit])
        return format_timedelta(whole, granularity=unit, threshold=10**6, locale=self._locale)  # type: ignore[arg-type] # a unit

    def wait(self, span: timedelta) -> str:
        """``2 hours``: as ``span``, but rounded up, for whoever waits less is refused again."""
        one = next((one for one in UNITS.values() if span >= one), UNITS["second"])
        return self.span(max(1, -(-span // one)) * one)

    def number(self, number: int) -> str:
        return format_decimal(number, locale=self._locale)

    def isolate(self, value: str) -> str:
        """``value``, as it is to stand in a sentence: apart from the direction of what is around it (UAX #9, FSI and PDI)."""
        return f"\u2068{value}\u2069" if self.direction == "rtl" else value

    def name(self) -> str:
        """What the language calls itself."""
        return str(self._locale.get_display_name())

    def _date_and_time(self, local: datetime) -> str:
        date, time = (
            format_date(local, "long", self._times),
            format_time(local.replace(tzinfo=None), "short", locale=self._times),
        )
        pattern = str(get_datetime_format("medium", self._times)).replace("'", "")
        return pattern.replace("{0}", time).replace("{1}", date)


UNITS = {
    "day": timedelta(days=1),
    "hour": timedelta(hours=1),
    "minute": timedelta(minutes=1),
    "second": timedelta(seconds=1),
}


def _zone_name(local: datetime) -> str:
    """``WAT``, in every language alike; ``UTC+4`` where the time zone database has but a number."""
    name = local.tzname() or ""
    return (
        f"UTC{name[0]}{name[1:3].lstrip('0')}{name[3:] and f':{name[3:]}'}"
        if name.startswith(("+", "-"))
        else name
    )


@cache
def get_language(locale: str) -> Language:
    """The language of ``locale``, made once."""
    return Language(locale)


class Compiled(BytecodeCache):
    """Templates as Python code, compiled once for all locales: of each, that takes 20 ms for a page's four."""

    def __init__(self) -> None:
        self._code: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if code := self._code.get(bucket.key):
            bucket.bytecode_from_string(code)

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._code[bucket.key] = bucket.bytecode_to_string()


COMPILED = Compiled()


@cache
def templates(package: str, locale: str) -> Environment:
    """The templates of ``package`` in the language of ``locale``, in which they find ``_``, ``ngettext`` and ``language``."""
    environment = Environment(
        loader=PackageLoader(package),
        autoescape=select_autoescape(["html", "svg"]),
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
        bytecode_cache=COMPILED,
    )
    language = get_language(locale)
    install: Any = environment.install_gettext_translations  # type: ignore[attr-defined] # the extension's
    install(language.texts, newstyle=True)
    environment.globals["language"] = language
    return environment


@cache
def _texts(language: str) -> NullTranslations:
    """The catalogue of ``language``; English is what the code itself says."""
    if language == LANGUAGES[0]:
        return NullTranslations()
    compiled = io.BytesIO()
    with (CATALOGUES / f"{language}.po").open("rb") as file:
        write_mo(compiled, read_po(file, locale=language))
    compiled.seek(0)
    return Translations(compiled)
