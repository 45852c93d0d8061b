"""RQ as a doorbell: one job for many rings, a new one if it was lost, and no personal data."""

import asyncio
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq.serializers import JSONSerializer

from service.outbox import doorbell as jobs
from service.outbox.doorbell import (
    DELIVERY_JOB,
    NAMESPACE,
    SCAN_JOB,
    Doorbell,
    JsonJob,
    JsonQueue,
    open_rq_queue,
    ring,
    take_pending,
)
from service.outbox.queues import LINK_QUEUE, OTP_QUEUE, QUEUES, MailQueue
from tests.support.servers import RedisServer, store, valkey_server


@pytest.fixture
def redis(valkey: RedisServer) -> Iterator[Redis]:
    """RQ's Redis, empty."""
    with Redis.from_url(valkey.url) as connection:
        connection.flushall()
        yield connection


def waiting_jobs(queue: MailQueue, redis: Redis) -> list[Any]:
    return open_rq_queue(queue, redis).get_jobs()


def contents(redis: Any) -> list[bytes]:
    """Every key and value in Redis, jobs' data unpacked."""
    found: list[bytes] = []
    for key in redis.scan_iter():
        found.append(key)
        kind = redis.type(key)
        if kind == b"hash":
            found += [
                part
                for field, value in redis.hgetall(key).items()
                for part in (field, unpacked(value))
            ]
        elif kind == b"set":
            found += redis.smembers(key)
        elif kind == b"list":
            found += redis.lrange(key, 0, -1)
        elif kind == b"zset":
            found += redis.zrange(key, 0, -1)
        else:
            found.append(redis.get(key) or b"")
    return found


def unpacked(value: bytes) -> bytes:
    try:
        return zlib.decompress(value)
    except zlib.error:
        return value


class TestRinging:
    @pytest.mark.parametrize("queue", QUEUES, ids=lambda queue: queue.name)
    def test_a_ring_makes_the_worker_s_job(self, queue: MailQueue, redis: Redis) -> None:
        ring(queue, ["3f"], redis)
        assert [job.func_name for job in waiting_jobs(queue, redis)] == [DELIVERY_JOB]

    def test_many_rings_make_one_job(self, redis: Redis) -> None:
        for number in range(100):
            ring(LINK_QUEUE, [f"{number:02x}"], redis)
        assert len(waiting_jobs(LINK_QUEUE, redis)) == 1
        assert take_pending(LINK_QUEUE, redis) == [f"{number:02x}" for number in range(100)]

    def test_each_queue_has_its_own_partitions_and_jobs(self, redis: Redis) -> None:
        ring(LINK_QUEUE, ["01"], redis)
        ring(OTP_QUEUE, ["02"], redis)
        assert len(waiting_jobs(LINK_QUEUE, redis)) == len(waiting_jobs(OTP_QUEUE, redis)) == 1
        assert (take_pending(LINK_QUEUE, redis), take_pending(OTP_QUEUE, redis)) == (["01"], ["02"])

    def test_it_rings_again_once_the_worker_took_what_waited(self, redis: Redis) -> None:
        ring(LINK_QUEUE, ["01"], redis)
        redis.delete(open_rq_queue(LINK_QUEUE, redis).key)
        take_pending(LINK_QUEUE, redis)
        ring(LINK_QUEUE, ["02"], redis)
        assert len(waiting_jobs(LINK_QUEUE, redis)) == 1
        assert take_pending(LINK_QUEUE, redis) == ["02"]

    def test_it_rings_for_what_comes_while_the_worker_is_at_work(self, redis: Redis) -> None:
        """The worker takes the partitions first, so a ring while it works needs another job."""
        ring(LINK_QUEUE, ["01"], redis)
        take_pending(LINK_QUEUE, redis)
        ring(LINK_QUEUE, ["02"], redis)
        assert len(waiting_jobs(LINK_QUEUE, redis)) == 2

    def test_it_rings_again_where_the_job_was_lost(self, redis: Redis) -> None:
        ring(LINK_QUEUE, ["01"], redis)
        redis.delete(open_rq_queue(LINK_QUEUE, redis).key)
        ring(LINK_QUEUE, ["02"], redis)
        assert len(waiting_jobs(LINK_QUEUE, redis)) == 1
        assert take_pending(LINK_QUEUE, redis) == ["01", "02"]

    def test_it_rings_again_where_all_data_of_the_queue_were_lost(self, redis: Redis) -> None:
        ring(LINK_QUEUE, ["01"], redis)
        redis.flushall()
        ring(LINK_QUEUE, ["02"], redis)
        assert len(waiting_jobs(LINK_QUEUE, redis)) == 1

    def test_a_partition_waits_once_however_often_it_is_rung_for(self, redis: Redis) -> None:
        ring(LINK_QUEUE, ["01", "01"], redis)
        ring(LINK_QUEUE, ["01"], redis)
        assert take_pending(LINK_QUEUE, redis) == ["01"]

    def test_all_partitions_can_be_rung_for_at_once(self, redis: Redis) -> None:
        partitions = [f"{number:02x}" for number in range(256)]
        ring(LINK_QUEUE, partitions, redis)
        assert take_pending(LINK_QUEUE, redis) == partitions


class TestAnswering:
    def test_an_answer_takes_all_that_waits(self, redis: Redis) -> None:
        ring(LINK_QUEUE, ["02", "01"], redis)
        assert take_pending(LINK_QUEUE, redis) == ["01", "02"]
        assert take_pending(LINK_QUEUE, redis) == []

    def test_a_key_of_another_type_does_not_prevent_a_ring(self, redis: Redis) -> None:
        redis.set(f"{NAMESPACE}:pending:links", "boom")
        ring(LINK_QUEUE, ["01"], redis)
        assert take_pending(LINK_QUEUE, redis) == ["01"]

    def test_nothing_is_pending_without_a_ring(self, redis: Redis) -> None:
        assert take_pending(OTP_QUEUE, redis) == []

    def test_an_answer_is_text_whatever_the_connection_gives(
        self, valkey: RedisServer, redis: Redis
    ) -> None:
        ring(LINK_QUEUE, ["01"], redis)
        with Redis.from_url(valkey.url, decode_responses=True) as decoding:
            assert take_pending(LINK_QUEUE, decoding) == ["01"]


class TestJobs:
    @pytest.mark.parametrize("queue", QUEUES, ids=lambda queue: queue.name)
    def test_a_job_is_json_without_arguments(self, queue: MailQueue, redis: Redis) -> None:
        ring(queue, ["3f"], redis)
        [job] = waiting_jobs(queue, redis)
        packed = redis.hget(job.key, "data")
        assert isinstance(packed, bytes)
        data = unpacked(packed)
        assert json.loads(data) == [DELIVERY_JOB, None, [], {}]

    def test_nothing_in_the_queue_is_pickled(self, redis: Redis) -> None:
        ring(LINK_QUEUE, ["3f"], redis)
        assert not [value for value in contents(redis) if value.startswith(b"\x80")]

    def test_the_queue_knows_partitions_but_no_link_and_no_person(self, redis: Redis) -> None:
        ring(LINK_QUEUE, ["3f"], redis)
        ring(OTP_QUEUE, ["7c"], redis)
        text = b"\n".join(contents(redis))
        assert b"3f" in text
        assert not re.search(rb"\b(pl_..)?[0-9A-Za-z]{22}\b", text)
        assert b"@" not in text

    def test_a_finished_job_leaves_no_result(self, redis: Redis) -> None:
        ring(LINK_QUEUE, ["3f"], redis)
        [job] = waiting_jobs(LINK_QUEUE, redis)
        assert job.result_ttl == 0

    def test_a_job_is_json_wherever_it_is_made(self, redis: Redis) -> None:
        assert JsonJob.create(SCAN_JOB, connection=redis).serializer is JSONSerializer
        assert JsonQueue("links", connection=redis).serializer is JSONSerializer

    def test_a_job_that_waits_is_not_enqueued_a_second_time(self, redis: Redis) -> None:
        queue = open_rq_queue(LINK_QUEUE, redis)
        job = JsonJob.create(SCAN_JOB, connection=redis, id="scan", origin=queue.name)
        queue.enqueue_job(job)
        queue.enqueue_job(job)
        assert queue.get_job_ids() == ["scan"]

    def test_a_job_that_was_taken_can_be_enqueued_again(self, redis: Redis) -> None:
        queue = open_rq_queue(LINK_QUEUE, redis)
        job = JsonJob.create(SCAN_JOB, connection=redis, id="scan", origin=queue.name)
        queue.enqueue_job(job)
        redis.lpop(queue.key)
        queue.enqueue_job(job)
        assert queue.get_job_ids() == ["scan"]


class TestDoorbell:
    def test_rings_that_come_together_are_rung_as_one(self, redis: Redis) -> None:
        async def many_requests() -> None:
            doorbell = Doorbell(redis)
            for number in range(200):
                doorbell.ring(LINK_QUEUE, [f"{number:02x}"])
            await doorbell.close()

        redis.config_resetstat()
        asyncio.run(many_requests())
        assert redis.info("commandstats")["cmdstat_eval"]["calls"] == 1
        assert len(take_pending(LINK_QUEUE, redis)) == 200

    def test_what_comes_while_it_rings_is_rung_after(
        self, redis: Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rung: list[set[str]] = []

        def ring_slowly(_bell: MailQueue, partitions: set[str], _connection: Redis) -> None:
            rung.append(partitions)
            if len(rung) == 1:
                loop.call_soon_threadsafe(doorbell.ring, LINK_QUEUE, ["02"])
                loop.call_soon_threadsafe(doorbell.ring, LINK_QUEUE, ["03"])
                asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result()

        async def requests() -> None:
            doorbell.ring(LINK_QUEUE, ["01"])
            await doorbell.close()

        monkeypatch.setattr(jobs, "ring", ring_slowly)
        with asyncio.Runner() as runner:
            loop, doorbell = runner.get_loop(), Doorbell(redis)
            runner.run(requests())
        assert rung == [{"01"}, {"02", "03"}]

    def test_each_queue_is_rung_for(self, redis: Redis) -> None:
        async def requests() -> None:
            doorbell = Doorbell(redis)
            doorbell.ring(LINK_QUEUE, ["01"])
            doorbell.ring(OTP_QUEUE, ["02"])
            await doorbell.close()

        asyncio.run(requests())
        assert (take_pending(LINK_QUEUE, redis), take_pending(OTP_QUEUE, redis)) == (["01"], ["02"])

    def test_ringing_waits_for_nothing(self, redis: Redis) -> None:
        async def request() -> list[str]:
            doorbell = Doorbell(redis)
            doorbell.ring(LINK_QUEUE, ["01"])
            before = take_pending(LINK_QUEUE, redis)
            await doorbell.close()
            return before

        assert asyncio.run(request()) == []

    def test_an_unused_doorbell_closes(self, redis: Redis) -> None:
        async def nothing() -> None:
            await Doorbell(redis).close()

        asyncio.run(nothing())
        assert contents(redis) == []

    def test_a_dead_redis_harms_no_request(self, tmp_path: Path) -> None:
        async def request() -> None:
            doorbell = Doorbell(impatient(tmp_path / "nobody"))
            doorbell.ring(LINK_QUEUE, ["01"])
            await doorbell.close()

        asyncio.run(request())

    def test_it_closes_whatever_goes_wrong_in_it(
        self, redis: Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A process that stops must not hang here, and must close what comes after."""

        def fail(*_: object) -> None:
            raise RuntimeError("nobody thought of this")

        async def request() -> None:
            doorbell = Doorbell(redis)
            doorbell.ring(LINK_QUEUE, ["01"])
            await doorbell.close()

        monkeypatch.setattr(jobs, "ring", fail)
        asyncio.run(request())

    def test_it_rings_again_after_an_outage(self) -> None:
        async def requests() -> list[str]:
            doorbell = Doorbell(impatient(server.socket))
            doorbell.ring(LINK_QUEUE, ["01"])
            await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))
            server.start()
            doorbell.ring(LINK_QUEUE, ["02"])
            await doorbell.close()
            with Redis(unix_socket_path=str(server.socket)) as connection:
                return take_pending(LINK_QUEUE, connection)

        with store(valkey_server(), durable=True) as server:
            server.kill()
            assert asyncio.run(requests()) == ["02"]


def impatient(socket: Path) -> Redis:
    """A connection without retries."""
    return Redis(unix_socket_path=str(socket), retry=Retry(NoBackoff(), 0))
