"""Changing and superseding links in the console, and their reminders."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import DESKTOP, NARROW, Visit
from tests.browser.console import enter, fill, go, new_link, open_link, rows, wait_for_mail
from tests.support.admins import as_admin
from tests.support.factories import make_link, store_link
from tests.support.redis_client import RedisClient
from tests.support.service_processes import Service

DUE = {"payment_amount": 125000.5, "currency": "NGN", "transaction_id": "order-7"}


def read(service: Service, link: dict[str, Any]) -> dict[str, Any]:
    url = f"{service.url}/payment-links/{link['id']}"
    found: dict[str, Any] = httpx.get(url, headers=as_admin()).json()
    return found


def change(service: Service, link: dict[str, Any], **fields: Any) -> None:
    """Changes the link, as somebody else would."""
    url = f"{service.url}/payment-links/{link['id']}"
    httpx.patch(url, json=fields, headers=as_admin()).raise_for_status()


def edit(page: Page) -> Any:
    """The form with the values of the link that is open."""
    page.get_by_role("button", name="Edit", exact=True).click()
    form = page.get_by_role("dialog", name="Edit this link")
    expect(form).to_be_visible()
    return form


def save(form: Any) -> None:
    form.get_by_role("button", name="Save changes").click()


def supersede(page: Page) -> Any:
    page.get_by_role("button", name="Supersede", exact=True).click()
    return page.get_by_role("dialog", name="Supersede this link")


def add_reminder(form: Any, number: str, unit: str, kind: str) -> None:
    form.get_by_role("button", name="Add a reminder").click()
    row = form.get_by_role("group", name="Reminder").last
    row.get_by_label("How long").fill(number)
    row.get_by_label("Unit").select_option(unit)
    row.get_by_label("Counted").select_option(kind)


def test_a_link_is_made_with_description_partial_payments_and_reminders(
    visit: Visit, make: Any, service: Service
) -> None:
    make("reminds", "other@example.com")
    visitor = visit(DESKTOP)
    page = enter(visitor, "reminds")
    form = new_link(
        page,
        email="jane@example.com",
        payment_amount="125000.50",
        currency="NGN",
        description="Office cleaning",
    )
    form.get_by_label("Accept partial payments").check()
    form.get_by_label("Reminders").select_option("These")
    expect(form.get_by_role("group", name="Reminder")).to_have_count(1)
    add_reminder(form, "3", "days", "after the e-mail")
    add_reminder(form, "72", "hours", "before it expires")
    expect(form.get_by_role("button", name="Add a reminder")).to_be_hidden()
    visitor.check("console create with reminders, desktop, light")
    form.get_by_role("button", name="Remove this reminder").nth(1).click()
    expect(form.get_by_role("button", name="Add a reminder")).to_be_focused()
    form.get_by_role("button", name="Create link").click()
    expect(page.get_by_role("heading", name="Link created")).to_be_visible()
    link = read(service, {"id": page.url.rsplit("/", 1)[1]})
    assert link["description"] == "Office cleaning"
    assert link["accept_partial"] is True
    assert link["reminders"] == [{"before_expiry": "24h"}, {"before_expiry": "72h"}]


def test_reminders_that_are_wrong_are_told_in_words(visit: Visit) -> None:
    visitor = visit(NARROW)
    page = enter(visitor, "wrong-reminders")
    visitor.expect_refusal("/payment-links")
    form = new_link(page, email="jane@example.com")
    form.get_by_label("Reminders").select_option("These")
    form.get_by_label("How long").fill("soon")
    form.get_by_role("button", name="Create link").click()
    wrong = page.locator("#reminders-error")
    expect(wrong).to_have_text("Number 1 must be a duration from 1h to 365d, such as 48h or 2d.")
    expect(page.locator("#reminders")).to_be_focused()
    visitor.check()
    visitor.shoot("console create, wrong reminder, narrow, light", whole=False)
    form.get_by_label("How long").fill("24")
    expect(wrong).to_be_empty()
    add_reminder(form, "25", "hours", "before it expires")
    form.get_by_role("button", name="Create link").click()
    expect(wrong).to_have_text("Must be at least 24 hours apart.")


@pytest.mark.parametrize(("choice", "reminders"), [("None", []), ("organization", None)])
def test_a_link_can_have_no_reminders_or_those_of_its_organization(
    visit: Visit, service: Service, choice: str, reminders: Any
) -> None:
    page = enter(visit(DESKTOP), f"unreminded-{choice.lower()}")
    form = new_link(page, email="jane@example.com")
    if choice == "None":
        form.get_by_label("Reminders").select_option(choice)
    form.get_by_label("E-mail it to the customer").uncheck()
    form.get_by_role("button", name="Create link").click()
    expect(page.get_by_role("heading", name="Link created")).to_be_visible()
    assert read(service, {"id": page.url.rsplit("/", 1)[1]})["reminders"] == reminders


def test_a_link_whose_mail_is_not_out_can_be_changed(
    visit: Visit, make: Any, service: Service
) -> None:
    later = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    link = make("edits", notify=True, scheduled_at=later, reminders=[{"after_send": "72h"}], **DUE)
    visitor = visit(DESKTOP)
    page = enter(visitor, "edits")
    open_link(page)
    form = edit(page)
    assert page.url.endswith(f"#/edits/links/{link['id']}/edit")
    expect(form.locator("#email")).to_be_focused()
    expect(form.locator("#payment_amount")).to_have_value("125000.50")
    expect(form.get_by_label("How long")).to_have_value("72")
    expect(form.get_by_label("Reference")).to_be_hidden()
    visitor.check("console edit, desktop, light")
    fill(page, email="john@example.com", payment_amount="99.90", description="Cleaning")
    with page.expect_request(f"**/payment-links/{link['id']}") as asked:
        save(form)
    assert asked.value.headers["if-match"] == '"0-active"'
    assert asked.value.post_data_json == {
        "email": "john@example.com",
        "payment_amount": 99.90,
        "description": "Cleaning",
    }
    expect(page.locator("#detail .notice.good")).to_have_text("Your changes are saved.")
    expect(page.locator("#detail-title")).to_have_text("NGN 99.90")
    expect(page.locator("#detail dl")).to_contain_text("john@example.com")
    expect(page.get_by_role("region", name="Timeline")).to_contain_text("Changed: ")
    page.keyboard.press("Escape")
    expect(rows(page).locator(".recipient")).to_contain_text("john@example.com")
    assert read(service, link)["version"] == 1


def test_a_later_end_makes_an_expired_link_active_again(
    visit: Visit, service: Service, store: RedisClient
) -> None:
    started = datetime.now(UTC) - timedelta(days=4)
    expired = store_link(store, make_link(started, org_id="revives", notify=False))
    page = enter(visit(DESKTOP), "revives")
    go(page, f"#/revives/links/{expired.id}/edit")
    form = page.get_by_role("dialog", name="Edit this link")
    later = datetime.now(UTC) + timedelta(days=3)
    form.locator("#expires_at").fill(f"{later:%Y-%m-%dT10:30}")
    save(form)
    expect(page.locator("#detail dl div", has_text="Status")).to_have_text("StatusActive")
    found = read(service, {"id": expired.id})
    assert found["expires_at"] == f"{later:%Y-%m-%dT09:30:00.000Z}"


def test_what_is_emptied_is_removed(visit: Visit, make: Any, service: Service) -> None:
    link = make("empties", description="Cleaning", locale="fr-CA", reminders=[])
    page = enter(visit(DESKTOP), "empties")
    open_link(page)
    form = edit(page)
    expect(form.locator("#locale")).to_have_value("fr-CA")
    fill(page, description="")
    form.locator("#locale").select_option("")
    form.get_by_label("Reminders").select_option("As the organization sends them")
    save(form)
    expect(page.locator("#detail .notice.good")).to_be_visible()
    found = read(service, link)
    assert (found["description"], found["locale"], found["reminders"]) == (None, None, None)


def test_after_the_mail_only_what_the_customer_does_not_know_can_be_changed(
    visit: Visit, make: Any, service: Service
) -> None:
    link = make("sent-edit", notify=True, **DUE)
    wait_for_mail(service, link, "sent")
    visitor = visit(DESKTOP)
    page = enter(visitor, "sent-edit")
    open_link(page)
    form = edit(page)
    expect(form.get_by_text("To change them, supersede the link.")).to_be_visible()
    for name in ("email", "payment_amount", "currency", "scheduled_at", "otp_required"):
        expect(form.locator(f"#{name}")).to_be_disabled()
    visitor.check("console edit after the mail, desktop, light")
    fill(page, description="Cleaning")
    save(form)
    expect(page.locator("#detail .notice.good")).to_be_visible()
    assert read(service, link)["description"] == "Cleaning"


def test_a_change_by_somebody_else_is_shown_before_it_is_replaced(
    visit: Visit, make: Any, service: Service
) -> None:
    link = make("conflicts", description="Cleaning", **DUE)
    visitor = visit(DESKTOP)
    page = enter(visitor, "conflicts")
    open_link(page)
    form = edit(page)
    fill(page, description="Office cleaning")
    change(service, link, payment_amount=20)
    visitor.expect_refusal(f"/payment-links/{link['id']}")
    save(form)
    expect(form.get_by_role("alert")).to_contain_text("Somebody else changed this link meanwhile")
    expect(form.get_by_role("alert").get_by_role("listitem")).to_have_text(
        "Amount is now NGN 20.00"
    )
    expect(form.locator("#payment_amount")).to_have_value("20.00")
    expect(form.locator("#description")).to_have_value("Office cleaning")
    visitor.check("console edit conflict, desktop, light")
    save(form)
    expect(page.locator("#detail .notice.good")).to_be_visible()
    found = read(service, link)
    assert (found["payment_amount"], found["description"]) == (20, "Office cleaning")


def test_a_link_that_ended_meanwhile_stays_as_it_is(
    visit: Visit, make: Any, service: Service
) -> None:
    link = make("ends", **DUE)
    visitor = visit(DESKTOP)
    page = enter(visitor, "ends")
    open_link(page)
    form = edit(page)
    fill(page, description="Cleaning")
    httpx.delete(f"{service.url}/payment-links/{link['id']}", headers=as_admin())
    visitor.expect_refusal(f"/payment-links/{link['id']}")
    save(form)
    expect(form.get_by_role("alert")).to_contain_text("this link is revoked")
    assert read(service, link)["description"] is None


def test_a_save_whose_answer_was_lost_is_made_once(
    visit: Visit, make: Any, service: Service
) -> None:
    link = make("lost-edit", **DUE)
    path = f"/payment-links/{link['id']}"
    visitor = visit(DESKTOP)
    page = enter(visitor, "lost-edit")
    open_link(page)
    form = edit(page)
    fill(page, description="Cleaning")
    visitor.expect_refusal(path)

    def lose(route: Any) -> None:
        route.fetch()
        route.abort()

    page.route(f"**{path}", lose, times=1)
    save(form)
    expect(form.get_by_text("it is not known whether your changes are saved")).to_be_visible()
    save(form)
    expect(page.locator("#detail .notice.good")).to_be_visible()
    assert read(service, link)["version"] == 1


def test_mistakes_in_changes_are_told_at_their_fields(
    visit: Visit, make: Any, service: Service
) -> None:
    link = make("mistaken", **DUE)
    visitor = visit(DESKTOP)
    page = enter(visitor, "mistaken")
    open_link(page)
    form = edit(page)
    visitor.expect_refusal(f"/payment-links/{link['id']}")
    fill(page, email="jane", payment_amount="12,5", expires_at="2020-01-01T10:00")
    save(form)
    expect(page.locator("#create .error:not(:empty)")).to_have_text(
        [
            "An email address must have an @-sign.",
            "Write it like 125000.50.",
            "Must lie 5 minutes to 365 days after the link is sent.",
        ]
    )
    expect(page.locator("#email")).to_be_focused()
    assert read(service, link)["version"] == 0


def test_changes_are_asked_for_before_they_are_lost_and_a_reload_opens_the_form_again(
    visit: Visit, make: Any
) -> None:
    make("unsaved", **DUE)
    page = enter(visit(DESKTOP), "unsaved")
    open_link(page)
    form = edit(page)
    page.reload()
    expect(form).to_be_visible()
    save(form)
    expect(form.get_by_role("alert")).to_have_text("There is nothing to save: nothing was changed.")
    page.keyboard.press("Escape")
    expect(page.locator("#detail-title")).to_be_visible()
    form = edit(page)
    fill(page, description="Cleaning")
    page.keyboard.press("Escape")
    question = page.get_by_role("alertdialog", name="Discard your changes?")
    question.get_by_role("button", name="Keep editing").click()
    expect(form.locator("#description")).to_have_value("Cleaning")
    page.go_back()
    question.get_by_role("button", name="Discard").click()
    expect(page.locator("#detail-title")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    new_link(page)
    expect(page.locator("#email")).to_be_enabled()
    expect(page.locator("#email")).to_have_value("")
    expect(page.get_by_label("Reference")).to_be_visible()


def test_a_link_is_superseded_by_one_with_other_values(
    visit: Visit, make: Any, service: Service
) -> None:
    old = make(
        "supersedes", description="Cleaning", metadata={"team": "west"}, otp_required=True, **DUE
    )
    visitor = visit(DESKTOP)
    page = enter(visitor, "supersedes")
    open_link(page)
    form = supersede(page)
    assert page.url.endswith(f"#/supersedes/links/{old['id']}/supersede")
    expect(form.get_by_text("revokes every active link with the reference order-7")).to_be_visible()
    expect(form.locator("#transaction_id")).to_be_disabled()
    visitor.check("console supersede, desktop, light")
    fill(page, payment_amount="99.90")
    form.get_by_label("E-mail it to the customer").uncheck()
    form.get_by_role("button", name="Create and supersede").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading", name="Link created")).to_be_visible()
    expect(dialog.locator(".sum")).to_have_text("NGN 99.90")
    new = read(service, {"id": page.url.rsplit("/", 1)[1]})
    assert new["supersedes"] == old["id"]
    assert new["metadata"] == {"team": "west"}
    assert new["otp_required"] is True
    assert read(service, old)["status"] == "revoked"
    dialog.get_by_role("button", name="Done").click()
    expect(dialog.locator("dl div", has_text="Status")).to_have_text("StatusRevoked")
    dialog.get_by_role("link", name=new["id"]).first.click()
    expect(dialog.locator("#detail-title")).to_have_text("NGN 99.90")
    dialog.get_by_role("link", name=old["id"]).click()
    expect(dialog.locator("#detail-title")).to_have_text("NGN 125,000.50")
    page.go_back()
    expect(dialog.locator("#detail-title")).to_have_text("NGN 99.90")


def test_a_link_without_a_reference_cannot_be_superseded(visit: Visit, make: Any) -> None:
    link = make("unreferenced")
    page = enter(visit(DESKTOP), "unreferenced")
    dialog = open_link(page)
    expect(dialog.get_by_role("button", name="Edit", exact=True)).to_be_visible()
    expect(dialog.get_by_role("button", name="Supersede")).to_have_count(0)
    go(page, f"#/unreferenced/links/{link['id']}/supersede")
    expect(page.locator("#detail-title")).to_have_text("Payment link")


def test_a_link_that_was_paid_meanwhile_is_not_superseded(
    visit: Visit, make: Any, service: Service
) -> None:
    link = make("paid-meanwhile", **DUE)
    visitor = visit(DESKTOP)
    page = enter(visitor, "paid-meanwhile")
    open_link(page)
    form = supersede(page)
    url = f"{service.url}/payment-links/{link['id']}/payments"
    httpx.post(url, json={"payment_id": "bank-7"}, headers=as_admin()).raise_for_status()
    visitor.expect_refusal("/payment-links")
    form.get_by_role("button", name="Create and supersede").click()
    expect(form.get_by_role("alert")).to_contain_text("paid")
    assert read(service, link)["status"] == "paid"
