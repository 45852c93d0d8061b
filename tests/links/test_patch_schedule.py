"""PATCH /payment-links/{link_id}: when a link is mailed, and when it ends."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from service.links.model import DeliveryState
from service.outbox.doorbell import open_rq_queue
from service.outbox.queues import LINK_QUEUE
from tests.links.patches import DAY, HOUR, changed, in_an_hour, queues, settle
from tests.support.api import JOHN, Api, assert_invalid, assert_problem, stamp
from tests.support.servers import wait_until


def test_a_mail_that_is_due_is_put_off(api: Api) -> None:
    link_id, at = api.create()["id"], in_an_hour(api)
    found = changed(api.patch(link_id, scheduled_at=at))
    assert (found["scheduled_at"], found["delivery"]["state"]) == (at, "scheduled")
    assert queues(api, link_id) == {"scheduled": api.now + HOUR}


def test_a_scheduled_mail_is_moved(api: Api) -> None:
    link_id = api.create(scheduled_at=in_an_hour(api))["id"]
    changed(api.patch(link_id, scheduled_at=stamp(api.now + DAY)))
    assert queues(api, link_id) == {"scheduled": api.now + DAY}


def test_null_sends_it_now(make_api: Callable[..., Api]) -> None:
    api = make_api()
    link_id = api.create(scheduled_at=in_an_hour(api))["id"]
    queue = open_rq_queue(LINK_QUEUE, api.redis)
    assert queue.count == 0
    found = changed(api.patch(link_id, scheduled_at=None))
    assert (found["scheduled_at"], found["delivery"]["state"]) == (None, "queued")
    assert queues(api, link_id) == {"outbox": api.now}
    wait_until(lambda: queue.count == 1, "the bell to ring")


def test_a_mail_that_had_failed_is_sent_after_all(api: Api) -> None:
    link_id = api.create()["id"]
    settle(api, link_id, "failed")
    found = changed(api.patch(link_id, scheduled_at=in_an_hour(api)))
    assert found["delivery"] == {
        "state": "scheduled",
        "attempts": 0,
        "sends": 1,
        "sent_at": None,
        "error": None,
    }
    assert queues(api, link_id) == {"scheduled": api.now + HOUR}


def test_a_mail_that_had_failed_stays_so_whatever_else_changes(api: Api) -> None:
    link_id = api.create()["id"]
    settle(api, link_id, "failed")
    found = changed(api.patch(link_id, email=JOHN, expires_at=stamp(api.now + 9 * DAY)))
    assert found["delivery"]["state"] == "failed"
    assert queues(api, link_id) == {"failed": api.now}


def test_a_link_that_is_not_mailed_stays_so(api: Api) -> None:
    link_id = api.create(notify=False)["id"]
    found = changed(api.patch(link_id, scheduled_at=in_an_hour(api)))
    assert found["delivery"]["state"] == DeliveryState.NONE
    assert queues(api, link_id) == {}


@pytest.mark.parametrize("days", [-1, 366])
def test_it_lies_within_a_year(api: Api, days: int) -> None:
    link_id = api.create(expires_at=stamp(api.now + 300 * DAY))["id"]
    at = stamp(api.now + days * DAY)
    assert_invalid(api.patch(link_id, scheduled_at=at), "scheduled_at")


def test_a_link_must_not_end_before_its_mail(api: Api) -> None:
    """It ends after 72 hours."""
    link_id, at = api.create()["id"], stamp(api.now + 4 * DAY)
    problem = assert_problem(api.patch(link_id, scheduled_at=at), 422, "validation_failed")
    assert "expires_at" in problem["errors"][0]["message"]
    assert_invalid(
        api.patch(link_id, scheduled_at=at, expires_at=stamp(api.now + 3 * DAY)), "expires_at"
    )
    changed(api.patch(link_id, scheduled_at=at, expires_at=stamp(api.now + 5 * DAY)))


@pytest.mark.parametrize(
    ("late", "is_fit"),
    [
        (timedelta(minutes=5, seconds=-1), False),
        (timedelta(minutes=5), True),
        (365 * DAY, True),
        (365 * DAY + timedelta(seconds=1), False),
    ],
    ids=str,
)
def test_an_end_lies_5_minutes_to_365_days_after_the_mail(
    api: Api, late: timedelta, is_fit: bool
) -> None:
    link_id = api.create(scheduled_at=in_an_hour(api))["id"]
    response = api.patch(link_id, expires_at=stamp(api.now + HOUR + late))
    assert (response.status_code == 200) is is_fit, response.text
