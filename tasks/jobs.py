"""The jobs that RQ runs, found by name. They carry no arguments: the outbox says what is owed."""

from functools import partial
from itertools import compress

import structlog

from service.errors import Unreadable
from service.outbox import store as outbox
from service.outbox.doorbell import QueueName, answer, ring
from service.storage import keys
from tasks.runtime import CURRENT

log = structlog.get_logger(__name__)


def deliver_links() -> None:
    """Sends the links that are owed an e-mail."""
    runtime = CURRENT.get()
    if left := runtime.links.drain(
        answer(QueueName.LINKS, runtime.queue), partial(answer, QueueName.LINKS, runtime.queue)
    ):
        ring(QueueName.LINKS, left, runtime.queue)


def deliver_otps() -> None:
    """Sends the one-time passwords that were asked for."""
    runtime = CURRENT.get()
    if left := runtime.otps.drain(
        answer(QueueName.OTPS, runtime.queue), partial(answer, QueueName.OTPS, runtime.queue)
    ):
        ring(QueueName.OTPS, left, runtime.queue)


def scan() -> None:
    """Asks all partitions what is due or has lapsed, and rings for those. What one holds that is not ours hides no other's."""
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
        ring(QueueName.LINKS, links, runtime.queue)
    if codes := [partition for partition, due in found if due.codes]:
        ring(QueueName.OTPS, codes, runtime.queue)
