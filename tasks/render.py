"""E-mails as they are sent: a text and an HTML part that say the same."""

import hashlib
from datetime import datetime
from decimal import Decimal
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from functools import cache

from babel import Locale
from babel.dates import format_datetime as localized_datetime
from babel.numbers import format_currency, format_decimal, get_currency_symbol
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from service.domain.email import to_ascii
from service.domain.link import Link
from service.domain.money import minor_units
from service.store.otps import Otp

LOCALE = Locale("en")


def link_message(link: Link, *, url: str, sender: str, now: datetime) -> EmailMessage:
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
    return _message("link", link.email, subject, values, sender, now, f"{link.id} {link.due_at.isoformat()}")


def otp_message(otp: Otp, code: str, *, sender: str, now: datetime) -> EmailMessage:
    """The e-mail that brings a one-time password to whoever reads its mailbox."""
    values: dict[str, object] = {"code": code, "minutes": max(1, round((otp.expires_at - now).total_seconds() / 60))}
    return _message("otp", otp.email, "Your payment code", values, sender, now, f"{otp.email} {otp.nonce.hex()}")


def format_amount(amount: Decimal | None, currency: str | None) -> str:
    """``$125.50``, ``NGN 125,000.50``, ``¥1,000``: as many decimals as ISO 4217 gives, where CLDR may show fewer."""
    if amount is None:
        return ""
    decimals = "." + "0" * minor_units(currency) if minor_units(currency) else ""
    if currency is None:
        return format_decimal(amount, f"#,##0{decimals}", locale=LOCALE)
    space = " " if get_currency_symbol(currency, LOCALE)[-1].isalpha() else ""
    return format_currency(amount, currency, f"¤{space}#,##0{decimals}", locale=LOCALE, currency_digits=False)


def _message(
    template: str, recipient: str, subject: str, values: dict[str, object], sender: str, now: datetime, identity: str
) -> EmailMessage:
    """``identity`` becomes the Message-ID, through a digest: mail servers' logs are no place for what opens a link."""
    message = EmailMessage()
    name, address = parseaddr(sender)
    message["From"] = Address(display_name=name, addr_spec=address)
    message["To"] = Address(addr_spec=to_ascii(recipient))
    message["Subject"] = subject
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<{hashlib.sha256(identity.encode()).hexdigest()[:32]}@{address.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    text = _templates().get_template(f"{template}.txt").render(values)
    html = _templates().get_template(f"{template}.html").render(values, subject=subject)
    message.set_content(text, cte="7bit" if text.isascii() else "quoted-printable")
    message.add_alternative(html, subtype="html", cte="base64")
    return message


@cache
def _templates() -> Environment:
    return Environment(loader=PackageLoader("tasks"), autoescape=select_autoescape(["html"]), undefined=StrictUndefined)
