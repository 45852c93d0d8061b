"""The mail that confirms to a customer that a link is paid."""

from service.i18n.formats import get_formats
from service.links.model import Link, Payment
from service.mails.rendering import (
    MailContent,
    avoid_no_break_spaces,
    describe_contact,
    render_content,
    size_amount,
)
from service.orgs.model import Profile
from service.values.languages import choose_locale


def render_receipt(link: Link, payment: Payment, *, profile: Profile) -> MailContent:
    """What the receipt of ``link`` says, which ``payment`` settled."""
    formats = get_formats(choose_locale(link.locale, profile.locale))
    gettext, isolate = formats.messages.gettext, formats.isolate
    currency = payment.currency or link.currency
    amount = avoid_no_break_spaces(formats.format_amount(link.amount_paid, currency))
    paid_at = avoid_no_break_spaces(formats.format_datetime(payment.paid_at, profile.zone))
    values: dict[str, object] = {
        "org": isolate(profile.display_name or link.org_id),
        "amount": isolate(amount),
        "description": link.description and isolate(link.description),
        "reference": link.transaction_id and isolate(link.transaction_id),
        "paid_at": paid_at,
        "contact": describe_contact(link.org_id, profile, formats),
        "amount_size": lambda width: size_amount(amount, width),
    }
    thanks = gettext("%(org)s has received your payment")
    values |= {
        "thanks": thanks % values,
        "thanks_sentence": gettext("%(org)s has received your payment of %(amount)s.") % values,
    }
    return render_content(
        "receipt",
        subject=gettext("Receipt: %(amount)s to %(org)s") % values,
        values=values,
        formats=formats,
        profile=profile,
    )
