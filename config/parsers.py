"""Parsers of settings: each takes a variable's text, and raises ``ValueError`` if it is wrong."""

import ipaddress
import re
import ssl
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from email.headerregistry import Address
from email.utils import getaddresses
from pathlib import Path

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

# Its documented option: the mail server decides whether .local or .test take mail.
SPECIAL_USE_DOMAIN_NAMES.clear()

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

MIN_SECRET_BYTES = 32
"""What HS256 requires (RFC 7518, 3.2)."""
HOST_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
FORBIDDEN_IN_NAMES = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Characters that end a line, or turn the text around them (UAX #9)."""


def parse_duration(text: str) -> timedelta:
    """``90s``, ``10m``, ``72h`` or ``90d`` as a ``timedelta``."""
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    if match is None:
        raise ValueError("write a duration like 90s, 10m, 72h or 90d")
    units = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
    return timedelta(**{units[match[2]]: int(match[1])})


def duration_parser(minimum: str, maximum: str) -> Callable[[str], timedelta]:
    """A parser of durations from ``minimum`` to ``maximum``."""

    def parse(text: str) -> timedelta:
        value = parse_duration(text)
        if not parse_duration(minimum) <= value <= parse_duration(maximum):
            raise ValueError(f"must lie between {minimum} and {maximum}")
        return value

    return parse


def number_parser(minimum: int, maximum: int = 1_000_000) -> Callable[[str], int]:
    """A parser of whole numbers from ``minimum`` to ``maximum``."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,7}", text) or not minimum <= int(text) <= maximum:
            raise ValueError(f"must be a whole number from {minimum} to {maximum}")
        return int(text)

    return parse


def choice_parser(*choices: str) -> Callable[[str], str]:
    """A parser of one of ``choices``."""

    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be {' or '.join(choices)}")
        return text

    return parse


def parse_secret(text: str) -> bytes:
    """A secret of ``MIN_SECRET_BYTES`` or more."""
    secret = text.encode()
    if len(secret) < MIN_SECRET_BYTES:
        raise ValueError(f"must be {MIN_SECRET_BYTES} bytes or more, not {len(secret)}")
    return secret


def parse_host(text: str) -> str:
    """An address, without the brackets of IPv6, or a name."""
    host = text.removeprefix("[").removesuffix("]")
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        if not HOST_NAME.fullmatch(text) or re.fullmatch(r"[0-9.]+", text):
            raise ValueError(
                "must be an address, such as 127.0.0.1, 0.0.0.0 or ::, "
                "or a name that resolves to one"
            ) from None
        return text


def parse_helo(text: str) -> str:
    """A host's name, or its address as a literal: ``[IPv6:::1]`` (RFC 5321, 4.1.3)."""
    host = text.removeprefix("[").removesuffix("]").partition("%")[0]
    with suppress(ValueError):
        address = ipaddress.ip_address(host.removeprefix("IPv6:"))
        return f"[IPv6:{address}]" if address.version == 6 else f"[{address}]"
    with suppress(UnicodeError):
        name = text.encode("idna").decode()
        if HOST_NAME.fullmatch(name) and not re.fullmatch(r"[0-9.]+", name):
            return name
    raise ValueError("must be the name of a host, or an address: mail.shop.example, [192.0.2.1]")


def parse_mailbox(text: str) -> str:
    """``Name <address>`` or an address, as a mail's ``From`` has it."""
    mailboxes = getaddresses([text])
    if len(mailboxes) != 1 or FORBIDDEN_IN_NAMES.search(text) or not mailboxes[0][1].isascii():
        raise ValueError("must be one address, or a name and an address: Shop <pay@shop.example>")
    if "=?" in text:
        raise ValueError("must not contain =?, which mail programs take for an encoded word")
    name, address = mailboxes[0]
    try:
        validate_email(
            address, check_deliverability=False, allow_smtputf8=False, globally_deliverable=False
        )
    except EmailNotValidError as error:
        raise ValueError(str(error)) from None
    username, _, domain = address.rpartition("@")
    return str(Address(name, username, domain))


def parse_address(text: str) -> str:
    """One address without a name."""
    if parse_mailbox(text) != text or "<" in text:
        raise ValueError("must be an address without a name: bounces@shop.example")
    return text


def parse_ca_file(text: str) -> Path:
    """A file of certificates in PEM."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(text)
    except ssl.SSLError:
        pass
    except OSError as error:
        raise ValueError(error.strerror or "cannot be read") from None
    if not context.cert_store_stats()["x509"]:
        raise ValueError("must be a file of certificates in PEM")
    return Path(text)


def parse_public_key(text: str) -> str:
    """A public key in PEM, whose line ends may be written as a backslash and an n."""
    pem = text.replace("\\n", "\n")
    if "-----BEGIN PUBLIC KEY-----" not in pem:
        raise ValueError("must be a public key in PEM: -----BEGIN PUBLIC KEY-----…")
    return pem


def parse_networks(text: str) -> tuple[IPNetwork, ...]:
    """Addresses or networks, separated by commas."""
    return tuple(ipaddress.ip_network(part) for part in split_list(text))


def split_list(text: str) -> list[str]:
    """The parts between commas that are not blank."""
    return [part.strip() for part in text.split(",") if part.strip()]
