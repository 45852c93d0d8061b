"""The rules of an organization's profile."""

import base64
from typing import Any

import pytest

from service.errors import Invalid
from service.orgs.model import (
    DEFAULT_COLOR,
    LOGO_SIGNATURES,
    MAX_LOGO_BYTES,
    Profile,
    parse_profile,
    text_color,
)
from service.values.reminders import Reminder


def logo(kind: str = "png", size: int = 100, signature: bytes | None = None) -> str:
    """A file with the signature of ``kind``."""
    file = (LOGO_SIGNATURES[kind] if signature is None else signature).ljust(size, b"\0")
    return f"data:image/{kind};base64,{base64.b64encode(file).decode()}"


def test_a_profile_is_kept_as_it_was_given() -> None:
    profile = Profile(
        display_name="Acme Ltd",
        colour="#0a7d4f",
        logo=logo(),
        reply_to="help@acme.example",
        locale="ha-NG",
        time_zone="Africa/Lagos",
        checkout_url="https://pay.acme.example/{link_id}?sum={amount}",
        receipts=True,
        reminders=(Reminder(after_send="72h"), Reminder(before_expiry="24h")),
    )
    assert parse_profile(profile) == profile


def test_colors_and_locales_are_kept_in_one_spelling() -> None:
    parsed = parse_profile(Profile(display_name="  Acme ", colour="#AABBCC", locale="PT-br"))
    assert (parsed.display_name, parsed.colour, parsed.locale) == ("Acme", "#aabbcc", "pt-BR")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("display_name", ""),
        ("display_name", "   "),
        ("display_name", "\u3000\u200b"),
        ("display_name", "Acme \u2067Ltd"),
        ("display_name", "x" * 65),
        ("display_name", "Acme\r\nBcc: eve@example.com"),
        ("display_name", "=?utf-8?q?x=0D=0ABcc=3A_evil=40e.com=0D=0A=0D=0AHello?="),
        ("reply_to", "=?utf-8?q?x?=@acme.example"),
        ("colour", "red"),
        ("colour", "#fff"),
        ("colour", "#12345g"),
        ("colour", "#123456;}"),
        ("logo", "https://acme.example/logo.png"),
        ("logo", "data:image/svg+xml;base64,PHN2Zz4="),
        ("logo", "data:image/png;base64,AAAA"),
        ("logo", "data:image/png;base64,A"),
        ("logo", logo("png", signature=LOGO_SIGNATURES["jpeg"])),
        ("logo", logo(size=MAX_LOGO_BYTES + 1)),
        ("reply_to", "nobody"),
        ("reply_to", "a@example.com, b@example.com"),
        ("locale", "tlh"),
        ("time_zone", "Africa/Atlantis"),
        ("checkout_url", "https://acme.example/checkout"),
        ("reminders", (Reminder(after_send="1h"), Reminder(after_send="2h"))),
    ],
)
def test_a_field_that_breaks_its_rule_is_named(field: str, value: object) -> None:
    fields: dict[str, Any] = {field: value}
    with pytest.raises(Invalid) as raised:
        parse_profile(Profile(**fields))
    assert raised.value.field == field


@pytest.mark.parametrize("name", ["ශ්‍රී ලංකා", "👩‍🍳", "n°\u00a012", "田中\u3000太郎"])
def test_an_organization_is_called_what_it_is_called(name: str) -> None:
    assert parse_profile(Profile(display_name=name)).display_name == name


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_a_logo_may_be_as_large_as_is_said(kind: str) -> None:
    profile = parse_profile(Profile(logo=logo(kind, MAX_LOGO_BYTES)))
    assert profile.logo_file is not None
    found, file = profile.logo_file
    assert (found, len(file)) == (kind, MAX_LOGO_BYTES)


@pytest.mark.parametrize("colour", ["red", "#fff", "#123456;}", ""])
def test_a_stored_color_that_cannot_be_drawn_is_ours(colour: str) -> None:
    assert Profile(colour=colour).brand_color == Profile().brand_color == DEFAULT_COLOR


def test_a_stored_logo_larger_than_is_taken_today_is_still_shown() -> None:
    assert Profile(logo=logo(size=MAX_LOGO_BYTES + 1)).logo_file is not None


@pytest.mark.parametrize(
    "url",
    [
        "data:image/svg+xml;base64,PHN2Zz4=",
        "data:image/png;base64,A",
        logo("png", signature=b"<svg>"),
    ],
)
def test_a_stored_logo_that_no_mail_program_shows_is_none(url: str) -> None:
    assert Profile(logo=url).logo_file is None


def test_stored_reminders_that_no_rule_allows_are_none() -> None:
    assert Profile(reminders=(Reminder(after_send="soon"),)).default_reminders == ()


@pytest.mark.parametrize(
    ("colour", "ink"),
    [
        ("#000000", "#ffffff"),
        ("#1f5eff", "#ffffff"),
        ("#ffd400", "#000000"),
        ("#ffffff", "#000000"),
    ],
)
def test_text_on_a_color_is_readable(colour: str, ink: str) -> None:
    assert text_color(colour) == ink
