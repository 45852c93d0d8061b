"""The periodic job: finds what is due, whatever became of the bells that were rung for it."""

from itertools import compress

import structlog

from service.domain.errors import Unreadable
from service.jobs import Bell, ring
from service.store import keys, outbox
from service.store.keys import for_log
from tasks.runtime import CURRENT

log = structlog.get_logger(__name__)


def scan() -> None:
    """Asks all partitions what is due or has lapsed, and rings for those. What one holds that is not ours hides no other's."""
    runtime = CURRENT.get()
    now = runtime.clock()
    owing = [*compress(keys.PARTITIONS, runtime.client.run_all([outbox.owes(partition) for partition in keys.PARTITIONS]))]
    replies = runtime.client.run_each([outbox.due(partition, now=now) for partition in owing])
    found = [(partition, due) for partition, due in zip(owing, replies, strict=True) if not isinstance(due, Unreadable)]
    if unreadable := [key for _, due in found for key in due.unreadable]:
        log.error("data_unreadable", keys=for_log(unreadable))
    if links := [partition for partition, due in found if due.links]:
        ring(Bell.LINKS, links, runtime.queue)
    if codes := [partition for partition, due in found if due.codes]:
        ring(Bell.OTPS, codes, runtime.queue)
