"""Codes as customers type and paste them, with and without the page's script."""

import re
import sys
import unicodedata
from collections.abc import Iterator
from urllib.parse import parse_qsl

import httpx
import pytest
from playwright.sync_api import Page

from service.otps.model import read_code
from tests.browser.conftest import Visit
from tests.browser.pay import (
    ask,
    make,
    path_of,
)
from tests.support.typed_codes import REFUSED, TAKEN

pytestmark = pytest.mark.usefixtures("branded")


def type_in_every_way(page: Page, code: str) -> Iterator[str]:
    """Each way in which ``code`` may be written or not, once it stands in the field."""
    for way, write in (TAKEN | REFUSED).items():
        page.get_by_label("Code").fill("")
        page.keyboard.insert_text(write(code))
        yield way


def test_the_script_submits_a_code_however_it_is_written_and_nothing_else(
    visit: Visit, admin: httpx.Client
) -> None:
    page = visit().open(path_of(make(admin, "typed@example.com", otp_required=True)))
    ask(page)
    page.evaluate(
        """() => {
          HTMLFormElement.prototype.requestSubmit = function () {
            this.dataset.submitted = this.elements.otp.value;
          };
        }"""
    )
    take = """form => {
      const submitted = form.dataset.submitted ?? null;
      delete form.dataset.submitted;
      return submitted;
    }"""
    submitted = {
        way: page.locator("form").first.evaluate(take) for way in type_in_every_way(page, "012345")
    }
    assert submitted == dict.fromkeys(TAKEN, "012345") | dict.fromkeys(REFUSED)


def test_without_a_script_a_code_reaches_the_server_as_it_was_written(
    visit: Visit, admin: httpx.Client
) -> None:
    page = visit(script=False).open(path_of(make(admin, "untyped@example.com", otp_required=True)))
    page.get_by_role("button", name="Send me a code").click()
    page.route("**/token", lambda route: route.fulfill(status=204))  # the page stays
    read = {}
    for way in type_in_every_way(page, "012345"):
        with page.expect_request("**/token") as request:
            page.get_by_role("button", name="Open the link").click()
        read[way] = read_code(dict(parse_qsl(request.value.post_data or ""))["otp"])
    assert read == dict.fromkeys(TAKEN, "012345") | dict.fromkeys(REFUSED)


def test_the_script_reads_every_character_as_the_server_does(
    visit: Visit, admin: httpx.Client
) -> None:
    page = visit().open(path_of(make(admin)))
    known = [
        number
        for number in range(sys.maxunicode + 1)
        if unicodedata.category(chr(number)) not in {"Cn", "Cs"}
    ]
    read = page.evaluate(
        "numbers => numbers.map(number => readCode(String.fromCodePoint(number, 0x32)))", known
    )
    differ = [
        hex(number)
        for number, text in zip(known, read, strict=True)
        if read_code(chr(number) + "2" * 6) != (text * 6 if text == "2" else None)
        or read_code(chr(number) + "2" * 5)
        != (text + "2" * 4 if re.fullmatch("[0-9]2", text) else None)
    ]
    assert differ == []
