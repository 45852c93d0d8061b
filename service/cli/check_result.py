"""The results of ``payment-links check``, a line each."""

from functools import partial
from typing import Literal, NamedTuple


class CheckResult(NamedTuple):
    """The status of one component, such as ``redis`` or ``mail``, and why."""

    status: Literal["ok", "warn", "FAIL"]
    component: str
    detail: str


ok = partial(CheckResult, "ok")
warning = partial(CheckResult, "warn")
failure = partial(CheckResult, "FAIL")
