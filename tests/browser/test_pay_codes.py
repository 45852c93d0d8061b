"""How a customer opens a gated link: with a code from the mail, in a real browser."""

import re
from datetime import timedelta
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from service.storage import keys
from service.storage.command import command
from tests.browser.conftest import DESKTOP, Visit
from tests.browser.pay import (
    BRAND,
    ask,
    code_for,
    different_code,
    expect_alert,
    let_code_expire,
    make,
    path_of,
    reach,
)
from tests.support.redis_client import RedisClient
from tests.support.servers import MailServer
from tests.support.service_processes import Service

pytestmark = pytest.mark.usefixtures("branded")


def test_a_code_from_the_mail_opens_a_gated_link_for_good(
    visit: Visit, admin: httpx.Client, mails: MailServer, service: Service
) -> None:
    email = "gated@example.com"
    visitor = visit()
    page = visitor.open(path_of(make(admin, email, otp_required=True)))
    expect(page.get_by_text("g***@example.com")).to_be_visible()
    assert not any(
        secret in page.content() for secret in ("125,000", "Acme", "acme", BRAND["colour"])
    )
    ask(page)
    code = code_for(email, mails)
    assert mails.mailbox.to(email)[-1]["From"].addresses[0].display_name == "Acme Cleaning Ltd"
    page.keyboard.type(different_code(code))
    expect(page.get_by_role("alert")).to_have_text("That is not the code. You have 4 tries left.")
    expect(page.locator("#announcer")).to_be_empty()  # or it would be said twice
    expect(page.get_by_label("Code")).to_be_focused()
    page.keyboard.insert_text(f" {code[:3]} {code[3:]}\n")  # as pasted
    expect(page.locator(".amount")).to_have_text("₦125,000.50")
    expect(page.get_by_role("link", name="Pay ₦125,000.50")).to_have_css(
        "background-color", "rgb(10, 125, 79)"
    )
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


def test_tries_run_out_and_another_code_helps(
    visit: Visit, admin: httpx.Client, mails: MailServer
) -> None:
    email = "tries@example.com"
    page = visit().open(path_of(make(admin, email, otp_required=True)))
    ask(page)
    code = code_for(email, mails)
    said = []
    for left in (4, 3, 2, 1, 0):
        page.get_by_label("Code").press_sequentially(different_code(code))
        expect(page.get_by_role("alert")).to_have_text(re.compile(f"You have {left} tr|too often"))
        said.append(page.get_by_role("alert").inner_text())
    assert said[3:] == [
        "That is not the code. You have 1 try left.",
        "This code was tried too often. Ask for another.",
    ]
    expect(page.get_by_label("Code")).to_be_disabled()
    expect(page.get_by_role("button", name="Open the link")).to_be_disabled()
    expect(page.get_by_role("heading", name="Enter your code")).to_be_focused()
    page.get_by_role("button", name="Send another code").click()
    expect(page.get_by_role("main").get_by_text("It is good for 10 minutes")).to_be_visible()
    page.get_by_label("Code").press_sequentially(code_for(email, mails, 2))
    expect(page.locator(".amount")).to_be_visible()


def test_who_leaves_to_read_the_code_comes_back_to_its_field(
    visit: Visit, admin: httpx.Client, mails: MailServer
) -> None:
    email, visitor = "leaves@example.com", visit()
    link = make(admin, email, otp_required=True)
    page = visitor.open(path_of(link))
    ask(page)
    sent = re.compile(
        r"^We sent a code to l\*\*\*@example\.com at \d+:\d\d.*\. "
        r"It is good for \d+ minutes, and only the newest works\.$"
    )
    expect(page.locator("[data-announce]")).to_have_text(sent)
    assert page.url.endswith(path_of(link))
    page.close()
    visitor.page = visitor.context.new_page()
    page = visitor.open(path_of(link))
    expect(page.locator("[data-announce]")).to_have_text(sent)
    expect(page.get_by_label("Code")).to_be_focused()
    visitor.check("pay back with the code, phone, light")
    page.get_by_label("Code").press_sequentially(different_code(code_for(email, mails)))
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
    visit: Visit, admin: httpx.Client, mails: MailServer, store: RedisClient, *, script: bool
) -> None:
    email, visitor, other = (
        f"tabs-{script}@example.com".lower(),
        visit(script=script),
        visit(script=script),
    )
    path = path_of(make(admin, email, otp_required=True))

    def send(page: Page, button: str, number: int) -> str:
        store.run(command(bool, "DEL", keys.otp_limit(email, "resend")))
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
    enter(page, different_code(newest))
    expect_alert(page, "That is not the code, or it has expired.")
    enter(page, newest)
    expect(page.locator(".amount")).to_be_visible()
    device.reload()
    expect_alert(device, "This code is no longer good: it was used, or a newer one was sent.")


@pytest.mark.parametrize("script", [True, False], ids=["with a script", "without"])
def test_who_blocks_cookies_is_told_so(
    blocks_cookies: Visit, admin: httpx.Client, *, script: bool
) -> None:
    visitor = blocks_cookies(script=script)
    page = visitor.open(
        path_of(make(admin, f"blocks-{script}@example.com".lower(), otp_required=True))
    )
    page.get_by_role("button", name="Send me a code").click()
    expect(page.get_by_role("heading", name="Cookies are needed")).to_be_visible()
    if script:  # which axe needs
        visitor.check("pay without cookies")
    page.get_by_role("link", name="Try again").click()
    expect(page.get_by_role("button", name="Send me a code")).to_be_visible()


def test_no_code_is_used_up_where_cookies_went_away(
    visit: Visit, admin: httpx.Client, mails: MailServer
) -> None:
    email, visitor = "went@example.com", visit()
    page = visitor.open(path_of(make(admin, email, otp_required=True)))
    ask(page)
    code = code_for(email, mails)
    visitor.context.clear_cookies()
    page.keyboard.type(code)
    expect(page.get_by_role("heading", name="Cookies are needed")).to_be_focused()
    assert (
        httpx.put(
            f"{visitor.url}/payment-links/otp", json={"email": email, "otp": code}
        ).status_code
        == 200
    )


def test_another_code_has_to_wait(visit: Visit, admin: httpx.Client) -> None:
    visitor = visit()
    page = visitor.open(path_of(make(admin, "wait@example.com", otp_required=True)))
    ask(page)
    button, wait = (
        page.get_by_role("button", name="Send another code"),
        re.compile(r"^Another code can be sent in 00:0\d\.$"),
    )
    expect(button).to_be_disabled()
    expect(button).to_have_accessible_description(wait)
    expect(page.get_by_label("Code")).to_have_accessible_description(wait)
    expect(button).to_be_enabled()
    expect(page.locator("#announcer")).to_have_text("Another code can be sent now.")
    expect(button).to_have_accessible_description("Another code can be sent now.")
    expect(page.get_by_text("Another code can be sent in")).to_have_count(0)


def test_another_code_helps_where_one_has_expired(
    visit: Visit, admin: httpx.Client, mails: MailServer, store: RedisClient
) -> None:
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
    visit: Visit, admin: httpx.Client, mails: MailServer, store: RedisClient
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
    expect(page.locator("#announcer")).to_be_empty()
    button.click()
    page.get_by_label("Code").press_sequentially(code_for(email, mails))
    expect(page.locator(".amount")).to_be_visible()


def test_after_too_many_wrong_codes_a_right_one_helps_when_the_day_is_over(
    visit: Visit, admin: httpx.Client, mails: MailServer, store: RedisClient
) -> None:
    email = "wrong@example.com"
    page = visit().open(path_of(make(admin, email, otp_required=True)))
    ask(page)
    code = code_for(email, mails)
    reach(store, email, "failures_day", timedelta(seconds=3))
    page.get_by_label("Code").press_sequentially(code)
    expect(page.get_by_role("alert")).to_have_text(
        re.compile(r"^Too many wrong codes. You can try again in \d seconds?\.$")
    )
    buttons = [
        page.get_by_role("button", name=name) for name in ("Open the link", "Send another code")
    ]
    for control in (page.get_by_label("Code"), *buttons):
        expect(control).to_be_disabled()
        expect(control).to_have_accessible_description(re.compile("^Too many wrong codes"))
    page.reload()
    expect(page.get_by_label("Code")).to_be_disabled()
    expect(page.get_by_label("Code")).to_be_enabled()
    expect(page.get_by_role("alert")).to_have_text("You can try again now.")
    for button in buttons:
        expect(button).to_be_enabled()
    page.get_by_label("Code").press_sequentially(code)
    expect(page.locator(".amount")).to_be_visible()


def test_a_code_that_could_not_be_looked_at_stays_in_its_field(
    visit: Visit, admin: httpx.Client, mails: MailServer
) -> None:
    email, visitor = "passing@example.com", visit(locale="en")
    page = visitor.open(path_of(make(admin, email, otp_required=True, locale="ar")))
    page.locator("main button").click()
    expect(page.locator("#otp")).to_be_focused()
    code = code_for(email, mails)
    sorry = (
        '<html lang="en" dir="ltr"><div id="announcer"></div>'
        "<main><h1>No</h1><p>Nothing is lost.</p> <p>Try again.</p></main><footer></footer>"
    )
    page.route(
        "**/token",
        lambda route: route.fulfill(status=503, content_type="text/html", body=sorry),
        times=1,
    )
    visitor.expect_refusal(f"{urlsplit(page.url).path}/token")
    page.keyboard.type(code)
    expect(page.get_by_role("alert")).to_have_text("Nothing is lost. Try again.")
    expect(page.get_by_role("alert")).to_have_attribute("lang", "en")
    expect(page.locator("#otp")).to_have_value(code)
    assert page.evaluate("document.documentElement.lang") == "ar"
    page.locator("main button").first.click()
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


def test_all_of_it_works_without_a_script(
    visit: Visit, admin: httpx.Client, mails: MailServer
) -> None:
    email = "plain@example.com"
    page = visit(script=False).open(path_of(make(admin, email, otp_required=True)))
    page.get_by_role("button", name="Send me a code").click()
    code = code_for(email, mails)
    page.get_by_label("Code").fill(different_code(code))
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
