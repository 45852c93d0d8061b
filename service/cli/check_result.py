"""The results of ``payment-links check``, a line each."""

from enum import StrEnum
from functools import partial
from typing import NamedTuple


class Status(StrEnum):
    OK = "ok"
    WARNING = "warn"
    FAILURE = "FAIL"


class CheckResult(NamedTuple):
    """The status of one subject, such as ``redis`` or ``mail``, and why."""

    status: Status
    subject: str
    detail: str


ok = partial(CheckResult, Status.OK)
warning = partial(CheckResult, Status.WARNING)
failure = partial(CheckResult, Status.FAILURE)
