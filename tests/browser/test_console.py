"""What an organization's admins, and those of the service, see: the console, in a real browser."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import segno
from playwright.sync_api import expect

from service.auth.tokens import Role
from tests.browser.conftest import DESKTOP, NARROW, PHONE, REASON, Visit
from tests.browser.console import (
    enter,
    new_link,
    rows,
    show_all_states,
    wait_for_mail,
)
from tests.support.admins import admin_token, as_admin
from tests.support.servers import RedisServer, wait_until
from tests.support.service_processes import Service

HTML = "<img/src=x/onerror=alert(1)><b>"


SENT = re.compile(r"^Sent\d+\s\w+\s\d{4}, \d\d:\d\d\sWAT$")
"""A mail's cell, once it is out."""


def test_a_token_signs_in_for_this_tab_alone(visit: Visit, make: Any, service: Service) -> None:
    make("tab", "tab@example.com")
    visitor = visit(DESKTOP)
    page = enter(visitor, "tab")
    expect(rows(page)).to_have_count(1)
    token = page.evaluate("sessionStorage.getItem('payment-links-token')")
    page.reload()
    expect(rows(page)).to_have_count(1)
    told = [
        page.url,
        page.content(),
        service.logs(),
        page.evaluate("JSON.stringify([localStorage, document.cookie])"),
    ]
    assert not any(token in text for text in told)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("dialog", name="Sign in")).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0
    assert "tab@example.com" not in page.content()
    page.reload()
    expect(page.get_by_label("Admin token")).to_be_focused()


@pytest.mark.parametrize(
    ("token", "said"),
    [
        pytest.param("jane", "it is not a whole token", id="no token"),
        pytest.param(
            f"{admin_token(Role.ORG_ADMIN, 'acme')[:-4]}AAAA", "the token is not valid", id="forged"
        ),
        pytest.param(
            admin_token(Role.ORG_ADMIN, "acme", timedelta(seconds=-5)),
            "the token has expired",
            id="expired",
        ),
    ],
)
def test_a_token_that_is_no_good_is_refused_in_words(visit: Visit, token: str, said: str) -> None:
    visitor = visit()
    page = visitor.open("/console")
    visitor.expect_refusal("/orgs/acme/payment-links?limit=1")
    page.get_by_label("Admin token").fill(token)
    page.keyboard.press("Enter")
    expect(page.locator("#token-error")).to_contain_text(said)
    expect(page.get_by_label("Admin token")).to_be_focused()
    visitor.check()
    assert page.evaluate("sessionStorage.length") == 0


def test_without_a_script_the_page_says_what_to_do(visit: Visit) -> None:
    page = visit(script=False).open("/console")
    expect(page.get_by_text("The console needs JavaScript")).to_be_visible()
    expect(page.get_by_label("Admin token")).to_be_hidden()


def test_a_token_that_ends_meanwhile_loses_nothing_that_was_typed(visit: Visit) -> None:
    visitor = visit(DESKTOP)
    page = enter(visitor, "meanwhile")
    new_link(page, email="jane@example.com", payment_amount="12.50", currency="EUR")
    page.evaluate(
        "token => sessionStorage.setItem('payment-links-token', token)",
        admin_token(lifetime=timedelta(seconds=-5)),
    )
    visitor.expect_refusal("/payment-links")
    page.get_by_role("button", name="Create link").click()
    expect(page.get_by_text("Your token is no longer good")).to_be_visible()
    expect(page.get_by_label("Admin token")).to_be_focused()
    visitor.check("console signed out meanwhile, desktop, light")
    page.get_by_label("Admin token").fill(admin_token(Role.ORG_ADMIN, "meanwhile"))
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#email")).to_have_value("jane@example.com")
    page.get_by_role("button", name="Create link").click()
    expect(page.get_by_role("heading", name="Link created")).to_be_visible()
    expect(rows(page)).to_have_count(1)


def test_the_organizations_logo_is_seen_in_the_dark(visit: Visit, service: Service) -> None:
    profile = {"logo": segno.make("logo").png_data_uri(light=None)}
    httpx.put(
        f"{service.url}/orgs/pictured/profile", json=profile, headers=as_admin()
    ).raise_for_status()
    logo = enter(visit(DESKTOP, scheme="dark"), "pictured").locator(".avatar img")
    expect(logo).to_have_css("background-color", "rgb(255, 255, 255)")
    assert logo.evaluate("async image => (await image.decode(), image.naturalWidth)") > 0


def test_links_are_counted_and_filtered(
    visit: Visit, service: Service, make: Any, own_store: RedisServer
) -> None:
    show_all_states(service, make, own_store, "counted")
    page = enter(visit(DESKTOP), "counted")
    tabs = page.get_by_role("navigation", name="Links by status")
    expect(tabs.get_by_role("link")).to_have_text(
        ["All7", "Active4", "Paid1", "Expired1", "Revoked1"]
    )
    for name, count in (("Expired", 1), ("Paid", 1), ("Revoked", 1), ("Active", 4), ("All", 7)):
        tabs.get_by_role("link", name=name).click()
        expect(rows(page)).to_have_count(count)
        expect(tabs.locator("[aria-current=page]")).to_contain_text(name)
    expect(page.get_by_text("NGN 999,999,999,999.99")).to_be_visible()
    page.go_back()
    expect(rows(page)).to_have_count(4)
    page.reload()
    expect(rows(page)).to_have_count(4)


@pytest.mark.parametrize("locale", ["en-US", "en-CA", "en-AU", "fr-FR"])
def test_dollars_are_told_apart_wherever_an_amount_stands(
    visit: Visit, make: Any, locale: str
) -> None:
    org, shown = f"dollars-{locale}", [f"{code} 100.00" for code in ("AUD", "CAD", "USD")]
    for currency in ("USD", "CAD"):
        make(org, payment_amount=100, currency=currency)
    page = enter(visit(DESKTOP, locale=locale), org)
    form = new_link(page, email="jane@example.com", payment_amount="100", currency="AUD")
    form.get_by_role("button", name="Create link").click()
    expect(form.locator(".sum")).to_have_text(shown[0])
    form.get_by_role("button", name="Done").click()
    expect(rows(page).locator(".amount")).to_have_text(shown)
    for row, amount in enumerate(shown):
        rows(page).nth(row).locator(".open").click()
        expect(page.locator("#detail-title")).to_have_text(amount)
        page.keyboard.press("Escape")


@pytest.mark.parametrize(
    "size",
    [
        pytest.param(NARROW, id="narrow"),
        pytest.param((840, 800), id="tablet"),
        pytest.param((930, 800), id="small desktop"),
    ],
)
def test_the_longest_amount_is_seen_whole(visit: Visit, make: Any, size: tuple[int, int]) -> None:
    org = f"longest-{size[0]}"
    make(
        org,
        "a.rather.long.name.for.a.mailbox@accounts-payable.example.com",
        payment_amount=999999999999.99,
        currency="NGN",
    )
    page = enter(visit(size), org)
    expect(rows(page).locator(".amount")).to_have_text("NGN 999,999,999,999.99")
    assert page.get_by_role("region", name="Links").evaluate(
        "card => card.scrollWidth <= card.clientWidth"
    ), "it is cut"


def test_pages_lead_on_and_back(visit: Visit, make: Any) -> None:
    for number in range(51):
        make("paged", f"jane+{number}@example.com")
    page = enter(visit(DESKTOP), "paged")
    expect(page.locator(".pager p")).to_have_text("1\N{EN DASH}25 of 51 links")
    first = rows(page).first.inner_text()
    page.get_by_role("button", name="Next").click()
    expect(page.locator(".pager p")).to_have_text("26\N{EN DASH}50 of 51 links")
    expect(page.locator(".pager p")).to_be_focused()
    page.get_by_role("button", name="Next").click()
    expect(page.locator(".pager p")).to_have_text("51\N{EN DASH}51 of 51 links")
    expect(page.get_by_role("button", name="Next")).to_be_disabled()
    page.get_by_role("button", name="Previous").click()
    page.get_by_role("button", name="Previous").click()
    expect(page.locator(".pager p")).to_have_text("1\N{EN DASH}25 of 51 links")
    assert rows(page).first.inner_text() == first


def test_a_failed_mail_shows_its_reason_as_text(visit: Visit, service: Service, make: Any) -> None:
    wait_for_mail(service, make("refused", "nobody@example.com", notify=True), "failed")
    page = enter(visit(DESKTOP), "refused")
    expect(rows(page).locator(".delivery")).to_have_text(f"Failed{REASON}")
    page.get_by_role("button", name="nobody@example.com", exact=True).click()
    expect(page.get_by_role("dialog").get_by_text(REASON)).to_be_visible()


def test_a_mail_on_its_way_arrives_on_the_page(visit: Visit, make: Any) -> None:
    make("arrives", notify=True)
    expect(rows(enter(visit(), "arrives")).locator(".delivery")).to_have_text(SENT)


def test_a_scheduled_mail_that_was_sent_says_when_it_was(
    visit: Visit, make: Any, service: Service
) -> None:
    made = make("came", notify=True, scheduled_at=datetime.now(UTC).isoformat())
    url = f"{service.url}/payment-links/{made['id']}"
    wait_until(lambda: httpx.get(url).json()["delivery"]["state"] == "sent", "the mail to be sent")
    expect(rows(enter(visit(), "came")).locator(".delivery")).to_have_text(SENT)


def test_a_mail_that_is_scheduled_says_when_it_will_be_sent(visit: Visit, make: Any) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).replace(hour=10, minute=30)
    make("later", notify=True, scheduled_at=tomorrow.isoformat())
    page = enter(visit(DESKTOP), "later")
    expect(rows(page).locator(".delivery")).to_have_text(
        f"Scheduledwill be sent {tomorrow.day} {tomorrow:%b %Y}, 11:30 WAT"
    )
    rows(page).locator(".open").click()
    page.get_by_role("button", name="Revoke this link").click()
    page.get_by_role("button", name="Revoke this link").click()
    expect(page.get_by_role("dialog").locator(".notice.good")).to_be_visible()
    expect(page.get_by_text("will be sent")).to_have_count(0)


def test_an_address_stays_in_one_line_where_there_is_room(visit: Visit, make: Any) -> None:
    make(
        "roomy",
        "jane.doe@accounts.example.com",
        notify=True,
        payment_amount=999999999999.99,
        currency="NGN",
    )
    for size in (DESKTOP, PHONE):
        address = rows(enter(visit(size), "roomy")).locator(".open")
        height = """button => {
          const text = document.createRange();
          text.selectNodeContents(button);
          return text.getBoundingClientRect().height;
        }"""
        assert address.evaluate(height) < 30


def test_what_customers_and_programs_write_stays_text(visit: Visit, make: Any) -> None:
    make("hostile", transaction_id=HTML)
    page = enter(visit(DESKTOP), "hostile")
    expect(page.get_by_text(HTML)).to_be_visible()
    rows(page).get_by_role("button", name="jane@example.com", exact=True).click()
    expect(page.get_by_role("dialog").get_by_text(HTML)).to_be_visible()
    assert page.locator("main img, main b").count() == 0
