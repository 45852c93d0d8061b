"""The jobs that RQ runs. They have no arguments: the outbox holds what must be sent."""

import time
from collections.abc import Sequence
from functools import partial

import structlog

from service.outbox import store as outbox
from service.outbox.doorbell import open_rq_queue, ring, take_pending
from service.outbox.queues import MailQueue
from service.outbox.store import Due
from service.storage import keys
from tasks.mail_kinds import registry
from tasks.runtime import Runtime, current_runtime

log = structlog.get_logger(__name__)

JOB_SECONDS = 1.0
"""The longest that a job waits for the runner, which sends on afterwards: a scan may be next."""
POLL_SECONDS = 0.05


def deliver() -> None:
    """Wakes the runner of the worker's queue, and waits for it to run dry or for another job.

    Every ring may add a job: they would add up if each waited for a slow mail server.
    """
    runtime, ends_at = current_runtime.get(), time.monotonic() + JOB_SECONDS
    rq_queue = open_rq_queue(runtime.queue, runtime.rq_connection)
    while not runtime.stopping.is_set() and time.monotonic() < ends_at:
        is_last = rq_queue.count == 0
        runtime.runner.wake(take_pending(runtime.queue, runtime.rq_connection))
        if runtime.runner.wait_until_dry(POLL_SECONDS) or not is_last:
            return


def scan() -> None:
    """Rings for every partition in which an e-mail is due or a lease has lapsed.

    A partition that is unavailable, or has unreadable keys, does not stop the scan.
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
    pending = runtime.runner.query(partial(outbox.has_pending, queues=queues), keys.ALL_PARTITIONS)
    return runtime.runner.query(
        partial(outbox.read_due, now=runtime.clock(), queues=queues),
        [partition for partition, waits in pending.items() if waits],
    )
