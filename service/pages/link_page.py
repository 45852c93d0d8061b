"""The page of a link that its visitor may see, and those of links that are paid or have ended."""

from datetime import timedelta
from typing import Any

from litestar import Response

from service.links.checkout import unpaid_start
from service.links.model import Link, Status, page_path
from service.pages.page_view import PageView

MAX_AGE_WITHOUT_DATE = timedelta(hours=12)
"""How long ago a time may be to be shown without its date."""


def render_link(view: PageView) -> Response[str]:
    """The page of an active link, with what is due and the way to the checkout."""
    link, settings = view.link, view.context.settings
    due = view.formats.format_amount(link.amount_due, link.currency)
    total = paid = ""
    if link.payment_amount is not None and link.amount_paid:
        total = view.formats.format_amount(link.payment_amount, link.currency)
        paid = _format_paid(view)
    started_at = unpaid_start(link)
    has_image = view.profile.logo_file is not None and not link.otp_required
    image = f"{settings.public_url}{page_path(link.id)}/logo"
    return view.render(
        "link",
        link={
            "amount": due,
            "total": total,
            "paid": paid,
            "description": link.description,
            "reference": link.transaction_id,
            "expires_at": link.expires_at,
            "left": link.expires_at - view.now,
            "started_at": started_at,
            "is_start_recent": started_at is not None
            and view.now - started_at < MAX_AGE_WITHOUT_DATE,
            "characters": max(map(len, (due, total, paid))),
            "time_characters": len(
                view.formats.format_widest_datetime(link.expires_at, view.profile.zone)
            ),
        },
        link_id=link.id,
        has_checkout=view.checkout_template is not None,
        reply_to=view.profile.reply_to,
        preview_image=image if has_image else None,
    )


def render_ended(view: PageView) -> Response[Any]:
    """The page of a link that is paid, replaced by a newer one, revoked or expired."""
    link, status = view.link, view.link.status(view.now)
    if status is Status.PAID:
        return _render_paid(view)
    gettext = view.formats.messages.gettext
    advice = gettext("If you still want to pay, ask whoever sent it for a new link.")
    if view.org:
        advice = gettext("If you still want to pay, ask %(org)s for a new link.")
    if status is Status.EXPIRED:
        headline = gettext("This link has expired")
        explanation = gettext("It was good until %(moment)s.")
    elif link.superseded_by is not None:
        headline = gettext("There is a newer link")
        explanation = gettext("%(org)s has replaced this one.") if view.org else ""
        advice = gettext("Use the link in the newer e-mail.")
    else:
        headline = gettext("This link was withdrawn")
        explanation = _explain_revocation(view)
    return view.render(
        "notice",
        status=410,
        headline=headline,
        explanation=explanation,
        paid=_format_paid(view) if view.is_verified and link.amount_paid else "",
        is_started=view.is_verified and unpaid_start(link) is not None,
        advice=advice % {"org": view.formats.isolate(view.org)},
        until=link.expires_at,
        reply_to=view.profile.reply_to,
    )


def _render_paid(view: PageView) -> Response[str]:
    """What was paid and when; to visitors who are not verified, only that it was paid."""
    link, gettext = view.link, view.formats.messages.gettext
    if not view.is_verified:
        return view.render(
            "notice",
            headline=gettext("This link was paid"),
            explanation="",
            advice=gettext("There is nothing left to do."),
        )
    paid_at, amount = link.paid_at or view.now, _format_paid(view)
    return view.render(
        "paid",
        link={
            "amount": amount,
            "description": link.description,
            "reference": link.transaction_id,
            "paid_at": paid_at,
            "characters": len(amount),
            "time_characters": len(view.formats.format_widest_datetime(paid_at, view.profile.zone)),
        },
        reply_to=view.profile.reply_to,
    )


def _explain_revocation(view: PageView) -> str:
    """Says that nothing was charged only where nothing can have been."""
    gettext = view.formats.messages.gettext
    if view.link.amount_paid or view.link.checkout_started_at:
        return gettext("%(org)s has taken it back.") if view.org else ""
    if view.org:
        return gettext("%(org)s has taken it back. Nothing was charged.")
    return gettext("Nothing was charged.")


def _format_paid(view: PageView) -> str:
    """The amount that was paid."""
    return view.formats.format_amount(view.link.amount_paid, _paid_currency(view.link))


def _paid_currency(link: Link) -> str | None:
    """The currency of the link, or of its payments if it has none."""
    return link.currency or next((each.currency for each in link.valid_payments), None)
