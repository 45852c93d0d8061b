"""Whether the service can do its work, and why not."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from service.links.model import Link
from service.outbox.queues import LINK_QUEUE, OTP_QUEUE
from service.storage.clock import MAX_CLOCK_SKEW

HEARTBEAT_TIMEOUT = timedelta(seconds=20)
"""A process with an older heartbeat is stalled. A worker may wait that long for a mail server."""


class Reason(StrEnum):
    """Why the service is ``degraded``. ``service/process/README.md`` explains each."""

    WORKER_LINKS_AWAY = "worker_links_away"
    WORKER_OTPS_AWAY = "worker_otps_away"
    SCHEDULER_AWAY = "scheduler_away"
    PROCESS_STALLED = "process_stalled"
    CLOCK_SKEW = "clock_skew"
    DATA_UNREADABLE = "data_unreadable"
    OTP_SENDS_LIMITED = "otp_sends_limited"
    DISK_ALMOST_FULL = "disk_almost_full"


REASONS_IF_AWAY = {
    LINK_QUEUE.worker_name: Reason.WORKER_LINKS_AWAY,
    OTP_QUEUE.worker_name: Reason.WORKER_OTPS_AWAY,
    "scheduler": Reason.SCHEDULER_AWAY,
}
"""The types of processes that have to run beside ``web``."""
PROCESS_TYPES = ("web", *REASONS_IF_AWAY)


class ProcessHealth(msgspec.Struct, frozen=True):
    """A process, the age of its last heartbeat, and its machine's clock minus the store's."""

    name: str
    heartbeat_age: timedelta
    clock_skew: timedelta

    @property
    def is_stalled(self) -> bool:
        return self.heartbeat_age > HEARTBEAT_TIMEOUT

    @property
    def is_skewed(self) -> bool:
        return abs(self.clock_skew) >= MAX_CLOCK_SKEW


ProcessesByType = Mapping[str, Sequence[ProcessHealth]]
"""The processes of each type, those with the latest heartbeat first."""


class Backlog(msgspec.Struct, frozen=True):
    """E-mails that are due and not sent: how many, and since when the oldest link's is due."""

    unsent: int
    oldest_age: timedelta | None
    unreadable_partitions: set[str]


class Readiness(msgspec.Struct, frozen=True):
    """The service is ready to serve; it is degraded if there are ``reasons``."""

    reasons: list[Reason]
    processes: ProcessesByType
    backlog: Backlog


class OutboxReport(msgspec.Struct, frozen=True, kw_only=True):
    """The outgoing mail of all organizations.

    ``jobs_waiting`` is the depth of each queue, None if RQ's Redis does not answer. ``failures``
    are the latest of the ``failed`` e-mails, each with the time at which it was given up.
    """

    backlog: Backlog
    scheduled: int
    jobs_waiting: dict[str, int | None]
    failed: int
    failures: list[tuple[Link, datetime]]
    unreadable_partitions: set[str]


def find_process_reasons(processes: ProcessesByType) -> Iterator[Reason]:
    """What is wrong with the processes."""
    for process_type, reason in REASONS_IF_AWAY.items():
        if all(process.is_stalled for process in processes[process_type]):
            yield reason
    if any(len({one.is_stalled for one in found}) == 2 for found in processes.values()):
        yield Reason.PROCESS_STALLED
    running = [one for found in processes.values() for one in found if not one.is_stalled]
    if any(process.is_skewed for process in running):
        yield Reason.CLOCK_SKEW


def describe_faulty(processes: ProcessesByType) -> list[str]:
    """Type and name of the processes that are stalled or whose clock is wrong."""
    return [
        f"{process_type} {process.name}"
        for process_type, found in processes.items()
        for process in found
        if process.is_stalled or process.is_skewed
    ]
