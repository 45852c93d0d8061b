"""E-mail addresses: which are valid, which are the same, and how they are masked."""

import re
from functools import lru_cache

import idna
from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

from service.errors import Invalid

# Its documented option: whether .local or .test receive mail is the mail server's business.
SPECIAL_USE_DOMAIN_NAMES.clear()
MAX_FAST_PATH_CHARACTERS = 64
MAX_PARSED_CHARACTERS = 1000
"""Longer texts are no addresses, but email-validator would take 15 ms for 60,000 characters."""
ENCODED_WORD = "=?"
"""The start of an encoded word (RFC 2047). Some mail programs decode it outside of headers too."""
SIMPLE_LOCAL_PART = re.compile(r"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*")
"""A local part that is valid in any domain, as most are; email-validator parses the others."""


def parse_email(text: str, field: str = "email") -> str:
    """``text`` unchanged if it is an e-mail address.

    Private domains, such as ``intranet`` or ``shop.local``, are allowed.

    Raises:
        Invalid: it is not, or it holds ``=?``, or its local part is not ASCII: that needs SMTPUTF8
            on every mail server on the way.
    """
    if len(text) > MAX_PARSED_CHARACTERS:
        raise Invalid(field, "must not be longer than 254 characters")
    local, _, domain = text.rpartition("@")
    is_simple = len(text) <= MAX_FAST_PATH_CHARACTERS and SIMPLE_LOCAL_PART.fullmatch(local)
    if text.isascii() and is_simple and _is_domain(domain):
        return text
    try:
        _validate(text)
    except EmailNotValidError as error:
        raise Invalid(field, str(error)) from None
    if ENCODED_WORD in text:
        raise Invalid(field, f"must not contain {ENCODED_WORD}")
    return text


def canonical(email: str) -> str:
    """The form in which ``email`` is compared and indexed: ASCII in lower case.

    Raises:
        Invalid: it has none.
    """
    return to_ascii(email).lower()


def to_ascii(email: str) -> str:
    """``email`` with its domain encoded for DNS (RFC 5891).

    Raises:
        Invalid: its local part is not ASCII, or its domain cannot be encoded.
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
    """``jane+shop@example.com`` as ``jane@example.com`` (RFC 5233)."""
    local, _, domain = email.rpartition("@")
    mailbox = local.partition("+")[0]
    return f"{mailbox}@{domain}" if mailbox else email


def mask(email: str) -> str:
    """``jane@example.com`` as ``j***@example.com``."""
    local, _, domain = email.rpartition("@")
    return f"{local[:1]}***@{domain}"


@lru_cache(maxsize=4096)
def _is_domain(text: str) -> bool:
    """Whether mail can be addressed to ``text``. Cached, since most addresses share few domains."""
    try:
        _validate(f"a@{text}")
    except EmailNotValidError:
        return False
    return True


def _validate(email: str) -> None:
    """Accepts private domains with a single label, but no IP addresses."""
    parsed = validate_email(
        email,
        check_deliverability=False,
        allow_smtputf8=False,
        strict=True,
        globally_deliverable=False,
    )
    if parsed.domain.rpartition(".")[2].isdigit():
        raise EmailNotValidError("The part after the @-sign is not valid. It is a number.")
