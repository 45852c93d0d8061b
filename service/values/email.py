"""E-mail addresses: what is one, when two are the same, and how one is shown without telling it."""

import re
from functools import lru_cache

import idna
from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

from service.errors import Invalid

SPECIAL_USE_DOMAIN_NAMES.clear()  # its documented option: whether .local or .test take mail is the mail server's business
SHORT = 64
MAX_LOOKED_AT = 1000
"""Characters above which nothing can be an address, which takes 15 ms to find out about 60,000 of them."""
ENCODED_WORD = "=?"
"""What an encoded word of a header begins with (RFC 2047): some mail programs decode it where they should not."""
PLAIN_LOCAL = re.compile(r"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*")
"""What may stand before the @ in front of any domain, as most addresses do; all others are looked at more closely."""


def parse_email(text: str, field: str = "email") -> str:
    """``text`` as it was sent, if mail can be addressed to it: also at a private domain, such as ``intranet`` or ``shop.local``.

    Raises:
        Invalid: it is no address, has a mailbox name outside ASCII, which needs SMTPUTF8 all the way, or holds ``=?``.
    """
    if len(text) > MAX_LOOKED_AT:
        raise Invalid(field, "must not be longer than 254 characters")
    local, _, domain = text.rpartition("@")
    if (
        text.isascii()
        and len(text) <= SHORT
        and PLAIN_LOCAL.fullmatch(local)
        and _is_domain(domain)
    ):
        return text
    try:
        _validate(text)
    except EmailNotValidError as error:
        raise Invalid(field, str(error)) from None
    if ENCODED_WORD in text:
        raise Invalid(field, f"must not contain {ENCODED_WORD}")
    return text


def canonical(email: str) -> str:
    """The form under which ``email`` is compared and indexed: in ASCII and lower case.

    Raises:
        Invalid: it is no address.
    """
    return to_ascii(email).lower()


def to_ascii(email: str) -> str:
    """The address with its domain as DNS knows it (RFC 5891); of which domains are taken, only ``parse_email`` judges.

    Raises:
        Invalid: it is no address.
    """
    if email.isascii():
        return email
    local, _, domain = email.rpartition("@")
    if not local.isascii():
        raise Invalid("email", "must have a mailbox name in ASCII")
    try:
        return f"{local}@{idna.encode(domain, uts46=True).decode()}"
    except idna.IDNAError as error:
        raise Invalid("email", str(error)) from None


def remove_subaddress(email: str) -> str:
    """The mailbox behind the canonical ``email``: ``jane@example.com`` of ``jane+shop@example.com`` (RFC 5233)."""
    local, _, domain = email.rpartition("@")
    mailbox = local.partition("+")[0]
    return f"{mailbox}@{domain}" if mailbox else email


@lru_cache(maxsize=4096)
def _is_domain(text: str) -> bool:
    """Whether ``text`` is a domain that mail can be addressed to, asked once of each: a few have most of all addresses."""
    try:
        _validate(f"a@{text}")
    except EmailNotValidError:
        return False
    return True


def _validate(email: str) -> None:
    """Private domains may have a single label, but an IP address is no domain."""
    parsed = validate_email(
        email,
        check_deliverability=False,
        allow_smtputf8=False,
        strict=True,
        globally_deliverable=False,
    )
    if parsed.domain.rpartition(".")[2].isdigit():
        raise EmailNotValidError("The part after the @-sign is not valid. It is a number.")


def mask(email: str) -> str:
    """``jane@example.com`` as ``j***@example.com``."""
    local, _, domain = email.rpartition("@")
    return f"{local[:1]}***@{domain}"
