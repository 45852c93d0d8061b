"""The jobs that RQ runs. They have no arguments: the outbox holds what must be sent."""

from collections.abc import Sequence
from functools import partial
from itertools import compress

import structlog

from service.errors import Unreadable
from service.outbox import store as outbox
from service.outbox.doorbell import ring, take_pending
from service.outbox.queues import MailQueue
from service.outbox.store import Due
from service.storage import keys
from tasks.mail_kinds import registry
from tasks.runtime import Runtime, current_runtime

log = structlog.get_logger(__name__)


def deliver() -> None:
    """Sends the e-mails of the worker's queue, and rings again for those that remain."""
    runtime = current_runtime.get()
    take = partial(take_pending, runtime.queue, runtime.rq_connection)
    if remaining := runtime.delivery.run(take(), take):
        ring(runtime.queue, remaining, runtime.rq_connection)


def scan() -> None:
    """Rings for every partition in which an e-mail is due or a lease has lapsed.

    A partition with unreadable keys does not stop the scan.
    """
    runtime = current_runtime.get()
    queues = [mail_kind.queue for mail_kind in registry.MAIL_KINDS]
    due_by_partition = _read_due(runtime, queues)
    if unreadable := [key for due in due_by_partition.values() for key in due.unreadable]:
        log.error("data_unreadable", keys=keys.for_log(unreadable))
    for queue in queues:
        if partitions := [name for name, due in due_by_partition.items() if queue in due.queues]:
            ring(queue, partitions, runtime.rq_connection)


def _read_due(runtime: Runtime, queues: Sequence[MailQueue]) -> dict[str, Due]:
    """What is due in each partition in which anything waits."""
    pending = runtime.client.run_all(
        [outbox.has_pending(partition, queues) for partition in keys.ALL_PARTITIONS]
    )
    partitions = list(compress(keys.ALL_PARTITIONS, pending))
    now = runtime.clock()
    replies = runtime.client.run_each(
        [outbox.read_due(partition, now=now, queues=queues) for partition in partitions]
    )
    return {
        partition: due
        for partition, due in zip(partitions, replies, strict=True)
        if not isinstance(due, Unreadable)
    }
