"""What a customer sees: the page behind a link, in a real browser."""

import re
import sys
import unicodedata
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo

import httpx
import pytest
import segno
from playwright.sync_api import Locator, Page, Route, expect

from service.domain.locale import LANGUAGES
from service.domain.otp import read_code
from service.i18n.language import speak
from service.store import keys
from service.store.call import call, span_ms
from service.store.client import Client, connect
from tests.browser.conftest import DESKTOP, NARROW, PHONE, STILL, Visitor
from tests.store.samples import NOBODYS, delete, make_link, put
from tests.support.admins import as_admin
from tests.support.processes import Service
from tests.support.servers import MailServer, Store, wait_until
from tests.support.typed_codes import REFUSED, TAKEN

Visit = Callable[..., Visitor]
FIELDS = {"org_id": "acme", "transaction_id": "INV-2026-000042", "payment_amount": 125000.50, "currency": "NGN", "notify": False}
MARKS = str.maketrans("", "", ",\u200e\u200f")
"""Commas and marks of direction, on which editions of CLDR differ."""
BRAND = {"display_name": "Acme Cleaning Ltd", "colour": "#0a7d4f", "reply_to": "help@acme.example"}
LOGO = segno.make("logo").png_data_uri(scale=4, border=0, light=None)
"""Black on nothing."""
SIZES = {"phone": PHONE, "desktop": DESKTOP}


@pytest.fixture(scope="module")
def store(own_store: Store) -> Iterator[Client]:
    """Looks into the service's store, where time can be made to pass."""
    client = Client(connect(own_store.url))
    yield client
    client.close()


@pytest.fixture(scope="module")
def ended(service: Service, store: Client) -> dict[str, tuple[str, int]]:
    """Links that are not to be paid: their pages' paths, and with what those are answered."""
    with httpx.Client(base_url=service.url, headers=as_admin()) as admin:
        revoked = make(admin)
        admin.delete(f"/payment-links/{revoked['id']}").raise_for_status()
    expired = put(store, make_link(datetime.now(UTC) - timedelta(days=4), notify=False))
    return {
        "revoked": (path_of(revoked), 410),
        "expired": (f"/pay/{expired.id}", 410),
        "unknown": (f"/pay/{NOBODYS}", 404),
    }


@pytest.fixture(autouse=True)
def _branded(admin: httpx.Client) -> None:
    assert admin.put("/orgs/acme/profile", json=BRAND).status_code == 200


def make(admin: httpx.Client, email: str = "jane@example.com", **fields: Any) -> dict[str, Any]:
    answer = admin.post("/payment-links", json={"email": email, **FIELDS, **fields})
    assert answer.status_code == 201, answer.text
    link: dict[str, Any] = answer.json()
    return link


def path_of(link: dict[str, Any]) -> str:
    return f"/pay/{link['id']}"


def code_for(email: str, mails: MailServer, number: int = 1) -> str:
    """The code in the last of ``number`` mails, from its subject."""

    def codes() -> list[EmailMessage]:
        return [mail for mail in mails.mailbox.to(email) if re.match("[0-9]{6} ", mail["Subject"])]

    wait_until(lambda: len(codes()) >= number, "the code's mail")
    return str(codes()[-1]["Subject"])[:6]


def ask(page: Page) -> None:
    page.get_by_role("button", name="Send me a code").click()
    expect(page.get_by_label("Code")).to_be_focused()


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 10**6:06}"


def let_code_expire(page: Page, store: Client, email: str) -> None:
    """Ten minutes pass, for the store and for what the browser of ``page`` knows of the code."""
    delete(store, keys.otp(email))
    store.run(call(bool, "DEL", keys.otp_limit(email, "resend")))
    [cookie] = page.context.cookies()
    sent_at, _, reference = cookie["value"].partition(".")
    earlier = {key: cookie[key] for key in ("name", "domain", "path", "expires", "httpOnly", "secure", "sameSite")}
    page.context.add_cookies([{**earlier, "value": f"{int(sent_at) - 600_000}.{reference}"}])


def reach(store: Client, email: str, limit: str, lasting: timedelta) -> None:
    """``email`` has reached ``limit`` for so long."""
    store.run(call(bool, "SET", keys.otp_limit(email, limit), 10**6, "PX", span_ms(lasting)))


def expect_alert(page: Page, sentence: str | re.Pattern[str]) -> None:
    """``sentence`` is announced, and said at the field, where one may go on."""
    expect(page.get_by_role("alert")).to_have_text(sentence)
    expect(page.locator("#otp")).to_have_accessible_description(sentence)
    expect(page.locator("#otp")).to_be_focused()


def test_a_customer_sees_who_wants_how_much_for_what_until_when_and_pays(visit: Visit, admin: httpx.Client) -> None:
    link = make(admin)
    visitor = visit()
    visitor.expect_refusal("/favicon.ico")  # of the checkout, which has none
    page = visitor.open(path_of(link))
    for said in ("Acme Cleaning Ltd", "INV-2026-000042"):
        expect(page.get_by_text(said, exact=True)).to_be_visible()
    expect(page.locator(".amount")).to_have_text("₦125,000.50")
    expect(page.get_by_role("timer")).to_have_text(re.compile(r"^2 days 23:59:\d\d$"))
    expect(page.locator("time")).to_have_text(re.compile(r"^\d+ \w+ 20\d\d, \d\d:\d\d (WAT|GMT\+1)$"))
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
    visitor.page.clock.install(time=datetime.now(UTC) + timedelta(minutes=10))
    page = visitor.open(path_of(make(admin, expires_at=(datetime.now(UTC) + timedelta(minutes=6)).isoformat())))
    expect(page.get_by_role("timer")).to_have_text(re.compile(r"^00:05:\d\d$"))


def test_a_day_less_interrupts_nobody(visit: Visit, admin: httpx.Client) -> None:
    until = datetime.now(UTC) + timedelta(days=1, seconds=2)
    page = visit().open(path_of(make(admin, expires_at=until.isoformat())))
    page.get_by_role("link", name="Pay").focus()
    expect(page.get_by_role("timer")).to_have_text(re.compile(r"^1 day 00:00:0\d$"))
    expect(page.get_by_role("timer")).to_have_text(re.compile(r"^23:59:5\d$"))
    expect(page.get_by_role("link", name="Pay")).to_be_focused()
    expect(page.locator("#said")).to_be_empty()


def test_a_page_whose_end_comes_while_it_is_offline_says_so_later(visit: Visit, admin: httpx.Client) -> None:
    link = make(admin, expires_at=(datetime.now(UTC) + timedelta(hours=1)).isoformat())
    visitor = visit()
    visitor.page.clock.install()
    page = visitor.open(path_of(link))
    assert admin.delete(f"/payment-links/{link['id']}").status_code == 200
    visitor.expect_refusal(path_of(link))
    visitor.context.set_offline(True)
    page.clock.fast_forward("01:00:05")
    expect(page.get_by_role("timer")).to_have_text("00:00:00")
    page.clock.run_for(20_000)
    visitor.context.set_offline(False)
    page.clock.run_for(6_000)
    expect(page.get_by_role("heading", name="This link was withdrawn")).to_be_focused()


def test_a_code_that_could_not_be_looked_at_stays_in_its_field(visit: Visit, admin: httpx.Client, mails: MailServer) -> None:
    email, visitor = "passing@example.com", visit(locale="en")
    page = visitor.open(path_of(make(admin, email, otp_required=True, locale="ar")))
    page.locator("main button").click()
    expect(page.locator("#otp")).to_be_focused()
    code = code_for(email, mails)
    said = '<div id="said"></div><main><h1>No</h1><p>Nothing is lost.</p> <p>Try again.</p></main><footer></footer>'
    sorry = f'<html lang="en" dir="ltr">{said}'
    page.route("**/token", lambda route: route.fulfill(status=503, content_type="text/html", body=sorry), times=1)
    visitor.expect_refusal(f"{urlsplit(page.url).path}/token")
    page.keyboard.type(code)
    expect(page.get_by_role("alert")).to_have_text("Nothing is lost. Try again.")
    expect(page.get_by_role("alert")).to_have_attribute("lang", "en")
    expect(page.locator("#otp")).to_have_value(code)
    assert page.evaluate("document.documentElement.lang") == "ar"
    page.locator("main button").first.click()
    expect(page.locator(".amount")).to_be_visible()


def test_times_are_the_customers_own_also_where_the_browser_does_not_know_the_language(visit: Visit, admin: httpx.Client) -> None:
    until = datetime.now(UTC) + timedelta(days=1)
    page = visit().open(path_of(make(admin, locale="ha", expires_at=until.isoformat())))
    local = until.astimezone(ZoneInfo("Africa/Lagos"))
    expect(page.locator("time")).to_have_text(f"{local:%d/%m/%Y, %H:%M} GMT+1")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_script_writes_times_as_the_server_does(visit: Visit, admin: httpx.Client, language: str) -> None:
    """But for a language that the browser does not know, and for how it calls a zone."""
    assert admin.put("/orgs/acme/profile", json=BRAND | {"time_zone": "Africa/Algiers"}).status_code == 200
    path = path_of(make(admin, locale=language))
    times = [visit(script=script).open(path).locator("time").inner_text() for script in (True, False)]
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
    ids=["a customer elsewhere", "without a script", "a customer in the organization's zone", "elsewhere, without a script"],
)
@pytest.mark.parametrize("state", ["active", "expired"])
def test_times_say_in_which_zone_they_are(
    visit: Visit, admin: httpx.Client, store: Client, state: str, zone: str | None, script: bool, written: str
) -> None:
    assert admin.put("/orgs/acme/profile", json=BRAND | {"time_zone": zone}).status_code == 200
    utc = datetime.now(UTC) + (timedelta(days=1) if state == "active" else timedelta(days=-1))
    link = put(store, make_link(utc - timedelta(days=3), locale="en-GB", notify=False))
    zones = {"utc": utc, "local": utc.astimezone(ZoneInfo("Africa/Lagos")), "dubai": utc.astimezone(ZoneInfo("Asia/Dubai"))}
    visitor = visit(script=script)
    page = visitor.open(f"/pay/{link.id}", 200 if state == "active" else 410)
    expect(page.locator("time")).to_have_text(written.format(**zones))
    visitor.shoot(f"times, {state}, {zone}, {script}".replace("/", "-"))


def test_a_page_that_stays_open_says_when_its_link_has_ended(visit: Visit, admin: httpx.Client) -> None:
    link = make(admin, expires_at=(datetime.now(UTC) + timedelta(hours=1)).isoformat())
    visitor = visit()
    visitor.page.clock.install()
    page = visitor.open(path_of(link))
    assert admin.delete(f"/payment-links/{link['id']}").status_code == 200
    visitor.expect_refusal(path_of(link))
    page.clock.fast_forward("01:00:05")
    expect(page.get_by_role("heading", name="This link was withdrawn")).to_be_focused()


def test_a_code_from_the_mail_opens_a_gated_link_for_good(
    visit: Visit, admin: httpx.Client, mails: MailServer, service: Service
) -> None:
    email = "gated@example.com"
    visitor = visit()
    page = visitor.open(path_of(make(admin, email, otp_required=True)))
    expect(page.get_by_text("g***@example.com")).to_be_visible()
    assert not any(secret in page.content() for secret in ("125,000", "Acme", "acme", BRAND["colour"]))
    ask(page)
    code = code_for(email, mails)
    assert mails.mailbox.to(email)[-1]["From"].addresses[0].display_name == "Acme Cleaning Ltd"
    page.keyboard.type(wrong(code))
    expect(page.get_by_role("alert")).to_have_text("That is not the code. You have 4 tries left.")
    expect(page.locator("#said")).to_be_empty()  # or it would be said twice
    expect(page.get_by_label("Code")).to_be_focused()
    page.keyboard.insert_text(f" {code[:3]} {code[3:]}\n")  # as pasted
    expect(page.locator(".amount")).to_have_text("₦125,000.50")
    expect(page.get_by_role("link", name="Pay ₦125,000.50")).to_have_css("background-color", "rgb(10, 125, 79)")
    page.reload()
    expect(page.locator(".amount")).to_have_text("₦125,000.50")
    [cookie] = visitor.context.cookies()
    assert (cookie["httpOnly"], cookie["path"]) == (True, "/pay")
    told = [
        page.url,
        page.content(),
        service.logs(),
        page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie])"),
    ]
    assert not any(secret in text for text in told for secret in (cookie["value"], code))


def test_tries_run_out_and_another_code_helps(visit: Visit, admin: httpx.Client, mails: MailServer) -> None:
    email = "tries@example.com"
    page = visit().open(path_of(make(admin, email, otp_required=True)))
    ask(page)
    code = code_for(email, mails)
    said = []
    for left in (4, 3, 2, 1, 0):
        page.get_by_label("Code").press_sequentially(wrong(code))
        expect(page.get_by_role("alert")).to_have_text(re.compile(f"You have {left} tr|too often"))
        said.append(page.get_by_role("alert").inner_text())
    assert said[3:] == ["That is not the code. You have 1 try left.", "This code was tried too often. Ask for another."]
    expect(page.get_by_label("Code")).to_be_disabled()
    expect(page.get_by_role("button", name="Open the link")).to_be_disabled()
    expect(page.get_by_role("heading", name="Enter your code")).to_be_focused()
    page.get_by_role("button", name="Send another code").click()
    expect(page.get_by_role("main").get_by_text("It is good for 10 minutes")).to_be_visible()
    page.get_by_label("Code").press_sequentially(code_for(email, mails, 2))
    expect(page.locator(".amount")).to_be_visible()


def test_who_leaves_to_read_the_code_comes_back_to_its_field(visit: Visit, admin: httpx.Client, mails: MailServer) -> None:
    email, visitor = "leaves@example.com", visit()
    link = make(admin, email, otp_required=True)
    page = visitor.open(path_of(link))
    ask(page)
    sent = re.compile(
        r"^We sent a code to l\*\*\*@example\.com at \d+:\d\d.*\. It is good for \d+ minutes, and only the newest works\.$"
    )
    expect(page.locator("[data-say]")).to_have_text(sent)
    assert page.url.endswith(path_of(link))
    page.close()
    visitor.page = visitor.context.new_page()
    page = visitor.open(path_of(link))
    expect(page.locator("[data-say]")).to_have_text(sent)
    expect(page.get_by_label("Code")).to_be_focused()
    visitor.check("pay back with the code, phone, light")
    page.get_by_label("Code").press_sequentially(wrong(code_for(email, mails)))
    expect(page.get_by_role("alert")).to_have_text("That is not the code. You have 4 tries left.")
    page.reload()
    expect(page.get_by_text("You have 4 tries left.")).to_be_visible()
    expect(page.get_by_label("Code")).to_have_accessible_description("You have 4 tries left.")
    visitor.check("pay back with tries left, phone, light")
    page.goto("about:blank")
    page.go_back()
    page.get_by_label("Code").press_sequentially(code_for(email, mails))
    expect(page.locator(".amount")).to_be_visible()


@pytest.mark.parametrize("script", [True, False], ids=["with a script", "without"])
def test_two_tabs_and_another_device_know_the_same_code(
    visit: Visit, admin: httpx.Client, mails: MailServer, store: Client, *, script: bool
) -> None:
    email, visitor, other = f"tabs-{script}@example.com".lower(), visit(script=script), visit(script=script)
    path = path_of(make(admin, email, otp_required=True))

    def send(page: Page, button: str, number: int) -> str:
        store.run(call(bool, "DEL", keys.otp_limit(email, "resend")))
        page.get_by_role("button", name=button).click()
        return code_for(email, mails, number)

    def enter(page: Page, code: str) -> None:
        page.get_by_label("Code").fill(code)
        if not script:
            page.get_by_role("button", name="Open the link").click()

    page, device = visitor.open(path), other.open(path)
    send(page, "Send me a code", 1)
    tab = visitor.context.new_page()
    tab.goto(page.url)
    tab.wait_for_timeout(1000)  # until the button is enabled
    send(tab, "Send another code", 2)
    page.reload()
    expect(page.get_by_label("Code")).to_be_focused()
    expect(page.get_by_role("alert")).to_have_count(0)
    newest = send(device, "Send me a code", 3)
    page.reload()
    expect_alert(page, "This code is no longer good: it was used, or a newer one was sent.")
    if script:  # which axe needs
        visitor.check("pay newer code")
    enter(page, wrong(newest))
    expect_alert(page, "That is not the code, or it has expired.")
    enter(page, newest)
    expect(page.locator(".amount")).to_be_visible()
    device.reload()
    expect_alert(device, "This code is no longer good: it was used, or a newer one was sent.")


@pytest.mark.parametrize("script", [True, False], ids=["with a script", "without"])
def test_who_blocks_cookies_is_told_so(blocks_cookies: Visit, admin: httpx.Client, *, script: bool) -> None:
    visitor = blocks_cookies(script=script)
    page = visitor.open(path_of(make(admin, f"blocks-{script}@example.com".lower(), otp_required=True)))
    page.get_by_role("button", name="Send me a code").click()
    expect(page.get_by_role("heading", name="Cookies are needed")).to_be_visible()
    if script:  # which axe needs
        visitor.check("pay without cookies")
    page.get_by_role("link", name="Try again").click()
    expect(page.get_by_role("button", name="Send me a code")).to_be_visible()


def test_no_code_is_used_up_where_cookies_went_away(visit: Visit, admin: httpx.Client, mails: MailServer) -> None:
    email, visitor = "went@example.com", visit()
    page = visitor.open(path_of(make(admin, email, otp_required=True)))
    ask(page)
    code = code_for(email, mails)
    visitor.context.clear_cookies()
    page.keyboard.type(code)
    expect(page.get_by_role("heading", name="Cookies are needed")).to_be_focused()
    assert httpx.put(f"{visitor.url}/payment-links/otp", json={"email": email, "otp": code}).status_code == 200


def test_another_code_has_to_wait(visit: Visit, admin: httpx.Client) -> None:
    visitor = visit()
    page = visitor.open(path_of(make(admin, "wait@example.com", otp_required=True)))
    ask(page)
    button, wait = page.get_by_role("button", name="Send another code"), re.compile(r"^Another code can be sent in 00:0\d\.$")
    expect(button).to_be_disabled()
    expect(button).to_have_accessible_description(wait)
    expect(page.get_by_label("Code")).to_have_accessible_description(wait)
    expect(button).to_be_enabled()
    expect(page.locator("#said")).to_have_text("Another code can be sent now.")
    expect(button).to_have_accessible_description("Another code can be sent now.")
    expect(page.get_by_text("Another code can be sent in")).to_have_count(0)


def test_another_code_helps_where_one_has_expired(visit: Visit, admin: httpx.Client, mails: MailServer, store: Client) -> None:
    email = "late@example.com"
    page = visit().open(path_of(make(admin, email, otp_required=True)))
    ask(page)
    code = code_for(email, mails)
    let_code_expire(page, store, email)
    page.get_by_label("Code").press_sequentially(code)
    expect_alert(page, "This code has expired. Ask for another.")
    page.get_by_role("button", name="Send another code").click()
    expect(page.get_by_role("main").get_by_text("It is good for 10 minutes")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)
    page.get_by_label("Code").press_sequentially(code_for(email, mails, 2))
    expect(page.locator(".amount")).to_be_visible()


def test_who_asks_too_often_is_told_how_long_to_wait_and_may_then(
    visit: Visit, admin: httpx.Client, mails: MailServer, store: Client
) -> None:
    email = "often@example.com"
    page = visit().open(path_of(make(admin, email, otp_required=True)))
    reach(store, email, "sends_hour", timedelta(seconds=3))
    ask(page)
    expect_alert(page, re.compile(r"^Another code can be sent in \d seconds?\.$"))
    button = page.get_by_role("button", name="Send another code")
    expect(button).to_be_disabled()
    expect(button).to_have_accessible_description(re.compile("^Another code can be sent in"))
    expect(button).to_be_enabled()
    expect_alert(page, "Another code can be sent now.")
    expect(page.locator("#said")).to_be_empty()
    button.click()
    page.get_by_label("Code").press_sequentially(code_for(email, mails))
    expect(page.locator(".amount")).to_be_visible()


def test_after_too_many_wrong_codes_a_right_one_helps_when_the_day_is_over(
    visit: Visit, admin: httpx.Client, mails: MailServer, store: Client
) -> None:
    email = "wrong@example.com"
    page = visit().open(path_of(make(admin, email, otp_required=True)))
    ask(page)
    code = code_for(email, mails)
    reach(store, email, "failures_day", timedelta(seconds=3))
    page.get_by_label("Code").press_sequentially(code)
    expect(page.get_by_role("alert")).to_have_text(re.compile(r"^Too many wrong codes. You can try again in \d seconds?\.$"))
    button = page.get_by_role("button", name="Open the link")
    for control in (page.get_by_label("Code"), button):
        expect(control).to_be_disabled()
    expect(button).to_have_accessible_description(re.compile("^Too many wrong codes"))
    page.reload()
    expect(page.get_by_label("Code")).to_be_disabled()
    expect(page.get_by_label("Code")).to_be_enabled()
    expect(page.get_by_role("alert")).to_have_text("You can try again now.")
    page.get_by_label("Code").press_sequentially(code)
    expect(page.locator(".amount")).to_be_visible()


def test_a_form_is_sent_once_whatever_the_answer(visit: Visit, admin: httpx.Client) -> None:
    """A proxy's own answer, say: the browser goes back to the page, and posts nothing again."""
    visitor = visit()
    page = visitor.open(path_of(make(admin, "proxied@example.com", otp_required=True)))
    sent: list[str] = []

    def refuse(route: Route) -> None:
        sent.append(route.request.method)
        route.fulfill(status=502, content_type="application/json", body="{}")

    page.route("**/code", refuse)
    visitor.expect_refusal(f"{urlsplit(page.url).path}/code")
    with page.expect_navigation():
        page.get_by_role("button", name="Send me a code").click()
    expect(page.get_by_role("button", name="Send me a code")).to_be_visible()
    assert sent == ["POST"]


def type_in_every_way(page: Page, code: str) -> Iterator[str]:
    """Each way in which ``code`` may be written or not, once it stands in the field."""
    for way, write in (TAKEN | REFUSED).items():
        page.get_by_label("Code").fill("")
        page.keyboard.insert_text(write(code))
        yield way


def test_the_script_submits_a_code_however_it_is_written_and_nothing_else(visit: Visit, admin: httpx.Client) -> None:
    page = visit().open(path_of(make(admin, "typed@example.com", otp_required=True)))
    ask(page)
    page.evaluate(
        "() => { HTMLFormElement.prototype.requestSubmit = function () { this.dataset.submitted = this.elements.otp.value } }"
    )
    take = "form => { const submitted = form.dataset.submitted ?? null; delete form.dataset.submitted; return submitted }"
    submitted = {way: page.locator("form").first.evaluate(take) for way in type_in_every_way(page, "012345")}
    assert submitted == dict.fromkeys(TAKEN, "012345") | dict.fromkeys(REFUSED)


def test_without_a_script_a_code_reaches_the_server_as_it_was_written(visit: Visit, admin: httpx.Client) -> None:
    page = visit(script=False).open(path_of(make(admin, "untyped@example.com", otp_required=True)))
    page.get_by_role("button", name="Send me a code").click()
    page.route("**/token", lambda route: route.fulfill(status=204))  # the page stays
    read = {}
    for way in type_in_every_way(page, "012345"):
        with page.expect_request("**/token") as request:
            page.get_by_role("button", name="Open the link").click()
        read[way] = read_code(dict(parse_qsl(request.value.post_data or ""))["otp"])
    assert read == dict.fromkeys(TAKEN, "012345") | dict.fromkeys(REFUSED)


def test_the_script_reads_every_character_as_the_server_does(visit: Visit, admin: httpx.Client) -> None:
    page = visit().open(path_of(make(admin)))
    known = [number for number in range(sys.maxunicode + 1) if unicodedata.category(chr(number)) not in {"Cn", "Cs"}]
    read = page.evaluate("numbers => numbers.map(number => readCode(String.fromCodePoint(number, 0x32)))", known)
    differ = [
        hex(number)
        for number, text in zip(known, read, strict=True)
        if read_code(chr(number) + "2" * 6) != (text * 6 if text == "2" else None)
        or read_code(chr(number) + "2" * 5) != (text + "2" * 4 if re.fullmatch("[0-9]2", text) else None)
    ]
    assert differ == []


def test_all_of_it_works_without_a_script(visit: Visit, admin: httpx.Client, mails: MailServer) -> None:
    email = "plain@example.com"
    page = visit(script=False).open(path_of(make(admin, email, otp_required=True)))
    page.get_by_role("button", name="Send me a code").click()
    code = code_for(email, mails)
    page.get_by_label("Code").fill(wrong(code))
    page.get_by_role("button", name="Open the link").click()
    expect(page.get_by_role("alert")).to_have_text("That is not the code. You have 4 tries left.")
    page.get_by_label("Code").fill("".join(chr(0x660 + int(digit)) for digit in code))
    page.get_by_role("button", name="Open the link").click()
    expect(page.locator(".amount")).to_have_text("₦125,000.50")
    expect(page.get_by_role("timer")).to_have_text("2 days")


def test_a_keyboard_is_enough(visit: Visit, admin: httpx.Client, mails: MailServer) -> None:
    email = "keyboard@example.com"
    page = visit(DESKTOP).open(path_of(make(admin, email, otp_required=True)))
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Code")).to_be_focused()
    page.keyboard.type(code_for(email, mails))
    expect(page.get_by_role("heading", name="Payment request")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Pay")).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_every_state_is_accessible(
    visit: Visit, admin: httpx.Client, ended: dict[str, tuple[str, int]], size: str, scheme: str
) -> None:
    visitor = visit(SIZES[size], scheme=scheme)
    without = make(admin, payment_amount=None, currency=None)
    links = {"link": (path_of(make(admin)), 200), "link without an amount": (path_of(without), 200)}
    for name, (path, status) in (links | ended).items():
        visitor.open(path, status)
        visitor.check(f"pay {name}, {size}, {scheme}")
    page = visitor.open(path_of(make(admin, f"states-{size}-{scheme}@example.com", otp_required=True)))
    visitor.check(f"pay ask, {size}, {scheme}")
    ask(page)
    visitor.check(f"pay code, {size}, {scheme}")
    page.get_by_label("Code").press_sequentially("000000")
    expect(page.get_by_role("alert")).to_be_visible()
    visitor.check(f"pay wrong code, {size}, {scheme}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_logo_is_shown_to_whoever_may_see_the_link(visit: Visit, admin: httpx.Client, scheme: str) -> None:
    assert admin.put("/orgs/acme/profile", json=BRAND | {"logo": LOGO}).status_code == 200
    visitor = visit(scheme=scheme)
    page = visitor.open(path_of(make(admin)))
    logo = page.locator("img.logo")
    expect(logo).to_be_visible()
    assert logo.evaluate("async image => (await image.decode(), image.naturalWidth)") > 0
    expect(logo).to_have_css("background-color", "rgb(255, 255, 255)")  # or it would not be seen in the dark
    visitor.check(f"pay link with a logo, phone, {scheme}")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_fits_the_smallest_phone(visit: Visit, admin: httpx.Client, language: str) -> None:
    visitor = visit(NARROW, locale="en")
    page = visitor.open(path_of(make(admin, locale=language)))
    assert page.evaluate("[document.documentElement.lang, document.documentElement.dir]") == [
        language,
        "rtl" if language == "ar" else "ltr",
    ]
    visitor.check(f"pay link, {language}")
    visitor.open(path_of(make(admin, f"{language}@example.com", otp_required=True, locale=language)))
    visitor.check(f"pay ask, {language}")
    page.locator("main button").click()
    expect(page.locator("#otp")).to_be_focused()
    visitor.check(f"pay code, {language}")
    page.locator("#otp").press_sequentially("000000")
    expect(page.get_by_role("alert")).to_be_visible()
    visitor.check(f"pay wrong code, {language}")


SPREAD = """element => {
  const range = document.createRange();
  range.selectNodeContents(element);
  const { left, right, height } = range.getBoundingClientRect();
  const main = element.closest("main, body").getBoundingClientRect();
  return [left - main.left, main.right - right, height / parseFloat(getComputedStyle(element).fontSize)];
}"""
"""What is free on either side of a text, and how many times its font's size its lines are high together."""
LONG_AMOUNTS = [{"payment_amount": 1234567890.125, "currency": "KWD"}, {"payment_amount": 999999999999.9999, "currency": "CLF"}]


def assert_in_one_line(amount: Locator) -> None:
    before, after, lines = amount.evaluate(SPREAD)
    assert min(before, after) > 0, "it stands out"
    assert lines < 2, "it breaks"


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_amount_breaks_between_its_digits(visit: Visit, admin: httpx.Client, language: str) -> None:
    visitor = visit(NARROW, locale="en")
    for number, fields in enumerate(LONG_AMOUNTS):
        page = visitor.open(path_of(make(admin, locale=language, **fields)))
        for size in (NARROW, PHONE, DESKTOP):
            page.set_viewport_size({"width": size[0], "height": size[1]})
            assert_in_one_line(page.locator(".amount bdi"))
            assert_in_one_line(page.locator(".button bdi"))
            visitor.check(f"pay long amount {number}, {size[0]}, {language}")


def test_an_arabic_page_sets_a_reference_apart_from_its_label(visit: Visit, admin: httpx.Client) -> None:
    page = visit(PHONE).open(path_of(make(admin, locale="ar")))
    card, label, reference = (page.locator(at).first.bounding_box() for at in ("dl div", "dl dt", "dl bdi"))
    assert card is not None
    assert label is not None
    assert reference is not None
    assert reference["x"] == pytest.approx(card["x"], abs=1)
    assert label["x"] > reference["x"] + reference["width"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_refusal_fits_the_smallest_phone_in_every_language(
    visit: Visit, admin: httpx.Client, store: Client, ended: dict[str, tuple[str, int]], language: str
) -> None:
    visitor, email, day = visit(NARROW, locale=language), f"refused-{language}@example.com", timedelta(days=1)
    for name, (path, status) in ended.items():
        visitor.open(path, status)
        visitor.check(f"pay {name}, {language}")
    gated, spoken = path_of(make(admin, email, otp_required=True)), speak(language)
    page = visitor.open(gated)
    page.locator("main button").click()
    expect(page.locator("#otp")).to_be_focused()
    let_code_expire(page, store, email)
    page.locator("#otp").press_sequentially("000000")
    expect_alert(page, spoken.texts.gettext("This code has expired. Ask for another."))
    visitor.check(f"pay expired code, {language}")
    page.locator("button").last.click()
    expect(page.get_by_role("alert")).to_have_count(0)
    reach(store, email, "failures_day", day)
    page.locator("#otp").press_sequentially("000000")
    said = spoken.texts.gettext("Too many wrong codes. You can try again in %(span)s.")
    expect(page.get_by_role("alert")).to_have_text(said % {"span": spoken.wait(day)})
    visitor.check(f"pay too many wrong codes, {language}")
    reach(store, email, "sends_day", day)
    delete(store, keys.otp_limit(email, "failures_day"))
    visitor.context.clear_cookies()
    visitor.open(gated)
    page.locator("main button").click()
    expect_alert(page, spoken.texts.gettext("Another code can be sent in %(span)s.") % {"span": spoken.wait(day)})
    visitor.check(f"pay too many codes, {language}")


def test_the_browser_is_addressed_in_its_own_language(visit: Visit, admin: httpx.Client) -> None:
    page = visit(locale="fr-FR").open(path_of(make(admin)))
    expect(page.locator(".amount")).to_have_text(re.compile("125.000,50.NGN"))
    expect(page.get_by_role("link", name=re.compile("^Payer"))).to_be_visible()


@pytest.mark.parametrize(("motion", "moves"), [("reduce", False), ("no-preference", True)])
def test_nothing_moves_for_who_wants_less_of_that(visit: Visit, admin: httpx.Client, motion: str, *, moves: bool) -> None:
    visitor = visit(motion=motion)
    page = visitor.open(path_of(make(admin)))
    page.locator(".button").hover()
    assert bool(visitor.moving()) == moves


def test_the_page_is_painted_before_its_script_comes(visit: Visit, admin: httpx.Client) -> None:
    with visit().opened_before("**/pay.js", path_of(make(admin))) as page:
        expect(page.locator(".amount")).to_be_visible()
        expect(page.get_by_role("timer")).to_have_text("2 days")
    expect(page.get_by_role("timer")).to_have_text(re.compile(r"^2 days 23:59:\d\d$"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_script_that_comes_late_moves_nothing(visit: Visit, admin: httpx.Client, language: str) -> None:
    visitor, link = visit(locale=language), make(admin)
    for width, height in (NARROW, PHONE):
        visitor.page.set_viewport_size({"width": width, "height": height})
        with visitor.opened_before("**/pay.js", path_of(link)) as page:
            pass
        expect(page.get_by_role("timer")).to_have_text(re.compile(":"))
        assert visitor.shifted() < STILL


@pytest.mark.parametrize("size", SIZES)
def test_nothing_moves_by_itself_from_the_question_to_the_payment(
    visit: Visit, admin: httpx.Client, mails: MailServer, size: str
) -> None:
    """Forms are sent without a hand, whose every move would excuse what moves within half a second of it."""
    email, visitor = f"still-{size}@example.com", visit(SIZES[size])
    page = visitor.open(path_of(make(admin, email, otp_required=True)))

    def send(form: str, otp: str = "") -> None:
        page.locator(f"form[action$={form}]").evaluate(
            "(form, otp) => (otp && (form.elements.otp.value = otp), form.requestSubmit())", otp
        )

    send("code")
    expect(page.get_by_label("Code")).to_be_focused()
    code = code_for(email, mails)
    send("token", wrong(code))
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_role("button", name="Send another code")).to_be_enabled()
    assert visitor.shifted() < STILL
    send("token", code)
    expect(page.locator(".amount")).to_be_visible()
    assert visitor.shifted() < STILL


def test_what_can_be_pressed_can_be_hit(visit: Visit, admin: httpx.Client) -> None:
    page = visit(NARROW).open(path_of(make(admin, "targets@example.com", otp_required=True)))
    ask(page)
    for target in page.locator("button, input:not([type=hidden])").all():
        box = target.bounding_box()
        assert box is not None
        assert box["height"] >= 44


def test_the_qr_code_is_printed(visit: Visit, admin: httpx.Client) -> None:
    page = visit().open(path_of(make(admin)))
    code = page.get_by_role("img", name="QR code of this page", include_hidden=True)
    expect(code).to_be_hidden()
    page.emulate_media(media="print")
    expect(code).to_be_visible()
    assert code.evaluate("async image => (await image.decode(), image.naturalWidth)")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_mails_are_shown_as_they_are_meant(
    visit: Visit, admin: httpx.Client, mails: MailServer, language: str, scheme: str
) -> None:
    """As far as a browser is a mail program: it fits, asks for nothing from elsewhere, and is in the right direction."""
    email = f"mail-{language}-{scheme}@example.com"
    make(admin, email, locale=language, notify=True, otp_required=True)
    [mail] = mails.mailbox.wait_for(email)
    assert mail["Content-Language"] == language
    assert str(mail["Reply-To"]) == "help@acme.example"
    body = mail.get_body(("html",))
    assert body is not None
    visitor = visit(NARROW, scheme=scheme)
    visitor.page.set_content(body.get_content())
    assert visitor.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert visitor.page.evaluate("document.documentElement.dir") == ("rtl" if language == "ar" else "ltr")
    visitor.shoot(f"mail, {language}, {scheme}")
