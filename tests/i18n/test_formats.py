"""The formats of amounts and times in each language."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from service.i18n.formats import get_formats
from service.values.languages import LANGUAGES

MOMENT = datetime(2026, 11, 26, 10, 30, tzinfo=UTC)


def plain(text: str) -> str:
    """``text`` with plain spaces, and without direction marks."""
    return (
        text.replace("\u00a0", " ")
        .replace("\u202f", " ")
        .replace("\u200f", "")
        .replace("\u200e", "")
    )


@pytest.mark.parametrize(
    ("locale", "amount", "currency", "written"),
    [
        ("en", "125000.50", "NGN", "NGN 125,000.50"),
        ("en-NG", "125000.50", "NGN", "₦125,000.50"),
        ("ha", "125000.50", "NGN", "₦ 125,000.50"),
        ("en", "125.5", "USD", "$125.50"),
        ("fr", "125000.5", "EUR", "125 000,50 €"),
        ("de", "125000.5", "EUR", "125.000,50 €"),
        ("es", "1250.5", "EUR", "1.250,50 €"),
        ("pt-BR", "125000.5", "BRL", "R$ 125.000,50"),
        ("ar", "1000", "SAR", "1,000.00 ر.س."),
        ("en", "1000", "JPY", "¥1,000"),
        ("de", "12.5", "KWD", "12,500 KWD"),
        ("en", "9.5", "IQD", "IQD 9.500"),
        ("en", "125000.5", None, "125,000.50"),
        ("en", "1000", "ZZZ", "ZZZ 1,000.00"),
        ("de", "1.125", "ZZZ", "1,125 ZZZ"),
        ("de", "1", None, "1,00"),
        ("en", "999999999999.99", "USD", "$999,999,999,999.99"),
    ],
)
def test_an_amount_is_written_as_the_currency_and_the_language_have_it(
    locale: str, amount: str, currency: str | None, written: str
) -> None:
    assert plain(get_formats(locale).format_amount(Decimal(amount), currency)) == written


def test_no_amount_is_nothing() -> None:
    assert get_formats("en").format_amount(None, "USD") == ""


@pytest.mark.parametrize(
    ("locale", "written"),
    [
        ("en", "26 November 2026, 10:30 UTC"),
        ("en-US", "November 26, 2026, 10:30 AM UTC"),
        ("en-GB", "26 November 2026, 10:30 UTC"),
        ("fr", "26 novembre 2026, 10:30 UTC"),
        ("ar", "26 نوفمبر 2026، 10:30 ص UTC"),
    ],
)
def test_a_moment_is_written_to_the_minute(locale: str, written: str) -> None:
    assert plain(get_formats(locale).format_datetime(MOMENT)) == written


@pytest.mark.parametrize(
    ("zone", "written"),
    [
        ("Africa/Lagos", "26 November 2026, 11:30 WAT"),
        ("Europe/Berlin", "26 November 2026, 11:30 CET"),
        ("Asia/Dubai", "26 November 2026, 14:30 UTC+4"),
        ("Asia/Kathmandu", "26 November 2026, 16:15 UTC+5:45"),
        ("America/Sao_Paulo", "26 November 2026, 07:30 UTC-3"),
        ("Pacific/Kiritimati", "27 November 2026, 00:30 UTC+14"),
        ("UTC", "26 November 2026, 10:30 UTC"),
    ],
)
def test_a_moment_says_its_zone(zone: str, written: str) -> None:
    assert plain(get_formats("en-GB").format_datetime(MOMENT, ZoneInfo(zone))) == written


def test_a_moment_in_summer_is_in_summer_time() -> None:
    assert (
        plain(
            get_formats("en-GB").format_datetime(MOMENT.replace(month=7), ZoneInfo("Europe/Berlin"))
        )
        == "26 July 2026, 12:30 CEST"
    )


@pytest.mark.parametrize("locale", LANGUAGES)
def test_a_zone_is_named_alike_in_every_language(locale: str) -> None:
    assert plain(get_formats(locale).format_datetime(MOMENT, ZoneInfo("Africa/Lagos"))).endswith(
        " WAT"
    )


@pytest.mark.parametrize(
    ("span", "written"),
    [
        (timedelta(days=3, hours=23), "3 days"),
        (timedelta(hours=24), "1 day"),
        (timedelta(hours=23, minutes=59), "23 hours"),
        (timedelta(minutes=10, seconds=59), "10 minutes"),
        (timedelta(seconds=42), "42 seconds"),
        (timedelta(0), "1 minute"),
    ],
)
def test_a_span_is_told_in_its_largest_whole_unit(span: timedelta, written: str) -> None:
    assert get_formats("en").format_duration(span) == written


@pytest.mark.parametrize(
    ("span", "written"),
    [
        (timedelta(hours=23, minutes=1), "1 day"),
        (timedelta(seconds=7199), "2 hours"),
        (timedelta(minutes=59, seconds=30), "1 hour"),
        (timedelta(seconds=119), "2 minutes"),
        (timedelta(minutes=1), "1 minute"),
        (timedelta(seconds=42), "42 seconds"),
        (timedelta(seconds=0.4), "1 second"),
        (timedelta(0), "1 second"),
    ],
)
def test_a_wait_is_never_told_too_short(span: timedelta, written: str) -> None:
    assert get_formats("en").format_wait(span) == written


@pytest.mark.parametrize(("language", "written"), [("en", "a@b"), ("ar", "\u2068a@b\u2069")])
def test_a_value_stands_apart_where_the_language_is_written_from_right_to_left(
    language: str, written: str
) -> None:
    assert get_formats(language).isolate("a@b") == written


def test_arabic_has_its_own_plurals_and_direction() -> None:
    arabic = get_formats("ar")
    assert [arabic.format_duration(timedelta(days=days)) for days in (1, 2, 3, 11)] == [
        "يوم",
        "يومان",
        "3 أيام",
        "11 يومًا",
    ]
    assert [get_formats(language).direction for language in LANGUAGES] == ["ltr"] * 6 + ["rtl"]
