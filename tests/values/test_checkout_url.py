"""The address of an organization's checkout."""

from datetime import UTC, datetime

import pytest

from config.urls import CHECKOUT_PLACEHOLDERS
from service.errors import Invalid
from service.links.checkout import fill_checkout_url
from service.values.checkout_url import (
    MAX_CHECKOUT_URL_CHARACTERS,
    PLACEHOLDERS,
    parse_checkout_url,
)
from tests.support.factories import make_link

LONGEST = "https://pay.example/{link_id}/".ljust(MAX_CHECKOUT_URL_CHARACTERS, "x")


@pytest.mark.parametrize(
    "url",
    [
        "https://pay.example/{link_id}",
        "https://pay.example?sum={amount}&in={currency}&for={transaction_id}",
        "https://pay.example:8443/a%20b/{link_id}#{link_id}",
        "https://xn--mller-kva.example/{transaction_id}",
        "https://[2001:db8::1]/{link_id}",
        "https://localhost:9000/{link_id}",
        LONGEST,
    ],
)
def test_an_https_address_with_a_placeholder_is_taken(url: str) -> None:
    assert parse_checkout_url(url) == url


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "must be a full address that begins with https://"),
        ("/checkout/{link_id}", "must be a full address that begins with https://"),
        ("//pay.example/{link_id}", "must be a full address that begins with https://"),
        ("http://pay.example/{link_id}", "must be a full address that begins with https://"),
        ("javascript:alert({link_id})", "must be a full address that begins with https://"),
        ("https://pay.example/", "must hold at least one of {link_id}, {amount}, {currency}, "),
        ("https://pay.example/{link_id}{email}", "must have no braces other than {link_id}, "),
        ("https://pay.example/{link_id", "must have no braces other than {link_id}, "),
        ("https://pay.example/{{link_id}}", "must have no braces other than {link_id}, "),
        ("https://pay.example/{LINK_ID}", "must have no braces other than {link_id}, "),
        ("https://{link_id}.pay.example/", "must have its placeholders after the host"),
        ("https://ann:pw@pay.example/{link_id}", "must have no user and no password"),
        ("https://good.example@evil.example/{link_id}", "must have no user and no password"),
        ("https:///{link_id}", "must have a valid host and port"),
        ("https://pay..example/{link_id}", "must have a valid host and port"),
        ("https://pay.example:port/{link_id}", "must have a valid host and port"),
        ("https://pay.example/a b/{link_id}", "must have no spaces or special characters; "),
        ("https://pay.example/{link_id}\r\nX: y", "must have no spaces or special characters; "),
        ("https://pay.example\\@evil.example/{link_id}", "must have no spaces or special "),
        ("https://pay.example/%{link_id}", "must have no spaces or special characters; "),
        ("https://müller.example/{link_id}", "must have no spaces or special characters; "),
        (LONGEST + "x", "must have at most 500 characters"),
    ],
)
def test_anything_else_is_refused_in_words(url: str, message: str) -> None:
    with pytest.raises(Invalid) as raised:
        parse_checkout_url(url)
    assert raised.value.field == "checkout_url"
    assert str(raised.value).startswith(message)


def test_the_setting_takes_the_same_placeholders_and_all_are_filled_in() -> None:
    assert CHECKOUT_PLACEHOLDERS == PLACEHOLDERS
    url = parse_checkout_url(f"https://pay.example/{'/'.join(PLACEHOLDERS)}")
    assert "{" not in fill_checkout_url(url, make_link(datetime(2026, 12, 1, tzinfo=UTC)))
