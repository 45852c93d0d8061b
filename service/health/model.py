"""Whether the service can do its work, and why not."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from service.links.model import Link
from service.outbox.queues import LINK_QUEUE, NOTICE_QUEUE, OTP_QUEUE, MailQueue
from service.storage.clock import MAX_CLOCK_SKEW
from service.storage.keys import ALL_PARTITIONS
from service.storage.partitions import Missing

HEARTBEAT_TIMEOUT = timedelta(seconds=20)
"""A process with an older heartbeat is stalled."""


class Reason(StrEnum):
    """Why the service is ``degraded``. ``service/process/README.md`` explains each."""

    WORKER_LINKS_AWAY = "worker_links_away"
    WORKER_OTPS_AWAY = "worker_otps_away"
    WORKER_NOTICES_AWAY = "worker_notices_away"
    SCHEDULER_AWAY = "scheduler_away"
    MAIL_LINKS_PAUSED = "mail_links_paused"
    MAIL_OTPS_PAUSED = "mail_otps_paused"
    MAIL_NOTICES_PAUSED = "mail_notices_paused"
    PROCESS_STALLED = "process_stalled"
    CLOCK_SKEW = "clock_skew"
    PARTITIONS_UNAVAILABLE = "partitions_unavailable"
    WRITES_REFUSED = "writes_refused"
    DATA_UNREADABLE = "data_unreadable"
    OTP_SENDS_LIMITED = "otp_sends_limited"
    DISK_ALMOST_FULL = "disk_almost_full"


REASONS_IF_AWAY = {
    LINK_QUEUE.worker_name: Reason.WORKER_LINKS_AWAY,
    OTP_QUEUE.worker_name: Reason.WORKER_OTPS_AWAY,
    NOTICE_QUEUE.worker_name: Reason.WORKER_NOTICES_AWAY,
    "scheduler": Reason.SCHEDULER_AWAY,
}
"""The types of processes that have to run beside ``web``."""
PROCESS_TYPES = ("web", *REASONS_IF_AWAY)
REASONS_IF_PAUSED = {
    LINK_QUEUE: Reason.MAIL_LINKS_PAUSED,
    OTP_QUEUE: Reason.MAIL_OTPS_PAUSED,
    NOTICE_QUEUE: Reason.MAIL_NOTICES_PAUSED,
}


class Pause(msgspec.Struct, frozen=True):
    """Why a worker holds all its mail back, and since when.

    ``reason`` is a mail server's code, such as ``535 5.7.8``, or the name of an error: never the
    words of a server.
    """

    reason: str
    since: datetime


class ProcessHealth(msgspec.Struct, frozen=True):
    """A process, the age of its last heartbeat, and its machine's clock minus the store's.

    ``pause`` is None unless it is a worker that holds its mail back.
    """

    name: str
    heartbeat_age: timedelta
    clock_skew: timedelta
    pause: Pause | None = None

    @property
    def is_stalled(self) -> bool:
        return self.heartbeat_age > HEARTBEAT_TIMEOUT

    @property
    def is_skewed(self) -> bool:
        return abs(self.clock_skew) >= MAX_CLOCK_SKEW


ProcessesByType = Mapping[str, Sequence[ProcessHealth]]
"""The processes of each type, those with the latest heartbeat first.

A type is missing where its heartbeats could not be read, or cannot be recorded.
"""


class Backlog(msgspec.Struct, frozen=True):
    """E-mails that are due and not sent: how many, and since when the oldest link's is due.

    Those of ``missing`` partitions are not counted.
    """

    unsent: int
    oldest_age: timedelta | None
    missing: Missing


class Readiness(msgspec.Struct, frozen=True):
    """The service is ready to serve; it is degraded if there are ``reasons``."""

    reasons: list[Reason]
    processes: ProcessesByType
    backlog: Backlog

    @property
    def partition_availability(self) -> float:
        """The share of partitions that answer, rounded down to a thousandth."""
        answering = len(ALL_PARTITIONS) - len(self.backlog.missing.unavailable)
        return answering * 1000 // len(ALL_PARTITIONS) / 1000


class PausedWorker(msgspec.Struct, frozen=True):
    """A running worker that holds the mail of ``queue`` back."""

    queue: MailQueue
    process: str
    pause: Pause


class OutboxReport(msgspec.Struct, frozen=True, kw_only=True):
    """The outgoing mail of all organizations.

    ``jobs_waiting`` is the depth of each queue, None if RQ's Redis does not answer. ``failures``
    are the latest of the ``failed`` e-mails, each with the time at which it was given up. What is
    said of e-mails excludes those of ``missing`` partitions. Without ``has_heartbeats``, nothing
    is known of ``paused`` workers.
    """

    backlog: Backlog
    scheduled: int
    jobs_waiting: dict[str, int | None]
    paused: list[PausedWorker]
    failed: int
    failures: list[tuple[Link, datetime]]
    missing: Missing
    has_heartbeats: bool


def find_process_reasons(processes: ProcessesByType) -> Iterator[Reason]:
    """What is wrong with the processes."""
    for process_type, reason in REASONS_IF_AWAY.items():
        found = processes.get(process_type)
        if found is not None and all(process.is_stalled for process in found):
            yield reason
    paused = {worker.queue for worker in find_paused(processes)}
    yield from (reason for queue, reason in REASONS_IF_PAUSED.items() if queue in paused)
    if any(len({one.is_stalled for one in found}) == 2 for found in processes.values()):
        yield Reason.PROCESS_STALLED
    running = [one for found in processes.values() for one in found if not one.is_stalled]
    if any(process.is_skewed for process in running):
        yield Reason.CLOCK_SKEW


def find_paused(processes: ProcessesByType) -> Iterator[PausedWorker]:
    """The workers that hold their mail back. What a stalled one last said counts no longer."""
    for queue in REASONS_IF_PAUSED:
        for process in processes.get(queue.worker_name, ()):
            if process.pause is not None and not process.is_stalled:
                yield PausedWorker(queue, process.name, process.pause)


def describe_faulty(processes: ProcessesByType) -> list[str]:
    """The processes that are stalled, whose clock is wrong, or that hold mail back, and why."""
    return [
        f"{process_type} {process.name}"
        + (f" (paused: {process.pause.reason})" if process.pause else "")
        for process_type, found in processes.items()
        for process in found
        if process.is_stalled or process.is_skewed or process.pause
    ]
