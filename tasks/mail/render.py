"""Renders e-mails from templates, in the language and the color of an organization."""

from collections.abc import Mapping
from datetime import datetime

from service.errors import Invalid
from service.i18n.formats import LocaleFormats, get_templates
from service.orgs.model import Profile, border_color, text_color
from service.values.email import to_ascii
from service.values.languages import language_of
from tasks.mail.headers import is_address
from tasks.mail.mime import Mail, build_mail

_NO_BREAK_SPACES = str.maketrans("\u00a0\u202f", "  ")


def avoid_no_break_spaces(text: str) -> str:
    """``text`` with plain spaces: with others, neither a header nor a text would be ASCII."""
    return text.translate(_NO_BREAK_SPACES)


def render_mail(
    kind: str,
    *,
    recipient: str,
    subject: str,
    values: Mapping[str, object],
    formats: LocaleFormats,
    profile: Profile,
    sender: str,
    now: datetime,
    identity: str,
) -> Mail:
    """An e-mail from the templates ``<kind>.txt`` and ``<kind>.html``.

    ``identity`` distinguishes it from every other e-mail; it becomes the Message-ID.
    """
    templates, color = get_templates("tasks.mail", language_of(formats.tag)), profile.brand_color
    start, end = ("left", "right") if formats.direction == "ltr" else ("right", "left")
    values = {**values, "formats": formats}
    style = {
        "subject": subject,
        "color": color,
        "text_color": text_color(color),
        "border_color": border_color(color),
        "logo": profile.logo_file is not None,
        "start": start,
        "end": end,
    }
    return build_mail(
        sender=sender,
        sender_name=profile.display_name,
        reply_to=_reply_to(profile),
        recipient=to_ascii(recipient),
        subject=subject,
        language=formats.tag,
        date=now,
        identity=identity,
        kind=kind,
        text=templates.get_template(f"{kind}.txt").render(values),
        html=templates.get_template(f"{kind}.html").render({**values, **style}),
        logo=profile.logo_file,
    )


def _reply_to(profile: Profile) -> str | None:
    """The profile's address, unless a header cannot hold it."""
    try:
        address = to_ascii(profile.reply_to or "")
    except Invalid:
        return None
    return address if is_address(address) else None
