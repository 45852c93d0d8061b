"""POST /payment-links/scheduled."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.outbox.doorbell import open_rq_queue
from service.outbox.queues import LINK_QUEUE
from service.storage import keys
from service.storage.keys import partition_of_link
from tests.support.api import JSON, Api, all_at_once, assert_invalid, assert_problem, stamp
from tests.support.servers import wait_until


def scheduled(api: Api, at: datetime, **fields: Any) -> str:
    """The id of a link that is to be sent ``at``."""
    link_id: str = api.create(scheduled_at=stamp(at), **fields)["id"]
    return link_id


def state(api: Api, link_id: str) -> str:
    delivery: str = api.get(link_id, api.internal()).json()["delivery"]["state"]
    return delivery


def in_outbox(api: Api) -> list[str]:
    """Ids of all links whose e-mail is owed now."""
    store: Any = api.redis
    outboxes = {
        partition: store.zrange(keys.outbox(partition), 0, -1) for partition in keys.ALL_PARTITIONS
    }
    return [
        link_id
        for partition, local_ids in outboxes.items()
        for link_id in keys.full_ids(partition, local_ids)
    ]


def test_a_window_begins_now_and_lasts_24_hours_where_nothing_is_said(api: Api) -> None:
    response = api.client.post("/payment-links/scheduled", headers=api.internal())
    assert response.status_code == 200
    assert response.json() == {
        "from": stamp(api.now),
        "to": stamp(api.now + timedelta(hours=24)),
        "due": 0,
        "queued": 0,
        "unreadable_partitions": [],
        "unavailable": [],
    }


def test_an_empty_body_says_nothing(api: Api) -> None:
    assert api.dispatch_window().json()["to"] == stamp(api.now + timedelta(hours=24))


def test_links_in_the_window_are_queued(api: Api) -> None:
    ids = [
        scheduled(api, api.now + timedelta(hours=hours), org_id=org_id)
        for hours, org_id in [(1, "acme"), (2, "globex")]
    ]
    body = api.dispatch_window().json()
    assert (body["due"], body["queued"]) == (2, 2)
    assert [state(api, link_id) for link_id in ids] == ["queued", "queued"]


def test_a_link_that_is_gone_is_not_due(api: Api) -> None:
    """Its retention ended before anybody sent it."""
    link_id = scheduled(api, api.now + timedelta(hours=1))
    api.redis.delete(keys.link(link_id))
    body = api.dispatch_window().json()
    assert (body["due"], body["queued"], in_outbox(api)) == (0, 0, [])


def test_queued_links_wait_in_the_outbox(api: Api) -> None:
    link_id = scheduled(api, api.now + timedelta(hours=1))
    api.dispatch_window()
    assert in_outbox(api) == [link_id]
    assert api.redis.zcard(keys.scheduled(partition_of_link(link_id))) == 0


def test_the_worker_is_called(make_api: Callable[..., Api]) -> None:
    """Creating a scheduled link rings no doorbell; dispatching it does, after the answer."""
    api = make_api()
    scheduled(api, api.now + timedelta(hours=1))
    queue = open_rq_queue(LINK_QUEUE, api.redis)
    assert queue.count == 0
    api.dispatch_window()
    wait_until(lambda: queue.count == 1, "the bell to ring")


@pytest.mark.parametrize(
    ("offset", "due"),
    [
        pytest.param(timedelta(hours=10), 1, id="first moment"),
        pytest.param(timedelta(hours=10, milliseconds=-1), 0, id="before"),
        pytest.param(timedelta(hours=12, milliseconds=-1), 1, id="last moment"),
        pytest.param(timedelta(hours=12), 0, id="end"),
    ],
)
def test_a_window_holds_its_first_moment_and_not_its_end(
    api: Api, offset: timedelta, due: int
) -> None:
    scheduled(api, api.now + offset)
    body = api.dispatch_window(scheduled_at=stamp(api.now + timedelta(hours=10)), period=2).json()
    assert (body["due"], body["queued"]) == (due, due)


def test_links_outside_the_window_stay_scheduled(api: Api) -> None:
    link_id = scheduled(api, api.now + timedelta(hours=25))
    api.dispatch_window()
    assert state(api, link_id) == "scheduled"


def test_a_bare_date_is_its_first_moment_in_utc(api: Api) -> None:
    day = (api.now + timedelta(days=2)).date()
    body = api.dispatch_window(scheduled_at=day.isoformat()).json()
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    assert (body["from"], body["to"]) == (stamp(start), stamp(start + timedelta(days=1)))


def test_a_bare_date_finds_the_links_of_that_day(api: Api) -> None:
    midnight = (api.now + timedelta(days=2)).replace(hour=0, minute=0, second=0)
    for at in (
        midnight - timedelta(seconds=1),
        midnight,
        midnight + timedelta(hours=23, minutes=59),
        midnight + timedelta(days=1),
    ):
        scheduled(api, at)
    assert api.dispatch_window(scheduled_at=midnight.date().isoformat()).json()["queued"] == 2


@pytest.mark.parametrize(
    ("written", "begins"),
    [
        ("2030-05-01T09:00:00Z", "2030-05-01T09:00:00.000Z"),
        ("2030-05-01T09:00:00", "2030-05-01T09:00:00.000Z"),
        ("2030-05-01T09:00:00+02:00", "2030-05-01T07:00:00.000Z"),
        ("2030-05-01T09:00:00-05:30", "2030-05-01T14:30:00.000Z"),
        ("2020-02-29", "2020-02-29T00:00:00.000Z"),
    ],
    ids=["utc", "naive", "east", "west", "past date"],
)
def test_a_window_may_begin_whenever(api: Api, written: str, begins: str) -> None:
    assert api.dispatch_window(scheduled_at=written).json()["from"] == begins


@pytest.mark.parametrize("period", [1, 720])
def test_a_period_is_1_to_720_hours(api: Api, period: int) -> None:
    assert api.dispatch_window(period=period).json()["to"] == stamp(
        api.now + timedelta(hours=period)
    )


@pytest.mark.parametrize("period", ["2", "2.0", "0.2e1", "20e-1"])
def test_a_whole_number_may_be_written_in_any_way(api: Api, period: str) -> None:
    content = f'{{"period":{period}}}'
    response = api.client.post(
        "/payment-links/scheduled", content=content, headers=api.internal() | JSON
    )
    assert response.json()["to"] == stamp(api.now + timedelta(hours=2))


def test_a_window_whose_fields_are_null_is_one_of_24_hours_from_now(api: Api) -> None:
    body = api.dispatch_window(scheduled_at=None, period=None).json()
    assert (body["from"], body["to"]) == (stamp(api.now), stamp(api.now + timedelta(days=1)))


@pytest.mark.parametrize(
    "period",
    [0, -1, 721, 24.5, 1e300, "24", True],
    ids=["0", "-1", "721", "24.5", "1e300", "string", "bool"],
)
def test_another_period_is_refused(api: Api, period: Any) -> None:
    assert_invalid(api.dispatch_window(period=period), "period")


@pytest.mark.parametrize(
    "moment",
    [
        "",
        "tomorrow",
        "2026-13-01",
        "2026-02-30",
        "2026-1-1",
        "2026-12-01T",
        "0001-01-01",
        "9999-12-31",
        1800000000,
    ],
    ids=[
        "empty",
        "words",
        "month 13",
        "february 30",
        "short",
        "no time",
        "year 1",
        "year 9999",
        "number",
    ],
)
def test_what_is_no_moment_within_reach_is_refused(api: Api, moment: Any) -> None:
    assert_invalid(api.dispatch_window(scheduled_at=moment), "scheduled_at")


def test_an_unknown_field_is_refused(api: Api) -> None:
    assert_invalid(api.dispatch_window(hours=24), "hours")


def test_an_org_admin_is_forbidden(api: Api) -> None:
    link_id = scheduled(api, api.now + timedelta(hours=1))
    assert_problem(api.dispatch_window(api.org()), 403, "forbidden")
    assert state(api, link_id) == "scheduled"


def test_a_link_is_queued_once_however_often_it_is_asked_for(api: Api) -> None:
    scheduled(api, api.now + timedelta(hours=1))
    assert [api.dispatch_window().json()["queued"] for _ in range(3)] == [1, 0, 0]


def test_windows_that_overlap_queue_a_link_once(api: Api) -> None:
    scheduled(api, api.now + timedelta(hours=5))
    moments = [stamp(api.now + timedelta(hours=hours)) for hours in (0, 3, 5)]
    assert [
        api.dispatch_window(scheduled_at=moment, period=6).json()["queued"] for moment in moments
    ] == [
        1,
        0,
        0,
    ]


def test_ten_calls_at_once_queue_each_link_once(
    make_api: Callable[..., Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.links.mail_operations.DISPATCH_BATCH", 7)
    processes = [make_api(), make_api()]
    api = processes[0]
    ids = [
        scheduled(api, api.now + timedelta(minutes=number), org_id=f"org-{number % 5}")
        for number in range(60)
    ]
    responses = all_at_once(*[processes[number % 2].dispatch_window for number in range(10)])
    assert {response.status_code for response in responses} == {200}
    assert sum(response.json()["queued"] for response in responses) == 60
    assert sorted(in_outbox(api)) == sorted(ids)


def test_more_links_than_are_claimed_at_once_are_all_queued(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.links.mail_operations.DISPATCH_BATCH", 3)
    for _ in range(10):
        scheduled(api, api.now + timedelta(hours=1))
    assert api.dispatch_window().json()["queued"] == 10


def test_a_revoked_link_is_not_queued(api: Api) -> None:
    api.revoke(scheduled(api, api.now + timedelta(hours=1)))
    assert api.dispatch_window().json()["queued"] == 0
    assert in_outbox(api) == []


def test_an_expired_link_is_not_counted_as_queued(api: Api) -> None:
    """Nobody was there to send it at its time, and it has ended since."""
    at = api.now + timedelta(hours=1)
    scheduled(api, at, expires_at=stamp(at + timedelta(minutes=5)))
    api.clock.advance(hours=2)
    assert api.dispatch_window(scheduled_at=stamp(at)).json()["queued"] == 0


def test_a_link_that_is_not_to_be_mailed_is_not_queued(api: Api) -> None:
    scheduled(api, api.now + timedelta(hours=1), notify=False)
    assert api.dispatch_window().json()["due"] == 0


def test_a_link_that_was_never_scheduled_is_not_in_any_window(api: Api) -> None:
    api.create()
    assert api.dispatch_window(scheduled_at=stamp(api.now - timedelta(hours=1))).json()["due"] == 0


def test_a_body_that_is_no_json_is_malformed(api: Api) -> None:
    response = api.client.post(
        "/payment-links/scheduled", content="{", headers=api.internal() | JSON
    )
    assert_problem(response, 400, "malformed_request")
