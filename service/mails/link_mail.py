"""The mail that brings a payment link to its recipient, again as a reminder, and as a sample."""

from datetime import datetime

from service.i18n.formats import LocaleFormats, get_formats
from service.links.model import Link
from service.mails.rendering import (
    MailContent,
    avoid_no_break_spaces,
    describe_contact,
    render_content,
    size_amount,
)
from service.mails.sample import make_sample_link
from service.orgs.model import Profile
from service.values.languages import choose_locale


def render_link_mail(link: Link, *, profile: Profile, url: str) -> MailContent:
    """What the mail of ``link``, whose page is at ``url``, says."""
    return _render(link, "link", "%(subject)s", profile=profile, url=url)


def render_reminder(link: Link, *, profile: Profile, url: str, stop_url: str) -> MailContent:
    """What a reminder of ``link`` says. The page at ``stop_url`` stops others."""
    prefix = _formats_of(link, profile).messages.gettext("Reminder: %(subject)s")
    return _render(link, "reminder", prefix, profile=profile, url=url, stop_url=stop_url)


def render_sample(org_id: str, *, profile: Profile, url: str, now: datetime) -> MailContent:
    """What the mail of an invented link says, which leads to ``url``."""
    link = make_sample_link(org_id, now)
    gettext = _formats_of(link, profile).messages.gettext
    return _render(
        link,
        "sample",
        gettext("Sample: %(subject)s"),
        profile=profile,
        url=url,
        note=gettext("This is a sample: nobody is asked to pay."),
    )


def _formats_of(link: Link, profile: Profile) -> LocaleFormats:
    return get_formats(choose_locale(link.locale, profile.locale))


def _render(
    link: Link,
    kind: str,
    subject_format: str,
    *,
    profile: Profile,
    url: str,
    stop_url: str | None = None,
    note: str | None = None,
) -> MailContent:
    formats = _formats_of(link, profile)
    gettext, isolate = formats.messages.gettext, formats.isolate
    amount = avoid_no_break_spaces(formats.format_amount(link.amount_due, link.currency))
    values: dict[str, object] = {
        "org": isolate(profile.display_name or link.org_id),
        "amount": amount and isolate(amount),
        "paid": _describe_paid(link, formats),
        "description": link.description and isolate(link.description),
        "reference": link.transaction_id and isolate(link.transaction_id),
        "url": url,
        "stop_url": stop_url,
        "note": note,
        "contact": describe_contact(link.org_id, profile, formats),
        "expires_at": avoid_no_break_spaces(formats.format_datetime(link.expires_at, profile.zone)),
        "otp_required": link.otp_required,
        "amount_size": lambda width: size_amount(amount, width),
    }
    request = gettext("%(org)s asks you for a payment")
    if amount:
        subject = gettext("%(org)s asks you for %(amount)s")
        sentence = gettext("%(org)s asks you for a payment of %(amount)s.")
    else:
        subject = gettext("Payment link from %(org)s")
        sentence = f"{request}."
    values |= {"request": request % values, "request_sentence": sentence % values}
    return render_content(
        "link",
        kind=kind,
        subject=subject_format % {"subject": subject % values},
        values=values,
        formats=formats,
        profile=profile,
    )


def _describe_paid(link: Link, formats: LocaleFormats) -> str | None:
    """What is paid already of the whole amount; None if nothing is."""
    if link.payment_amount is None or not link.amount_paid:
        return None
    paid, total = (
        formats.isolate(avoid_no_break_spaces(formats.format_amount(amount, link.currency)))
        for amount in (link.amount_paid, link.payment_amount)
    )
    text = formats.messages.gettext("%(paid)s of %(total)s has been paid.")
    return text % {"paid": paid, "total": total}
