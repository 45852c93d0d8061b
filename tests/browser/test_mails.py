"""Mails in a browser, the nearest a test gets to a mail program.

With their logo, and without the html and body elements, which some programs remove.
"""

import base64
import re
from collections.abc import Callable
from email.message import EmailMessage
from typing import Any

import httpx
import pytest
import segno
from playwright.sync_api import Page, expect

from service.values.languages import LANGUAGES
from tests.browser.conftest import DESKTOP, NARROW, PHONE, Visit, Visitor
from tests.support.admins import as_admin
from tests.support.servers import MailServer
from tests.support.service_processes import Service

LOGO = segno.make_qr("logo").png_data_uri(scale=2)
AMOUNT = {"payment_amount": 125000.5, "currency": "NGN", "transaction_id": "2026-000042"}
SCHEMES = ["light", "dark"]


@pytest.fixture(scope="module", autouse=True)
def _brand(service: Service) -> None:
    profile = {"display_name": "Acme (NG) Ltd", "colour": "#7a1f5c", "logo": LOGO}
    httpx.put(
        f"{service.url}/orgs/pictured/profile", json=profile, headers=as_admin()
    ).raise_for_status()


@pytest.fixture
def mail_of(service: Service, mails: MailServer) -> Callable[..., EmailMessage]:
    """Makes a link, and waits for its mail."""

    def mail_of(email: str, **fields: Any) -> EmailMessage:
        body = {"email": email, "org_id": "pictured", **AMOUNT, **fields}
        httpx.post(f"{service.url}/payment-links", json=body, headers=as_admin()).raise_for_status()
        [mail] = mails.mailbox.wait_for(email)
        return mail

    return mail_of


def show(visitor: Visitor, mail: EmailMessage, *, bare: bool = False) -> Page:
    """Shows the HTML part with its picture; ``bare``: without html and body, as Gmail does."""
    body = mail.get_body(("html",))
    assert body is not None
    html = body.get_content()
    for part in mail.walk():
        if part["Content-ID"]:
            content = part.get_payload(decode=True)
            assert isinstance(content, bytes)
            picture = base64.b64encode(content).decode()
            html = html.replace(
                f"cid:{part['Content-ID'].strip('<>')}",
                f"data:{part.get_content_type()};base64,{picture}",
            )
    visitor.page.set_content(re.sub(r"</?(?:html|body)\b[^>]*>", "", html) if bare else html)
    return visitor.page


def wide(page: Page) -> int:
    """How wide the logo is in itself: 0 where it is broken."""
    width: int = page.locator("img").evaluate("image => image.naturalWidth")
    return width


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_link_comes_with_its_organizations_logo(
    visit: Visit, mail_of: Callable[..., EmailMessage], scheme: str
) -> None:
    visitor = visit(scheme=scheme)
    page = show(visitor, mail_of(f"logo-{scheme}@example.com"))
    assert wide(page) == 58
    expect(page.locator("img")).to_have_css(
        "background-color", "rgb(255, 255, 255)"
    )  # or it might not be seen in the dark
    visitor.shoot(f"mail with a logo, {scheme}")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("number", "currency"), [(1234567890.125, "KWD"), (999999999999.9999, "CLF")]
)
def test_no_amount_breaks_between_its_digits_nor_pushes_a_mail_wide(
    visit: Visit,
    mail_of: Callable[..., EmailMessage],
    language: str,
    number: float,
    currency: str,
) -> None:
    visitor = visit(NARROW)
    page = show(
        visitor,
        mail_of(
            f"{currency}-{language}@example.com".lower(),
            payment_amount=number,
            currency=currency,
            locale=language,
        ),
    )
    for width, height in (NARROW, PHONE, DESKTOP):
        page.set_viewport_size({"width": width, "height": height})
        lines = page.locator("bdi").evaluate(
            "bdi => bdi.getBoundingClientRect().height / parseFloat(getComputedStyle(bdi).fontSize)"
        )
        assert lines < 2, "it breaks"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (
            "it scrolls sideways"
        )
        visitor.shoot(f"mail, {currency}, {width}, {language}")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_code_comes_large_and_in_the_subject(
    visit: Visit, mails: MailServer, service: Service, scheme: str
) -> None:
    visitor, email = visit(scheme=scheme), f"code-{scheme}@example.com"
    httpx.post(f"{service.url}/payment-links/otp", json={"email": email}).raise_for_status()
    [mail] = mails.mailbox.wait_for(email)
    code = mail["Subject"][:6]
    page = show(visitor, mail)
    assert (
        page.get_by_text(code, exact=True).evaluate(
            "code => parseFloat(getComputedStyle(code).fontSize)"
        )
        >= 32
    )
    visitor.shoot(f"mail, code, {scheme}")


def test_an_arabic_mail_reads_from_right_to_left_where_html_and_body_are_dropped(
    visit: Visit, mail_of: Callable[..., EmailMessage]
) -> None:
    visitor = visit()
    page = show(visitor, mail_of("bare-ar@example.com", locale="ar"), bare=True)
    asks = page.get_by_text("Acme (NG) Ltd").last
    assert asks.evaluate("text => getComputedStyle(text).direction") == "rtl"
    halves = page.get_by_text("2026-000042").evaluate(
        """sentence => {
            const nodes = [...sentence.childNodes];
            const text = nodes.find((node) => node.data?.includes("2026-000042"));
            const at = text.data.indexOf("2026-000042");
            return [[at, at + 4], [at + 5, at + 11]].map(([from, to]) => {
                const range = document.createRange();
                range.setStart(text, from);
                range.setEnd(text, to);
                return range.getBoundingClientRect().x;
            });
        }"""
    )
    assert halves[0] < halves[1], "a reference reads from left to right"
    visitor.shoot("mail without html and body, ar")
