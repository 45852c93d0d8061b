"""The queues of e-mails, one for each kind: what the service knows of them."""

from typing import NamedTuple


class MailQueue(NamedTuple):
    """E-mails of one kind that wait, for a worker process of their own."""

    name: str
    """In RQ, in ``payment-links worker --queue``, and in ``GET /outbox``."""

    @property
    def worker(self) -> str:
        """The name of its worker in heartbeats and in ``GET /readyz``."""
        return f"worker-{self.name}"


LINKS = MailQueue("links")
OTPS = MailQueue("otps")
QUEUES = (LINKS, OTPS)
SCAN_QUEUE = OTPS
"""Its worker also runs the scan: no organization's campaign keeps it busy."""
