"""One-time passwords: codes that web and worker both derive, so that none is ever stored."""

import hmac
import ipaddress
import struct
import unicodedata
from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache

from service.errors import Invalid

DIGITS = 6
NONCE_BYTES = 16
MAX_TYPED_CHARACTERS = 100
"""Length of the longest text that is read as a code."""
VERIFIED_FOR = timedelta(hours=24)
"""How long a verified code may be named when a link is created."""
NETWORK_MULTIPLIERS = {4: {24: 10}, 6: {56: 5, 48: 20}}
"""By IP version and prefix length: a network's limit, in multiples of a client's."""


def parse_code(text: str) -> str:
    """``text``, if it can be a code.

    Raises:
        Invalid: it is not six digits.
    """
    if not (len(text) == DIGITS and text.isascii() and text.isdigit()):
        raise Invalid("otp", "must be six digits")
    return text


def derive_code(key: bytes, nonce: bytes, email: str) -> str:
    """The code of ``nonce`` for the canonical ``email``.

    It is the HOTP (RFC 4226) of counter 0, under a key that is derived from nonce and e-mail.
    """
    return hotp(hmac.digest(key, nonce + email.encode(), "sha256"), 0)


def derive_reference(key: bytes, nonce: bytes) -> str:
    """The name of the code of ``nonce`` for the browser that asked for it.

    It cannot be guessed, and the code cannot be derived from it.
    """
    return hmac.digest(key, b"reference " + nonce, "sha256").hex()[:32]


def read_code(text: str) -> str | None:
    """The code that a customer typed or pasted, in ASCII digits; None if ``text`` is not a code.

    It may hold six decimal digits of any script, spaces, dashes, and invisible format characters.
    ``pages/assets/pay.js`` reads a code in the same way.
    """
    if len(text) > MAX_TYPED_CHARACTERS:
        return None
    typed = [character for character in text if not _is_separator(character)]
    digits = [unicodedata.decimal(character, -1) for character in typed]
    return "".join(map(str, digits)) if len(digits) == DIGITS and -1 not in digits else None


def _is_separator(character: str) -> bool:
    """Whether it is a space, a dash (Unicode's property Dash) or a format character."""
    return (
        unicodedata.category(character) in {"Zs", "Zl", "Zp", "Pd", "Cf"}
        or character in "\t\n\v\f\r\u2053\u207b\u208b\u2212"
    )


def hotp(key: bytes, counter: int) -> str:
    """RFC 4226, 5.3: HMAC-SHA-1 of the counter, dynamically truncated to six digits."""
    digest = hmac.digest(key, struct.pack(">Q", counter), "sha1")
    offset = digest[-1] & 0x0F
    number = struct.unpack_from(">I", digest, offset)[0] & 0x7FFF_FFFF
    return f"{number % 10**DIGITS:0{DIGITS}d}"


def matches(code: str, expected: str) -> bool:
    """Compares two codes in constant time."""
    return hmac.compare_digest(code.encode(), expected.encode())


@lru_cache(maxsize=4096)
def limit_multipliers(client_network: str) -> Mapping[str, int]:
    """The limits of ``client_network`` and of each network around it, in multiples of a client's.

    The widest network is the last.
    """
    try:
        network = ipaddress.ip_network(client_network)
    except ValueError:
        return {client_network: 1}
    return {client_network: 1} | {
        str(network.supernet(new_prefix=prefix)): multiplier
        for prefix, multiplier in NETWORK_MULTIPLIERS[network.version].items()
    }


def client_site(client_network: str) -> str:
    """The network around a client that can use up half of the tries of an e-mail's codes.

    It is one IPv4 address, which many clients may share, or an IPv6 /48, since one site has all
    of its /64s.
    """
    return client_network if ":" not in client_network else [*limit_multipliers(client_network)][-1]
