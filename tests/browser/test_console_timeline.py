"""A link's timeline and what else its details tell, in the console."""

from typing import Any

import httpx
from playwright.sync_api import expect

from tests.browser.conftest import DESKTOP, NARROW, Visit
from tests.browser.console import enter, fail_once, open_link, pay
from tests.support.admins import as_admin
from tests.support.service_processes import Service

DUE = {"payment_amount": 125000.5, "currency": "NGN"}


def lines(dialog: Any) -> Any:
    return dialog.get_by_role("region", name="Timeline").get_by_role("listitem")


def test_what_happened_is_told_in_words_with_who_did_it_and_when(
    visit: Visit, make: Any, service: Service
) -> None:
    link = make("told", **DUE)
    url = f"{service.url}/payment-links/{link['id']}"
    pay(service, link, "bank-7")
    pay(service, link, "bank-8")
    for payment_id in ("bank-7", "bank-8"):
        httpx.delete(f"{url}/payments/{payment_id}", headers=as_admin()).raise_for_status()
    httpx.delete(url, headers=as_admin()).raise_for_status()
    visitor = visit(DESKTOP)
    page = enter(visitor, "told")
    dialog = open_link(page)
    expect(lines(dialog).locator(".grow")).to_have_text(
        [
            "Revoked",
            "Payment of NGN 125,000.50 voided: bank-8",
            "Payment of NGN 125,000.50 voided: bank-7",
            "Duplicate payment of NGN 125,000.50: bank-8",
            "Payment of NGN 125,000.50 recorded: bank-8",
            "Paid",
            "Payment of NGN 125,000.50 recorded: bank-7",
            "Created",
        ]
    )
    for reference in lines(dialog).locator(".reference").all_inner_texts():
        assert "WAT" in reference
        assert reference.endswith("by tests")
    dialog.get_by_role("region", name="Timeline").scroll_into_view_if_needed()
    visitor.check()
    visitor.shoot("console timeline, desktop, light", whole=False)


def test_a_long_timeline_is_shown_a_page_at_a_time(
    visit: Visit, make: Any, service: Service
) -> None:
    link = make("long", **DUE, accept_partial=True)
    for number in range(21):
        pay(service, link, f"part-{number}", amount=1)
    page = enter(visit(DESKTOP), "long")
    dialog = open_link(page)
    expect(lines(dialog)).to_have_count(10)
    more = dialog.get_by_role("button", name="Show earlier events")
    more.click()
    expect(lines(dialog)).to_have_count(20)
    more.focus()
    more.press("Enter")
    expect(lines(dialog)).to_have_count(22)
    expect(more).to_be_hidden()
    expect(lines(dialog).nth(20)).to_be_focused()
    expect(lines(dialog).last).to_contain_text("Created")


def test_a_timeline_that_cannot_be_shown_can_be_tried_again(visit: Visit, make: Any) -> None:
    link = make("no-events")
    visitor = visit(DESKTOP)
    page = enter(visitor, "no-events")
    fail_once(visitor, f"/payment-links/{link['id']}/events?limit=10")
    dialog = open_link(page)
    expect(dialog.get_by_text("The events cannot be shown: the store")).to_be_visible()
    dialog.get_by_role("button", name="Try again").click()
    expect(lines(dialog).locator(".grow")).to_have_text(["Created"])


def test_a_change_adds_to_the_timeline(visit: Visit, make: Any) -> None:
    make("adds", **DUE)
    page = enter(visit(NARROW), "adds")
    dialog = open_link(page)
    expect(lines(dialog)).to_have_count(1)
    dialog.get_by_role("button", name="Revoke this link").click()
    dialog.get_by_role("button", name="Revoke this link").click()
    expect(lines(dialog).first).to_contain_text("Revoked")
    expect(lines(dialog).first).to_contain_text("by tests")


def test_details_tell_all_that_is_known_of_a_link(
    visit: Visit, make: Any, service: Service
) -> None:
    link = make(
        "known",
        **DUE,
        description="Office <b>cleaning</b>",
        metadata={"invoice": "2026-1138", "team": "west"},
        accept_partial=True,
        reminders=[{"after_send": "72h"}, {"after_send": "5d"}, {"before_expiry": "1h"}],
    )
    pay(service, link, "part-1", amount=25000.5)
    visitor = visit(DESKTOP)
    page = enter(visitor, "known")
    facts = open_link(page).locator("dl div")
    for name, value in (
        ("Description", "Office <b>cleaning</b>"),
        ("Amount paid", "NGN 25,000.50"),
        ("Still due", "NGN 100,000.00"),
        ("Partial payments", "Accepted"),
        ("Reminders", "72 h after the e-mail5 days after the e-mail1 h before it expires"),
        ("Metadata", "invoice: 2026-1138team: west"),
    ):
        expect(facts.filter(has_text=name)).to_have_text(f"{name}{value}")
    visitor.check("console all details, desktop, light")
