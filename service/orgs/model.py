"""An organization's profile: how it presents itself in mails and on pages."""

import base64
import binascii
import re
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from service.errors import Faults, Invalid
from service.values.checkout_url import parse_checkout_url
from service.values.email import ENCODED_WORD, parse_email
from service.values.languages import parse_locale
from service.values.reminders import Reminder, parse_reminders
from service.values.text import parse_line
from service.values.time import load_zone, parse_zone

DEFAULT_COLOR = "#1f5eff"
COLOR_PATTERN = "#[0-9A-Fa-f]{6}"
MAX_LOGO_BYTES = 8 * 1024
LOGO_PATTERN = "data:image/(png|jpeg);base64,[A-Za-z0-9+/]+={0,2}"
LOGO_SIGNATURES = {"png": b"\x89PNG\r\n\x1a\n", "jpeg": b"\xff\xd8\xff"}
"""The first bytes of a file, by its type. Every mail program shows these two types."""
MAX_DISPLAY_NAME_CHARACTERS = 64


class Logo(NamedTuple):
    """An image file. ``subtype`` is ``png`` or ``jpeg``."""

    subtype: str
    content: bytes


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """Every field is optional.

    ``colour`` is ``#rrggbb``, ``logo`` a ``data:`` URL (RFC 2397), ``time_zone`` an IANA name,
    ``checkout_url`` an ``https://`` URL with placeholders; ``reminders`` are those of links that
    have none of their own. A stored profile may be older than a rule, so the properties tolerate
    values that break it.
    """

    display_name: str | None = None
    colour: str | None = None
    logo: str | None = None
    reply_to: str | None = None
    locale: str | None = None
    time_zone: str | None = None
    checkout_url: str | None = None
    receipts: bool = False
    reminders: tuple[Reminder, ...] | None = None

    @property
    def zone(self) -> ZoneInfo:
        """The zone named by ``time_zone``, or UTC."""
        return load_zone(self.time_zone)

    @property
    def brand_color(self) -> str:
        """``colour`` if it is valid, or the default."""
        if self.colour is not None and re.fullmatch(COLOR_PATTERN, self.colour):
            return self.colour
        return DEFAULT_COLOR

    @property
    def logo_file(self) -> Logo | None:
        """The decoded ``logo``; None if there is none, or none that mail programs show."""
        return None if self.logo is None else _decode_logo(self.logo)

    @property
    def default_reminders(self) -> tuple[Reminder, ...]:
        """``reminders`` if they are valid; none otherwise."""
        try:
            return parse_reminders(self.reminders or ())
        except Invalid:
            return ()


EMPTY_PROFILE = Profile()


def parse_profile(profile: Profile, faults: Faults | None = None) -> Profile:
    """``profile`` as it is stored. ``faults`` are those that the caller has found already.

    Raises:
        Invalid: fields break their rules.
    """
    faults = faults or Faults()
    parsed = msgspec.structs.replace(
        profile,
        display_name=faults.check(_parse_name, profile.display_name),
        colour=faults.check(_parse_color, profile.colour),
        logo=faults.check(_check_logo, profile.logo),
        reply_to=faults.check(parse_email, profile.reply_to, "reply_to"),
        locale=faults.check(parse_locale, profile.locale),
        time_zone=faults.check(parse_zone, profile.time_zone),
        checkout_url=faults.check(parse_checkout_url, profile.checkout_url),
        reminders=faults.check(parse_reminders, profile.reminders),
    )
    faults.raise_if_any()
    return parsed


def text_color(background: str) -> str:
    """Black or white, whichever has the higher contrast ratio on ``background`` (WCAG 2.2).

    The ratio is at least 4.5 : 1.
    """
    luminance = _relative_luminance(background)
    is_dark = 1.05 / (luminance + 0.05) >= (luminance + 0.05) / 0.05
    return "#ffffff" if is_dark else "#000000"


def border_color(background: str) -> str:
    """The color of a border around ``background``, visible next to a similar color.

    It is a quarter of the text color and three quarters of ``background``.
    """
    text = 255 if text_color(background) == "#ffffff" else 0
    return "#" + "".join(f"{(3 * channel + text) // 4:02x}" for channel in _rgb(background))


def _parse_name(name: str) -> str:
    if ENCODED_WORD in parse_line(name, "display_name", MAX_DISPLAY_NAME_CHARACTERS):
        raise Invalid("display_name", f"must not contain {ENCODED_WORD}")
    return name.strip()


def _parse_color(color: str) -> str:
    if not re.fullmatch(COLOR_PATTERN, color):
        raise Invalid("colour", "must be written #rrggbb")
    return color.lower()


def _check_logo(url: str) -> str:
    logo = _decode_logo(url)
    if logo is None or len(logo.content) > MAX_LOGO_BYTES:
        raise Invalid(
            "logo",
            f"must be a PNG or JPEG picture of {MAX_LOGO_BYTES // 1024} KiB at most,"
            " as a data: URL in base64",
        )
    return url


def _decode_logo(url: str) -> Logo | None:
    match = re.fullmatch(LOGO_PATTERN, url)
    if match is None:
        return None
    subtype = match[1]
    try:
        content = base64.b64decode(url.partition(",")[2], validate=True)
    except binascii.Error:
        return None
    return Logo(subtype, content) if content.startswith(LOGO_SIGNATURES[subtype]) else None


def _rgb(color: str) -> list[int]:
    return [int(color[at : at + 2], 16) for at in (1, 3, 5)]


def _relative_luminance(color: str) -> float:
    """From 0 to 1, as WCAG 2.2 defines it."""
    red, green, blue = (
        channel / 255 / 12.92
        if channel <= 0.04045 * 255
        else ((channel / 255 + 0.055) / 1.055) ** 2.4
        for channel in _rgb(color)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
