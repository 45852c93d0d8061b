"""RQ as a doorbell: a job tells a worker that e-mails wait in some partitions, never whose.

The outbox is the truth; a lost job does no harm. Jobs are JSON: RQ and rq-scheduler pickle by
default.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import structlog
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from service.outbox.queues import QUEUES, MailQueue
from service.storage.error_descriptions import describe_failure

log = structlog.get_logger(__name__)

NAMESPACE = "payment-links"
"""The prefix of our names in RQ's Redis, which others may use too."""
DELIVERY_JOB = "tasks.jobs.deliver"
SCAN_JOB = "tasks.jobs.scan"
SCAN_JOB_ID = "payment-links-scan"
SCAN_INTERVAL_SECONDS = 2
JOB_TIMEOUT_SECONDS = 120
"""RQ ends a job that hangs. Every other job ends long before, and rings again if needed."""
RING_INTERVAL_SECONDS = 0.02
"""The first of many requests rings at once, the others together."""

RING_SCRIPT = """
-- Adds partitions to the pending ones.
-- KEYS: pending partitions, RQ's list of jobs
-- ARGV: partitions
-- Returns 1 if a job must be enqueued: no partition was pending, or their job was lost.
local pending, jobs = KEYS[1], KEYS[2]
local key_type = redis.call('TYPE', pending).ok
if key_type ~= 'set' and key_type ~= 'none' then redis.call('DEL', pending) end
local was_empty = redis.call('SCARD', pending) == 0
redis.call('SADD', pending, unpack(ARGV))
return (was_empty or redis.call('LLEN', jobs) == 0) and 1 or 0
"""


class JsonJob(Job):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.update(serializer=JSONSerializer)
        super().__init__(*args, **kwargs)


class JsonQueue(Queue):
    """A queue of JSON jobs that contains each job at most once."""

    job_class = JsonJob

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.update(serializer=JSONSerializer, job_class=JsonJob)
        super().__init__(*args, **kwargs)

    def enqueue_job(self, job: Job, *args: Any, **kwargs: Any) -> Job:
        """Enqueues ``job`` unless it waits already: one scan makes up for all missed ones."""
        if self.get_job_position(job) is not None:
            return job
        return super().enqueue_job(job, *args, **kwargs)


def open_rq_queue(queue: MailQueue, connection: Redis) -> JsonQueue:
    """The queue in RQ."""
    return JsonQueue(f"{NAMESPACE}-{queue.name}", connection=connection)


def ring(queue: MailQueue, partitions: Iterable[str], connection: Redis) -> None:
    """Tells the queue's worker that e-mails wait in ``partitions``.

    Raises:
        RedisError: RQ's Redis does not answer. The next scan rings for what is due.
    """
    rq_queue = open_rq_queue(queue, connection)
    if connection.eval(RING_SCRIPT, 2, _pending_key(queue), rq_queue.key, *partitions):
        rq_queue.enqueue(
            DELIVERY_JOB, result_ttl=0, failure_ttl=3600, job_timeout=JOB_TIMEOUT_SECONDS
        )


def take_pending(queue: MailQueue, connection: Redis) -> list[str]:
    """Returns the pending partitions, and removes them."""
    with connection.pipeline() as pipeline:
        pipeline.smembers(_pending_key(queue))
        pipeline.delete(_pending_key(queue))
        partitions, _ = pipeline.execute()
    return sorted(
        partition.decode() if isinstance(partition, bytes) else partition
        for partition in partitions
    )


class Doorbell:
    """Rings from the event loop, once for all requests that come meanwhile, in a thread."""

    def __init__(self, connection: Redis) -> None:
        self._connection = connection
        self._partitions: defaultdict[MailQueue, set[str]] = defaultdict(set)
        self._ringing: asyncio.Task[None] | None = None

    def ring(self, queue: MailQueue, partitions: Sequence[str]) -> None:
        """Rings soon; returns at once."""
        self._partitions[queue].update(partitions)
        if self._ringing is None or self._ringing.done():
            self._ringing = asyncio.create_task(self._ring_all())

    async def jobs_waiting(self) -> dict[str, int | None]:
        """The number of jobs by queue; None if RQ's Redis does not answer."""
        counts = await asyncio.gather(*map(self._count_jobs, QUEUES))
        return {queue.name: count for queue, count in zip(QUEUES, counts, strict=True)}

    async def close(self) -> None:
        """Rings for what is left. If that fails, the next scan does."""
        if self._ringing is not None:
            await asyncio.wait([self._ringing])
        await asyncio.to_thread(self._connection.close)

    async def _count_jobs(self, queue: MailQueue) -> int | None:
        try:
            return await asyncio.to_thread(lambda: open_rq_queue(queue, self._connection).count)
        except (RedisError, OSError) as error:
            log.warning("queue_unavailable", error=describe_failure(error))
            return None

    async def _ring_all(self) -> None:
        while self._partitions:
            pending, self._partitions = self._partitions, defaultdict(set)
            for queue, partitions in pending.items():
                try:
                    await asyncio.to_thread(ring, queue, partitions, self._connection)
                except (RedisError, OSError) as error:
                    log.warning("doorbell_failed", queue=queue.name, error=describe_failure(error))
            await asyncio.sleep(RING_INTERVAL_SECONDS)


def _pending_key(queue: MailQueue) -> str:
    return f"{NAMESPACE}:pending:{queue.name}"
