"""The console's addresses: Back, Forward, reload and a copied address work as expected."""

import re
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, Route, expect

from service.auth.tokens import Role
from tests.browser.conftest import DESKTOP, Visit
from tests.browser.console import enter, go, listen, new_link, rows, settle
from tests.support.admins import admin_token
from tests.support.service_processes import Service

UNKNOWN = f"pl_00{'a' * 22}"


def sign_in(page: Page, org: str) -> None:
    page.get_by_label("Admin token").fill(admin_token(Role.ORG_ADMIN, org))
    page.get_by_role("button", name="Sign in").click()


def test_back_and_forward_lead_through_filter_page_link_and_question(
    visit: Visit, make: Any
) -> None:
    for number in range(26):
        make("there", f"jane+{number}@example.com")
    page = enter(visit(DESKTOP), "there")
    dialog, current = page.get_by_role("dialog"), page.locator("[aria-current=page]")
    page.get_by_role("navigation").get_by_role("link", name="Active").click()
    expect(current).to_contain_text("Active")
    page.get_by_role("button", name="Next").click()
    expect(rows(page)).to_have_count(1)
    rows(page).locator(".open").click()
    expect(dialog.get_by_role("heading", name="Payment link")).to_be_visible()
    page.get_by_role("button", name="Revoke this link").click()
    expect(dialog.get_by_role("heading", name="Revoke this link?")).to_be_visible()
    visited = page.url
    assert re.search(r"#/there/links/pl_\w+/revoke\?status=active&cursor=[^&]+&page=2$", visited)
    page.go_back()
    expect(dialog.get_by_role("heading", name="Payment link")).to_be_visible()
    page.go_back()
    expect(dialog).to_be_hidden()
    expect(page.locator(".pager p")).to_have_text("26\N{EN DASH}26 of 26 links")
    page.go_back()
    expect(rows(page)).to_have_count(25)
    expect(current).to_contain_text("Active")
    page.go_back()
    expect(current).to_contain_text("All")
    for _ in range(4):
        page.go_forward()
    expect(dialog.get_by_role("heading", name="Revoke this link?")).to_be_visible()
    assert page.url == visited


def test_an_answer_for_a_view_that_was_left_does_not_replace_what_is_shown(
    visit: Visit, make: Any
) -> None:
    link = make("overtaken")
    page = enter(visit(DESKTOP), "overtaken")
    view, link_path = f"#/overtaken/links/{link['id']}", f"/payment-links/{link['id']}"
    go(page, view)
    held: dict[str, Route] = {}

    def hold(route: Route) -> None:
        held[urlsplit(route.request.url).path] = route

    page.route("**/payment-links*", hold)
    page.route(f"**{link_path}", hold)
    page.reload()
    expect(page.get_by_role("dialog").get_by_text("Loading")).to_be_visible()
    held["/orgs/overtaken/payment-links"].continue_()
    expect(rows(page)).to_have_count(1)
    go(page, f"{view}/revoke")
    question = page.get_by_role("dialog").get_by_role("heading", name="Revoke this link?")
    expect(question).to_be_visible()
    with page.expect_response(f"**{link_path}"):
        held[link_path].continue_()
    settle(page)
    expect(question).to_be_visible()


def test_closing_leads_where_back_does(visit: Visit, make: Any) -> None:
    make("closing")
    page = enter(visit(DESKTOP), "closing")
    entries = page.evaluate("history.length")
    for _ in range(3):
        rows(page).locator(".open").click()
        page.get_by_role("button", name="Close").click()
        expect(page.get_by_role("dialog")).to_be_hidden()
        page.get_by_role("button", name="New link").click()
        page.get_by_role("button", name="Cancel").click()
        expect(page.get_by_role("dialog")).to_be_hidden()
    assert page.evaluate("history.length") <= entries + 1
    page.go_forward()
    expect(page.get_by_role("dialog", name="New link")).to_be_visible()


def test_a_list_stays_as_it_is_below_what_is_opened_and_closed(visit: Visit, make: Any) -> None:
    make("below")
    page = enter(visit(DESKTOP), "below")
    expect(rows(page)).to_have_count(1)
    asked = listen(page)
    rows(page).locator(".open").click()
    page.go_back()
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(rows(page).locator(".open")).to_be_focused()
    settle(page)
    assert "/orgs/below/payment-links" not in asked


def test_a_reload_stays_on_the_page_with_what_is_open(visit: Visit, make: Any) -> None:
    for number in range(26):
        make("stays", f"jane+{number}@example.com")
    page = enter(visit(DESKTOP), "stays")
    page.get_by_role("button", name="Next").click()
    expect(rows(page)).to_have_count(1)
    page.reload()
    expect(page.locator(".pager p")).to_have_text("26\N{EN DASH}26 of 26 links")
    rows(page).locator(".open").click()
    page.reload()
    expect(page.get_by_role("dialog").get_by_text("jane+0@example.com")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.get_by_role("button", name="Previous").click()
    expect(rows(page)).to_have_count(25)


def test_an_address_opens_a_link_after_signing_in_and_closing_shows_what_lies_below(
    visit: Visit, make: Any
) -> None:
    link = make("deep", transaction_id="order-7")
    visitor = visit(DESKTOP)
    page = visitor.open(f"/console#/deep/links/{link['id']}")
    sign_in(page, "deep")
    expect(page.get_by_role("dialog").get_by_text("order-7")).to_be_visible()
    visitor.check()
    page.get_by_role("button", name="Close").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(rows(page)).to_have_count(1)
    assert page.url.endswith("/console#/deep")


@pytest.mark.parametrize(
    ("step", "title"),
    [
        pytest.param("", "NGN 12.50", id="link"),
        pytest.param("/revoke", "Revoke this link?", id="question"),
        pytest.param("/mark-paid", "Mark paid", id="payment"),
        pytest.param("/edit", "Edit this link", id="edit"),
        pytest.param("/supersede", "Supersede this link", id="supersede"),
    ],
)
def test_back_closes_what_an_address_opened_step_by_step_and_reload_keeps_it(
    visit: Visit, make: Any, step: str, title: str
) -> None:
    org = f"back-{step.removeprefix('/') or 'link'}"
    link = make(org, payment_amount=12.5, currency="NGN", transaction_id="order-7")
    page = visit(DESKTOP).open(f"/console#/{org}/links/{link['id']}{step}")
    sign_in(page, org)
    heading, detail = page.locator("dialog[open] h2"), page.locator("#detail-title")
    expect(heading).to_have_text(title)
    page.reload()
    expect(heading).to_have_text(title)
    if step:
        page.go_back()
        expect(detail).to_have_text("NGN 12.50")
    page.go_back()
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(rows(page)).to_have_count(1)
    assert page.url.endswith(f"/console#/{org}")
    page.go_forward()
    expect(detail).to_have_text("NGN 12.50")


def test_an_address_of_a_later_page_leads_to_the_first(
    visit: Visit, make: Any, service: Service
) -> None:
    for number in range(26):
        make("later-page", f"jane+{number}@example.com")
    page = enter(visit(DESKTOP), "later-page")
    page.get_by_role("button", name="Next").click()
    expect(rows(page)).to_have_count(1)
    copied = page.url.removeprefix(service.url)
    page = visit(DESKTOP).open(copied)
    sign_in(page, "later-page")
    expect(page.locator(".pager p")).to_have_text("26\N{EN DASH}26 of 26 links")
    page.get_by_role("button", name="First page").click()
    expect(page.locator(".pager p")).to_have_text("1\N{EN DASH}25 of 26 links")


@pytest.mark.parametrize(
    ("address", "left"),
    [
        pytest.param("#/cut?cursor=nonsense", "#/cut", id="a cursor that was cut short"),
        pytest.param("#/other", "#/cut", id="another organization"),
        pytest.param("#/other/new", "#/cut", id="another organization's form"),
        pytest.param("#/cut/links/pl_", "#/cut/links/pl_", id="no link's id"),
        pytest.param("#/cut/active", "#/cut/active", id="a filter as 0.1.0 wrote it"),
        pytest.param("#/../x", "#/cut", id="no organization's id"),
    ],
)
def test_an_address_that_leads_nowhere_leads_to_the_list(
    visit: Visit, make: Any, address: str, left: str
) -> None:
    make("cut")
    visitor = visit(DESKTOP)
    visitor.expect_refusal("/orgs/cut/payment-links?limit=25&cursor=nonsense")
    page = visitor.open(f"/console{address}")
    sign_in(page, "cut")
    expect(rows(page)).not_to_have_count(0)
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert page.url.endswith(left)


def test_a_link_that_is_not_there_is_said_to_be_missing(visit: Visit, make: Any) -> None:
    link = make("theirs")
    visitor = visit(DESKTOP)
    visitor.expect_refusal(f"/payment-links/{UNKNOWN}")
    page = visitor.open(f"/console#/mine/links/{UNKNOWN}")
    sign_in(page, "mine")
    expect(page.get_by_role("heading", name="There is no such link of mine")).to_be_visible()
    visitor.check("console no such link, desktop, light")
    go(page, f"#/mine/links/{link['id']}")
    expect(page.get_by_role("heading", name="There is no such link of mine")).to_be_visible()
    expect(page.get_by_text("jane@example.com")).to_have_count(0)


def test_an_internal_admin_is_led_to_the_links_own_organization(visit: Visit, make: Any) -> None:
    link = make("right")
    page = enter(visit(DESKTOP))
    go(page, f"#/wrong/links/{link['id']}")
    expect(page.get_by_role("dialog").get_by_text("jane@example.com")).to_be_visible()
    assert page.url.endswith(f"#/right/links/{link['id']}")


def test_a_link_that_was_made_is_where_one_stays_after_a_reload(visit: Visit) -> None:
    page = enter(visit(DESKTOP), "fresh")
    expect(page.get_by_role("heading", name="No links yet")).to_be_visible()
    form = new_link(page, email="jane@example.com", transaction_id="order-7")
    form.get_by_role("button", name="Create link").click()
    expect(page.get_by_role("heading", name="Link created")).to_be_visible()
    page.reload()
    expect(page.get_by_role("dialog").get_by_text("order-7")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(rows(page)).to_have_count(1)


def test_back_from_a_failure_leads_to_the_overview(visit: Visit, make: Any) -> None:
    page = enter(visit(DESKTOP))
    link = make("overviewed", "jane@example.com")
    failure = {
        "id": link["id"],
        "org_id": "overviewed",
        "email": "x@example.com",
        "transaction_id": None,
        "error": "550 no",
    }

    def answer(route: Any) -> None:
        failures = [{**failure, "failed_at": "2026-11-29T10:00:00.000Z"}]
        route.fulfill(json={**route.fetch().json(), "failures": failures, "failed": 1})

    page.route("**/outbox", answer)
    page.reload()
    page.get_by_role("button", name="x@example.com", exact=True).click()
    expect(page.get_by_role("dialog").get_by_text("jane@example.com")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    assert page.url.endswith("/console")


def test_nobody_else_sees_on_going_back_what_was_seen_before_signing_out(
    visit: Visit, make: Any
) -> None:
    make("before-me", "secret@example.com")
    page = enter(visit(DESKTOP), "before-me")
    rows(page).locator(".open").click()
    page.go_back()
    page.get_by_role("button", name="Sign out").click()
    page.go_forward()
    expect(page.get_by_label("Admin token")).to_be_visible()
    assert "secret@example.com" not in page.content()
    sign_in(page, "after-me")
    expect(page.get_by_role("heading", name="after-me")).to_be_visible()
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert "secret@example.com" not in page.content()
