"""Whole lives of links: real processes, mails over SMTP, and a customer in a browser."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from service.links.reminders import reminder_member
from service.storage import keys
from service.storage.command import command
from service.values.time import datetime_to_ms, format_time
from tests.browser.conftest import Visit
from tests.browser.pay import BRAND
from tests.support.demo import checkout_url, demo_checkout
from tests.support.factories import members
from tests.support.redis_client import RedisClient
from tests.support.servers import MailServer, RedisServer, free_port, wait_until
from tests.support.service_processes import Service

FIELDS: dict[str, Any] = {
    "org_id": "acme",
    "transaction_id": "INV-2026-000042",
    "description": "Office cleaning, November",
    "payment_amount": 125000.50,
    "currency": "NGN",
    "locale": "en-NG",
}
STARTED = re.compile(r"^Payment started at \d\d:\d\d (WAT|GMT\+1)$")


@pytest.fixture(scope="module")
def checkout_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory,
    own_store: RedisServer,
    mails: MailServer,
    checkout_port: int,
) -> Iterator[Service]:
    directory: Path = tmp_path_factory.mktemp("service")
    with (
        Service(
            directory, own_store.url, mails.url, CHECKOUT_URL=checkout_url(checkout_port)
        ) as running,
        demo_checkout(checkout_port, running.url, "acme"),
    ):
        yield running


@pytest.fixture(autouse=True)
def _with_receipts(admin: httpx.Client) -> None:
    profile = BRAND | {"receipts": True, "time_zone": "Africa/Lagos"}
    assert admin.put("/orgs/acme/profile", json=profile).status_code == 200


def create(admin: httpx.Client, email: str, **fields: Any) -> dict[str, Any]:
    answer = admin.post("/payment-links", json={"email": email} | FIELDS | fields)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def text_of(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def page_in(mail: EmailMessage) -> str:
    """The path of the page that ``mail`` leads to."""
    [path] = re.findall(r"https?://[^/\s]+(/pay/pl_\w+)\s", text_of(mail))
    return str(path)


def timeline(admin: httpx.Client, link: dict[str, Any]) -> list[tuple[str, str]]:
    """What happened to the link and who did it, earliest first."""
    events = admin.get(f"/payment-links/{link['id']}/events").json()["events"]
    return [(event["type"], event["actor"]) for event in reversed(events)]


def reminders_owed(store: RedisClient, link: dict[str, Any]) -> bool:
    notices = keys.notices(keys.partition_of_link(link["id"]))
    return reminder_member(link["id"]) in members(store, notices)


def let_expire(store: RedisClient, link: dict[str, Any]) -> None:
    """Lets the link's end be now, for its record and for its indexes."""
    end = datetime.now(UTC)
    partition, local_id = keys.partition_of_link(link["id"]), keys.local_id(link["id"])
    store.run(command(int, "HSET", keys.link(link["id"]), "expires", format_time(end)))
    for index in (keys.active(link["org_id"]), keys.email(partition, link["email"])):
        store.run(command(int, "ZADD", index, datetime_to_ms(end), local_id))


def test_a_customer_is_mailed_goes_to_the_checkout_comes_back_and_pays(
    visit: Visit,
    admin: httpx.Client,
    mails: MailServer,
    store: RedisClient,
    checkout_port: int,
) -> None:
    email = "jane@example.com"
    link = create(admin, email, reminders=[{"before_expiry": "24h"}])
    [mail] = mails.mailbox.wait_for(email)
    wait_until(lambda: reminders_owed(store, link), "the reminder to be owed")

    visitor = visit()
    visitor.expect_host(f"127.0.0.1:{checkout_port}")
    page = visitor.open(page_in(mail))
    page.get_by_role("link", name="Pay ₦125,000.50").click()
    expect(page.get_by_role("button")).to_have_text("Pay 125000.5 NGN")
    page.go_back()
    expect(page.get_by_role("heading")).to_have_text(STARTED)
    page.get_by_role("link", name="Continue payment").click()
    page.get_by_role("button").click()

    page.wait_for_url(f"**/pay/{link['id']}")
    expect(page.get_by_role("heading")).to_have_text("Paid")
    for said in ("₦125,000.50", "Office cleaning, November", "INV-2026-000042"):
        expect(page.get_by_text(said, exact=True)).to_be_visible()
    expect(page.locator(".button")).to_have_count(0)

    _, receipt = mails.mailbox.wait_for(email, 2)
    assert "₦125,000.50" in text_of(receipt).replace("\u00a0", "")
    assert receipt["Message-ID"] != mail["Message-ID"]
    assert not reminders_owed(store, link)
    assert admin.get(f"/payment-links/{link['id']}").json()["status"] == "paid"
    assert timeline(admin, link) == [
        ("created", "tests"),
        ("sent", "system"),
        ("checkout_started", "customer"),
        ("payment_recorded", "checkout"),
        ("paid", "checkout"),
    ]
    assert len(mails.mailbox.to(email)) == 2


def test_a_link_is_superseded_and_its_successor_reminds_and_expires(
    visit: Visit, admin: httpx.Client, mails: MailServer, store: RedisClient
) -> None:
    email = "john@example.com"
    first = create(admin, email, transaction_id="INV-2026-000043")
    [mail] = mails.mailbox.wait_for(email)
    second = create(
        admin,
        email,
        transaction_id="INV-2026-000043",
        payment_amount=99000,
        on_conflict="supersede",
        expires_at=format_time(datetime.now(UTC) + timedelta(hours=24, seconds=8)),
        reminders=[{"before_expiry": "24h"}],
    )
    assert second["supersedes"] == first["id"]

    visitor = visit()
    page = visitor.open(page_in(mail), 410)
    expect(page.get_by_role("heading")).to_have_text("There is a newer link")
    expect(page.locator("main")).to_contain_text("Use the link in the newer e-mail.")
    assert second["id"] not in page.content()

    _, newer, reminder = mails.mailbox.wait_for(email, 3, within=60)
    assert page_in(newer) == page_in(reminder) == f"/pay/{second['id']}"
    assert "reminder" not in newer["Subject"].lower()
    assert "reminder" in reminder["Subject"].lower()
    assert reminder["Message-ID"] != newer["Message-ID"]
    assert reminder["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    page = visitor.open(page_in(reminder))
    expect(page.locator(".amount")).to_have_text("₦99,000.00")

    wait_until(lambda: ("reminded", "system") in timeline(admin, second), "the reminder's event")

    let_expire(store, second)
    page = visitor.open(page_in(reminder), 410)
    expect(page.get_by_role("heading")).to_have_text("This link has expired")
    assert timeline(admin, first) == [
        ("created", "tests"),
        ("sent", "system"),
        ("superseded", "tests"),
    ]
    assert timeline(admin, second) == [
        ("created", "tests"),
        ("sent", "system"),
        ("reminded", "system"),
        ("expired", "system"),
    ]
    assert len(mails.mailbox.to(email)) == 3
