"""E-mails as they are sent: a text and an HTML part that say the same."""

from datetime import datetime
from decimal import Decimal
from functools import cache

from babel import Locale
from babel.dates import format_datetime as localized_datetime
from babel.numbers import get_currency_symbol
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from service.domain.email import to_ascii
from service.domain.link import Link
from service.domain.money import minor_units
from service.store.otps import Otp
from tasks.mime import Mail, write

LOCALE = Locale("en")


def link_message(link: Link, *, url: str, sender: str, now: datetime) -> Mail:
    """The e-mail that brings a link to its recipient. Its Message-ID is the same however often it is made."""
    amount = format_amount(link.payment_amount, link.currency)
    subject = f"{link.org_id} asks you for {amount}" if amount else f"Payment link from {link.org_id}"
    values: dict[str, object] = {
        "org": link.org_id,
        "amount": amount,
        "reference": link.transaction_id,
        "url": url,
        "expires_at": localized_datetime(link.expires_at, "d MMMM y, HH:mm 'UTC'", locale=LOCALE),
        "otp_required": link.otp_required,
    }
    return _mail("link", link.email, subject, values, sender, now, f"{link.id} {link.due_at.isoformat()}")


def otp_message(otp: Otp, code: str, *, sender: str, now: datetime) -> Mail:
    """The e-mail that brings a one-time password to whoever reads its mailbox."""
    values: dict[str, object] = {"code": code, "minutes": max(1, round((otp.expires_at - now).total_seconds() / 60))}
    return _mail("otp", otp.email, "Your payment code", values, sender, now, f"{otp.email} {otp.nonce.hex()}")


def format_amount(amount: Decimal | None, currency: str | None) -> str:
    """``$125.50``, ``NGN 125,000.50``, ``¥1,000``: as many decimals as ISO 4217 gives, where CLDR may show fewer."""
    if amount is None:
        return ""
    number = f"{amount:,.{minor_units(currency)}f}"
    if currency is None:
        return number
    symbol = get_currency_symbol(currency, LOCALE)
    return f"{symbol} {number}" if symbol[-1].isalpha() else f"{symbol}{number}"


def _mail(
    template: str, recipient: str, subject: str, values: dict[str, object], sender: str, now: datetime, identity: str
) -> Mail:
    return write(
        sender=sender,
        recipient=to_ascii(recipient),
        subject=subject,
        date=now,
        identity=identity,
        text=_templates().get_template(f"{template}.txt").render(values),
        html=_templates().get_template(f"{template}.html").render(values, subject=subject),
    )


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("tasks"), autoescape=select_autoescape(["html"]), undefined=StrictUndefined, auto_reload=False
    )
