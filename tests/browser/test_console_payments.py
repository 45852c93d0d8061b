"""Recording and voiding payments in the console: what is asked before, and said after."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import DESKTOP, NARROW, PHONE, Visit
from tests.browser.console import enter, go, open_link, pay, rows
from tests.support.admins import as_admin
from tests.support.factories import make_link, store_link
from tests.support.redis_client import RedisClient
from tests.support.service_processes import Service

AMOUNT = {"payment_amount": 125000.5, "currency": "NGN", "transaction_id": "order-7"}


def read(service: Service, link: dict[str, Any]) -> dict[str, Any]:
    url = f"{service.url}/payment-links/{link['id']}"
    found: dict[str, Any] = httpx.get(url, headers=as_admin()).json()
    return found


def mark_paid(page: Page) -> Any:
    """The form for a payment of the link that is open."""
    page.get_by_role("button", name=re.compile("^(Mark paid|Record another payment)$")).click()
    form = page.get_by_role("dialog")
    expect(form.get_by_label("Amount paid")).to_be_focused()
    return form


def record(form: Any) -> None:
    form.get_by_role("button", name="Record payment").click()


def test_a_link_is_marked_paid(visit: Visit, make: Any, service: Service) -> None:
    link = make("pays", **AMOUNT)
    visitor = visit(DESKTOP)
    page = enter(visitor, "pays")
    open_link(page)
    form = mark_paid(page)
    assert page.url.endswith(f"#/pays/links/{link['id']}/mark-paid")
    expect(form.locator("dl div")).to_have_text(
        [
            "Recipientjane@example.com",
            "AmountNGN 125,000.50",
            "Referenceorder-7",
            "Still dueNGN 125,000.50",
        ]
    )
    expect(form.get_by_label("Amount paid")).to_have_value("125000.50")
    expect(form.get_by_label("Currency")).to_be_disabled()
    visitor.check("console mark paid, desktop, light")
    form.get_by_label("Payment id").fill("bank/7 & co")
    form.get_by_label("Method").fill("bank transfer")
    record(form)
    dialog = page.get_by_role("dialog")
    expect(dialog.locator(".notice.good")).to_have_text(
        "NGN 125,000.50 is recorded: the link is paid."
    )
    expect(dialog.locator("dl div", has_text="Status")).to_have_text("StatusPaid")
    expect(dialog.get_by_role("region", name="Payments")).to_contain_text(
        "bank transfer · bank/7 & co"
    )
    expect(dialog.get_by_role("button", name="Revoke this link")).to_have_count(0)
    visitor.check("console paid, desktop, light")
    page.keyboard.press("Escape")
    paid = page.get_by_role("navigation").get_by_role("link", name="Paid")
    expect(paid).to_have_text("Paid1")
    paid.click()
    expect(rows(page).locator(".status")).to_have_text("Paid")
    expect(rows(page).locator(".expires")).to_contain_text("paid ")
    [payment] = read(service, link)["payments"]
    assert (payment["payment_id"], payment["method"]) == ("bank/7 & co", "bank transfer")


def test_a_payment_is_voided_after_a_question(visit: Visit, make: Any, service: Service) -> None:
    link = make("voids", **AMOUNT)
    pay(service, link, "bank/7 & co")
    visitor = visit(DESKTOP)
    page = enter(visitor, "voids")
    dialog = open_link(page)
    dialog.get_by_role("button", name="Void bank/7 & co").click()
    title = "Void the payment of NGN 125,000.50?"
    expect(dialog.get_by_role("heading", name=title)).to_be_focused()
    expect(dialog.locator("dl div", has_text="Payment id")).to_have_text("Payment idbank/7 & co")
    visitor.check("console void, desktop, light")
    page.reload()
    expect(dialog.get_by_role("heading", name=title)).to_be_visible()
    dialog.get_by_role("button", name="Keep").click()
    dialog.get_by_role("button", name="Void bank/7 & co").click()
    dialog.get_by_role("button", name="Void this payment").click()
    expect(dialog.locator(".notice.good")).to_have_text(
        "The payment of NGN 125,000.50, bank/7 & co, is voided. The link is active."
    )
    expect(dialog.get_by_role("region", name="Payments")).to_contain_text("Voided")
    expect(dialog.get_by_role("button", name="Void ")).to_have_count(0)
    expect(dialog.get_by_role("button", name="Mark paid")).to_be_visible()
    assert read(service, link)["payments"][0]["voided_at"] is not None


def test_a_link_is_shown_as_it_is_and_not_as_it_was_listed(
    visit: Visit, make: Any, service: Service
) -> None:
    link = make("listed-before", accept_partial=True, **AMOUNT)
    page = enter(visit(DESKTOP), "listed-before")
    expect(rows(page)).to_have_count(1)
    pay(service, link, "bank-7", amount=125000)
    dialog = open_link(page)
    due = dialog.locator("dl div", has_text="Still due")
    expect(due).to_have_text("Still dueNGN 0.50")
    expect(dialog.get_by_role("region", name="Payments")).to_contain_text("bank-7")


@pytest.mark.parametrize(
    ("action", "confirm", "text"),
    [
        pytest.param("Mark paid", "Record payment", "is recorded", id="form"),
        pytest.param("Void bank-7", "Void this payment", "is voided", id="question"),
    ],
)
def test_the_result_is_in_sight_and_announced_where_it_is_shown(
    visit: Visit, make: Any, service: Service, action: str, confirm: str, text: str
) -> None:
    org = f"in-sight-{action[:4].lower()}"
    pay(service, make(org, accept_partial=True, **AMOUNT), "bank-7", amount=5)
    page = enter(visit(PHONE), org)
    dialog = open_link(page)
    dialog.get_by_role("button", name="Void bank-7").scroll_into_view_if_needed()
    dialog.get_by_role("button", name=action).click()
    page.get_by_role("dialog").get_by_role("button", name=confirm).click()
    expect(page.locator("#detail .notice.good")).to_be_in_viewport(ratio=1)
    expect(page.locator("#detail > [role=status]")).to_contain_text(text)


def test_what_is_still_due_is_suggested_and_said(visit: Visit, make: Any, service: Service) -> None:
    link = make("parts", payment_amount=1.25, currency="KWD", accept_partial=True)
    pay(service, link, "first", amount=0.375)
    page = enter(visit(DESKTOP), "parts")
    dialog = open_link(page)
    facts = dialog.locator("#detail dl div").or_(dialog.locator("dl div"))
    expect(facts.filter(has_text="Amount paid")).to_have_text("Amount paidKWD 0.375")
    form = mark_paid(page)
    expect(form.get_by_label("Amount paid")).to_have_value("0.875")
    form.get_by_label("Amount paid").fill("0.5")
    record(form)
    expect(page.locator("#detail .notice.good")).to_have_text(
        "KWD 0.500 is recorded: KWD 0.375 is still due."
    )
    assert read(service, link)["status"] == "active"


def test_another_payment_of_a_paid_link_is_asked_about(
    visit: Visit, make: Any, service: Service
) -> None:
    link = make("twice", **AMOUNT)
    pay(service, link, "bank-7")
    visitor = visit(DESKTOP)
    page = enter(visitor, "twice")
    open_link(page)
    form = mark_paid(page)
    expect(form.get_by_text("another payment is recorded as a duplicate")).to_be_visible()
    form.get_by_label("Payment id").fill("bank-8")
    record(form)
    question = page.get_by_role("alertdialog", name="Record a second payment?")
    expect(question.get_by_role("button", name="Go back")).to_be_focused()
    visitor.check("console duplicate, desktop, light")
    question.get_by_role("button", name="Go back").click()
    assert len(read(service, link)["payments"]) == 1
    record(form)
    question.get_by_role("button", name="Record the duplicate").click()
    expect(page.locator("#detail .notice")).to_contain_text(
        "NGN 125,000.50 is recorded as a duplicate: the link was paid before."
    )
    expect(page.get_by_role("region", name="Payments")).to_contain_text("Duplicate")
    visitor.check("console duplicate recorded, desktop, light")
    assert len(read(service, link)["payments"]) == 2


def test_a_payment_that_was_recorded_meanwhile_is_told_before_another_is(
    visit: Visit, make: Any, service: Service
) -> None:
    link = make("meanwhile-paid", **AMOUNT)
    page = enter(visit(DESKTOP), "meanwhile-paid")
    open_link(page)
    form = mark_paid(page)
    pay(service, link, "checkout-1")
    record(form)
    expect(form.get_by_role("alert")).to_contain_text("nothing was recorded yet")
    expect(form.locator("dl div", has_text="Still due")).to_have_text("Still dueNGN 0.00")
    assert len(read(service, link)["payments"]) == 1
    record(form)
    expect(page.get_by_role("alertdialog", name="Record a second payment?")).to_be_visible()


def test_a_payment_after_the_end_is_said_to_be_late(
    visit: Visit, make: Any, service: Service
) -> None:
    link = make("late", **AMOUNT)
    httpx.delete(f"{service.url}/payment-links/{link['id']}", headers=as_admin())
    page = enter(visit(DESKTOP), "late")
    open_link(page)
    form = mark_paid(page)
    expect(
        form.get_by_text("This link is revoked: the payment is recorded as late")
    ).to_be_visible()
    record(form)
    expect(page.locator("#detail .notice.good")).to_have_text(
        "NGN 125,000.50 is recorded: the link is paid. It is late: the link had ended before."
    )
    expect(page.get_by_role("region", name="Payments")).to_contain_text("Late")


def test_an_answer_that_was_lost_records_no_second_payment(
    visit: Visit, make: Any, service: Service
) -> None:
    link = make("lost-payment", **AMOUNT)
    path = f"/payment-links/{link['id']}/payments"
    visitor = visit(DESKTOP)
    page = enter(visitor, "lost-payment")
    open_link(page)
    form = mark_paid(page)
    visitor.expect_refusal(path)

    def lose(route: Any) -> None:
        route.fetch()
        route.abort()

    page.route(f"**{path}", lose, times=1)
    record(form)
    expect(form.get_by_text("it is not known whether the payment is recorded")).to_be_visible()
    record(form)
    expect(page.locator("#detail .notice.good")).to_have_text(
        "This payment was recorded before: nothing was recorded again."
    )
    assert len(read(service, link)["payments"]) == 1


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        pytest.param({"Amount paid": "12,5"}, "payment-amount", "Write it like", id="no amount"),
        pytest.param(
            {"Amount paid": "100"}, "payment-amount", "NGN", id="less than due, in one payment"
        ),
        pytest.param({"Payment id": ""}, "payment-id", "Enter an id for the payment.", id="no id"),
        pytest.param({"Payment id": "gone"}, "payment-id", "void", id="an id that was voided"),
        pytest.param({"Paid at": "2999-01-01T10:00"}, "payment-at", "future", id="not yet"),
    ],
)
def test_a_refusal_is_told_at_its_field(
    visit: Visit,
    make: Any,
    service: Service,
    fields: dict[str, str],
    field: str,
    message: str,
    request: pytest.FixtureRequest,
) -> None:
    org = f"refuses-{re.sub('[^a-z]+', '-', request.node.callspec.id)}"
    link = make(org, **AMOUNT)
    pay(service, link, "gone")
    url = f"{service.url}/payment-links/{link['id']}/payments"
    httpx.delete(f"{url}/gone", headers=as_admin()).raise_for_status()
    visitor = visit(DESKTOP)
    page = enter(visitor, org)
    open_link(page)
    form = mark_paid(page)
    visitor.expect_refusal(f"/payment-links/{link['id']}/payments")
    for label, value in fields.items():
        form.get_by_label(label).fill(value)
    record(form)
    expect(page.locator(f"#{field}-error")).to_contain_text(message)
    expect(page.locator(f"#{field}")).to_be_focused()
    visitor.check()
    assert read(service, link)["status"] == "active"


def test_what_was_typed_of_a_payment_is_asked_for_before_it_is_lost(
    visit: Visit, make: Any
) -> None:
    make("keeps-payment", **AMOUNT)
    page = enter(visit(DESKTOP), "keeps-payment")
    open_link(page)
    form = mark_paid(page)
    page.keyboard.press("Escape")
    expect(page.locator("#detail-title")).to_be_visible()
    mark_paid(page)
    form.get_by_label("Payment id").fill("bank-7")
    page.go_back()
    question = page.get_by_role("alertdialog", name="Discard this payment?")
    question.get_by_role("button", name="Keep editing").click()
    expect(form.get_by_label("Payment id")).to_have_value("bank-7")
    page.go_back()
    question.get_by_role("button", name="Discard").click()
    expect(page.locator("#detail-title")).to_be_visible()


def test_an_expired_link_without_an_amount_can_be_paid(
    visit: Visit, make: Any, store: RedisClient
) -> None:
    late = datetime.now(UTC) - timedelta(days=4)
    expired = store_link(
        store, make_link(late, org_id="open-amount", payment_amount=None, currency=None)
    )
    make("open-amount", "john@example.com")
    page = enter(visit(DESKTOP), "open-amount")
    go(page, f"#/open-amount/links/{expired.id}/mark-paid")
    form = page.get_by_role("dialog")
    form.get_by_label("Amount paid").fill("12.50")
    form.get_by_label("Currency").fill("eur")
    record(form)
    expect(page.locator("#detail .notice.good")).to_contain_text("EUR 12.50 is recorded")


def test_a_link_of_another_organization_cannot_be_paid(visit: Visit, make: Any) -> None:
    link = make("foreign-payment", **AMOUNT)
    page = enter(visit(DESKTOP), "own-payment")
    go(page, f"#/own-payment/links/{link['id']}/mark-paid")
    expect(page.get_by_role("heading", name="There is no such link of own-payment")).to_be_visible()


@pytest.mark.parametrize("size", [PHONE, NARROW], ids=["phone", "narrow"])
def test_payments_fit_on_a_phone(
    visit: Visit, make: Any, service: Service, size: tuple[int, int]
) -> None:
    org = f"fits-{size[0]}"
    link = make(org, payment_amount=999999999999.99, currency="NGN", accept_partial=True)
    pay(service, link, f"pay_{'x' * 100}", amount=999999999999.98, method="bank transfer")
    visitor = visit(size)
    page = enter(visitor, org)
    open_link(page)
    visitor.check()
    page.get_by_role("region", name="Payments").scroll_into_view_if_needed()
    visitor.shoot(f"console payments, {size[0]}", whole=False)
    mark_paid(page)
    visitor.check()
    visitor.shoot(f"console mark paid, {size[0]}", whole=False)
