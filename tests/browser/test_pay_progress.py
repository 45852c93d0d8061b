"""The page of a link on its way to being paid: how it looks, and what Back leads to."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import msgspec
import pytest
from playwright.sync_api import expect

from service.links.model import Link
from service.values.languages import LANGUAGES
from tests.browser.conftest import DESKTOP, NARROW, PHONE, STILL, Visit
from tests.browser.pay import make, path_of
from tests.browser.test_pay_looks import SIZES, assert_in_one_line
from tests.support.factories import UNKNOWN_LINK_ID, make_link, store_link
from tests.support.link_states import with_checkout_started, with_payments
from tests.support.redis_client import RedisClient

FIELDS: dict[str, Any] = {
    "transaction_id": "INV-2026-000042",
    "description": "Office cleaning, November: 22 days, windows of both floors included",
    "payment_amount": Decimal(125000),
    "currency": "NGN",
    "notify": False,
}
LONGEST: dict[str, Any] = {"payment_amount": Decimal("999999999999.9999"), "currency": "CLF"}
pytestmark = pytest.mark.usefixtures("branded")


def states(store: RedisClient, **fields: Any) -> Iterator[tuple[str, str, int]]:
    """Names of states, the paths of links that are in them, and the status of their pages."""
    now = datetime.now(UTC)
    made = [make_link(now - timedelta(minutes=5), **FIELDS | fields) for _ in range(8)]
    half = str((made[0].payment_amount or Decimal(2)) / 2)
    all_due = str(made[0].payment_amount)
    newer = {"revoked_at": now, "superseded_by": UNKNOWN_LINK_ID}
    links: list[tuple[str, Link, int]] = [
        ("started", with_checkout_started(made[0], now), 200),
        ("started long ago", with_checkout_started(made[1], now - timedelta(days=1)), 200),
        ("partly paid", with_payments(made[2], half, at=now), 200),
        ("paid", with_payments(made[3], all_due, at=now), 200),
        ("superseded", msgspec.structs.replace(made[4], **newer), 410),
        (
            "revoked and partly paid",
            msgspec.structs.replace(with_payments(made[5], half, at=now), revoked_at=now),
            410,
        ),
        (
            "revoked and started",
            with_checkout_started(msgspec.structs.replace(made[7], revoked_at=now), now),
            410,
        ),
        (
            "paid, gated",
            msgspec.structs.replace(with_payments(made[6], all_due, at=now), otp_required=True),
            200,
        ),
    ]
    for name, link, status in links:
        store_link(store, link)
        yield name, f"/pay/{link.id}", status


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_every_state_is_accessible(
    visit: Visit, store: RedisClient, size: str, scheme: str
) -> None:
    visitor = visit(SIZES[size], scheme=scheme)
    for name, path, status in states(store):
        visitor.open(path, status)
        visitor.check(f"pay {name}, {size}, {scheme}")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_state_fits_the_smallest_phone_in_every_language(
    visit: Visit, store: RedisClient, language: str
) -> None:
    visitor = visit(NARROW, locale=language)
    for name, path, status in states(store, locale=language):
        visitor.open(path, status)
        visitor.check(f"pay {name}, {language}")


@pytest.mark.parametrize("language", ["en", "ar"])
def test_no_amount_breaks_between_its_digits(
    visit: Visit, store: RedisClient, language: str
) -> None:
    visitor = visit(NARROW, locale="en")
    for name, path, status in states(store, locale=language, **LONGEST):
        page = visitor.open(path, status)
        for size in (NARROW, PHONE, DESKTOP):
            page.set_viewport_size({"width": size[0], "height": size[1]})
            for amount in page.locator(".amount bdi, .sum").all():
                assert_in_one_line(amount)
            visitor.check(f"pay {name}, long amount, {size[0]}, {language}")


def test_without_forced_colors_or_with_them_the_button_is_seen(
    visit: Visit, store: RedisClient
) -> None:
    visitor = visit(PHONE)
    visitor.page.emulate_media(forced_colors="active")
    for name, path, status in states(store):
        page = visitor.open(path, status)
        visitor.shoot(f"pay {name}, forced colors")
        for button in page.locator(".button").all():
            width = button.evaluate("element => getComputedStyle(element).borderTopWidth")
            assert width == "1px"


def test_a_customer_who_comes_back_reads_that_the_payment_has_started(
    visit: Visit, admin: httpx.Client
) -> None:
    link = make(admin)
    visitor = visit()
    visitor.expect_refusal("/favicon.ico")
    page = visitor.open(path_of(link))
    page.get_by_role("link", name="Pay ₦125,000.50").click()
    page.wait_for_url(f"**/console?link={link['id']}")
    page.go_back()
    page.wait_for_url(f"**{path_of(link)}")
    expect(page.get_by_role("heading")).to_have_text(
        re.compile(r"^Payment started at \d\d:\d\d (WAT|GMT\+1)$")
    )
    expect(page.get_by_role("link", name="Pay ₦")).to_have_count(0)
    page.get_by_role("link", name="Continue payment").click()
    page.wait_for_url(f"**/console?link={link['id']}")


def test_a_page_that_is_shown_again_as_it_was_learns_what_has_happened(
    visit: Visit, admin: httpx.Client
) -> None:
    """Browsers may keep a page as it was, to show it again when its reader comes back."""
    link = make(admin)
    page = visit().open(path_of(link))
    answer = httpx.get(f"{page.url}/checkout", headers={"Accept": "text/html"})
    assert answer.status_code == 303
    page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    expect(page.get_by_role("heading")).to_have_text(re.compile("^Payment started"))


def test_the_address_of_the_checkout_gives_way_where_it_leads_nowhere(
    visit: Visit, admin: httpx.Client
) -> None:
    """Otherwise a reload after the code would lead on without a click."""
    link = make(admin, "address@example.com", otp_required=True)
    page = visit().open(f"{path_of(link)}/checkout")
    expect(page.get_by_role("button", name="Send me a code")).to_be_visible()
    page.wait_for_url(f"**{path_of(link)}")


def test_without_a_script_a_customer_pays_and_comes_back_too(
    visit: Visit, admin: httpx.Client
) -> None:
    link = make(admin)
    visitor = visit(script=False)
    visitor.expect_refusal("/favicon.ico")
    page = visitor.open(path_of(link))
    page.get_by_role("link", name="Pay ₦125,000.50").click()
    page.wait_for_url(f"**/console?link={link['id']}")
    page = visitor.open(path_of(link))
    expect(page.get_by_role("heading")).to_have_text(re.compile("^Payment started at"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_script_that_comes_late_moves_nothing(
    visit: Visit, store: RedisClient, language: str
) -> None:
    visitor = visit(locale=language)
    for width, height in (NARROW, PHONE):
        visitor.page.set_viewport_size({"width": width, "height": height})
        for name, path, _ in states(store, locale=language):
            if name not in {"started", "partly paid", "paid"}:
                continue
            with visitor.opened_before("**/pay.js", path) as page:
                pass
            expect(page.locator("time").first).to_be_visible()
            assert visitor.shifted() < STILL, name
