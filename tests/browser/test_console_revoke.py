"""Revoking in the console: what is asked before, and said after."""

import json
from typing import Any

import httpx
from playwright.sync_api import Page, expect

from tests.browser.conftest import DESKTOP, Visit
from tests.browser.console import enter, go, rows
from tests.support.admins import as_admin
from tests.support.service_processes import Service


def test_one_link_is_revoked_after_a_question(visit: Visit, make: Any) -> None:
    make("one", "jane@example.com")
    make(
        "one", "john@example.com", payment_amount=125000.5, currency="NGN", transaction_id="order-7"
    )
    visitor = visit(DESKTOP)
    page = enter(visitor, "one")
    page.get_by_role("button", name="john@example.com", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Revoke this link").click()
    expect(dialog.get_by_role("heading", name="Revoke this link?")).to_be_focused()
    expect(dialog.locator("dl div")).to_contain_text(
        ["Recipientjohn@example.com", "AmountNGN 125,000.50", "Referenceorder-7", "Expires"]
    )
    visitor.check("console revoke, desktop, light")
    dialog.get_by_role("button", name="Keep").click()
    dialog.get_by_role("button", name="Revoke this link").click()
    dialog.get_by_role("button", name="Revoke this link").click()
    expect(dialog.locator(".notice.good")).to_have_text("1 link was revoked.")
    expect(dialog.get_by_role("button", name="Revoke this link")).to_have_count(0)
    page.keyboard.press("Escape")
    expect(page.get_by_role("navigation").get_by_role("link", name="Revoked")).to_contain_text("1")


def test_all_links_of_a_recipient_are_revoked_and_counted(visit: Visit, make: Any) -> None:
    for number in range(3):
        make(
            "several",
            "all@example.com" if number else "ALL@example.com",
            transaction_id=f"order-{number}",
        )
    make("several", "tall@example.com")
    make("other", "all@example.com")
    visitor = visit(DESKTOP)
    page = enter(visitor, "several")
    rows(page).nth(1).get_by_role("button", name="all@example.com", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Revoke all of this recipient").click()
    expect(
        dialog.get_by_text("3 active links of several to all@example.com will be revoked:")
    ).to_be_visible()
    expect(dialog.get_by_role("listitem")).to_have_text(
        [f"no amount · order-{number}" for number in (2, 1, 0)]
    )
    visitor.check("console revoke all, desktop, light")
    dialog.get_by_role("button", name="Revoke 3 links").click()
    expect(dialog.locator(".notice.good")).to_have_text("3 links were revoked.")


def ask_to_revoke_all(page: Page) -> Any:
    rows(page).first.locator(".open").click()
    page.get_by_role("button", name="Revoke all of this recipient").click()
    return page.get_by_role("dialog")


def test_where_nothing_is_active_there_is_nothing_to_revoke(
    visit: Visit, make: Any, service: Service
) -> None:
    link = make("ended", "all@example.com")
    httpx.delete(f"{service.url}/payment-links/{link['id']}", headers=as_admin()).raise_for_status()
    dialog = ask_to_revoke_all(enter(visit(DESKTOP), "ended"))
    expect(dialog.locator(".result p:visible, .found")).to_have_text(
        ["There is no active link of ended to all@example.com: nothing to revoke."]
    )
    expect(dialog.locator(".buttons").get_by_role("button")).to_have_text("Close")


def test_an_internal_admin_learns_how_many_links_of_many_organizations_there_are(
    visit: Visit, make: Any
) -> None:
    for number in range(25):
        make(f"many-{number}", "everywhere@example.com")
    page = enter(visit(DESKTOP))
    go(page, "#/many-0")
    dialog = ask_to_revoke_all(page)
    expect(
        dialog.get_by_text(
            "25 active links of every organization to everywhere@example.com will be revoked:"
        )
    ).to_be_visible()
    expect(dialog.get_by_role("button", name="Revoke 25 links")).to_be_enabled()


def test_links_that_are_too_many_to_look_through_are_counted_as_far_as_it_goes(
    visit: Visit, make: Any
) -> None:
    make("endless", "all@example.com")
    page = enter(visit(DESKTOP), "endless")
    expect(rows(page)).to_have_count(1)
    asked: list[str] = []

    def answer(route: Any) -> None:
        asked.append(route.request.url)
        route.fulfill(json={**route.fetch().json(), "next_cursor": "more"})

    page.route("**/payment-links?status=active&limit=1000*", answer)

    def answer_more(route: Any) -> None:
        asked.append("")
        route.fulfill(json={"links": [], "next_cursor": "more"})

    page.route("**/payment-links?status=active&limit=1000&cursor=more", answer_more)
    dialog = ask_to_revoke_all(page)
    expect(
        dialog.get_by_text("At least 1 active link of endless to all@example.com will be revoked.")
    ).to_be_visible()
    assert len(asked) == 21
    dialog.get_by_role("button", name="Revoke all of them").click()
    expect(dialog.locator(".notice.good")).to_have_text("1 link was revoked.")


def test_links_that_cannot_be_counted_can_be_revoked_all_the_same(visit: Visit, make: Any) -> None:
    make("uncounted", "all@example.com")
    visitor = visit(DESKTOP)
    page = enter(visitor, "uncounted")
    visitor.expect_refusal("/orgs/uncounted/payment-links?status=active&limit=1000")
    page.route("**/payment-links?status=active&limit=1000", lambda route: route.abort())
    dialog = ask_to_revoke_all(page)
    expect(dialog.get_by_text("How many there are is not known")).to_be_visible()
    dialog.get_by_role("button", name="Revoke all of them").click()
    expect(dialog.locator(".notice.good")).to_have_text("1 link was revoked.")


def test_an_outage_says_that_the_revocation_may_have_happened_and_a_refusal_that_it_did_not(
    visit: Visit, make: Any
) -> None:
    link = make("uncertain", "all@example.com")
    visitor = visit(DESKTOP)
    page = enter(visitor, "uncertain")
    rows(page).locator(".open").click()
    page.get_by_role("button", name="Revoke this link").click()
    visitor.expect_refusal(f"/payment-links/{link['id']}")
    problem = {
        "type": "about:blank",
        "title": "x",
        "status": 403,
        "detail": "not yours",
        "code": "forbidden",
    }
    path = f"**/payment-links/{link['id']}"
    page.route(path, lambda route: route.fulfill(status=403, body=json.dumps(problem)), times=1)
    page.get_by_role("button", name="Revoke this link").click()
    expect(page.get_by_text("Nothing was revoked: not yours.")).to_be_visible()
    page.route(path, lambda route: route.abort(), times=1)
    page.get_by_role("button", name="Revoke this link").click()
    expect(page.get_by_text("it is not known whether anything was revoked")).to_be_visible()
    page.get_by_role("button", name="Revoke this link").click()
    expect(page.get_by_role("dialog").locator(".notice.good")).to_have_text("1 link was revoked.")


def test_a_part_of_the_store_that_is_away_may_keep_active_links(visit: Visit, make: Any) -> None:
    make("partly", "part@example.com")
    page = enter(visit(DESKTOP), "partly")
    page.route(
        "**/payment-links",
        lambda route: route.fulfill(json=route.fetch().json() | {"unavailable": ["0a"]}),
    )
    dialog = ask_to_revoke_all(page)
    dialog.get_by_role("button", name="Revoke 1 link").click()
    expect(dialog.locator("p.notice")).to_have_text(
        "1 link was revoked. A part of the service does not answer: links to part@example.com may"
        " still be active there. Revoke all of this recipient again later."
    )
