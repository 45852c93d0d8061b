"""Time zones: those of the IANA database, and UTC for any other name."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from service.errors import Invalid
from service.values.time import MAX_ZONE_NAME_CHARACTERS, load_zone, parse_zone


@pytest.mark.parametrize(
    "name", ["Africa/Lagos", "America/Argentina/Buenos_Aires", "UTC", "Etc/GMT+5"]
)
def test_a_name_of_the_database_is_taken(name: str) -> None:
    assert parse_zone(name) == name
    assert load_zone(name) == ZoneInfo(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "WAT",
        "africa/lagos",
        "Africa",
        "Africa/Atlantis",
        "../UTC",
        "/etc/localtime",
        "localtime",
        "+01:00",
        "\0",
        "x" * 65,
    ],
)
def test_another_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match="such as Africa/Lagos") as refusal:
        parse_zone(name)
    assert refusal.value.field == "time_zone"


@pytest.mark.parametrize(
    "name",
    [
        None,
        "",
        "Africa",
        "Africa/Atlantis",
        "../UTC",
        "/etc/localtime",
        "\0",
        "x" * MAX_ZONE_NAME_CHARACTERS,
    ],
)
def test_a_stored_zone_that_is_none_any_more_is_utc(name: str | None) -> None:
    assert load_zone(name).utcoffset(datetime.now(UTC)) == UTC.utcoffset(None)
    assert str(load_zone(name)) == "UTC"
