"""The periodic job: finds what is due, whatever became of the bells that were rung for it."""

from service.jobs import Bell, ring
from service.store import keys, outbox
from tasks.runtime import CURRENT


def scan() -> None:
    """Asks all partitions what is due or has lapsed, and rings for those."""
    runtime = CURRENT.get()
    now = runtime.clock()
    due = runtime.client.run_all([outbox.due(partition, now=now) for partition in keys.PARTITIONS])
    owing = list(zip(keys.PARTITIONS, due, strict=True))
    if links := [partition for partition, owed in owing if owed.links]:
        ring(Bell.LINKS, links, runtime.queue)
    if codes := [partition for partition, owed in owing if owed.codes]:
        ring(Bell.OTPS, codes, runtime.queue)
