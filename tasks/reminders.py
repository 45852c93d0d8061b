"""The periodic job: finds what is due, whatever became of the bells that were rung for it."""

from itertools import compress

from service.jobs import Bell, ring
from service.store import keys, outbox
from tasks.runtime import CURRENT


def scan() -> None:
    """Asks all partitions what is due or has lapsed, and rings for those."""
    runtime = CURRENT.get()
    now = runtime.clock()
    owing = [*compress(keys.PARTITIONS, runtime.client.run_all([outbox.owes(partition) for partition in keys.PARTITIONS]))]
    found = list(zip(owing, runtime.client.run_all([outbox.due(partition, now=now) for partition in owing]), strict=True))
    if links := [partition for partition, due in found if due.links]:
        ring(Bell.LINKS, links, runtime.queue)
    if codes := [partition for partition, due in found if due.codes]:
        ring(Bell.OTPS, codes, runtime.queue)
