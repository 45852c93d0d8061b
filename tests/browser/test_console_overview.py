"""The console of the service's own admins, over all organizations."""

from datetime import UTC, datetime
from functools import partial
from typing import Any

import httpx
import pytest
from playwright.sync_api import Route, expect

from tests.browser.conftest import DESKTOP, REASON, Visit
from tests.browser.console import (
    LATER,
    enter,
    go,
    rows,
    settle,
    wait_for_mail,
)
from tests.support.admins import as_admin
from tests.support.service_processes import Service


def test_an_internal_admin_sees_all_mail_and_picks_an_organization(
    visit: Visit, service: Service, make: Any
) -> None:
    wait_for_mail(service, make("globex", "nobody+1@example.com", notify=True), "failed")
    make("globex.eu", "far@example.com")
    make(
        "globex",
        "far@example.com",
        scheduled_at=(datetime.now(UTC) + LATER).isoformat(),
        notify=True,
    )
    visitor = visit(DESKTOP)
    page = enter(visitor)
    figures = page.locator(".figures")
    for name in ("Unsent", "Oldest unsent", "Jobs waiting", "Scheduled", "Failed"):
        expect(figures.get_by_text(name, exact=True)).to_be_visible()
    failures = page.get_by_role("region", name="Latest failures")
    expect(failures.get_by_text("nobody+1@example.com")).to_be_visible()
    expect(failures.get_by_text(REASON).first).to_be_visible()
    visitor.check("console overview, desktop, light")
    page.set_viewport_size({"width": 390, "height": 844})
    visitor.check("console overview, phone, light")
    page.set_viewport_size({"width": 320, "height": 640})
    visitor.check()
    page.get_by_label("Organization", exact=True).fill("GLOB")
    expect(page.locator("#orgs option")).to_have_count(2)
    page.get_by_label("Organization", exact=True).fill("globex.eu")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="globex.eu")).to_be_visible()
    rows(page).get_by_role("button", name="far@example.com", exact=True).click()
    page.get_by_role("button", name="Revoke all of this recipient").click()
    expect(
        page.get_by_text("2 active links of every organization to far@example.com will be revoked:")
    ).to_be_visible()
    page.get_by_role("button", name="Revoke 2 links").click()
    expect(page.get_by_role("dialog").locator(".notice.good")).to_have_text("2 links were revoked.")
    page.get_by_role("button", name="Close").click()
    page.get_by_role("link", name="Payment links").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()


@pytest.mark.parametrize(
    "org", ["typo-in-acme", "TYPOINACME", "typoinacm", "ypoinacme", "typoniacme"]
)
def test_an_id_that_was_mistyped_is_told_from_an_organization_without_links(
    visit: Visit, make: Any, org: str
) -> None:
    make("typoinacme")
    visitor = visit(DESKTOP)
    page = enter(visitor)
    page.get_by_label("Organization", exact=True).fill(org)
    page.keyboard.press("Enter")
    expect(
        page.get_by_role("heading", name=f"There is no organization {org} with links")
    ).to_be_visible()
    visitor.check(f"console no such organization, {org}")
    page.get_by_role("main").get_by_role("link", name="typoinacme", exact=True).click()
    expect(rows(page)).not_to_have_count(0)
    page.go_back()
    expect(
        page.get_by_role("heading", name=f"There is no organization {org} with links")
    ).to_be_visible()


def test_an_organization_with_a_profile_and_no_links_is_no_mistake(
    visit: Visit, service: Service
) -> None:
    httpx.put(
        f"{service.url}/orgs/prepared/profile",
        json={"display_name": "Prepared Ltd"},
        headers=as_admin(),
    ).raise_for_status()
    page = enter(visit(DESKTOP))
    go(page, "#/prepared")
    expect(page.get_by_role("heading", name="No links yet")).to_be_visible()


def test_an_organizations_own_admin_makes_no_mistake(visit: Visit) -> None:
    page = enter(visit(DESKTOP), "brand-new")
    expect(page.get_by_role("heading", name="No links yet")).to_be_visible()


def test_what_an_operator_has_to_see_to_is_said_on_the_overview(visit: Visit) -> None:
    visitor = visit(DESKTOP)

    def answer(route: Route) -> None:
        found = route.fetch().json()
        route.fulfill(
            json={**found, "status": "degraded", "reasons": ["scheduler_away", "something_new"]}
        )

    visitor.page.route("**/readyz", answer)
    visitor.page.route(
        "**/outbox",
        lambda route: route.fulfill(
            json=route.fetch().json() | {"unreadable_partitions": ["0a", "d4"]}
        ),
    )
    page = enter(visitor)
    expect(page.get_by_text("No scheduler is alive")).to_be_visible()
    expect(
        page.get_by_text("The figures below are incomplete: 2 partitions cannot be read.")
    ).to_be_visible()
    expect(page.get_by_text("something new")).to_be_visible()
    visitor.check("console degraded, desktop, light")


def test_a_part_of_the_store_that_is_away_is_said_on_the_overview(visit: Visit, make: Any) -> None:
    make("partly-there")
    visitor = visit(DESKTOP)
    changes: dict[str, dict[str, Any]] = {
        "**/readyz": {"reasons": ["partitions_unavailable"], "partition_availability": 0.664},
        "**/outbox": {"unavailable": ["0a", "0d", "heartbeats"]},
        "**/orgs?limit=50": {"unavailable": ["0a", "0d"]},
    }

    def answer(route: Route, change: dict[str, Any]) -> None:
        route.fulfill(json=route.fetch().json() | change)

    for path, change in changes.items():
        visitor.page.route(path, partial(answer, change=change))
    page = enter(visitor)
    for text in (
        "A part of Redis is away: its organizations and customers have to wait. About 66.4%",
        "The figures below are incomplete: 2 partitions do not answer.",
        "It is not known which workers are alive, and which hold e-mails back.",
        "Those in the part of Redis that is away are not listed.",
    ):
        expect(page.get_by_text(text)).to_be_visible()
    visitor.check("console partly away, desktop, light")


def test_an_overtaken_answer_does_not_replace_the_organizations_that_are_suggested(
    visit: Visit, make: Any
) -> None:
    make("overtaken-1")
    make("overtaken-2")
    page = enter(visit(DESKTOP))
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/orgs?prefix=overtaken&*", hold)
    field, options = page.get_by_label("Organization", exact=True), page.locator("#orgs option")
    with page.expect_request("**/orgs?prefix=overtaken&*"):
        field.fill("overtaken")
    field.fill("overtaken-2")
    expect(options).to_have_count(1)
    with page.expect_response("**/orgs?prefix=overtaken&*"):
        held[0].continue_()
    settle(page)
    expect(options).to_have_count(1)
