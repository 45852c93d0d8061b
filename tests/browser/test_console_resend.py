"""Sending mails again in the console: what is asked before, and said after."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import DESKTOP, NARROW, PHONE, Visit
from tests.browser.console import enter, go, rows, wait_for_mail
from tests.support.admins import as_admin
from tests.support.servers import MailServer
from tests.support.service_processes import Service


@pytest.fixture
def make_sent(make: Any, service: Service) -> Any:
    """Makes a link whose mail is out."""

    def create(org_id: str, email: str, **fields: Any) -> dict[str, Any]:
        link: dict[str, Any] = make(org_id, email, notify=True, **fields)
        wait_for_mail(service, link, "failed" if email.startswith("nobody") else "sent")
        return link

    return create


def ask_to_resend(page: Page, email: str) -> Any:
    page.get_by_role("button", name=email, exact=True).click()
    page.get_by_role("button", name="Resend e-mail").click()
    return page.get_by_role("dialog")


def ask_to_resend_all(page: Page) -> Any:
    page.get_by_role("button", name="Resend all failed").click()
    return page.get_by_role("dialog")


def test_a_mail_is_sent_again_after_a_question(
    visit: Visit, make_sent: Any, service: Service, mails: MailServer
) -> None:
    email = "again@example.com"
    link = make_sent("again", email, payment_amount=125000.5, currency="NGN")
    visitor = visit(DESKTOP)
    page = enter(visitor, "again")
    dialog = ask_to_resend(page, email)
    expect(dialog.get_by_role("heading", name="Resend this e-mail?")).to_be_focused()
    expect(dialog.locator("dl div")).to_contain_text(
        [f"Recipient{email}", "AmountNGN 125,000.50", "Referenceno reference", "Last sent"]
    )
    assert page.url.endswith(f"#/again/links/{link['id']}/resend")
    visitor.check("console resend, desktop, light")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog.get_by_text("E-mail requested")).to_have_count(0)
    dialog.get_by_role("button", name="Resend e-mail").click()
    dialog.get_by_role("button", name="Resend e-mail").click()
    expect(dialog.locator(".notice.good")).to_have_text(f"The e-mail to {email} is on its way.")
    requested = dialog.locator("dl div", has_text="E-mail requested")
    expect(requested).to_have_text("E-mail requested2 times")
    wait_for_mail(service, link, "sent")
    assert len({message["Message-ID"] for message in mails.mailbox.to(email)}) == 2


@pytest.mark.parametrize("size", [DESKTOP, PHONE, NARROW], ids=["desktop", "phone", "narrow"])
def test_a_links_buttons_are_in_sight_wherever_it_is_scrolled_to(
    visit: Visit, make_sent: Any, size: tuple[int, int]
) -> None:
    org, email = f"scrolled-{size[0]}", "jane@example.com"
    make_sent(org, email, payment_amount=125000.5, currency="NGN", transaction_id="order-1138")
    page = enter(visit(size), org)
    page.get_by_role("button", name=email, exact=True).click()
    assert_buttons_in_sight(page, 4)
    page.get_by_role("button", name="Resend e-mail").click()
    page.get_by_role("dialog").get_by_role("button", name="Resend e-mail").click()
    expect(page.locator("#detail .notice.good")).to_be_visible()
    assert_buttons_in_sight(page, 3)


def assert_buttons_in_sight(page: Page, least: int) -> None:
    """Those to close, resend and revoke; they do not hide what has the focus (WCAG 2.2, 2.4.11)."""
    dialog = page.locator("#detail")
    for top in (0, 10_000):
        dialog.evaluate("(dialog, top) => { dialog.scrollTop = top }", top)
        buttons = dialog.locator(".top button, .buttons button").all()
        assert len(buttons) >= least
        for button in buttons:
            expect(button).to_be_in_viewport(ratio=1)
    for control in dialog.locator(".sharing input, .sharing button, .sharing a").all():
        control.focus()
        assert control.evaluate("""control => {
            const { left, bottom } = control.getBoundingClientRect();
            return document.elementFromPoint(left + 9, bottom - 9) === control;
        }""")


@pytest.mark.parametrize("size", [DESKTOP, PHONE, NARROW], ids=["desktop", "phone", "narrow"])
def test_what_is_announced_over_a_link_covers_none_of_its_buttons(
    visit: Visit, make: Any, size: tuple[int, int]
) -> None:
    org = f"announced-{size[0]}"
    make(org)
    page = enter(visit(size), org)
    page.get_by_role("button", name="jane@example.com", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Copy link").click()
    expect(dialog.get_by_text("Link copied")).to_be_visible()
    covered = dialog.evaluate("""dialog => {
        const announced = dialog.querySelector(".shown").getBoundingClientRect();
        const isCovered = ({ left, right, top, bottom }) =>
            left < announced.right && right > announced.left &&
            top < announced.bottom && bottom > announced.top;
        return [...dialog.querySelectorAll("button")]
            .filter((button) => isCovered(button.getBoundingClientRect()))
            .map((button) => button.textContent);
    }""")
    assert covered == []


def test_a_link_that_was_not_e_mailed_can_be(
    visit: Visit, make: Any, service: Service, mails: MailServer
) -> None:
    link = make("unsent", "unsent@example.com")
    page = enter(visit(DESKTOP), "unsent")
    page.get_by_role("button", name="unsent@example.com", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Send e-mail").click()
    expect(dialog.get_by_role("heading", name="Send this link by e-mail?")).to_be_visible()
    dialog.get_by_role("button", name="Send e-mail").click()
    expect(dialog.locator(".notice.good")).to_be_visible()
    wait_for_mail(service, link, "sent")
    assert len(mails.mailbox.to("unsent@example.com")) == 1


@pytest.mark.parametrize("why", ["pending", "ended"])
def test_where_a_mail_cannot_be_sent_again_there_is_no_button(
    visit: Visit, make_sent: Any, make: Any, service: Service, why: str
) -> None:
    org, tomorrow = f"cannot-{why}", (datetime.now(UTC) + timedelta(days=1)).isoformat()
    if why == "pending":
        link = make(org, "jane@example.com", notify=True, scheduled_at=tomorrow)
    else:
        link = make_sent(org, "jane@example.com")
        httpx.delete(f"{service.url}/payment-links/{link['id']}", headers=as_admin())
    page = enter(visit(DESKTOP), org)
    page.get_by_role("button", name="jane@example.com", exact=True).click()
    expect(page.get_by_role("button", name="Revoke all of this recipient")).to_be_visible()
    expect(page.get_by_role("button", name="Resend e-mail")).to_have_count(0)
    go(page, f"#/{org}/links/{link['id']}/resend")
    expect(page.locator("#detail-title")).to_have_text("Payment link")
    expect(page.get_by_role("button", name="Revoke all of this recipient")).to_be_visible()


def test_a_refusal_is_told_in_words_and_an_outage_that_nothing_is_known(
    visit: Visit, make_sent: Any, service: Service
) -> None:
    link = make_sent("often", "often@example.com")
    path = f"/payment-links/{link['id']}/resend"
    visitor = visit(DESKTOP)
    page = enter(visitor, "often")
    dialog = ask_to_resend(page, "often@example.com")
    visitor.expect_refusal(path)
    page.route(f"**{path}", lambda route: route.abort(), times=1)
    dialog.get_by_role("button", name="Resend e-mail").click()
    expect(dialog.get_by_text("it is not known whether anything is sent")).to_be_visible()
    httpx.post(f"{service.url}{path}", headers=as_admin()).raise_for_status()
    wait_for_mail(service, link, "sent")
    dialog.get_by_role("button", name="Resend e-mail").click()
    expect(dialog.get_by_role("alert")).to_have_text(
        re.compile(
            "^Nothing was sent: the link's mail was sent again a moment ago. "
            r"Try again in (1 min|\d+ s)\.$"
        )
    )
    visitor.check()


def test_an_answer_that_was_lost_sends_no_second_mail(
    visit: Visit, make_sent: Any, service: Service, mails: MailServer
) -> None:
    """The request was carried out; a second click repeats it with its key."""
    link = make_sent("lost", "lost@example.com")
    path = f"/payment-links/{link['id']}/resend"
    visitor = visit(DESKTOP)
    page = enter(visitor, "lost")
    dialog = ask_to_resend(page, "lost@example.com")
    visitor.expect_refusal(path)

    def lose(route: Any) -> None:
        route.fetch()
        route.abort()

    page.route(f"**{path}", lose, times=1)
    dialog.get_by_role("button", name="Resend e-mail").click()
    expect(dialog.get_by_text("it is not known whether anything is sent")).to_be_visible()
    dialog.get_by_role("button", name="Resend e-mail").click()
    expect(dialog.locator(".notice.good")).to_be_visible()
    wait_for_mail(service, link, "sent")
    assert len(mails.mailbox.to("lost@example.com")) == 2


@pytest.mark.parametrize("size", [DESKTOP, PHONE, NARROW], ids=["desktop", "phone", "narrow"])
def test_all_failed_mails_are_counted_and_sent_again(
    visit: Visit, make_sent: Any, service: Service, size: tuple[int, int]
) -> None:
    org = f"outage-{size[0]}"
    failed = [make_sent(org, f"nobody+{number}@example.com") for number in range(3)]
    httpx.delete(f"{service.url}/payment-links/{failed.pop()['id']}", headers=as_admin())
    make_sent(org, "jane@example.com")
    visitor = visit(size)
    page = enter(visitor, org)
    dialog = ask_to_resend_all(page)
    expect(dialog.get_by_role("heading", name="Resend all failed e-mails?")).to_be_focused()
    expect(
        dialog.get_by_text(f"2 e-mails of {org} that failed will be sent again.")
    ).to_be_visible()
    visitor.check(f"console resend all, {size[0]}, light")
    dialog.get_by_role("button", name="Resend 2 e-mails").click()
    expect(dialog.locator(".notice.good")).to_have_text("2 e-mails are on the way again.")
    expect(dialog.get_by_role("heading")).to_be_focused()
    visitor.check()
    dialog.get_by_role("button", name="Done").click()
    expect(dialog).to_be_hidden()
    for link in failed:
        read = httpx.get(f"{service.url}/payment-links/{link['id']}", headers=as_admin()).json()
        assert read["delivery"]["sends"] == 2


def test_where_nothing_failed_there_is_nothing_to_send_again(visit: Visit, make: Any) -> None:
    make("fine", "jane@example.com")
    page = enter(visit(DESKTOP), "fine")
    dialog = ask_to_resend_all(page)
    expect(dialog.locator(".result p:visible, .found")).to_have_text(
        ["No e-mail of an active link of fine has failed."]
    )
    expect(dialog.locator(".buttons").get_by_role("button")).to_have_text("Close")
    page.go_back()
    expect(dialog).to_be_hidden()
    page.go_forward()
    expect(dialog.get_by_text("No e-mail of an active link of fine has failed.")).to_be_visible()
    page.reload()
    expect(dialog.get_by_text("No e-mail of an active link of fine has failed.")).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(rows(page)).to_have_count(1)


def test_failed_mails_that_cannot_be_counted_can_be_sent_again_all_the_same(
    visit: Visit, make_sent: Any
) -> None:
    make_sent("uncounted-mails", "nobody@example.com")
    visitor = visit(DESKTOP)
    page = enter(visitor, "uncounted-mails")
    visitor.expect_refusal("/orgs/uncounted-mails/payment-links?status=active&limit=1000")
    page.route("**/payment-links?status=active&limit=1000", lambda route: route.abort())
    dialog = ask_to_resend_all(page)
    expect(dialog.get_by_text("How many there are is not known")).to_be_visible()
    dialog.get_by_role("button", name="Resend all of them").click()
    expect(dialog.locator(".notice.good")).to_have_text("1 e-mail is on the way again.")


def test_a_refusal_to_send_all_again_is_told_in_words(visit: Visit, make_sent: Any) -> None:
    make_sent("refused-mails", "nobody@example.com")
    visitor = visit(DESKTOP)
    page = enter(visitor, "refused-mails")
    dialog = ask_to_resend_all(page)
    visitor.expect_refusal("/orgs/refused-mails/resend-failed")
    problem = {
        "type": "about:blank",
        "title": "x",
        "status": 403,
        "detail": "not yours",
        "code": "forbidden",
    }
    page.route(
        "**/resend-failed",
        lambda route: route.fulfill(status=403, body=json.dumps(problem)),
        times=1,
    )
    dialog.get_by_role("button", name="Resend 1 e-mail").click()
    expect(dialog.get_by_text("Nothing was sent: not yours.")).to_be_visible()
