"""What a customer sees: the page behind a link, in a real browser."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import httpx
import pytest
from playwright.sync_api import expect

from service.values.languages import LANGUAGES
from tests.browser.conftest import Visit
from tests.browser.pay import BRAND, make, path_of
from tests.support.factories import make_link, store_link
from tests.support.redis_client import RedisClient

MARKS = str.maketrans("", "", ",\u200e\u200f")
"""Commas and marks of direction, on which editions of CLDR differ."""
pytestmark = pytest.mark.usefixtures("branded")


def test_a_customer_sees_who_wants_how_much_for_what_until_when_and_pays(
    visit: Visit, admin: httpx.Client
) -> None:
    link = make(admin)
    visitor = visit()
    visitor.expect_refusal("/favicon.ico")  # of the checkout, which has none
    page = visitor.open(path_of(link))
    for said in ("Acme Cleaning Ltd", "INV-2026-000042"):
        expect(page.get_by_text(said, exact=True)).to_be_visible()
    expect(page.locator(".amount")).to_have_text("₦125,000.50")
    expect(page.get_by_role("timer")).to_have_text(re.compile(r"^2 days 23:59:\d\d$"))
    expect(page.locator("time")).to_have_text(
        re.compile(r"^\d+ \w+ 20\d\d, \d\d:\d\d (WAT|GMT\+1)$")
    )
    page.get_by_role("link", name="Pay ₦125,000.50").click()
    page.wait_for_url(f"**/console?link={link['id']}")


def test_the_time_left_is_counted_down(visit: Visit, admin: httpx.Client) -> None:
    until = datetime.now(UTC) + timedelta(hours=5)
    page = visit().open(path_of(make(admin, expires_at=until.isoformat())))
    timer = page.get_by_role("timer")
    expect(timer).to_have_text(re.compile(r"^04:59:\d\d$"))
    before = timer.inner_text()
    expect(timer).not_to_have_text(before)


def test_a_phone_whose_clock_is_wrong_counts_right(visit: Visit, admin: httpx.Client) -> None:
    visitor = visit()
    visitor.install_clock(datetime.now(UTC) + timedelta(minutes=10))
    page = visitor.open(
        path_of(make(admin, expires_at=(datetime.now(UTC) + timedelta(minutes=6)).isoformat()))
    )
    expect(page.get_by_role("timer")).to_have_text(re.compile(r"^00:05:\d\d$"))


def test_a_day_less_interrupts_nobody(visit: Visit, admin: httpx.Client) -> None:
    until = datetime.now(UTC) + timedelta(days=1, seconds=2)
    page = visit().open(path_of(make(admin, expires_at=until.isoformat())))
    page.get_by_role("link", name="Pay").focus()
    expect(page.get_by_role("timer")).to_have_text(re.compile(r"^1 day 00:00:0\d$"))
    expect(page.get_by_role("timer")).to_have_text(re.compile(r"^23:59:5\d$"))
    expect(page.get_by_role("link", name="Pay")).to_be_focused()
    expect(page.locator("#announcer")).to_be_empty()


def test_a_page_whose_link_was_changed_shows_it_when_its_time_is_over(
    visit: Visit, admin: httpx.Client
) -> None:
    now = datetime.now(UTC)
    link = make(admin, expires_at=(now + timedelta(hours=1)).isoformat())
    visitor = visit()
    visitor.install_clock()
    page = visitor.open(path_of(link))
    before = page.locator("time").inner_text()
    changes = {"description": "Two windows", "expires_at": (now + timedelta(days=5)).isoformat()}
    assert admin.patch(f"/payment-links/{link['id']}", json=changes).status_code == 200
    page.clock.fast_forward("01:00:05")
    page.clock.run_for(2000)
    expect(page.get_by_text("Two windows")).to_be_visible()
    expect(page.locator("time")).not_to_have_text(before)
    expect(page.get_by_role("timer")).to_have_text(re.compile(r"^4 days "))


def test_a_page_whose_end_comes_while_it_is_offline_says_so_later(
    visit: Visit, admin: httpx.Client
) -> None:
    link = make(admin, expires_at=(datetime.now(UTC) + timedelta(hours=1)).isoformat())
    visitor = visit()
    visitor.install_clock()
    page = visitor.open(path_of(link))
    assert admin.delete(f"/payment-links/{link['id']}").status_code == 200
    visitor.expect_refusal(path_of(link))
    visitor.go_offline()
    page.clock.fast_forward("01:00:05")
    expect(page.get_by_role("timer")).to_have_text("00:00:00")
    page.clock.run_for(20_000)
    visitor.context.set_offline(False)
    page.clock.run_for(6_000)
    expect(page.get_by_role("heading", name="This link was withdrawn")).to_be_focused()


def test_times_are_the_customers_own_also_where_the_browser_does_not_know_the_language(
    visit: Visit, admin: httpx.Client
) -> None:
    until = datetime.now(UTC) + timedelta(days=1)
    page = visit().open(path_of(make(admin, locale="ha", expires_at=until.isoformat())))
    local = until.astimezone(ZoneInfo("Africa/Lagos"))
    expect(page.locator("time")).to_have_text(f"{local:%d/%m/%Y, %H:%M} GMT+1")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_script_writes_times_as_the_server_does(
    visit: Visit, admin: httpx.Client, language: str
) -> None:
    """But for a language that the browser does not know, and for how it calls a zone."""
    assert (
        admin.put("/orgs/acme/profile", json=BRAND | {"time_zone": "Africa/Algiers"}).status_code
        == 200
    )
    path = path_of(make(admin, locale=language))
    times = [
        visit(script=script).open(path).locator("time").inner_text() for script in (True, False)
    ]
    scripted, served = ("".join(time.split()[:-1]).translate(MARKS) for time in times)
    assert scripted == served or language == "ha"


@pytest.mark.parametrize(
    ("zone", "script", "written"),
    [
        (None, True, "{local:%-d %B %Y, %H:%M} GMT+1"),
        (None, False, "{utc:%-d %B %Y, %H:%M} UTC"),
        ("Africa/Lagos", True, "{local:%-d %B %Y, %H:%M} WAT"),
        ("Asia/Dubai", False, "{dubai:%-d %B %Y, %H:%M} UTC+4"),
    ],
    ids=[
        "a customer elsewhere",
        "without a script",
        "a customer in the organization's zone",
        "elsewhere, without a script",
    ],
)
@pytest.mark.parametrize("state", ["active", "expired"])
def test_times_say_in_which_zone_they_are(
    visit: Visit,
    admin: httpx.Client,
    store: RedisClient,
    state: str,
    zone: str | None,
    script: bool,
    written: str,
) -> None:
    assert admin.put("/orgs/acme/profile", json=BRAND | {"time_zone": zone}).status_code == 200
    utc = datetime.now(UTC) + (timedelta(days=1) if state == "active" else timedelta(days=-1))
    link = store_link(store, make_link(utc - timedelta(days=3), locale="en-GB", notify=False))
    zones = {
        "utc": utc,
        "local": utc.astimezone(ZoneInfo("Africa/Lagos")),
        "dubai": utc.astimezone(ZoneInfo("Asia/Dubai")),
    }
    visitor = visit(script=script)
    page = visitor.open(f"/pay/{link.id}", 200 if state == "active" else 410)
    expect(page.locator("time")).to_have_text(written.format(**zones))
    visitor.shoot(f"times, {state}, {zone}, {script}".replace("/", "-"))


def test_a_page_that_stays_open_says_when_its_link_has_ended(
    visit: Visit, admin: httpx.Client
) -> None:
    link = make(admin, expires_at=(datetime.now(UTC) + timedelta(hours=1)).isoformat())
    visitor = visit()
    visitor.install_clock()
    page = visitor.open(path_of(link))
    assert admin.delete(f"/payment-links/{link['id']}").status_code == 200
    visitor.expect_refusal(path_of(link))
    page.clock.fast_forward("01:00:05")
    expect(page.get_by_role("heading", name="This link was withdrawn")).to_be_focused()


def test_the_browser_is_addressed_in_its_own_language(visit: Visit, admin: httpx.Client) -> None:
    page = visit(locale="fr-FR").open(path_of(make(admin)))
    expect(page.locator(".amount")).to_have_text(re.compile("125.000,50.NGN"))
    expect(page.get_by_role("link", name=re.compile("^Payer"))).to_be_visible()


def test_the_qr_code_is_printed(visit: Visit, admin: httpx.Client) -> None:
    page = visit().open(path_of(make(admin)))
    code = page.get_by_role("img", name="QR code of this page", include_hidden=True)
    expect(code).to_be_hidden()
    page.emulate_media(media="print")
    expect(code).to_be_visible()
    assert code.evaluate("async image => (await image.decode(), image.naturalWidth)")
