"""The queues of e-mails, one for each kind: what the service knows of them."""

from collections.abc import Callable
from typing import NamedTuple

from service.storage import keys


class MailQueue(NamedTuple):
    """E-mails of one kind that wait, for a worker process of their own.

    A key is a function of the partition.
    """

    name: str
    """In RQ, in ``payment-links worker --queue``, and in ``GET /outbox``."""
    outbox: Callable[[str], str]
    scheduled: Callable[[str], str] | None = None
    pending_since: Callable[[str], str] | None = None

    @property
    def worker_name(self) -> str:
        """In heartbeats and in ``GET /readyz``."""
        return f"worker-{self.name}"

    def waiting_keys(self, partition: str) -> list[str]:
        return [key(partition) for key in (self.outbox, self.scheduled) if key]

    def all_keys(self, partition: str) -> list[str]:
        """In the order in which scripts take them."""
        return [key(partition) for key in (self.outbox, self.scheduled, self.pending_since) if key]


LINK_QUEUE = MailQueue("links", keys.outbox, keys.scheduled, keys.pending_since)
OTP_QUEUE = MailQueue("otps", keys.otp_outbox)
NOTICE_QUEUE = MailQueue("notices", keys.notice_outbox, keys.notices)
"""Reminders, receipts and sample mails."""
QUEUES = (LINK_QUEUE, OTP_QUEUE, NOTICE_QUEUE)
SCAN_QUEUE = OTP_QUEUE
"""The queue whose worker also runs the scan: no organization's campaign keeps it busy."""
