"""A worker without a process: the real store, a clock that tests set, and a mailer in memory."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from threading import Event

import pytest
from redis import Redis

from service.outbox.doorbell import open_rq_queue
from service.outbox.queues import LINK_QUEUE, NOTICE_QUEUE, OTP_QUEUE, SCAN_QUEUE, MailQueue
from service.storage.clock import RedisClock
from tasks import jobs
from tasks.runtime import Runtime, create_heartbeat, current_runtime
from tests.support.clock import Clock
from tests.support.delivery_harness import DeliveryHarness
from tests.support.redis_client import RedisClient, create_client
from tests.support.scripted_smtp import ScriptedMailer
from tests.support.servers import RedisServer


@pytest.fixture
def harness(valkey: RedisServer, clock: Clock) -> Iterator[DeliveryHarness]:
    """On an empty store."""
    client = RedisClient(create_client(valkey.url))
    with Redis.from_url(valkey.url, decode_responses=True) as redis:
        redis.flushall()
        yield DeliveryHarness(valkey.url, client, redis, clock)
    client.close()


@pytest.fixture
def rq_connection(valkey: RedisServer) -> Iterator[Redis]:
    with Redis.from_url(valkey.url) as connection:
        yield connection


@pytest.fixture
def mailer() -> ScriptedMailer:
    return ScriptedMailer()


@pytest.fixture
def runtimes(
    harness: DeliveryHarness, rq_connection: Redis, mailer: ScriptedMailer
) -> Iterator[dict[MailQueue, Runtime]]:
    """A worker's runtime for each queue. The one that scans is current."""
    workers = {
        LINK_QUEUE: harness.link_worker(mailer),
        OTP_QUEUE: harness.code_worker(mailer),
        NOTICE_QUEUE: harness.notice_worker(mailer),
    }
    stopping = Event()
    with ExitStack() as stack:
        runtimes = {
            queue: Runtime(
                queue=queue,
                runner=stack.enter_context(worker.started()),
                rq_connection=rq_connection,
                clock=harness.clock,
                heartbeat=create_heartbeat(queue, RedisClock()),
                stopping=stopping,
            )
            for queue, worker in workers.items()
        }
        token = current_runtime.set(runtimes[SCAN_QUEUE])
        yield runtimes
        current_runtime.reset(token)


@pytest.fixture
def deliver(runtimes: dict[MailQueue, Runtime]) -> Callable[[MailQueue], None]:
    """Takes the job of a queue and runs it, as its worker does."""

    def run(queue: MailQueue) -> None:
        token = current_runtime.set(runtimes[queue])
        try:
            connection = runtimes[queue].rq_connection
            connection.lpop(open_rq_queue(queue, connection).key)
            jobs.deliver()
        finally:
            current_runtime.reset(token)

    return run
