"""What an admin does in the console, and what the console asks for meanwhile."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
from playwright.sync_api import Page, expect

from service.auth.tokens import Role
from tests.browser.conftest import Visitor
from tests.support.admins import admin_token, as_admin
from tests.support.factories import make_link, store_link
from tests.support.redis_client import RedisClient, create_client
from tests.support.servers import RedisServer, wait_until
from tests.support.service_processes import Service

LATER = timedelta(days=3)


def enter(
    visitor: Visitor, org: str | None = None, lifetime: timedelta = timedelta(hours=1)
) -> Page:
    """Signs in: an org-admin of ``org``, or an internal-admin."""
    page = visitor.open("/console")
    token = admin_token(Role.ORG_ADMIN, org, lifetime) if org else admin_token(lifetime=lifetime)
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


def fail_once(visitor: Visitor, path: str) -> None:
    """The next answer to ``path`` is that the service is away for half a minute."""
    away = {
        "type": "about:blank",
        "title": "x",
        "status": 503,
        "detail": "the store does not answer",
        "code": "unavailable",
    }
    visitor.expect_refusal(path)
    visitor.page.route(
        f"**{path}",
        lambda route: route.fulfill(
            status=503, body=json.dumps(away), headers={"Retry-After": "30"}
        ),
        times=1,
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


def press_tab_to(page: Page, text: str) -> None:
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent.trim()") == text:
            return
    raise AssertionError(f"no way to {text}")


def show_all_states(service: Service, make: Any, own_store: RedisServer, org: str) -> None:
    """Links of every status, delivery and length."""
    client = RedisClient(create_client(own_store.url))
    store_link(
        client,
        make_link(
            datetime.now(UTC) - timedelta(days=4),
            org_id=org,
            email="late@example.com",
            notify=False,
        ),
    )
    client.close()
    revoked = make(org, "gone@example.com", payment_amount=20, currency="USD")
    httpx.delete(f"{service.url}/payment-links/{revoked['id']}", headers=as_admin())
    paid = make(org, "paid@example.com", payment_amount=30, currency="EUR")
    pay(service, paid, "bank-7")
    make(
        org,
        "a.rather.long.name.for.a.mailbox@accounts-payable.example.com",
        transaction_id="INV-2026-000042/2-reminder",
    )
    make(org, "soon@example.com", notify=True, scheduled_at=(datetime.now(UTC) + LATER).isoformat())
    make(
        org,
        "jane@example.com",
        notify=True,
        payment_amount=125000.50,
        currency="NGN",
        transaction_id="order-1138",
    )
    failed = make(
        org,
        "nobody@example.com",
        notify=True,
        payment_amount=999999999999.99,
        currency="NGN",
        otp_required=True,
    )
    wait_for_mail(service, failed, "failed")


def pay(service: Service, link: dict[str, Any], payment_id: str, **fields: Any) -> dict[str, Any]:
    """Records a payment, as the organization's checkout would; returns the link as it then is."""
    answer = httpx.post(
        f"{service.url}/payment-links/{link['id']}/payments",
        json={"payment_id": payment_id, **fields},
        headers=as_admin(),
    )
    assert answer.is_success, answer.text
    paid: dict[str, Any] = answer.json()["link"]
    return paid


def open_link(page: Page, email: str = "jane@example.com") -> Any:
    """The dialog of the link that was sent to ``email``."""
    page.get_by_role("button", name=email, exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator("#detail-title")).to_be_focused()
    return dialog


def wait_for_mail(service: Service, link: dict[str, Any], state: str) -> None:
    """Returns when the link's mail is in that state of delivery."""

    def found() -> str:
        read = httpx.get(f"{service.url}/payment-links/{link['id']}", headers=as_admin()).json()
        return str(read["delivery"]["state"])

    wait_until(lambda: found() == state, f"the mail to be {state}")
