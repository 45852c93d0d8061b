"""The results of ``payment-links check``, a line each."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Literal, NamedTuple

Status = Literal["ok", "warn", "FAIL"]


class CheckResult(NamedTuple):
    """The status of one component, such as ``redis`` or ``mail``, and why."""

    status: Status
    component: str
    detail: str


ok = partial(CheckResult, "ok")
warning = partial(CheckResult, "warn")
failure = partial(CheckResult, "FAIL")


class Finding(NamedTuple):
    """The status of one node in one respect, and why."""

    status: Status
    detail: str

    @property
    def is_unknown(self) -> bool:
        return self.detail.startswith("unknown")


def summarize(component: str, findings: Mapping[str, Finding]) -> Iterator[CheckResult]:
    """The results for ``component``, from the findings on each node, by ``host:port``.

    One result if all nodes are ok, or if nothing is known of any; else one for each node that is
    not ok. None without findings. A single server has the address ``""``.
    """
    if not findings:
        return
    wrong = {address: finding for address, finding in findings.items() if finding.status != "ok"}
    distinct = sorted(set(findings.values()))
    if wrong and not (len(distinct) == 1 and distinct[0].is_unknown):
        for address, finding in wrong.items():
            yield CheckResult(finding.status, f"{component} {address}".rstrip(), finding.detail)
        return
    details = ", ".join(finding.detail for finding in distinct)
    nodes = "" if [*findings] == [""] else f" ({count(len(findings), 'node')})"
    yield CheckResult(distinct[0].status, component, f"{details}{nodes}")


def count(number: int, noun: str) -> str:
    """``1 node``, ``2 nodes``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
