"""What ``payment-links check`` says: a line each."""

from enum import StrEnum
from typing import NamedTuple


class Verdict(StrEnum):
    OK = "ok"
    WARNING = "warn"
    FAILURE = "FAIL"


class Finding(NamedTuple):
    """What was looked at, and what was found."""

    verdict: Verdict
    what: str
    found: str
