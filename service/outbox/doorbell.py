"""RQ as a doorbell: a job says that partitions have mail to send, never for whom. The outbox is the truth; jobs may be lost."""

import asyncio
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any

import structlog
from redis import Redis
from redis.exceptions import NoPermissionError, RedisError, ResponseError
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from service.storage.failure import COMMAND, describe_failure

log = structlog.get_logger(__name__)

JOB_TIMEOUT = 120
"""Seconds after which RQ ends a job that hangs. A job that has more to do ends long before, and rings again."""
BETWEEN_RINGS = 0.02
"""Seconds between two rings: the first of many requests is rung for at once, the others together."""
SCAN_JOB_ID = "payment-links-scan"
SCAN_INTERVAL = 2
"""Seconds between two scans for what is due."""


class QueueName(StrEnum):
    """What is rung for. Each has a queue of its own, and so a worker of its own."""

    LINKS = "links"
    OTPS = "otps"


JOBS = {QueueName.LINKS: "tasks.jobs.deliver_links", QueueName.OTPS: "tasks.jobs.deliver_otps"}
SCAN_JOB = "tasks.jobs.scan"
SCAN_BELL = QueueName.OTPS
"""Whose worker scans: the one that no campaign keeps busy."""
NAMESPACE = "payment-links"
"""What our names in RQ's Redis begin with: others may have queues there too."""

RING = """
-- Adds partitions to those that wait for the worker.
-- KEYS 1 waiting partitions  2 RQ's list of waiting jobs
-- ARGV partitions
-- Returns 1 where a job must be enqueued: none waits, or none that will find them. Mends a key of another type.
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'set' and kind ~= 'none' then redis.call('DEL', KEYS[1]) end
local waiting = redis.call('SCARD', KEYS[1])
redis.call('SADD', KEYS[1], unpack(ARGV))
if waiting == 0 or redis.call('LLEN', KEYS[2]) == 0 then return 1 end
return 0
"""


class JsonJob(Job):
    """A job in JSON wherever it is made: RQ and rq-scheduler would pickle it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.update(serializer=JSONSerializer)
        super().__init__(*args, **kwargs)


class JsonQueue(Queue):
    """A queue of JSON jobs that holds a job only once."""

    job_class = JsonJob

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.update(serializer=JSONSerializer, job_class=JsonJob)
        super().__init__(*args, **kwargs)

    def enqueue_job(self, job: Job, *args: Any, **kwargs: Any) -> Job:
        """Enqueues ``job`` unless it waits already: a scan that was missed is not made up for."""
        return (
            job
            if self.get_job_position(job) is not None
            else super().enqueue_job(job, *args, **kwargs)
        )


def queue_name(bell: QueueName) -> str:
    """What RQ calls the queue behind ``bell``."""
    return f"{NAMESPACE}-{bell.value}"


PROBE_KEYS = (f"{NAMESPACE}:probe", "rq:probe")
"""Keys that nobody uses, named as ours and RQ's are."""


def find_refused(connection: Redis) -> list[str]:
    """What the user may not do of all that RQ, rq-scheduler and ``ring`` do: commands, and keys.

    Raises:
        RedisError: RQ's Redis does not answer.
    """
    refused = []
    for key in PROBE_KEYS:
        for command, *arguments in probe_commands(key):
            try:
                connection.execute_command(str(command), *arguments)
            except NoPermissionError as error:
                refused.append(
                    str(command)
                    if COMMAND.search(str(error))
                    else f"keys that begin with {key.removesuffix('probe')}"
                )
            except ResponseError:
                pass  # as EXEC does where MULTI was refused: the user may run it
    return [*dict.fromkeys(refused)]


def probe_commands(key: str) -> list[tuple[str | int | float, ...]]:
    """All that RQ, rq-scheduler and ``ring`` cannot do without, tried on ``key``. Nothing is left behind."""
    return [
        ("EVAL", "return 1", 0),
        *[("WATCH", key), ("UNWATCH",), ("MULTI",), ("EXEC",)],
        *[
            ("SET", key, "1"),
            ("EXISTS", key),
            ("TYPE", key),
            ("EXPIRE", key, 1),
            ("PERSIST", key),
            ("TTL", key),
            ("DEL", key),
        ],
        *[("HSET", key, "a", "1"), ("HGET", key, "a"), ("HGETALL", key), ("HINCRBY", key, "a", 1)],
        *[("HINCRBYFLOAT", key, "a", 1), ("HDEL", key, "a")],
        *[("SADD", key, "a"), ("SMEMBERS", key), ("SCARD", key), ("SREM", key, "a")],
        *[
            ("RPUSH", key, "a"),
            ("LRANGE", key, 0, 0),
            ("LLEN", key),
            ("LPOS", key, "a"),
            ("LREM", key, 0, "a"),
        ],
        *[("BLMOVE", key, key, "LEFT", "RIGHT", 0.001), ("DEL", key)],
        *[
            ("ZADD", key, 1, "a"),
            ("ZCARD", key),
            ("ZSCORE", key, "a"),
            ("ZRANGE", key, 0, 0),
            ("ZRANGEBYSCORE", key, 0, 1),
        ],
        *[("ZREMRANGEBYSCORE", key, 2, 3), ("ZREM", key, "a")],
        *[("XADD", key, "*", "a", "1"), ("DEL", key)],
    ]


def queue_of(bell: QueueName, connection: Redis) -> JsonQueue:
    """The RQ queue behind ``bell``."""
    return JsonQueue(queue_name(bell), connection=connection)


def ring(bell: QueueName, partitions: Iterable[str], connection: Redis) -> None:
    """Tells the worker behind ``bell`` that ``partitions`` have mail, unless it will see so anyway.

    Raises:
        RedisError: RQ's Redis does not answer. Nothing is lost: the scan finds what is due.
    """
    queue = queue_of(bell, connection)
    if connection.eval(RING, 2, _waiting(bell), queue.key, *partitions):
        queue.enqueue(JOBS[bell], result_ttl=0, failure_ttl=3600, job_timeout=JOB_TIMEOUT)


def answer(bell: QueueName, connection: Redis) -> list[str]:
    """The partitions that wait behind ``bell``, which from now on do not."""
    with connection.pipeline() as pipeline:
        pipeline.smembers(_waiting(bell))
        pipeline.delete(_waiting(bell))
        partitions, _ = pipeline.execute()
    return sorted(
        partition.decode() if isinstance(partition, bytes) else partition
        for partition in partitions
    )


class Doorbell:
    """Rings from within the event loop, once for all requests that come while it rings. It never holds an answer back."""

    def __init__(self, connection: Redis) -> None:
        self._redis = connection
        self._partitions: dict[QueueName, set[str]] = {bell: set() for bell in QueueName}
        self._ringing: asyncio.Task[None] | None = None

    def ring(self, bell: QueueName, partitions: Sequence[str]) -> None:
        """Has ``bell`` rung for ``partitions`` soon."""
        self._partitions[bell].update(partitions)
        if self._ringing is None or self._ringing.done():
            self._ringing = asyncio.create_task(self._ring_all())

    async def jobs_waiting(self) -> dict[QueueName, int | None]:
        """How many jobs wait for the worker behind each bell; None where RQ's Redis does not answer."""
        return dict(
            zip(QueueName, await asyncio.gather(*map(self._count_jobs, QueueName)), strict=True)
        )

    async def close(self) -> None:
        """Rings what is still to be rung. Where that fails, the scan finds what is due."""
        if self._ringing is not None:
            await asyncio.wait([self._ringing])
        await asyncio.to_thread(self._redis.close)

    async def _count_jobs(self, bell: QueueName) -> int | None:
        try:
            return int(await asyncio.to_thread(lambda: queue_of(bell, self._redis).count))
        except (RedisError, OSError) as error:
            log.warning("queue_away", error=describe_failure(error))
            return None

    async def _ring_all(self) -> None:
        while waiting := {
            bell: partitions for bell, partitions in self._partitions.items() if partitions
        }:
            for bell, partitions in waiting.items():
                self._partitions[bell] = set()
                try:
                    await asyncio.to_thread(ring, bell, partitions, self._redis)
                except (RedisError, OSError) as error:
                    log.warning("doorbell_failed", bell=bell.value, error=describe_failure(error))
            await asyncio.sleep(BETWEEN_RINGS)


def _waiting(bell: QueueName) -> str:
    return f"{NAMESPACE}:waiting:{bell.value}"
