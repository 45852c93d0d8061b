"""Answers to what was asked for in a view of the console that the user has left meanwhile."""

from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import DESKTOP, Visit
from tests.browser.console import enter, new_link, open_link, pay, rows, settle
from tests.support.admins import as_admin
from tests.support.service_processes import Service

AMOUNT = {"payment_amount": 12.5, "currency": "NGN", "transaction_id": "order-7"}
ACTIONS = [
    pytest.param("Revoke this link", "Revoke this link", "1 link was revoked.", id="revoke"),
    pytest.param("Revoke all of this recipient", "Revoke 1 link", "1 link was revoked.", id="all"),
    pytest.param("Send e-mail", "Send e-mail", "is on its way", id="resend"),
    pytest.param("Void bank-7", "Void this payment", "bank-7, is voided", id="void"),
    pytest.param("Mark paid", "Record payment", "is recorded", id="payment"),
    pytest.param("Edit", "Save changes", "Your changes are saved.", id="edit"),
    pytest.param("Supersede", "Create and supersede", "Link created", id="supersede"),
]


class Held:
    """Holds the next request of ``page`` with ``method`` back until ``release``."""

    def __init__(self, page: Page, method: str | None = None) -> None:
        self._page = page
        self._method = method
        self._routes: list[Route] = []
        page.route("**/*", self._hold)

    def _hold(self, route: Route) -> None:
        method = route.request.method
        is_wanted = method == self._method if self._method else method != "GET"
        if self._routes or not is_wanted or route.request.resource_type != "fetch":
            route.fallback()
        else:
            self._routes.append(route)

    def wait(self) -> None:
        while not self._routes:
            self._page.wait_for_timeout(20)

    def release(self) -> None:
        [route] = self._routes
        with self._page.expect_response(lambda answer: answer.request == route.request):
            route.continue_()


def make_partly_paid(make: Any, service: Service, org: str) -> dict[str, Any]:
    link: dict[str, Any] = make(org, accept_partial=True, **AMOUNT)
    pay(service, link, "bank-7", amount=5)
    return link


def act(page: Page, action: str, confirm: str) -> Held:
    """Asks for an action of the link that is open; its request is held back."""
    held = Held(page)
    page.get_by_role("button", name=action, exact=True).click()
    dialog = page.get_by_role("dialog")
    if action == "Edit":
        dialog.get_by_label("Description").fill("Two windows")
    dialog.get_by_role("button", name=confirm, exact=True).click()
    held.wait()
    return held


def leave(page: Page, *, typed: bool) -> None:
    """Goes back, and lets go of what was typed, if anything was."""
    page.go_back()
    if typed:
        page.get_by_role("alertdialog").get_by_role("button", name="Discard", exact=True).click()


def act_and_leave(page: Page, action: str, confirm: str) -> Held:
    """Opens a link, asks for an action, and goes back to the link."""
    open_link(page)
    held = act(page, action, confirm)
    leave(page, typed=action == "Edit")
    expect(page.locator("#detail-title")).to_be_visible()
    return held


@pytest.mark.parametrize(("action", "confirm", "text"), ACTIONS)
def test_an_action_that_was_left_is_told_over_the_list_which_is_read_again(
    visit: Visit,
    make: Any,
    service: Service,
    action: str,
    confirm: str,
    text: str,
    request: pytest.FixtureRequest,
) -> None:
    org = f"left-{request.node.callspec.id}"
    if action == "Supersede":
        make(org, **AMOUNT)
    else:
        make_partly_paid(make, service, org)
    page = enter(visit(DESKTOP), org)
    held = act_and_leave(page, action, confirm)
    page.go_back()
    expect(page.get_by_role("dialog")).to_be_hidden()
    with page.expect_response(lambda answer: answer.url.endswith("/payment-links?limit=25")):
        held.release()
    expect(page.locator("#status.shown")).to_contain_text(text)
    settle(page)
    expect(page.locator("#status.shown")).to_contain_text(text)
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert page.url.endswith(f"#/{org}")


@pytest.mark.parametrize(("action", "confirm", "text"), ACTIONS[:-1])
def test_an_action_that_was_left_leaves_the_view_of_another_link(
    visit: Visit,
    make: Any,
    service: Service,
    action: str,
    confirm: str,
    text: str,
    request: pytest.FixtureRequest,
) -> None:
    org = f"other-{request.node.callspec.id}"
    make_partly_paid(make, service, org)
    other = make(org, "john@example.com", payment_amount=99, currency="NGN")
    page = enter(visit(DESKTOP), org)
    held = act_and_leave(page, action, confirm)
    page.go_back()
    open_link(page, "john@example.com")
    with page.expect_response(lambda answer: answer.url.endswith("/payment-links?limit=25")):
        held.release()
    expect(page.locator("#detail > [role=status].shown")).to_contain_text(text)
    settle(page)
    expect(page.locator("#detail-title")).to_have_text("NGN 99.00")
    expect(page.locator("#detail .notice")).to_have_count(0)
    assert page.url.endswith(f"#/{org}/links/{other['id']}")


@pytest.mark.parametrize(("action", "confirm", "text"), ACTIONS[:-1])
def test_an_action_that_was_left_is_shown_in_the_view_of_its_link(
    visit: Visit,
    make: Any,
    service: Service,
    action: str,
    confirm: str,
    text: str,
    request: pytest.FixtureRequest,
) -> None:
    org = f"same-{request.node.callspec.id}"
    link = make_partly_paid(make, service, org)
    page = enter(visit(DESKTOP), org)
    held = act_and_leave(page, action, confirm)
    held.release()
    expect(page.locator("#detail .notice.good")).to_contain_text(text)
    assert page.url.endswith(f"#/{org}/links/{link['id']}")


def test_a_link_whose_form_was_left_is_told_and_listed(visit: Visit) -> None:
    page = enter(visit(DESKTOP), "left-new")
    expect(page.get_by_role("heading", name="No links yet")).to_be_visible()
    held = Held(page)
    form = new_link(page, email="jane@example.com")
    form.get_by_role("button", name="Create link").click()
    held.wait()
    leave(page, typed=True)
    expect(page.get_by_role("dialog")).to_be_hidden()
    new_link(page, email="john@example.com")
    held.release()
    expect(page.locator("#create > [role=status].shown")).to_have_text("Link created")
    expect(rows(page)).to_have_count(1)
    expect(form.locator("#email")).to_have_value("john@example.com")
    form.get_by_role("button", name="Create link").click()
    expect(page.get_by_role("heading", name="Link created")).to_be_visible()
    expect(rows(page)).to_have_count(2)


def test_a_refusal_of_a_form_that_was_left_is_not_shown_in_another(visit: Visit, make: Any) -> None:
    make("left-refusal")
    visitor = visit(DESKTOP)
    page = enter(visitor, "left-refusal")
    visitor.expect_refusal("/payment-links")
    held = Held(page)
    form = new_link(page, email="jane")
    form.get_by_role("button", name="Create link").click()
    held.wait()
    leave(page, typed=True)
    expect(page.get_by_role("dialog")).to_be_hidden()
    new_link(page, email="john@example.com")
    held.release()
    expect(page.locator("#create > [role=status].shown")).to_contain_text("Nothing was saved: ")
    expect(form.locator("[aria-invalid]")).to_have_count(0)
    expect(form.get_by_role("alert")).to_have_count(0)


def test_a_failure_of_a_question_that_was_left_is_told(
    visit: Visit, make: Any, service: Service
) -> None:
    link = make("left-failure", **AMOUNT)
    visitor = visit(DESKTOP)
    page = enter(visitor, "left-failure")
    open_link(page)
    visitor.expect_refusal(f"/payment-links/{link['id']}")
    held = act(page, "Revoke this link", "Revoke this link")
    pay(service, link, "bank-7")
    page.go_back()
    expect(page.locator("#detail-title")).to_have_text("NGN 12.50")
    page.go_back()
    held.release()
    expect(page.locator("#status.shown")).to_contain_text("Nothing was revoked: ")


def test_a_payment_whose_form_was_left_before_it_was_sent_is_not_recorded(
    visit: Visit, make: Any, service: Service
) -> None:
    links = [make("left-before", **AMOUNT), make("left-before", "john@example.com", **AMOUNT)]
    page = enter(visit(DESKTOP), "left-before")
    open_link(page)
    page.get_by_role("button", name="Mark paid").click()
    held = Held(page, "GET")
    page.get_by_role("button", name="Record payment").click()
    held.wait()
    page.go_back()
    expect(page.locator("#detail-title")).to_be_visible()
    page.go_back()
    open_link(page, "john@example.com")
    page.get_by_role("button", name="Mark paid").click()
    held.release()
    expect(page.locator("#payment > [role=status].shown")).to_contain_text("was recorded")
    for link in links:
        url = f"{service.url}/payment-links/{link['id']}"
        assert httpx.get(url, headers=as_admin()).json()["payments"] == []
    expect(page.get_by_role("dialog").locator("dl")).to_contain_text("john@example.com")


def test_back_closes_the_question_about_a_second_payment(
    visit: Visit, make: Any, service: Service
) -> None:
    link = make("left-second", **AMOUNT)
    pay(service, link, "bank-7")
    page = enter(visit(DESKTOP), "left-second")
    open_link(page)
    page.get_by_role("button", name="Record another payment").click()
    page.get_by_role("button", name="Record payment").click()
    question = page.get_by_role("alertdialog")
    expect(question).to_be_visible()
    page.go_back()
    expect(page.locator("#detail-title")).to_be_visible()
    expect(question).to_be_hidden()
    page.go_back()
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(question).to_be_hidden()


def test_a_profile_whose_form_was_left_is_not_shown_in_another(
    visit: Visit, service: Service
) -> None:
    theirs = {"display_name": "Theirs"}
    httpx.put(f"{service.url}/orgs/theirs/profile", json=theirs, headers=as_admin())
    page = enter(visit(DESKTOP))
    page.evaluate("location.hash = '#/ours/profile'")
    form = page.get_by_role("dialog")
    name = form.get_by_label("Name")
    name.fill("Ours")
    held = Held(page, "PUT")
    form.get_by_role("button", name="Save profile").click()
    held.wait()
    leave(page, typed=True)
    page.evaluate("location.hash = '#/theirs/profile'")
    expect(name).to_have_value("Theirs")
    held.release()
    expect(page.locator("#profile > [role=status].shown")).to_contain_text("Profile saved")
    expect(name).to_have_value("Theirs")
    expect(page.locator("#profile-title")).to_have_text("Profile of theirs")


def test_failed_mails_whose_question_was_left_are_told_over_the_list(
    visit: Visit, make: Any
) -> None:
    make("left-failed")
    failed = {"delivery": {"state": "failed"}}
    page = enter(visit(DESKTOP), "left-failed")
    page.route(
        "**/orgs/left-failed/payment-links?status=active*",
        lambda route: route.fulfill(json={**route.fetch().json(), "links": [failed]}),
    )
    page.get_by_role("button", name="Resend all failed").click()
    held = Held(page, "POST")
    page.get_by_role("button", name="Resend 1 e-mail").click()
    held.wait()
    page.go_back()
    expect(page.get_by_role("dialog")).to_be_hidden()
    held.release()
    expect(page.locator("#status.shown")).to_contain_text("nothing is sent again")


def test_nothing_of_an_action_is_told_to_whoever_comes_after_signing_out(
    visit: Visit, make: Any
) -> None:
    make("signed-out", "secret@example.com", **AMOUNT)
    page = enter(visit(DESKTOP), "signed-out")
    open_link(page, "secret@example.com")
    held = act(page, "Send e-mail", "Send e-mail")
    page.go_back()
    page.go_back()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Admin token")).to_be_visible()
    held.release()
    settle(page)
    assert "secret@example.com" not in page.content()
