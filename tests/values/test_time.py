"""Times as the API reads and writes them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from service.values.time import format_time, parse_time

TEN = datetime(2026, 12, 1, 10, tzinfo=UTC)
NOTATIONS = [
    pytest.param("2026-12-01T10:00:00Z", TEN, id="RFC 3339"),
    pytest.param("2026-12-01T10:00Z", TEN, id="to the minute"),
    pytest.param("2026-12-01T10Z", TEN, id="to the hour"),
    pytest.param("2026-12-01T11:00+01", TEN, id="offset in hours"),
    pytest.param("2026-12-01T10:00", TEN, id="without an offset"),
    pytest.param("20261201T100000Z", TEN, id="basic"),
    pytest.param("20261201T1100+0100", TEN, id="basic with an offset"),
    pytest.param("2026-12-01 10:00:00Z", TEN, id="space"),
    pytest.param("2026-12-01T10:00:00,5Z", TEN + timedelta(seconds=0.5), id="comma"),
    pytest.param("2026-12-01", TEN.replace(hour=0), id="date"),
    pytest.param("20261201", TEN.replace(hour=0), id="basic date"),
    pytest.param("2026-W49-2", TEN.replace(hour=0), id="week date"),
]
"""Forms of ISO 8601, each with its time."""


@pytest.mark.parametrize(("text", "meant"), NOTATIONS)
def test_a_time_may_be_written_in_any_form_of_iso_8601(text: str, meant: datetime) -> None:
    assert parse_time(text) == meant


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-13-01",
        "2026-12-01T",
        "2026-1-1",
        "10:00",
        "1796119200",
        "2026-12-01T10:00Zulu",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"iso|month"):
        parse_time(text)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (TEN, "2026-12-01T10:00:00.000Z"),
        (TEN + timedelta(milliseconds=1), "2026-12-01T10:00:00.001Z"),
        (TEN.replace(year=999), "0999-12-01T10:00:00.000Z"),
    ],
)
def test_a_time_in_an_answer_has_three_decimals_and_a_z(moment: datetime, text: str) -> None:
    assert format_time(moment) == text


def test_an_offset_counts() -> None:
    east = timezone(timedelta(hours=5, minutes=30))
    assert parse_time("2026-12-01T10:00+05:30") == datetime(2026, 12, 1, 10, tzinfo=east)
