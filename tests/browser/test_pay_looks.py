"""How the pages of a link look: to everybody, in every language, on every screen."""

import re
from datetime import timedelta
from typing import Any

import httpx
import pytest
import segno
from playwright.sync_api import Locator, expect

from service.i18n.formats import get_formats
from service.storage import keys
from service.values.languages import LANGUAGES
from tests.browser.conftest import DESKTOP, NARROW, PHONE, STILL, Visit
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
from tests.support.factories import delete
from tests.support.redis_client import RedisClient
from tests.support.servers import MailServer

LOGO = segno.make("logo").png_data_uri(scale=4, border=0, light=None)
"""Black on nothing."""
SIZES = {"phone": PHONE, "desktop": DESKTOP}
SPREAD = """element => {
  const range = document.createRange();
  range.selectNodeContents(element);
  const { left, right, height } = range.getBoundingClientRect();
  const main = element.closest("main, body").getBoundingClientRect();
  const fontSize = parseFloat(getComputedStyle(element).fontSize);
  return [left - main.left, main.right - right, height / fontSize];
}"""
"""The space to the left and right of a text, and the height of its lines in font sizes."""
LONG_AMOUNTS: list[dict[str, Any]] = [
    {"payment_amount": 1234567890.125, "currency": "KWD"},
    {"payment_amount": 999999999999.9999, "currency": "CLF"},
]
pytestmark = pytest.mark.usefixtures("branded")


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
    page = visitor.open(
        path_of(make(admin, f"states-{size}-{scheme}@example.com", otp_required=True))
    )
    visitor.check(f"pay ask, {size}, {scheme}")
    ask(page)
    visitor.check(f"pay code, {size}, {scheme}")
    page.get_by_label("Code").press_sequentially("000000")
    expect(page.get_by_role("alert")).to_be_visible()
    visitor.check(f"pay wrong code, {size}, {scheme}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_logo_is_shown_to_whoever_may_see_the_link(
    visit: Visit, admin: httpx.Client, scheme: str
) -> None:
    assert admin.put("/orgs/acme/profile", json=BRAND | {"logo": LOGO}).status_code == 200
    visitor = visit(scheme=scheme)
    page = visitor.open(path_of(make(admin)))
    logo = page.locator("img.logo")
    expect(logo).to_be_visible()
    assert logo.evaluate("async image => (await image.decode(), image.naturalWidth)") > 0
    expect(logo).to_have_css(
        "background-color", "rgb(255, 255, 255)"
    )  # or it would not be seen in the dark
    visitor.check(f"pay link with a logo, phone, {scheme}")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_fits_the_smallest_phone(
    visit: Visit, admin: httpx.Client, language: str
) -> None:
    visitor = visit(NARROW, locale="en")
    page = visitor.open(path_of(make(admin, locale=language)))
    assert page.evaluate("[document.documentElement.lang, document.documentElement.dir]") == [
        language,
        "rtl" if language == "ar" else "ltr",
    ]
    visitor.check(f"pay link, {language}")
    visitor.open(
        path_of(make(admin, f"{language}@example.com", otp_required=True, locale=language))
    )
    visitor.check(f"pay ask, {language}")
    page.locator("main button").click()
    expect(page.locator("#otp")).to_be_focused()
    visitor.check(f"pay code, {language}")
    page.locator("#otp").press_sequentially("000000")
    expect(page.get_by_role("alert")).to_be_visible()
    visitor.check(f"pay wrong code, {language}")


def assert_in_one_line(amount: Locator) -> None:
    before, after, lines = amount.evaluate(SPREAD)
    assert min(before, after) > 0, "it stands out"
    assert lines < 2, "it breaks"


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_amount_breaks_between_its_digits(
    visit: Visit, admin: httpx.Client, language: str
) -> None:
    visitor = visit(NARROW, locale="en")
    for number, fields in enumerate(LONG_AMOUNTS):
        page = visitor.open(path_of(make(admin, locale=language, **fields)))
        for size in (NARROW, PHONE, DESKTOP):
            page.set_viewport_size({"width": size[0], "height": size[1]})
            assert_in_one_line(page.locator(".amount bdi"))
            assert_in_one_line(page.locator(".button bdi"))
            visitor.check(f"pay long amount {number}, {size[0]}, {language}")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_time_takes_one_line_of_a_phone(visit: Visit, admin: httpx.Client, language: str) -> None:
    page = visit(PHONE, locale="en").open(path_of(make(admin, locale=language)))
    heights = page.locator("dd[data-size]").evaluate_all(
        "all => all.map(dd => dd.clientHeight / parseFloat(getComputedStyle(dd).fontSize))"
    )
    assert [height < 2 for height in heights] == [True, True], (
        "room is kept for a line that is not there"
    )


def test_an_arabic_page_sets_a_reference_apart_from_its_label(
    visit: Visit, admin: httpx.Client
) -> None:
    page = visit(PHONE).open(path_of(make(admin, locale="ar")))
    card, label, reference = (
        page.locator(at).first.bounding_box() for at in ("dl div", "dl dt", "dl bdi")
    )
    assert card is not None
    assert label is not None
    assert reference is not None
    assert reference["x"] == pytest.approx(card["x"], abs=1)
    assert label["x"] > reference["x"] + reference["width"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_refusal_fits_the_smallest_phone_in_every_language(
    visit: Visit,
    admin: httpx.Client,
    store: RedisClient,
    ended: dict[str, tuple[str, int]],
    language: str,
) -> None:
    visitor, email, day = (
        visit(NARROW, locale=language),
        f"refused-{language}@example.com",
        timedelta(days=1),
    )
    for name, (path, status) in ended.items():
        visitor.open(path, status)
        visitor.check(f"pay {name}, {language}")
    gated, spoken = path_of(make(admin, email, otp_required=True)), get_formats(language)
    page = visitor.open(gated)
    page.locator("main button").click()
    expect(page.locator("#otp")).to_be_focused()
    let_code_expire(page, store, email)
    page.locator("#otp").press_sequentially("000000")
    expect_alert(page, spoken.messages.gettext("This code has expired. Ask for another."))
    visitor.check(f"pay expired code, {language}")
    page.locator("button").last.click()
    expect(page.get_by_role("alert")).to_have_count(0)
    reach(store, email, "failures_day", day)
    page.locator("#otp").press_sequentially("000000")
    said = spoken.messages.gettext("Too many wrong codes. You can try again in %(span)s.")
    expect(page.get_by_role("alert")).to_have_text(said % {"span": spoken.format_wait(day)})
    visitor.check(f"pay too many wrong codes, {language}")
    reach(store, email, "sends_day", day)
    delete(store, keys.otp_limit(email, "failures_day"))
    visitor.context.clear_cookies()
    visitor.open(gated)
    page.locator("main button").click()
    expect_alert(
        page,
        spoken.messages.gettext("Another code can be sent in %(span)s.")
        % {"span": spoken.format_wait(day)},
    )
    visitor.check(f"pay too many codes, {language}")


@pytest.mark.parametrize(("motion", "moves"), [("reduce", False), ("no-preference", True)])
def test_nothing_moves_for_who_wants_less_of_that(
    visit: Visit, admin: httpx.Client, motion: str, *, moves: bool
) -> None:
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
def test_a_script_that_comes_late_moves_nothing(
    visit: Visit, admin: httpx.Client, language: str
) -> None:
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
    """A script submits the forms: a click would excuse layout shifts for half a second."""
    email, visitor = f"still-{size}@example.com", visit(SIZES[size])
    page = visitor.open(path_of(make(admin, email, otp_required=True)))

    def send(form: str, otp: str = "") -> None:
        page.locator(f"form[action$={form}]").evaluate(
            "(form, otp) => (otp && (form.elements.otp.value = otp), form.requestSubmit())", otp
        )

    send("code")
    expect(page.get_by_label("Code")).to_be_focused()
    code = code_for(email, mails)
    send("token", different_code(code))
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


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_mails_are_shown_as_they_are_meant(
    visit: Visit, admin: httpx.Client, mails: MailServer, language: str, scheme: str
) -> None:
    """It fits, requests nothing from another host, and has the right direction."""
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
    assert visitor.page.evaluate("document.documentElement.dir") == (
        "rtl" if language == "ar" else "ltr"
    )
    visitor.shoot(f"mail, {language}, {scheme}")
