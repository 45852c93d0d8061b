"""E-mails as they are sent: a text and an HTML part that say the same, in the language and the colours of who asks."""

from datetime import datetime, timedelta

from service.errors import Invalid
from service.i18n.language import Language, get_language, get_templates
from service.links.model import Link
from service.orgs.model import Profile, border_color, text_color
from service.otps.store import Otp
from service.values.email import to_ascii
from service.values.locale import choose_locale
from tasks.mail.headers import is_address
from tasks.mail.mime import Mail, write

SPACES = str.maketrans("\u00a0\u202f", "  ")
"""Spaces that do not break a line, which would keep a header and a text from being ASCII."""


def link_message(link: Link, *, profile: Profile, url: str, sender: str, now: datetime) -> Mail:
    """The e-mail that brings a link to its recipient. Its Message-ID is the same however often it is made."""
    language = get_language(choose_locale(link.locale, profile.locale))
    gettext, isolate = language.messages.gettext, language.isolate
    amount = language.format_amount(link.payment_amount, link.currency).translate(SPACES)
    values: dict[str, object] = {
        "org": isolate(profile.display_name or link.org_id),
        "amount": amount and isolate(amount),
        "reference": link.transaction_id and isolate(link.transaction_id),
        "url": url,
        "expires_at": language.format_datetime(link.expires_at, profile.zone).translate(SPACES),
        "otp_required": link.otp_required,
        "amount_size": lambda width: _font_size(amount, width),
    }
    asks, asks_for = (
        gettext("%(org)s asks you for a payment"),
        gettext("%(org)s asks you for a payment of %(amount)s."),
    )
    subject = (
        gettext("%(org)s asks you for %(amount)s")
        if amount
        else gettext("Payment link from %(org)s")
    )
    values |= {"asks": asks % values, "asks_for": (asks_for if amount else f"{asks}.") % values}
    identity = f"{link.id} {link.due_at.isoformat()}"
    return _mail(
        "link", link.email, subject % values, values, language, profile, sender, now, identity
    )


def otp_message(otp: Otp, code: str, *, profile: Profile, sender: str, now: datetime) -> Mail:
    """The e-mail that brings a one-time password to whoever reads its mailbox."""
    language = get_language(choose_locale(otp.locale, profile.locale))
    minutes = max(1, round((otp.expires_at - now).total_seconds() / 60))
    org = profile.display_name or otp.org_id
    values: dict[str, object] = {
        "org": org and language.isolate(org),
        "code": code,
        "span": language.format_duration(timedelta(minutes=minutes)).translate(SPACES),
    }
    subject = language.messages.gettext("%(code)s is your payment code") % values
    return _mail(
        "otp",
        otp.email,
        subject,
        values,
        language,
        profile,
        sender,
        now,
        f"{otp.email} {otp.nonce.hex()}",
    )


def _font_size(amount: str, width: int) -> int:
    """At which size, in pixels, ``amount`` fits into one line of so many: no mail program shrinks it by itself."""
    return min(32, int(width / (0.68 * len(amount))))


def _mail(
    kind: str,
    recipient: str,
    subject: str,
    values: dict[str, object],
    language: Language,
    profile: Profile,
    sender: str,
    now: datetime,
    identity: str,
) -> Mail:
    templates, colour = get_templates("tasks.mail", language.tag), profile.brand_color
    logo = profile.logo_file
    start, end = ("left", "right") if language.direction == "ltr" else ("right", "left")
    look = {
        "subject": subject,
        "colour": colour,
        "ink": text_color(colour),
        "edge": border_color(colour),
        "logo": logo is not None,
        "start": start,
        "end": end,
    }
    return write(
        sender=sender,
        sender_name=profile.display_name,
        reply_to=_reply_to(profile),
        recipient=to_ascii(recipient),
        subject=subject,
        language=language.tag,
        date=now,
        identity=identity,
        kind=kind,
        text=templates.get_template(f"{kind}.txt").render(values),
        html=templates.get_template(f"{kind}.html").render(values | look),
        logo=logo,
    )


def _reply_to(profile: Profile) -> str | None:
    """Where answers go; nowhere special where what is stored is no address that a mail can name."""
    try:
        address = to_ascii(profile.reply_to or "")
    except Invalid:
        return None
    return address if is_address(address) else None
