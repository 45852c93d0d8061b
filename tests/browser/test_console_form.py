"""The console's form for a new link."""

from typing import Any

import httpx
import pytest
from playwright.sync_api import Dialog, expect

from tests.browser.conftest import DESKTOP, NARROW, PHONE, Visit
from tests.browser.console import enter, fill, new_link, rows
from tests.support.admins import as_admin
from tests.support.servers import wait_until
from tests.support.service_processes import Service


@pytest.mark.parametrize(
    ("amount", "currency", "sent", "shown"),
    [
        pytest.param("125,000.50", "ngn", '"payment_amount":125000.50', "NGN 125,000.50", id="NGN"),
        pytest.param("1.250", "KWD", '"payment_amount":1.250', "KWD 1.250", id="KWD"),
        pytest.param(
            "999999999999.99",
            "USD",
            '"payment_amount":999999999999.99',
            "USD 999,999,999,999.99",
            id="USD",
        ),
    ],
)
def test_a_link_is_made_copied_and_shown_as_a_code(
    visit: Visit, amount: str, currency: str, sent: str, shown: str
) -> None:
    visitor = visit(DESKTOP)
    visitor.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = enter(visitor, f"makes-{currency}")
    page.get_by_role("button", name="Create the first link").click()
    form = fill(
        page,
        email="jane@example.com",
        payment_amount=amount,
        currency=currency,
        transaction_id="order-7",
    )
    with page.expect_request("**/payment-links") as asked:
        form.get_by_role("button", name="Create link").click()
    assert sent in (asked.value.post_data or "")
    expect(form.get_by_role("heading", name="Link created")).to_be_focused()
    expect(form.locator(".sum")).to_have_text(shown)
    expect(form.get_by_role("img", name="QR code of the link")).to_be_visible()
    assert form.get_by_role("img").evaluate(
        "async image => (await image.decode(), image.naturalWidth > 0)"
    )
    form.get_by_role("button", name="Copy link").click()
    expect(form.get_by_text("Link copied")).to_be_visible()
    assert (
        page.evaluate("navigator.clipboard.readText()")
        == form.get_by_label("Address of the link").input_value()
    )
    form.get_by_role("button", name="Done").click()
    expect(rows(page).locator(".amount")).to_have_text(shown)


def test_what_is_wrong_is_said_at_its_field(visit: Visit) -> None:
    visitor = visit()
    page = enter(visitor, "wrong")
    visitor.expect_refusal("/payment-links")
    form = new_link(page, payment_amount="12,5")
    form.get_by_role("button", name="Create link").click()
    expect(page.locator("#email")).to_be_focused()
    expect(page.locator("#email-error")).to_have_text("Enter an e-mail address.")
    expect(page.locator("#payment_amount-error")).to_have_text("Write it like 125000.50.")
    visitor.check("console create, wrong, phone, light")
    fill(page, email="jane@example.com", payment_amount="12.345", currency="JPY")
    form.get_by_role("button", name="Create link").click()
    expect(page.locator("#payment_amount")).to_be_focused()
    expect(page.locator("#payment_amount")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#payment_amount-error")).to_have_text("Must have no decimals in JPY.")
    fill(page, payment_amount="12345")
    form.get_by_role("button", name="Create link").click()
    expect(form.locator(".sum")).to_have_text("JPY 12,345")


def lose_answer(route: Any) -> None:
    """The service carries the request out, and its answer gets lost."""
    route.fetch()
    route.abort()


def test_a_click_that_is_repeated_makes_one_link(visit: Visit) -> None:
    """The answer to the first got lost."""
    visitor = visit(DESKTOP)
    page = enter(visitor, "repeated")
    form = new_link(page, email="jane@example.com")
    page.route("**/payment-links", lose_answer, times=1)
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
    page.route("**/payment-links", lose_answer, times=1)
    visitor.expect_refusal("/payment-links")
    form.get_by_role("button", name="Create link").click()
    expect(form.get_by_text("The service cannot be reached")).to_be_visible()
    fill(page, transaction_id="order-8")
    form.get_by_role("button", name="Create link").click()
    expect(form.get_by_text("had already created a link")).to_be_visible()
    form.get_by_role("button", name="Create link").click()
    expect(form.get_by_role("heading", name="Link created")).to_be_visible()
    form.get_by_role("button", name="Done").click()
    expect(rows(page)).to_have_count(2)


def test_all_mistakes_are_told_at_once_and_in_words(visit: Visit) -> None:
    visitor = visit(DESKTOP)
    page = enter(visitor, "mistakes")
    visitor.expect_refusal("/payment-links")
    times = dict.fromkeys(("scheduled_at", "expires_at"), "2020-01-01T10:00")
    form = new_link(page, email="jane", payment_amount="-1", currency="NG", **times)
    form.get_by_role("button", name="Create link").click()
    expect(page.locator(".error:not(:empty)")).to_have_text(
        [
            "An email address must have an @-sign.",
            "Write it like 125000.50.",
            "Must be an ISO 4217 code, such as NGN or USD.",
            "Must not lie in the past, nor more than a year ahead.",
            "Must lie 5 minutes to 365 days after the link is sent.",
        ]
    )
    expect(page.locator("#email")).to_be_focused()
    visitor.check("console create, five mistakes, desktop, light")


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"email": "jane"}, id="no e-mail"),
        pytest.param({"currency": "NG"}, id="no currency"),
        pytest.param({"currency": "XAU"}, id="gold"),
        pytest.param({"payment_amount": "0"}, id="nothing"),
        pytest.param({"payment_amount": "1000000000000"}, id="too much"),
        pytest.param({"payment_amount": "1.234"}, id="three decimals"),
        pytest.param({"currency": "JPY", "payment_amount": "1.2"}, id="parts of a yen"),
    ],
)
def test_a_mistake_is_told_when_its_field_is_left_in_the_words_of_the_service(
    visit: Visit, service: Service, fields: dict[str, str]
) -> None:
    page = enter(visit(DESKTOP), "early")
    new_link(page, **fields)
    page.keyboard.press("Tab")
    wrong = page.locator(".error:not(:empty)")
    expect(wrong).to_have_count(1)
    amount = (
        {"payment_amount": float(fields["payment_amount"])} if "payment_amount" in fields else {}
    )
    body = {"org_id": "early", "email": "jane@example.com", **fields, **amount}
    [error] = httpx.post(f"{service.url}/payment-links", json=body, headers=as_admin()).json()[
        "errors"
    ]
    expect(wrong).to_have_id(f"{error['field']}-error")
    assert wrong.inner_text().rstrip(".").lower() == error["message"].rstrip(".").lower()
    page.locator(f"#{error['field']}").fill("")
    expect(wrong).to_have_count(0)


def test_a_press_on_the_button_is_not_lost_to_a_mistake_that_is_told_meanwhile(
    visit: Visit,
) -> None:
    """Words that appear when a field is left would move the button from under the press."""
    visitor = visit((1280, 1100))
    page = enter(visitor, "pressed")
    visitor.expect_refusal("/payment-links")
    form = new_link(page)
    page.locator("#email").press_sequentially("jane")
    with page.expect_request("**/payment-links"):
        form.get_by_role("button", name="Create link").click()
    expect(page.locator("#email-error")).to_have_text("An email address must have an @-sign.")


@pytest.mark.parametrize("size", [DESKTOP, PHONE, NARROW], ids=["desktop", "phone", "narrow"])
def test_the_forms_buttons_are_in_sight_wherever_it_is_scrolled_to(
    visit: Visit, size: tuple[int, int]
) -> None:
    page = enter(visit(size), "scrolled")
    form = new_link(page)
    for name in ("Create link", "Cancel", "Close"):
        for top in (0, 10_000):
            page.locator("#create").evaluate("(dialog, top) => { dialog.scrollTop = top }", top)
            expect(form.get_by_role("button", name=name)).to_be_in_viewport(ratio=1)
    for field in reversed(page.locator("#create input, #create select").all()):
        field.focus()
        assert field.evaluate("""field => {
          const parts = [field, ...document.querySelectorAll("#create .top, #create .buttons")];
          const [box, top, bottom] = parts.map((part) => part.getBoundingClientRect());
          return top.bottom <= box.top + 1 && box.bottom <= bottom.top + 1;
        }"""), "the field is hidden"


@pytest.mark.parametrize("way", ["Escape", "Close", "Cancel", "beside", "Back"])
def test_what_was_typed_is_asked_for_before_it_is_lost(visit: Visit, way: str) -> None:
    visitor = visit(DESKTOP)
    page = enter(visitor, "kept")
    form = new_link(page, email="jane@example.com")
    question = page.get_by_role("alertdialog", name="Discard this link?")

    def leave() -> None:
        if way == "Escape":
            page.keyboard.press("Escape")
        elif way == "Back":
            page.go_back()
        elif way == "beside":
            page.mouse.click(20, 400)
        else:
            form.get_by_role("button", name=way).click()

    leave()
    expect(question).to_be_visible()
    expect(question.get_by_role("button", name="Keep editing")).to_be_focused()
    visitor.check("console discard, desktop, light")
    page.keyboard.press("Escape")
    expect(question).to_be_hidden()
    expect(page.locator("#email")).to_have_value("jane@example.com")
    assert page.url.endswith("#/kept/new")
    leave()
    question.get_by_role("button", name="Discard").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.get_by_role("button", name="New link")).to_be_focused()
    page.get_by_role("button", name="New link").click()
    expect(page.locator("#email")).to_have_value("")
    leave()
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_many_presses_of_escape_lose_nothing(visit: Visit) -> None:
    """Browsers close a dialog at the second, whatever the page says."""
    page = enter(visit(DESKTOP), "many")
    new_link(page, email="jane@example.com")
    for _ in range(7):
        page.keyboard.press("Escape")
    expect(page.locator("#email")).to_have_value("jane@example.com")
    expect(
        page.get_by_role("alertdialog").or_(page.get_by_role("dialog", name="New link")).first
    ).to_be_visible()
    assert page.url.endswith("#/many/new")


def test_a_reload_asks_before_what_was_typed_is_lost(visit: Visit) -> None:
    page = enter(visit(DESKTOP), "reloaded")
    new_link(page).locator("#email").press_sequentially("jane")
    asked: list[str] = []

    def dismiss(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", dismiss)
    page.evaluate("() => { setTimeout(() => location.reload()) }")
    expect(page.locator("#email")).to_have_value("jane")
    wait_until(lambda: page.evaluate("true") and bool(asked), "the browser to ask")
    assert asked == ["beforeunload"]
    expect(page.locator("#email")).to_have_value("jane")
