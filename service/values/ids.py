"""Ids of links and organizations, and the partition that each belongs to."""

import hashlib
import re
import string
from functools import lru_cache

from service.errors import Invalid

BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
BASE62_PAIRS = [low + high for high in BASE62 for low in BASE62]
ID_CHARACTERS = 22
ID_PATTERN = r"pl_[0-9a-f]{2}[0-9A-Za-z]{22}"
ORG_ID_PATTERN = r"(?!\.{1,2}$)[A-Za-z0-9._:-]{1,64}"
"""Not ``.`` nor ``..``, which mean another place in a URL's path (RFC 3986, 3.3)."""
ORG_ID_RULE = "1 to 64 of A-Z a-z 0-9 . _ : -, and neither . nor .."
_ID, _ORG_ID = re.compile(ID_PATTERN), re.compile(ORG_ID_PATTERN)


def make_id(org_id: str, entropy: bytes) -> str:
    """``pl_``, the organization's partition, and 22 base62 characters (131 bits) of ``entropy``."""
    number = int.from_bytes(entropy) % 62**ID_CHARACTERS
    pairs = []
    for _ in range(ID_CHARACTERS // 2):
        number, pair = divmod(number, 62 * 62)
        pairs.append(BASE62_PAIRS[pair])
    return f"pl_{partition_of(org_id)}{''.join(pairs)}"


def parse_org_id(text: str) -> str:
    """``text``, if it can name an organization.

    Raises:
        Invalid: it cannot.
    """
    if not _ORG_ID.fullmatch(text):
        raise Invalid("org_id", f"must be {ORG_ID_RULE}")
    return text


def is_id(text: str) -> bool:
    """Whether ``text`` has the form of a link's id."""
    return _ID.fullmatch(text) is not None


@lru_cache(maxsize=4096)
def partition_of(name: str) -> str:
    """Two hex digits, always the same for ``name``: one of 256 partitions."""
    return hashlib.blake2s(name.encode(), digest_size=1).hexdigest()


def truncate_id(link_id: str) -> str:
    """The beginning of a link's id: enough to find it again, too little to open it."""
    return f"{link_id[:11]}…"
