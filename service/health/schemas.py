"""Health and outgoing mail on the wire: answers, each with an example."""

from enum import StrEnum

from msgspec import Struct

from service.http.fields import (
    EXAMPLE_EMAIL,
    EXAMPLE_LINK_ID,
    EXAMPLE_ORG_ID,
    EXAMPLE_TIME,
    LinkId,
    Timestamp,
    UnreadablePartitions,
)


class Health(Struct, frozen=True):
    status: str


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

    ``failures`` are of the last ``RETENTION``. ``jobs_waiting`` is the depth of each queue, null where RQ's Redis does not answer.
    """

    unsent: int
    oldest_unsent_seconds: float | None
    scheduled: int
    jobs_waiting: dict[str, int | None]
    failed: int
    failures: list[FailedDelivery]
    unreadable_partitions: UnreadablePartitions


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
