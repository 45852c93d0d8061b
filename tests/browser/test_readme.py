"""The pictures in README: a link's page and its mail, on a phone.

``README_PICTURES=.github`` replaces those that README shows.
"""

import os
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit, Visitor
from tests.browser.pay import make, path_of
from tests.browser.test_mails import show
from tests.support.servers import MailServer

MAX_BYTES = 60_000
SIZE = (390, 300)
"""Lower than what is shown, so that a picture ends where that does."""
EMAIL = "jane@example.com"
SHOW_PUBLIC_ADDRESS = """address => {
  address.textContent = address.textContent.replace(/^.*(?=[/]pay[/])/, "https://links.example");
}"""
pytestmark = pytest.mark.usefixtures("branded")


def keep(visitor: Visitor, name: str, elsewhere: Path) -> None:
    folder = Path(os.environ.get("README_PICTURES", elsewhere))
    picture = visitor.page.screenshot(path=folder / f"{name}.png", full_page=True)
    assert len(picture) <= MAX_BYTES


def test_the_page_of_a_link(visit: Visit, admin: httpx.Client, tmp_path: Path) -> None:
    visitor = visit(SIZE)
    page = visitor.open(path_of(make(admin)))
    expect(page.locator(".amount")).to_be_visible()
    keep(visitor, "page", tmp_path)


def test_the_mail_of_a_link(
    visit: Visit, admin: httpx.Client, mails: MailServer, tmp_path: Path
) -> None:
    make(admin, EMAIL, notify=True)
    [mail] = mails.mailbox.wait_for(EMAIL)
    visitor = visit(SIZE)
    page = show(visitor, mail)
    page.get_by_text("/pay/pl_").evaluate(SHOW_PUBLIC_ADDRESS)
    expect(page.get_by_text("Acme Cleaning Ltd").first).to_be_visible()
    keep(visitor, "mail", tmp_path)
