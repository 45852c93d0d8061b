"""How an organization presents itself in mails and on pages."""

import base64
import binascii
import re
from zoneinfo import ZoneInfo

import msgspec

from service.errors import Faults, Invalid
from service.values.email import ENCODED_WORD, parse_email
from service.values.locale import parse_locale
from service.values.text import parse_line
from service.values.time import load_zone, parse_zone

COLOUR = "#1f5eff"
"""Of whoever has chosen none."""
COLOUR_PATTERN = "#[0-9A-Fa-f]{6}"
MAX_LOGO_BYTES = 8 * 1024
LOGO_PATTERN = "data:image/(png|jpeg);base64,[A-Za-z0-9+/]+={0,2}"
SIGNATURES = {"png": b"\x89PNG\r\n\x1a\n", "jpeg": b"\xff\xd8\xff"}
"""What files begin with of the kinds that every mail program shows."""
MAX_DISPLAY_NAME_CHARACTERS = 64


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """All of it may be left out. ``colour`` is ``#rrggbb``, ``logo`` a ``data:`` URL (RFC 2397), ``time_zone`` an IANA name.

    A stored profile may break rules that are younger than it: its properties give what of it can be shown.
    """

    display_name: str | None = None
    colour: str | None = None
    logo: str | None = None
    reply_to: str | None = None
    locale: str | None = None
    time_zone: str | None = None

    @property
    def zone(self) -> ZoneInfo:
        """The zone of ``time_zone``, or UTC."""
        return load_zone(self.time_zone)

    @property
    def brand_color(self) -> str:
        """``colour``, or ours where there is none that can be drawn."""
        return (
            self.colour
            if self.colour is not None and re.fullmatch(COLOUR_PATTERN, self.colour)
            else COLOUR
        )

    @property
    def logo_file(self) -> tuple[str, bytes] | None:
        """The logo's kind, ``png`` or ``jpeg``, and its file; None where there is none that mail programs show."""
        return None if self.logo is None else _read_logo(self.logo)


def parse_profile(profile: Profile, faults: Faults | None = None) -> Profile:
    """``profile``, as it is kept. ``faults`` are those that the caller has found.

    Raises:
        Invalid: fields break their rules.
    """
    faults = faults or Faults()
    name, colour, locale = profile.display_name, profile.colour, profile.locale
    if name is not None:
        faults.check(_parse_name, name)
    if colour is not None and not re.fullmatch(COLOUR_PATTERN, colour):
        faults.add("colour", "must be written #rrggbb")
    if profile.logo is not None:
        faults.check(_parse_logo, profile.logo)
    if profile.reply_to is not None:
        faults.check(parse_email, profile.reply_to, "reply_to")
    locale = None if locale is None else faults.check(parse_locale, locale)
    if profile.time_zone is not None:
        faults.check(parse_zone, profile.time_zone)
    faults.raise_if_any()
    return msgspec.structs.replace(
        profile,
        display_name=None if name is None else name.strip(),
        colour=None if colour is None else colour.lower(),
        locale=locale,
    )


def _parse_name(name: str) -> str:
    if ENCODED_WORD in parse_line(name, "display_name", MAX_DISPLAY_NAME_CHARACTERS):
        raise Invalid("display_name", f"must not contain {ENCODED_WORD}")
    return name


def _parse_logo(url: str) -> None:
    logo = _read_logo(url)
    if logo is None or len(logo[1]) > MAX_LOGO_BYTES:
        raise Invalid(
            "logo",
            f"must be a PNG or JPEG picture of {MAX_LOGO_BYTES // 1024} KiB at most, as a data: URL in base64",
        )


def _read_logo(url: str) -> tuple[str, bytes] | None:
    match = re.fullmatch(LOGO_PATTERN, url)
    try:
        file = base64.b64decode(url.partition(",")[2], validate=True) if match else b""
    except binascii.Error:
        return None
    return (match[1], file) if match is not None and file.startswith(SIGNATURES[match[1]]) else None


def text_color(colour: str) -> str:
    """Black or white, whichever is easier to read on ``colour`` (WCAG 2.2, contrast ratio): at least 4.5 : 1."""
    light = _luminance(colour)
    return "#ffffff" if 1.05 / (light + 0.05) >= (light + 0.05) / 0.05 else "#000000"


def border_color(colour: str) -> str:
    """The colour of a line around ``colour``: a quarter of its ink in it, so that it shows where what is behind is alike."""
    share = 255 if text_color(colour) == "#ffffff" else 0
    return "#" + "".join(
        f"{(3 * int(colour[at : at + 2], 16) + share) // 4:02x}" for at in (1, 3, 5)
    )


def _luminance(colour: str) -> float:
    """Relative luminance, 0 to 1."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
        for channel in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
