"""The page of a link before a browser, as tests drive it."""

import re
from datetime import timedelta
from email.message import EmailMessage
from typing import Any

import httpx
from playwright.sync_api import Page, expect

from service.storage import keys
from service.storage.command import command
from service.values.time import duration_ms
from tests.support.factories import delete
from tests.support.redis_client import RedisClient
from tests.support.servers import MailServer, wait_until

FIELDS = {
    "org_id": "acme",
    "transaction_id": "INV-2026-000042",
    "payment_amount": 125000.50,
    "currency": "NGN",
    "notify": False,
}
BRAND = {"display_name": "Acme Cleaning Ltd", "colour": "#0a7d4f", "reply_to": "help@acme.example"}


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


def different_code(code: str) -> str:
    return f"{(int(code) + 1) % 10**6:06}"


def let_code_expire(page: Page, store: RedisClient, email: str) -> None:
    """Ten minutes pass, for the store and for what the browser of ``page`` knows of the code."""
    delete(store, keys.otp(email))
    store.run(command(bool, "DEL", keys.otp_limit(email, "resend")))
    [cookie] = page.context.cookies()
    sent_at, _, reference = cookie["value"].partition(".")
    page.context.add_cookies(
        [
            {
                "name": cookie["name"],
                "value": f"{int(sent_at) - 600_000}.{reference}",
                "domain": cookie["domain"],
                "path": cookie["path"],
                "expires": cookie["expires"],
                "httpOnly": cookie["httpOnly"],
                "secure": cookie["secure"],
                "sameSite": cookie["sameSite"],
            }
        ]
    )


def reach(store: RedisClient, email: str, limit: str, lasting: timedelta) -> None:
    """``email`` has reached ``limit`` for so long."""
    store.run(command(bool, "SET", keys.otp_limit(email, limit), 10**6, "PX", duration_ms(lasting)))


def expect_alert(page: Page, sentence: str | re.Pattern[str]) -> None:
    """``sentence`` is announced, and said at the field, where one may go on."""
    expect(page.get_by_role("alert")).to_have_text(sentence)
    expect(page.locator("#otp")).to_have_accessible_description(sentence)
    expect(page.locator("#otp")).to_be_focused()
