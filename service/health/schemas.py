"""Health and outgoing mail on the wire: answers, each with an example."""

from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum

from msgspec import Struct

from service.health import model
from service.health.model import Reason
from service.http.fields import (
    EXAMPLE_EMAIL,
    EXAMPLE_LINK_ID,
    EXAMPLE_ORG_ID,
    EXAMPLE_TIME,
    LinkId,
    Timestamp,
    UnavailablePartitions,
    UnreadablePartitions,
)
from service.values.time import format_time


class Health(Struct, frozen=True):
    status: str


class RedisState(StrEnum):
    OK = "ok"
    PARTIAL = "partial"


class Readiness(Struct, frozen=True):
    """``degraded``: the API serves, but an operator has to act on ``reasons``; ``ok``: none.

    ``redis`` is ``partial`` where part of the partitions answer: ``partition_availability`` is
    their share, rounded down, from 0.003 to 1. ``unsent`` counts what waits in these.
    ``heartbeats`` are how many seconds ago each process of a kind was last alive, null where they
    could not be read, or cannot be recorded.
    """

    status: str
    redis: RedisState
    partition_availability: float
    reasons: list[Reason]
    heartbeats: dict[str, list[float] | None]
    unsent: int
    oldest_unsent_seconds: float | None


class FailedDelivery(Struct, frozen=True, kw_only=True):
    """A link whose e-mail was given up, and why."""

    id: LinkId
    org_id: str
    email: str
    transaction_id: str | None
    error: str
    failed_at: Timestamp


class PausedWorker(Struct, frozen=True, kw_only=True):
    """A worker that holds the mail of its queue back since the mail server refuses us, and why.

    ``reason`` is the mail server's code, or the name of an error.
    """

    queue: str
    process: str
    reason: str
    since: Timestamp


class Outbox(Struct, frozen=True, kw_only=True):
    """E-mails that are due and unsent, those due later, and those given up.

    ``failures`` are of the last ``RETENTION``. ``jobs_waiting`` is the depth of each queue, null
    where RQ's Redis does not answer. ``paused`` are the workers that send nothing for now. Where
    partitions are ``unavailable``, all of this is about the others; ``heartbeats`` stands for what
    ``paused`` is read from.
    """

    unsent: int
    oldest_unsent_seconds: float | None
    scheduled: int
    jobs_waiting: dict[str, int | None]
    paused: list[PausedWorker]
    failed: int
    failures: list[FailedDelivery]
    unreadable_partitions: UnreadablePartitions
    unavailable: UnavailablePartitions


def readiness_body(readiness: model.Readiness) -> Readiness:
    """``readiness`` on the wire."""
    availability = readiness.partition_availability
    return Readiness(
        status="degraded" if readiness.reasons else "ok",
        redis=RedisState.OK if availability == 1 else RedisState.PARTIAL,
        partition_availability=availability,
        reasons=readiness.reasons,
        heartbeats={
            process_type: _ages(readiness.processes.get(process_type))
            for process_type in model.PROCESS_TYPES
        },
        unsent=readiness.backlog.unsent,
        oldest_unsent_seconds=_seconds(readiness.backlog.oldest_age),
    )


def outbox_body(report: model.OutboxReport) -> Outbox:
    """``report`` on the wire."""
    heartbeats = set() if report.has_heartbeats else {"heartbeats"}
    return Outbox(
        unsent=report.backlog.unsent,
        oldest_unsent_seconds=_seconds(report.backlog.oldest_age),
        scheduled=report.scheduled,
        jobs_waiting=report.jobs_waiting,
        paused=[
            PausedWorker(
                queue=worker.queue.name,
                process=worker.process,
                reason=worker.pause.reason,
                since=format_time(worker.pause.since),
            )
            for worker in report.paused
        ],
        failed=report.failed,
        failures=[
            FailedDelivery(
                id=link.id,
                org_id=link.org_id,
                email=link.email,
                transaction_id=link.transaction_id,
                error=link.delivery.error or "",
                failed_at=format_time(failed_at),
            )
            for link, failed_at in report.failures
        ],
        unreadable_partitions=sorted(report.missing.unreadable),
        unavailable=sorted(report.missing.unavailable | heartbeats),
    )


def _ages(processes: Sequence[model.ProcessHealth] | None) -> list[float] | None:
    if processes is None:
        return None
    return [round(process.heartbeat_age.total_seconds(), 1) for process in processes]


def _seconds(duration: timedelta | None) -> float | None:
    return None if duration is None else duration.total_seconds()


EXAMPLES: tuple[Struct, ...] = (
    Health("ok"),
    Readiness(
        status="ok",
        redis=RedisState.OK,
        partition_availability=1,
        reasons=[],
        heartbeats={
            "web": [0.3, 1.7],
            "worker-links": [0.4],
            "worker-otps": [0.6],
            "worker-notices": [0.9],
            "scheduler": [1.2],
        },
        unsent=0,
        oldest_unsent_seconds=None,
    ),
    Outbox(
        unsent=1,
        oldest_unsent_seconds=0.8,
        scheduled=12,
        jobs_waiting={"links": 0, "otps": 0, "notices": 0},
        paused=[
            PausedWorker(queue="links", process="mail-1:7", reason="535 5.7.8", since=EXAMPLE_TIME)
        ],
        failed=1,
        unreadable_partitions=[],
        unavailable=[],
        failures=[
            FailedDelivery(
                id=EXAMPLE_LINK_ID,
                org_id=EXAMPLE_ORG_ID,
                email=EXAMPLE_EMAIL,
                transaction_id="order-1138",
                error="550 5.1.1 no such mailbox",
                failed_at=EXAMPLE_TIME,
            )
        ],
    ),
)
