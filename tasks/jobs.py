"""The jobs that RQ runs. They have no arguments: the outbox holds what must be sent."""

from functools import partial
from itertools import compress

import structlog

from service.errors import Unreadable
from service.outbox import store as outbox
from service.outbox.doorbell import ring, take_pending
from service.outbox.queues import LINKS, OTPS
from service.storage import keys
from tasks.runtime import CURRENT

log = structlog.get_logger(__name__)


def deliver() -> None:
    """Sends the e-mails of the worker's queue, and rings again for those that remain."""
    runtime = CURRENT.get()
    take = partial(take_pending, runtime.queue, runtime.rq_connection)
    if remaining := runtime.delivery.run(take(), take):
        ring(runtime.queue, remaining, runtime.rq_connection)


def scan() -> None:
    """Rings for every partition in which an e-mail is due or a lease has lapsed.

    A partition with unreadable keys does not stop the scan.
    """
    runtime = CURRENT.get()
    now = runtime.clock()
    owing = [
        *compress(
            keys.PARTITIONS,
            runtime.client.run_all(
                [outbox.has_pending(partition) for partition in keys.PARTITIONS]
            ),
        )
    ]
    replies = runtime.client.run_each([outbox.due(partition, now=now) for partition in owing])
    found = [
        (partition, due)
        for partition, due in zip(owing, replies, strict=True)
        if not isinstance(due, Unreadable)
    ]
    if unreadable := [key for _, due in found for key in due.unreadable]:
        log.error("data_unreadable", keys=keys.for_log(unreadable))
    if links := [partition for partition, due in found if due.links]:
        ring(LINKS, links, runtime.rq_connection)
    if codes := [partition for partition, due in found if due.codes]:
        ring(OTPS, codes, runtime.rq_connection)
