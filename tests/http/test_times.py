"""Times are read in any form of ISO 8601, and always written in one."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from tests.support.api import JSON, Api, assert_invalid, stamp

WRITTEN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture
def november(api: Api) -> Api:
    """The service, a few days before ``MEANT``."""
    api.clock.now = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)
    return api


TEXT, MEANT = "20261201T1000+0100", datetime(2026, 12, 1, 9, tzinfo=UTC)
"""ISO 8601 as few write it; ``tests/values/test_time.py`` has the others."""


@pytest.mark.parametrize("field", ["scheduled_at", "expires_at"])
def test_a_link_takes_any_form_of_iso_8601(november: Api, field: str) -> None:
    assert november.create(**{field: TEXT})[field] == stamp(MEANT)


def test_a_window_takes_any_form_of_iso_8601(november: Api) -> None:
    assert november.dispatch_window(scheduled_at=TEXT).json()["from"] == stamp(MEANT)


@pytest.mark.parametrize("value", ["1796119200", "1796119200.0", "[]", "true", "{}", "20261201"])
def test_a_number_is_no_time(november: Api, value: str) -> None:
    content = f'{{"email":"jane@example.com","org_id":"acme","scheduled_at":{value}}}'
    assert_invalid(
        november.client.post("/payment-links", content=content, headers=november.internal() | JSON),
        "scheduled_at",
    )


def times(body: Any, name: str = "") -> list[str]:
    """All times in an answer."""
    if isinstance(body, dict):
        return [found for key, value in body.items() for found in times(value, key)]
    if isinstance(body, list):
        return [found for value in body for found in times(value, name)]
    return [body] if body is not None and (name.endswith("_at") or name in {"from", "to"}) else []


@pytest.mark.parametrize(
    "microsecond", [0, 1000, 123_456], ids=["whole", "1 ms", "with microseconds"]
)
def test_all_times_in_answers_have_three_decimals_and_a_z(api: Api, microsecond: int) -> None:
    api.clock.now = api.clock.now.replace(microsecond=microsecond)
    at = api.now + timedelta(hours=1)
    link = api.create(scheduled_at=stamp(at), expires_at=stamp(at + timedelta(days=1)))
    gated = api.create(otp_required=True)
    api.revoke(link["id"])
    lines = api.list(api.internal() | {"Accept": "application/x-ndjson"}).text.splitlines()
    answers = [
        link,
        api.get(link["id"]).json(),
        api.verify(link["id"]).json(),
        api.verify(gated["id"]).json(),
        api.client.get(f"/pay/{link['id']}", headers={"Accept": "application/json"}).json(),
        api.list().json(),
        *map(msgspec.json.decode, lines),
        api.dispatch_window(scheduled_at=stamp(at)).json(),
    ]
    found = [times(response) for response in answers]
    assert all(found)
    assert [text for texts in found for text in texts if not WRITTEN.fullmatch(text)] == []
