"""Renders the content of mails from templates, in an organization's language and color."""

from collections.abc import Mapping

import msgspec

from service.i18n.formats import LocaleFormats, get_templates
from service.orgs.model import Profile, border_color, text_color
from service.values.languages import language_of

LOGO_URL = "cid:logo"
"""Where the HTML finds the organization's logo (RFC 2392)."""
_NO_BREAK_SPACES = str.maketrans("\u00a0\u202f", "  ")


class MailContent(msgspec.Struct, frozen=True, kw_only=True):
    """What a mail of this ``kind`` says, in plain text and in HTML.

    ``language`` is a tag (BCP 47).
    """

    kind: str
    language: str
    subject: str
    text: str
    html: str


def avoid_no_break_spaces(text: str) -> str:
    """``text`` with plain spaces: with others, neither a header nor a text would be ASCII."""
    return text.translate(_NO_BREAK_SPACES)


def render_content(
    template: str,
    *,
    kind: str | None = None,
    subject: str,
    values: Mapping[str, object],
    formats: LocaleFormats,
    profile: Profile,
) -> MailContent:
    """What ``<template>.txt`` and ``<template>.html`` make of ``values``.

    ``kind`` is that of the mail, if it shares its templates with another.
    """
    templates, color = get_templates("service.mails", language_of(formats.tag)), profile.brand_color
    start, end = ("left", "right") if formats.direction == "ltr" else ("right", "left")
    values = {**values, "formats": formats}
    style = {
        "subject": subject,
        "color": color,
        "text_color": text_color(color),
        "border_color": border_color(color),
        "logo": LOGO_URL if profile.logo_file else None,
        "start": start,
        "end": end,
    }
    return MailContent(
        kind=kind or template,
        language=formats.tag,
        subject=subject,
        text=templates.get_template(f"{template}.txt").render(values),
        html=templates.get_template(f"{template}.html").render({**values, **style}),
    )


def describe_contact(org_id: str, profile: Profile, formats: LocaleFormats) -> str:
    """Whom the recipient can ask."""
    gettext, isolate = formats.messages.gettext, formats.isolate
    org = isolate(profile.display_name or org_id)
    if not profile.reply_to:
        return gettext("Questions? Ask %(org)s.") % {"org": org}
    values = {"org": org, "email": isolate(profile.reply_to)}
    return gettext("Questions? Write to %(org)s: %(email)s") % values


def size_amount(amount: str, width: int) -> int:
    """The font size at which ``amount`` fits into a line of ``width``; both in pixels."""
    return min(32, int(width / (0.68 * len(amount))))
