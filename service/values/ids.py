"""Ids of links and organizations, and the partition that each belongs to."""

import hashlib
import re
import string
from functools import lru_cache

from service.errors import Invalid

BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
LINK_ID_DIGITS = 22
LINK_ID_PATTERN = r"pl_[0-9a-f]{2}[0-9A-Za-z]{22}"
ORG_ID_PATTERN = r"(?!\.{1,2}$)[A-Za-z0-9._:-]{1,64}"
"""Excludes ``.`` and ``..``, which a URL's path resolves (RFC 3986, 3.3)."""
ORG_ID_RULE = "1 to 64 of A-Z a-z 0-9 . _ : -, and neither . nor .."
_LINK_ID, _ORG_ID = re.compile(LINK_ID_PATTERN), re.compile(ORG_ID_PATTERN)


def make_link_id(org_id: str, entropy: bytes) -> str:
    """``pl_``, the organization's partition, and ``entropy`` in base 62: 22 digits, 131 bits."""
    number = int.from_bytes(entropy) % 62**LINK_ID_DIGITS
    digits = ""
    for _ in range(LINK_ID_DIGITS):
        number, digit = divmod(number, 62)
        digits += BASE62[digit]
    return f"pl_{partition_of(org_id)}{digits}"


def is_link_id(text: str) -> bool:
    """Whether ``text`` has the form of a link's id."""
    return _LINK_ID.fullmatch(text) is not None


def is_org_id(text: str) -> bool:
    """Whether ``text`` has the form of an organization's id."""
    return _ORG_ID.fullmatch(text) is not None


def truncate_id(link_id: str) -> str:
    """The start of a link's id for logs: long enough to find the link, too short to open it."""
    return f"{link_id[:11]}…"


def parse_org_id(text: str) -> str:
    """``text`` if it is a valid organization id.

    Raises:
        Invalid: it is not.
    """
    if not is_org_id(text):
        raise Invalid("org_id", f"must be {ORG_ID_RULE}")
    return text


@lru_cache(maxsize=4096)
def partition_of(name: str) -> str:
    """The partition of ``name``, always the same: two hex digits, one of 256."""
    return hashlib.blake2s(name.encode(), digest_size=1).hexdigest()
