"""Health and outgoing mail on the wire: answers, each with an example."""

from datetime import timedelta

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
    UnreadablePartitions,
)
from service.values.time import format_time


class Health(Struct, frozen=True):
    status: str


class Readiness(Struct, frozen=True):
    """``degraded``: the API serves, but an operator has to act on ``reasons``; ``ok``: none.

    ``heartbeats`` are how many seconds ago each process of a kind was last alive.
    """

    status: str
    redis: str
    reasons: list[Reason]
    heartbeats: dict[str, list[float]]
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


class Outbox(Struct, frozen=True, kw_only=True):
    """E-mails that are due and unsent, those due later, and those given up.

    ``failures`` are of the last ``RETENTION``. ``jobs_waiting`` is the depth of each queue, null
    where RQ's Redis does not answer.
    """

    unsent: int
    oldest_unsent_seconds: float | None
    scheduled: int
    jobs_waiting: dict[str, int | None]
    failed: int
    failures: list[FailedDelivery]
    unreadable_partitions: UnreadablePartitions


def readiness_body(readiness: model.Readiness) -> Readiness:
    """``readiness`` on the wire."""
    return Readiness(
        status="degraded" if readiness.reasons else "ok",
        redis="ok",
        reasons=readiness.reasons,
        heartbeats={
            process_type: [round(process.heartbeat_age.total_seconds(), 1) for process in processes]
            for process_type, processes in readiness.processes.items()
        },
        unsent=readiness.backlog.unsent,
        oldest_unsent_seconds=_seconds(readiness.backlog.oldest_age),
    )


def outbox_body(report: model.OutboxReport) -> Outbox:
    """``report`` on the wire."""
    return Outbox(
        unsent=report.backlog.unsent,
        oldest_unsent_seconds=_seconds(report.backlog.oldest_age),
        scheduled=report.scheduled,
        jobs_waiting=report.jobs_waiting,
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
        unreadable_partitions=sorted(report.unreadable_partitions),
    )


def _seconds(duration: timedelta | None) -> float | None:
    return None if duration is None else duration.total_seconds()


EXAMPLES: tuple[Struct, ...] = (
    Health("ok"),
    Readiness(
        status="ok",
        redis="ok",
        reasons=[],
        heartbeats={
            "web": [0.3, 1.7],
            "worker-links": [0.4],
            "worker-otps": [0.6],
            "scheduler": [1.2],
        },
        unsent=0,
        oldest_unsent_seconds=None,
    ),
    Outbox(
        unsent=1,
        oldest_unsent_seconds=0.8,
        scheduled=12,
        jobs_waiting={"links": 0, "otps": 0},
        failed=1,
        unreadable_partitions=[],
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
