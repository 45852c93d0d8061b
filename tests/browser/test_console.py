"""What an organization's admins, and those of the service, see: the console, in a real browser."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import segno
from playwright.sync_api import Page, Route, expect

from service.domain.tokens import Role
from service.store.client import Client, connect
from tests.browser.conftest import DESKTOP, NARROW, PHONE, STILL, Visitor
from tests.store.samples import make_link, put
from tests.support.admins import admin_token, as_admin
from tests.support.processes import Service
from tests.support.servers import MailServer, Store, wait_until

Visit = Callable[..., Visitor]
LATER = timedelta(days=3)
HTML = "<img/src=x/onerror=alert(1)><b>"
REASON = "550 5.1.1 <b>No such user</b> here"
LOOKS = [
    pytest.param(PHONE, "light", id="phone, light"),
    pytest.param(PHONE, "dark", id="phone, dark"),
    pytest.param(DESKTOP, "light", id="desktop, light"),
    pytest.param(DESKTOP, "dark", id="desktop, dark"),
    pytest.param(NARROW, "light", id="narrow, light"),
]


@pytest.fixture(scope="module", autouse=True)
def _picky(mails: MailServer) -> None:
    """A mail server that knows nobody whose name begins with nobody."""
    mails.mailbox.reply = lambda envelope: REASON if envelope.rcpt_tos[0].startswith("nobody") else None


@pytest.fixture
def make(service: Service) -> Any:
    """Makes links, as another program of the organization would."""

    def create(org_id: str, email: str = "jane@example.com", **fields: Any) -> dict[str, Any]:
        body = {"email": email, "org_id": org_id, "notify": False, **fields}
        answer = httpx.post(f"{service.url}/payment-links", json=body, headers=as_admin())
        assert answer.status_code == 201, answer.text
        link: dict[str, Any] = answer.json()
        return link

    return create


def enter(visitor: Visitor, org: str | None = None, life: timedelta = timedelta(hours=1)) -> Page:
    """Signs in: an org-admin of ``org``, or an internal-admin."""
    page = visitor.open("/console")
    token = admin_token(Role.ORG_ADMIN, org, life) if org else admin_token(life=life)
    page.get_by_label("Admin token").fill(token)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("dialog", name="Sign in")).to_be_hidden()
    return page


def rows(page: Page) -> Any:
    return page.locator("tbody tr")


def new_link(page: Page, **fields: str) -> Any:
    """The form for a new link, filled in."""
    page.get_by_role("button", name="New link").click()
    return fill(page, **fields)


def fill(page: Page, **fields: str) -> Any:
    form = page.get_by_role("dialog")
    for name, value in fields.items():
        form.locator(f"#{name}").fill(value)
    return form


def show_all_states(service: Service, make: Any, own_store: Store, org: str) -> None:
    """Links of every status, delivery and length."""
    client = Client(connect(own_store.url))
    put(client, make_link(datetime.now(UTC) - timedelta(days=4), org_id=org, email="late@example.com", notify=False))
    client.close()
    revoked = make(org, "gone@example.com", payment_amount=20, currency="USD")
    httpx.delete(f"{service.url}/payment-links/{revoked['id']}", headers=as_admin())
    make(org, "a.rather.long.name.for.a.mailbox@accounts-payable.example.com", transaction_id="INV-2026-000042/2-reminder")
    make(org, "soon@example.com", notify=True, scheduled_at=(datetime.now(UTC) + LATER).isoformat())
    make(org, "jane@example.com", notify=True, payment_amount=125000.50, currency="NGN", transaction_id="order-1138")
    failed = make(org, "nobody@example.com", notify=True, payment_amount=999999999999.99, currency="NGN", otp_required=True)
    wait_for_failure(service, failed)


def fail_once(visitor: Visitor, path: str) -> None:
    """The next answer to ``path`` is that the service is away for half a minute."""
    away = {"type": "about:blank", "title": "x", "status": 503, "detail": "the store does not answer", "code": "unavailable"}
    visitor.expect_refusal(path)
    visitor.page.route(
        f"**{path}", lambda route: route.fulfill(status=503, body=json.dumps(away), headers={"Retry-After": "30"}), times=1
    )


def go(page: Page, view: str) -> None:
    page.evaluate("view => { location.hash = view }", view)


def asked_within(page: Page, seconds: int) -> list[str]:
    """The paths that the page asks for by itself in the next ``seconds``."""
    asked = listen(page)
    page.clock.run_for(seconds * 1000)
    settle(page)
    return asked[:-1]


def listen(page: Page) -> list[str]:
    """The paths that the page asks for from now on."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(urlsplit(request.url).path))
    return asked


def settle(page: Page) -> None:
    """Asks for one thing more, for whatever was asked for before it to have been heard of."""
    page.evaluate("fetch('/healthz')")


def wait_for_failure(service: Service, link: dict[str, Any]) -> None:
    def state() -> str:
        found = httpx.get(f"{service.url}/payment-links/{link['id']}", headers=as_admin()).json()
        return str(found["delivery"]["state"])

    wait_until(lambda: state() == "failed", "the mail to be given up")


# Signing in and out.


def test_a_token_signs_in_for_this_tab_alone(visit: Visit, make: Any, service: Service) -> None:
    make("tab", "tab@example.com")
    visitor = visit(DESKTOP)
    page = enter(visitor, "tab")
    expect(rows(page)).to_have_count(1)
    token = page.evaluate("sessionStorage.getItem('payment-links-token')")
    page.reload()
    expect(rows(page)).to_have_count(1)
    told = [page.url, page.content(), service.logs(), page.evaluate("JSON.stringify([localStorage, document.cookie])")]
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
        pytest.param("jane", "this is no token", id="no token"),
        pytest.param(f"{admin_token(Role.ORG_ADMIN, 'acme')[:-4]}AAAA", "the token is not valid", id="forged"),
        pytest.param(admin_token(Role.ORG_ADMIN, "acme", timedelta(seconds=-5)), "the token has expired", id="expired"),
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
    page.evaluate("token => sessionStorage.setItem('payment-links-token', token)", admin_token(life=timedelta(seconds=-5)))
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


# The list.


def test_the_organizations_logo_is_seen_in_the_dark(visit: Visit, service: Service) -> None:
    profile = {"logo": segno.make("logo").png_data_uri(light=None)}
    httpx.put(f"{service.url}/orgs/pictured/profile", json=profile, headers=as_admin()).raise_for_status()
    logo = enter(visit(DESKTOP, scheme="dark"), "pictured").locator(".avatar img")
    expect(logo).to_have_css("background-color", "rgb(255, 255, 255)")
    assert logo.evaluate("async image => (await image.decode(), image.naturalWidth)") > 0


def test_links_are_counted_and_filtered(visit: Visit, service: Service, make: Any, own_store: Store) -> None:
    show_all_states(service, make, own_store, "counted")
    page = enter(visit(DESKTOP), "counted")
    tabs = page.get_by_role("navigation", name="Links by status")
    expect(tabs.get_by_role("link")).to_have_text(["All6", "Active4", "Expired1", "Revoked1"])
    for name, count in (("Expired", 1), ("Revoked", 1), ("Active", 4), ("All", 6)):
        tabs.get_by_role("link", name=name).click()
        expect(rows(page)).to_have_count(count)
        expect(tabs.locator("[aria-current=page]")).to_contain_text(name)
    expect(page.get_by_text("NGN 999,999,999,999.99")).to_be_visible()
    page.go_back()
    expect(rows(page)).to_have_count(4)
    page.reload()
    expect(rows(page)).to_have_count(4)


@pytest.mark.parametrize("locale", ["en-US", "en-CA", "en-AU", "fr-FR"])
def test_dollars_are_told_apart_wherever_an_amount_stands(visit: Visit, make: Any, locale: str) -> None:
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


@pytest.mark.parametrize("size", [pytest.param(NARROW, id="narrow"), pytest.param((840, 800), id="tablet")])
def test_the_longest_amount_is_seen_whole(visit: Visit, make: Any, size: tuple[int, int]) -> None:
    org = f"longest-{size[0]}"
    make(org, "a.rather.long.name.for.a.mailbox@accounts-payable.example.com", payment_amount=999999999999.99, currency="NGN")
    page = enter(visit(size), org)
    expect(rows(page).locator(".amount")).to_have_text("NGN 999,999,999,999.99")
    assert page.get_by_role("region", name="Links").evaluate("card => card.scrollWidth <= card.clientWidth"), "it is cut"


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
    wait_for_failure(service, make("refused", "nobody@example.com", notify=True))
    page = enter(visit(DESKTOP), "refused")
    expect(rows(page).locator(".delivery")).to_have_text(f"Failed{REASON}")
    page.get_by_role("button", name="nobody@example.com", exact=True).click()
    expect(page.get_by_role("dialog").get_by_text(REASON)).to_be_visible()


def test_a_mail_on_its_way_arrives_on_the_page(visit: Visit, make: Any) -> None:
    make("arrives", notify=True)
    expect(rows(enter(visit(), "arrives")).locator(".delivery")).to_have_text("Sent")


def test_what_customers_and_programs_write_stays_text(visit: Visit, make: Any) -> None:
    make("hostile", transaction_id=HTML)
    page = enter(visit(DESKTOP), "hostile")
    expect(page.get_by_text(HTML)).to_be_visible()
    rows(page).get_by_role("button", name="jane@example.com", exact=True).click()
    expect(page.get_by_role("dialog").get_by_text(HTML)).to_be_visible()
    assert page.locator("main img, main b").count() == 0


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


def test_a_mail_under_way_is_looked_at_again_also_after_a_look_that_failed(visit: Visit, make: Any) -> None:
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
    visitor.page.clock.install()
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
def test_a_view_that_failed_and_was_left_is_not_tried_again(visit: Visit, view: str, other: str, path: str) -> None:
    visitor = visit(DESKTOP)
    visitor.page.clock.install()
    page = enter(visitor)
    go(page, other)
    fail_once(visitor, path)
    go(page, view)
    expect(page.get_by_text("We try again every 30 s.")).to_be_visible()
    go(page, other)
    expect(page.get_by_text("We try again every 30 s.")).to_be_hidden()
    assert urlsplit(path).path not in asked_within(page, seconds=60)


def test_a_tab_that_failed_and_was_left_is_not_tried_again(visit: Visit, make: Any) -> None:
    make("tabs")
    visitor = visit(DESKTOP)
    visitor.page.clock.install()
    page = enter(visitor, "tabs")
    expect(rows(page)).to_have_count(1)
    fail_once(visitor, "/orgs/tabs/payment-links?limit=25&status=expired")
    page.get_by_role("navigation").get_by_role("link", name="Expired").click()
    expect(page.get_by_text("We try again every 30 s.")).to_be_visible()
    page.get_by_role("navigation").get_by_role("link", name="All").click()
    expect(rows(page)).to_have_count(1)
    assert asked_within(page, seconds=60) == []


def test_a_view_that_failed_is_tried_again_when_its_time_has_come(visit: Visit) -> None:
    visitor = visit(DESKTOP)
    visitor.page.clock.install()
    fail_once(visitor, "/outbox")
    page = enter(visitor)
    expect(page.get_by_text("We try again every 30 s.")).to_be_visible()
    page.clock.run_for(30_000)
    expect(page.get_by_role("heading", name="Latest failures")).to_be_visible()


def test_an_answer_that_does_not_come_is_given_up_after_15_seconds(visit: Visit, make: Any) -> None:
    make("silent")
    visitor = visit(DESKTOP)
    visitor.page.clock.install()
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


def test_a_list_that_was_left_is_not_loaded_by_a_dialog_that_was_opened_there(visit: Visit, make: Any) -> None:
    make("outlived")
    page = enter(visit(DESKTOP))
    go(page, "#/")
    go(page, "#/outlived")
    rows(page).locator(".open").click()
    page.go_back()
    expect(page.get_by_role("heading", name="Overview", include_hidden=True)).to_be_visible()
    asked = listen(page)
    page.get_by_role("button", name="Revoke this link").click()
    page.get_by_role("button", name="Revoke this link").click()
    expect(page.get_by_role("dialog").locator(".notice.good")).to_have_text("1 link was revoked.")
    settle(page)
    assert "/orgs/outlived/payment-links" not in asked


# Creating.


@pytest.mark.parametrize(
    ("amount", "currency", "sent", "shown"),
    [
        pytest.param("125,000.50", "ngn", '"payment_amount":125000.50', "NGN 125,000.50", id="NGN"),
        pytest.param("1.250", "KWD", '"payment_amount":1.250', "KWD 1.250", id="KWD"),
        pytest.param("999999999999.99", "USD", '"payment_amount":999999999999.99', "USD 999,999,999,999.99", id="USD"),
    ],
)
def test_a_link_is_made_copied_and_shown_as_a_code(visit: Visit, amount: str, currency: str, sent: str, shown: str) -> None:
    visitor = visit(DESKTOP)
    visitor.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = enter(visitor, f"makes-{currency}")
    page.get_by_role("button", name="Create the first link").click()
    form = fill(page, email="jane@example.com", payment_amount=amount, currency=currency, transaction_id="order-7")
    with page.expect_request("**/payment-links") as asked:
        form.get_by_role("button", name="Create link").click()
    assert sent in (asked.value.post_data or "")
    expect(form.get_by_role("heading", name="Link created")).to_be_focused()
    expect(form.locator(".sum")).to_have_text(shown)
    expect(form.get_by_role("img", name="QR code of the link")).to_be_visible()
    assert form.get_by_role("img").evaluate("async image => (await image.decode(), image.naturalWidth > 0)")
    form.get_by_role("button", name="Copy link").click()
    expect(form.get_by_text("Link copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == form.get_by_label("Address of the link").input_value()
    form.get_by_role("button", name="Done").click()
    expect(rows(page).locator(".amount")).to_have_text(shown)


def test_what_is_wrong_is_said_at_its_field(visit: Visit) -> None:
    visitor = visit()
    page = enter(visitor, "wrong")
    form = new_link(page, payment_amount="12,5")
    form.get_by_role("button", name="Create link").click()
    expect(page.locator("#email")).to_be_focused()
    expect(page.locator("#payment_amount-error")).to_have_text("Write it like 125000.50.")
    visitor.check("console create, wrong, phone, light")
    visitor.expect_refusal("/payment-links")
    fill(page, email="jane@example.com", payment_amount="12.345", currency="JPY")
    form.get_by_role("button", name="Create link").click()
    expect(page.locator("#payment_amount")).to_be_focused()
    expect(page.locator("#payment_amount")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#payment_amount-error")).to_have_text("Must have no more than 0 decimals in JPY.")
    fill(page, payment_amount="12345")
    form.get_by_role("button", name="Create link").click()
    expect(form.locator(".sum")).to_have_text("JPY 12,345")


def test_a_click_that_is_repeated_makes_one_link(visit: Visit) -> None:
    """The answer to the first got lost."""
    visitor = visit(DESKTOP)
    page = enter(visitor, "repeated")
    form = new_link(page, email="jane@example.com")

    def lose(route: Any) -> None:
        route.fetch()
        route.abort()

    page.route("**/payment-links", lose, times=1)
    visitor.expect_refusal("/payment-links")
    form.get_by_role("button", name="Create link").click()
    expect(form.get_by_text("The service cannot be reached")).to_be_visible()
    form.get_by_role("button", name="Create link").click()
    expect(form.get_by_role("heading", name="Link created")).to_be_visible()
    form.get_by_role("button", name="Done").click()
    expect(rows(page)).to_have_count(1)


def test_a_form_that_was_changed_after_a_try_says_so(visit: Visit) -> None:
    visitor = visit(DESKTOP)
    page = enter(visitor, "changed")
    form = new_link(page, email="jane@example.com")

    def lose(route: Any) -> None:
        route.fetch()
        route.abort()

    page.route("**/payment-links", lose, times=1)
    visitor.expect_refusal("/payment-links")
    form.get_by_role("button", name="Create link").click()
    expect(form.get_by_text("The service cannot be reached")).to_be_visible()
    fill(page, transaction_id="order-8")
    form.get_by_role("button", name="Create link").click()
    expect(form.get_by_text("had made a link already")).to_be_visible()
    form.get_by_role("button", name="Create link").click()
    expect(form.get_by_role("heading", name="Link created")).to_be_visible()
    form.get_by_role("button", name="Done").click()
    expect(rows(page)).to_have_count(2)


# Revoking.


def test_one_link_is_revoked_after_a_question(visit: Visit, make: Any) -> None:
    make("one", "jane@example.com")
    make("one", "john@example.com")
    visitor = visit(DESKTOP)
    page = enter(visitor, "one")
    page.get_by_role("button", name="john@example.com", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Revoke this link").click()
    expect(dialog.get_by_role("heading", name="Revoke this link?")).to_be_focused()
    visitor.check("console revoke, desktop, light")
    dialog.get_by_role("button", name="Keep").click()
    dialog.get_by_role("button", name="Revoke this link").click()
    dialog.get_by_role("button", name="Revoke this link").click()
    expect(dialog.locator(".notice.good")).to_have_text("1 link was revoked.")
    expect(dialog.get_by_role("button", name="Revoke this link")).to_have_count(0)
    page.keyboard.press("Escape")
    expect(page.get_by_role("navigation").get_by_role("link", name="Revoked")).to_contain_text("1")


def test_all_links_of_a_recipient_are_revoked_and_counted(visit: Visit, make: Any) -> None:
    for _ in range(3):
        make("several", "all@example.com")
    make("other", "all@example.com")
    page = enter(visit(DESKTOP), "several")
    rows(page).first.get_by_role("button", name="all@example.com", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Revoke all of this recipient").click()
    expect(dialog.get_by_text("Every active link of several to all@example.com")).to_be_visible()
    dialog.get_by_role("button", name="Revoke all of them").click()
    expect(dialog.locator(".notice.good")).to_have_text("3 links were revoked.")


# Internal admins.


def test_an_internal_admin_sees_all_mail_and_picks_an_organization(visit: Visit, service: Service, make: Any) -> None:
    wait_for_failure(service, make("globex", "nobody+1@example.com", notify=True))
    make("globex.eu", "far@example.com")
    make("globex", "far@example.com", scheduled_at=(datetime.now(UTC) + LATER).isoformat(), notify=True)
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
    expect(page.get_by_text("of every organization")).to_be_visible()
    page.get_by_role("button", name="Revoke all of them").click()
    expect(page.get_by_role("dialog").locator(".notice.good")).to_have_text("2 links were revoked.")
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Payment links").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()


# For everybody.


@pytest.mark.parametrize("size", [pytest.param(PHONE, id="phone"), pytest.param(DESKTOP, id="desktop")])
def test_nothing_moves_by_itself_while_it_loads(visit: Visit, service: Service, make: Any, size: tuple[int, int]) -> None:
    """Opened anew each time, for what moves within half a second of signing in is excused."""
    org = f"steady-{size[0]}"
    profile = {"display_name": "Acme Cleaning Ltd", "logo": segno.make("logo").png_data_uri()}
    httpx.put(f"{service.url}/orgs/{org}/profile", json=profile, headers=as_admin()).raise_for_status()
    for number in range(10):
        make(org, f"jane{number}@example.com", transaction_id="order-7" if number % 3 else None)
    visitor = visit(size)
    page = visitor.open("/console")
    moved = [visitor.shifted()]
    enter(visitor)
    page.reload()
    expect(page.get_by_role("region", name="Latest failures")).to_be_visible()
    moved.append(visitor.shifted())
    page.goto(f"{service.url}/console#/{org}")
    page.reload()
    expect(rows(page)).to_have_count(10)
    expect(page.locator(".avatar img")).to_have_count(1)
    moved.append(visitor.shifted())
    assert max(moved) < STILL


def test_a_keyboard_is_enough(visit: Visit) -> None:
    """Sign in, make a link, open it, revoke it, sign out."""
    page = visit(DESKTOP).open("/console")
    keyboard = page.keyboard
    expect(page.get_by_label("Admin token")).to_be_focused()
    keyboard.insert_text(admin_token(Role.ORG_ADMIN, "keys"))
    keyboard.press("Enter")
    expect(page.get_by_role("heading", name="keys")).to_be_focused()
    press_tab_to(page, "New link")
    keyboard.press("Enter")
    keyboard.type("jane@example.com")
    keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Link created")).to_be_focused()
    keyboard.press("Escape")
    expect(rows(page)).to_have_count(1)
    expect(page.get_by_role("button", name="New link")).to_be_focused()
    press_tab_to(page, "jane@example.com")
    keyboard.press("Enter")
    expect(page.locator("#detail-title")).to_be_focused()
    press_tab_to(page, "Revoke this link")
    keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Revoke this link?")).to_be_focused()
    press_tab_to(page, "Revoke this link")
    keyboard.press("Enter")
    expect(page.get_by_text("1 link was revoked.").first).to_be_visible()
    keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.locator(":focus")).to_have_count(1)
    page.get_by_role("button", name="Sign out").focus()
    keyboard.press("Enter")
    expect(page.get_by_label("Admin token")).to_be_focused()


def press_tab_to(page: Page, text: str) -> None:
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent.trim()") == text:
            return
    raise AssertionError(f"no way to {text}")


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_every_state_is_accessible_and_fits(
    visit: Visit, service: Service, make: Any, own_store: Store, size: tuple[int, int], scheme: str, request: pytest.FixtureRequest
) -> None:
    look = request.node.callspec.id
    org = f"looks-{re.sub('[^a-z]+', '-', look)}"
    visitor = visit(size, scheme=scheme)
    visitor.open("/console")
    visitor.check(f"console sign in, {look}")
    page = enter(visitor, org)
    expect(page.get_by_role("heading", name="No links yet")).to_be_visible()
    visitor.check(f"console empty, {look}")
    show_all_states(service, make, own_store, org)
    page.reload()
    expect(rows(page)).to_have_count(6)
    visitor.check(f"console list, {look}")
    new_link(page)
    visitor.check()
    visitor.shoot(f"console create, {look}", whole=False)
    fill(page, email="jane@example.com", payment_amount="125000.50", currency="NGN")
    page.get_by_role("button", name="Create link").click()
    expect(page.get_by_role("heading", name="Link created")).to_be_visible()
    visitor.check()
    visitor.shoot(f"console created, {look}", whole=False)
    page.keyboard.press("Escape")
    expect(rows(page)).to_have_count(7)
    page.get_by_role("button", name="nobody@example.com", exact=True).click()
    visitor.check()
    visitor.shoot(f"console detail, {look}", whole=False)
    page.keyboard.press("Escape")
    page.route("**/payment-links?*", lambda _: None)
    page.get_by_role("navigation").get_by_role("link", name="Revoked").click()
    visitor.check(f"console loading, {look}")


@pytest.mark.parametrize(("motion", "moves"), [("reduce", False), ("no-preference", True)])
def test_nothing_moves_for_who_wants_less_of_that(visit: Visit, make: Any, motion: str, *, moves: bool) -> None:
    make(f"still-{motion}")
    visitor = visit(motion=motion)
    page = enter(visitor, f"still-{motion}")
    expect(rows(page)).to_have_count(1)
    rows(page).get_by_role("button", name="Copy").click()
    found = visitor.moving()
    assert any(element.startswith("<button") for element in found) == bool(found) == moves
    page.route("**/payment-links?*", lambda _: None)
    page.get_by_role("navigation").get_by_role("link", name="Revoked").click()
    expect(page.locator(".bone").first).to_be_visible()
    found = visitor.moving()
    assert any('class="bone' in element for element in found) == bool(found) == moves


def test_what_can_be_pressed_can_be_hit_on_a_phone(visit: Visit, make: Any) -> None:
    make("targets", transaction_id="order-7")
    page = enter(visit(NARROW), "targets")
    expect(rows(page)).to_have_count(1)
    for target in page.locator("main button:visible, main a:visible, header button:visible, header a:visible").all():
        box = target.bounding_box()
        assert box is not None
        assert (box["height"] >= 44, target.inner_text()) == (True, target.inner_text())


@pytest.mark.parametrize("size", [pytest.param(PHONE, id="phone"), pytest.param((1280, 500), id="desktop")])
def test_what_has_the_focus_is_not_hidden_by_the_bar(visit: Visit, make: Any, size: Any) -> None:
    """WCAG 2.2, 2.4.11, for whoever tabs backwards up a long list."""
    org = f"focus-{size[0]}"
    for number in range(12):
        make(org, email=f"jane{number}@example.com")
    page = enter(visit(size), org)
    expect(rows(page)).to_have_count(12)
    rows(page).last.get_by_role("button").last.focus()
    hidden = """() => {
      const { left, top, width, height } = document.activeElement.getBoundingClientRect();
      const seen = document.elementFromPoint(left + width / 2, top + height / 2);
      return !(seen && (document.activeElement.contains(seen) || seen.contains(document.activeElement)));
    }"""
    stops = [page.evaluate(hidden)]
    for _ in range(30):
        page.keyboard.press("Shift+Tab")
        stops.append(page.evaluate(hidden))
    assert not any(stops), stops
