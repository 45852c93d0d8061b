"""The console's form for an organization's profile, with its preview."""

import base64
from typing import Any

import httpx
import pytest
from playwright.sync_api import Dialog, Page, expect

from service.orgs.model import MAX_LOGO_BYTES
from tests.browser.conftest import DESKTOP, NARROW, PHONE, Visit, Visitor
from tests.browser.console import enter, fail_once, fill, listen
from tests.browser.pay import BRAND
from tests.orgs.test_model import logo
from tests.support.admins import as_admin
from tests.support.servers import MailServer, wait_until
from tests.support.service_processes import Service

CHECKOUT = "https://pay.acme.example/{link_id}?sum={amount}"
REMINDERS = [{"after_send": "72h"}, {"before_expiry": "24h"}]
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5E"
    "rkJggg=="
)


def open_profile(visitor: Visitor, org: str) -> Page:
    page = enter(visitor, org)
    page.get_by_role("button", name="Profile").click()
    expect(page.locator("#profile-name")).to_be_focused()
    return page


def stored(service: Service, org: str) -> dict[str, Any]:
    answer = httpx.get(f"{service.url}/orgs/{org}/profile", headers=as_admin())
    profile: dict[str, Any] = answer.json()
    return profile


def put(service: Service, org: str, **fields: object) -> None:
    answer = httpx.put(f"{service.url}/orgs/{org}/profile", json=fields, headers=as_admin())
    assert answer.status_code == 200, answer.text


def save(page: Page) -> None:
    page.get_by_role("button", name="Save profile").click()
    expect(page.get_by_text("Profile saved.")).to_be_visible()


def shown(page: Page, kind: str) -> Any:
    return page.frame_locator(f"iframe[title='Preview: {kind}']")


def errors(page: Page) -> Any:
    return page.locator("#profile .error:not(:empty)")


def fault(page: Page, name: str) -> Any:
    return page.locator(f"#profile-{name}-error")


def test_all_of_a_profile_is_shown_and_saved(visit: Visit, service: Service) -> None:
    put(service, "saves", locale="pt-BR", reminders=REMINDERS, logo=logo(), display_name="Before")
    page = open_profile(visit(DESKTOP), "saves")
    expect(page.locator("#profile-locale")).to_have_value("pt-BR")
    expect(page.locator("#profile .reminder")).to_have_count(2)
    page.get_by_role("button", name="Remove", exact=True).click()
    fill(
        page,
        **{
            "profile-name": "  Acme Cleaning Ltd ",
            "profile-color": "#0A7D4F",
            "profile-reply-to": "help@acme.example",
            "profile-zone": "Africa/Lagos",
            "profile-checkout": CHECKOUT,
        },
    )
    page.get_by_label("E-mail a receipt").check()
    save(page)
    assert stored(service, "saves") == {
        "display_name": "Acme Cleaning Ltd",
        "colour": "#0a7d4f",
        "logo": None,
        "reply_to": "help@acme.example",
        "locale": "pt-BR",
        "time_zone": "Africa/Lagos",
        "checkout_url": CHECKOUT,
        "receipts": True,
        "reminders": REMINDERS,
    }
    expect(page.locator("#profile-name")).to_have_value("Acme Cleaning Ltd")
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", name="Acme Cleaning Ltd")).to_be_visible()


def test_the_preview_shows_what_is_typed_and_stores_nothing(visit: Visit, service: Service) -> None:
    page = open_profile(visit(DESKTOP), "previews")
    expect(shown(page, "Page").locator(".org")).to_have_text("previews")
    page.locator("#profile-name").press_sequentially("Acme & Söhne")
    page.locator("#profile-picker").fill("#0a7d4f")
    page.locator("#profile-locale").select_option("de")
    page.locator("#profile-zone").fill("Asia/Tokyo")
    expect(page.locator("#profile-color")).to_have_value("#0a7d4f")
    expect(shown(page, "Page").locator(".org")).to_have_text("Acme & Söhne")
    button = shown(page, "Page").locator("a.button")
    expect(button).to_have_css("background-color", "rgb(10, 125, 79)")
    expect(shown(page, "Page").locator("time").first).to_contain_text("JST")
    page.get_by_role("button", name="E-mail", exact=True).click()
    expect(page.get_by_text("Acme & Söhne <pay@")).to_be_visible()
    expect(page.get_by_text("Acme & Söhne bittet Sie um")).to_be_visible()
    expect(shown(page, "E-mail").locator("html")).to_have_attribute("lang", "de")
    assert stored(service, "previews")["display_name"] is None


def test_nothing_in_the_preview_leads_away_or_runs(visit: Visit) -> None:
    page = open_profile(visit(DESKTOP), "still")
    expect(shown(page, "Page").get_by_text("Payment request")).to_be_visible()
    for frame in page.frames[1:]:
        assert frame.locator("[href]:not(link), script, form").count() == 0


def test_faults_are_told_at_their_fields_as_they_are_left(visit: Visit) -> None:
    visitor = visit(DESKTOP)
    page = open_profile(visitor, "faults")
    visitor.expect_refusal("/console/preview/faults")
    page.locator("#profile-checkout").fill("http://acme.example/")
    page.wait_for_timeout(600)
    expect(errors(page)).to_have_count(0)
    page.keyboard.press("Tab")
    expect(fault(page, "checkout")).to_have_text(
        "Must be a full address that begins with https://."
    )
    expect(page.get_by_text("The preview follows once")).to_be_visible()
    page.locator("#profile-checkout").fill(CHECKOUT)
    expect(errors(page)).to_have_count(0)
    expect(page.get_by_text("The preview follows once")).to_be_hidden()


def test_all_faults_are_told_when_it_is_saved(visit: Visit, service: Service) -> None:
    visitor = visit(DESKTOP)
    page = open_profile(visitor, "wrong")
    for path in ("/console/preview/wrong", "/orgs/wrong/profile"):
        visitor.expect_refusal(path)
    fill(
        page,
        **{
            "profile-name": "=?x?=",
            "profile-color": "red",
            "profile-reply-to": "help",
            "profile-zone": "Lagos",
            "profile-checkout": "https://acme.example/{link}",
        },
    )
    page.locator("#profile-reminders").select_option("own")
    page.locator("#profile .reminder input").fill("0")
    page.get_by_role("button", name="Save profile").click()
    expect(errors(page)).to_have_count(6)
    expect(page.locator("#profile-name")).to_be_focused()
    visitor.check("console profile, six mistakes, desktop, light")
    assert stored(service, "wrong")["display_name"] is None


def choose_logo(page: Page, name: str, kind: str, content: bytes) -> None:
    page.locator("#profile-logo").set_input_files(
        {"name": name, "mimeType": kind, "buffer": content}
    )


def test_a_logo_is_shown_and_travels_along(visit: Visit, service: Service) -> None:
    page = open_profile(visit(DESKTOP), "logo")
    choose_logo(page, "logo.png", "image/png", base64.b64decode(PIXEL))
    expect(page.get_by_role("img", name="The logo")).to_be_visible()
    source = f"data:image/png;base64,{PIXEL}"
    expect(shown(page, "Page").locator("img.logo")).to_have_attribute("src", source)
    save(page)
    assert stored(service, "logo")["logo"] == source
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(shown(page, "Page").locator("img.logo")).to_have_count(0)
    save(page)
    assert stored(service, "logo")["logo"] is None


@pytest.mark.parametrize(
    ("name", "kind", "size", "message"),
    [
        (
            "large.png",
            "image/png",
            MAX_LOGO_BYTES + 1,
            "This file has 9 KiB, but a logo can have at most 8",
        ),
        ("logo.svg", "image/svg+xml", 100, "This is not a PNG or JPEG"),
    ],
)
def test_a_logo_that_mails_cannot_carry_is_refused_before_it_is_sent(
    visit: Visit, name: str, kind: str, size: int, message: str
) -> None:
    page = open_profile(visit(DESKTOP), "heavy")
    expect(shown(page, "Page").locator(".org")).to_have_text("heavy")
    asked = listen(page)
    choose_logo(page, name, kind, b"\0" * size)
    expect(fault(page, "logo")).to_contain_text(message)
    page.wait_for_timeout(600)
    assert asked == []


def test_a_picture_in_name_only_is_told_at_its_field(visit: Visit) -> None:
    visitor = visit(DESKTOP)
    page = open_profile(visitor, "fake")
    visitor.expect_refusal("/console/preview/fake")
    choose_logo(page, "logo.png", "image/png", b"<svg>")
    expect(fault(page, "logo")).to_contain_text("Must be a PNG or JPEG picture of 8 KiB at most")


@pytest.mark.parametrize("leave", ["Escape", "Close", "Back"])
def test_changes_are_not_lost_without_a_question(visit: Visit, leave: str) -> None:
    page = open_profile(visit(DESKTOP), "asks")

    def go() -> None:
        if leave == "Escape":
            page.keyboard.press("Escape")
        elif leave == "Close":
            page.locator("#profile .buttons").get_by_role("button", name="Close").click()
        else:
            page.go_back()

    page.locator("#profile-name").fill("Acme")
    go()
    expect(page.get_by_role("alertdialog", name="Discard these changes?")).to_be_visible()
    page.get_by_role("button", name="Keep editing").click()
    expect(page.locator("#profile-name")).to_have_value("Acme")
    go()
    page.get_by_role("button", name="Discard", exact=True).click()
    expect(page.locator("#profile")).to_be_hidden()
    page.get_by_role("button", name="Profile").click()
    expect(page.locator("#profile-name")).to_have_value("")
    page.keyboard.press("Escape")
    expect(page.locator("#profile")).to_be_hidden()


def test_nothing_of_it_stays_after_signing_out(visit: Visit, service: Service) -> None:
    put(service, "leaves", display_name="Leaving Ltd", logo=f"data:image/png;base64,{PIXEL}")
    page = open_profile(visit(DESKTOP), "leaves")
    expect(shown(page, "Page").get_by_text("Leaving Ltd")).to_be_visible()
    page.evaluate("document.getElementById('sign-out').click()")
    expect(page.get_by_role("dialog", name="Sign in")).to_be_visible()
    for frame in page.frames:
        assert "Leaving Ltd" not in frame.content()
        assert PIXEL not in frame.content()
    expect(page.locator("#profile-name")).to_have_value("")


def test_the_profile_has_an_address(visit: Visit, service: Service) -> None:
    put(service, "deep", display_name="Deep Ltd")
    page = enter(visit(DESKTOP), "deep")
    page.goto(f"{service.url}/console#/deep/profile")
    page.reload()
    expect(page.locator("#profile-name")).to_have_value("Deep Ltd")
    page.go_back()
    expect(page.locator("#profile")).to_be_hidden()
    expect(page).to_have_url(f"{service.url}/console#/deep")
    page.go_forward()
    expect(page.locator("#profile-name")).to_have_value("Deep Ltd")


def test_the_browser_asks_before_a_reload_loses_changes(visit: Visit) -> None:
    page = open_profile(visit(DESKTOP), "reloads")
    asked: list[str] = []

    def dismiss(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", dismiss)
    page.locator("#profile-name").fill("Acme")
    page.evaluate("setTimeout(() => location.reload())")
    wait_until(lambda: page.evaluate("true") and bool(asked), "the browser to ask")
    assert asked == ["beforeunload"]


def test_a_test_shows_what_is_saved(visit: Visit, mails: MailServer) -> None:
    visitor = visit(DESKTOP)
    page = open_profile(visitor, "tests")
    send = page.get_by_role("button", name="Send me a test")
    visitor.expect_refusal("/orgs/tests/profile/test")
    send.click()
    expect(page.get_by_text("Tests go to the reply-to address: enter one")).to_be_visible()
    page.locator("#profile-name").fill("Acme Cleaning Ltd")
    page.locator("#profile-reply-to").fill("clerk@acme.example")
    expect(send).to_be_disabled()
    save(page)
    send.click()
    expect(page.get_by_text("A test is on its way to clerk@acme.example")).to_be_visible()
    [mail] = mails.mailbox.wait_for("clerk@acme.example")
    assert "Acme Cleaning Ltd" in mail["Subject"]


def test_tests_are_limited_and_said_so(visit: Visit, service: Service) -> None:
    put(service, "limited", reply_to="clerk@acme.example")
    for _ in range(5):
        httpx.post(f"{service.url}/orgs/limited/profile/test", json={}, headers=as_admin())
    visitor = visit(DESKTOP)
    page = open_profile(visitor, "limited")
    visitor.expect_refusal("/orgs/limited/profile/test")
    page.get_by_role("button", name="Send me a test").click()
    expect(
        page.get_by_text("an organization can have five tests a day. Try again in")
    ).to_be_visible()


def test_a_profile_that_cannot_be_read_is_not_edited(visit: Visit) -> None:
    visitor = visit(DESKTOP)
    page = enter(visitor, "away")
    expect(page.get_by_role("heading", name="No links yet")).to_be_visible()
    fail_once(visitor, "/orgs/away/profile")
    page.get_by_role("button", name="Profile").click()
    expect(page.get_by_text("The store does not answer")).to_be_visible()
    expect(page.get_by_role("button", name="Save profile")).to_be_hidden()
    page.get_by_role("button", name="Try again now").click()
    expect(page.locator("#profile-name")).to_be_focused()


def test_a_save_without_an_answer_is_told(visit: Visit, service: Service) -> None:
    visitor = visit(DESKTOP)
    page = open_profile(visitor, "lost")
    fail_once(visitor, "/orgs/lost/profile")
    page.locator("#profile-name").fill("Acme")
    page.get_by_role("button", name="Save profile").click()
    expect(page.get_by_text("it is not known whether the profile is saved")).to_be_visible()
    save(page)
    assert stored(service, "lost")["display_name"] == "Acme"


def test_a_preview_that_fails_comes_back(visit: Visit) -> None:
    visitor = visit(DESKTOP)
    page = open_profile(visitor, "blind")
    expect(shown(page, "Page").locator(".org")).to_have_text("blind")
    fail_once(visitor, "/console/preview/blind")
    page.locator("#profile-name").fill("Acme")
    expect(page.get_by_text("The preview cannot be shown right now")).to_be_visible()
    page.locator("#profile-name").fill("Acme Ltd")
    expect(shown(page, "Page").locator(".org")).to_have_text("Acme Ltd")
    expect(page.get_by_text("The preview cannot be shown right now")).to_be_hidden()


@pytest.mark.parametrize("size", [DESKTOP, PHONE, NARROW], ids=["desktop", "phone", "narrow"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_is_accessible(
    visit: Visit, service: Service, size: tuple[int, int], scheme: str
) -> None:
    org, name = f"looks-{size[0]}", f"{size[0]}, {scheme}"
    put(service, org, **BRAND, checkout_url=CHECKOUT, reminders=REMINDERS)
    visitor = visit(size, scheme=scheme)
    page = open_profile(visitor, org)
    expect(shown(page, "Page").get_by_text("Payment request")).to_be_visible()
    visitor.check()
    visitor.shoot(f"console profile, {name}", whole=False)
    page.get_by_role("button", name="E-mail", exact=True).click()
    expect(shown(page, "E-mail").get_by_text("Acme Cleaning Ltd").first).to_be_visible()
    visitor.check()
    visitor.shoot(f"console profile mail, {name}", whole=False)


def test_forced_colors_show_which_preview_is_chosen(visit: Visit) -> None:
    visitor = visit(DESKTOP)
    visitor.page.emulate_media(forced_colors="active")
    page = open_profile(visitor, "forced")
    chosen = page.get_by_role("button", name="Page", exact=True)
    expect(chosen).to_have_css("outline-style", "solid")
    visitor.shoot("console profile, forced colors", whole=False)
    page.emulate_media(forced_colors="none")
