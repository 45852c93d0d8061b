"""What the console shows of failures, and when it tries again."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Route, expect

from tests.browser.conftest import DESKTOP, Visit
from tests.browser.console import (
    asked_within,
    enter,
    fail_once,
    go,
    rows,
)


def test_what_goes_wrong_is_told_and_tried_again(visit: Visit, make: Any) -> None:
    make("broken")
    visitor = visit()
    page = enter(visitor, "broken")
    expect(rows(page)).to_have_count(1)
    fail_once(visitor, "/orgs/broken/payment-links?limit=25&status=expired")
    page.get_by_role("navigation").get_by_role("link", name="Expired").click()
    expect(page.get_by_text("the store does not answer. We try again every 30 s.")).to_be_visible()
    visitor.check("console error, phone, light")
    page.get_by_role("button", name="Try again now").click()
    expect(page.get_by_role("heading", name="No expired links")).to_be_visible()
    visitor.expect_refusal("/orgs/broken/payment-links?limit=25")
    page.route("**/payment-links?*", lambda route: route.abort(), times=1)
    page.get_by_role("navigation").get_by_role("link", name="All").click()
    expect(page.get_by_text("Are you offline?")).to_be_visible()
    expect(rows(page)).to_have_count(1)


def test_a_mail_under_way_is_looked_at_again_also_after_a_look_that_failed(
    visit: Visit, make: Any
) -> None:
    make("watched")
    visitor, state = visit(DESKTOP), "queued"
    visitor.expect_refusal("/orgs/watched/payment-links?limit=25")

    def answer(route: Route) -> None:
        if state == "away":
            route.fulfill(status=503, content_type="application/json", body="{}")
            return
        page = route.fetch().json()
        page["links"][0]["delivery"]["state"] = state
        route.fulfill(json=page)

    visitor.page.route("**/orgs/watched/payment-links?*", answer)
    visitor.install_clock()
    page = enter(visitor, "watched")
    expect(rows(page).locator(".delivery")).to_contain_text("Sending")
    for state in ("away", "sent"):  # noqa: B007 - what is answered from now on
        asked = [path for _ in range(12) for path in asked_within(page, seconds=1)]
        assert "/orgs/watched/payment-links" in asked
    expect(rows(page).locator(".delivery")).to_contain_text("Sent")


@pytest.mark.parametrize(
    ("view", "other", "path"),
    [
        pytest.param("#/left", "#/", "/orgs/left/payment-links?limit=25", id="list"),
        pytest.param("#/", "#/left", "/outbox", id="overview"),
    ],
)
def test_a_view_that_failed_and_was_left_is_not_tried_again(
    visit: Visit, view: str, other: str, path: str
) -> None:
    visitor = visit(DESKTOP)
    visitor.install_clock()
    page = enter(visitor)
    go(page, other)
    fail_once(visitor, path)
    go(page, view)
    expect(page.get_by_text("We try again every 30 s.")).to_be_visible()
    go(page, other)
    expect(page.get_by_text("We try again every 30 s.")).to_be_hidden()
    assert urlsplit(path).path not in asked_within(page, seconds=60)


def test_a_list_that_is_read_again_shows_all_that_changed(visit: Visit, make: Any) -> None:
    make("listed-again", payment_amount=10, currency="NGN")
    visitor = visit(DESKTOP)
    visitor.install_clock()
    changes: dict[str, Any] = {"delivery": {"state": "queued"}}

    def change(route: Route) -> None:
        page = route.fetch().json()
        route.fulfill(json={**page, "links": [{**page["links"][0], **changes}]})

    visitor.page.route("**/orgs/listed-again/payment-links?*", change)
    page = enter(visitor, "listed-again")
    expect(rows(page).locator(".amount")).to_have_text("NGN 10.00")
    changes |= {"payment_amount": 11, "status": "paid", "paid_at": "2026-11-29T10:00:00.000Z"}
    page.clock.run_for(2000)
    expect(rows(page).locator(".status")).to_have_text("Paid")
    expect(rows(page).locator(".amount")).to_have_text("NGN 11.00")
    expect(rows(page).locator(".expires")).to_contain_text("paid 29")


def test_a_tab_that_failed_and_was_left_is_not_tried_again(visit: Visit, make: Any) -> None:
    make("tabs")
    visitor = visit(DESKTOP)
    visitor.install_clock()
    page = enter(visitor, "tabs")
    expect(rows(page)).to_have_count(1)
    fail_once(visitor, "/orgs/tabs/payment-links?limit=25&status=expired")
    page.get_by_role("navigation").get_by_role("link", name="Expired").click()
    expect(page.get_by_text("We try again every 30 s.")).to_be_visible()
    page.get_by_role("navigation").get_by_role("link", name="All").click()
    expect(rows(page)).to_have_count(1)
    assert "/orgs/tabs/payment-links" not in asked_within(page, seconds=60)


def test_a_view_that_failed_is_tried_again_when_its_time_has_come(visit: Visit) -> None:
    visitor = visit(DESKTOP)
    visitor.install_clock()
    fail_once(visitor, "/outbox")
    page = enter(visitor)
    expect(page.get_by_text("We try again every 30 s.")).to_be_visible()
    page.clock.run_for(30_000)
    expect(page.get_by_role("heading", name="Latest failures")).to_be_visible()


def test_an_answer_that_does_not_come_is_given_up_after_15_seconds(visit: Visit, make: Any) -> None:
    make("silent")
    visitor = visit(DESKTOP)
    visitor.install_clock()
    page = enter(visitor, "silent")
    expect(rows(page)).to_have_count(1)
    page.clock.pause_at(datetime.now(UTC) + timedelta(minutes=1))
    page.route("**/payment-links?*", lambda _: None, times=1)
    with page.expect_request("**/payment-links?*"):
        page.get_by_role("navigation").get_by_role("link", name="Expired").click()
    page.clock.run_for(14_900)
    expect(page.get_by_text("Loading")).to_be_attached()
    page.clock.run_for(100)
    expect(page.get_by_text("Are you offline? We try again every 2 s.")).to_be_visible()
    page.clock.run_for(2000)
    expect(page.get_by_role("heading", name="No expired links")).to_be_visible()
