"""The scheduler registers its periodic job again on each pass, whatever was lost."""

import json
import threading
import time
import zlib
from collections.abc import Iterator

import pytest
from redis import Redis

from service.health import store as heartbeats
from service.health.heartbeat import Heartbeat
from service.outbox.doorbell import (
    SCAN_INTERVAL_SECONDS,
    SCAN_JOB,
    SCAN_JOB_ID,
    JsonJob,
    open_rq_queue,
)
from service.outbox.queues import SCAN_QUEUE
from service.storage import data_version
from service.storage.client import RedisClient, open_client
from service.storage.clock import RedisClock
from tasks.scheduler import PeriodicScheduler
from tests.support.delivery_harness import DeliveryHarness
from tests.support.partial_store import intercept
from tests.support.servers import RedisServer


@pytest.fixture
def client(valkey: RedisServer, harness: DeliveryHarness) -> Iterator[RedisClient]:  # noqa: ARG001 - the store is empty then
    with open_client(valkey.url) as client:
        yield client


@pytest.fixture
def scheduler(client: RedisClient, rq_connection: Redis) -> PeriodicScheduler:
    return PeriodicScheduler(
        client, Heartbeat("scheduler", RedisClock()), threading.Event(), connection=rq_connection
    )


def beat(scheduler: PeriodicScheduler) -> None:
    scheduler.heartbeat()
    scheduler.finish_recording()


def waiting(rq_connection: Redis) -> list[str]:
    return open_rq_queue(SCAN_QUEUE, rq_connection).get_job_ids()


def next_run(scheduler: PeriodicScheduler, rq_connection: Redis) -> float | None:
    return rq_connection.zscore(scheduler.scheduled_jobs_key, SCAN_JOB_ID)


def make_due(scheduler: PeriodicScheduler, rq_connection: Redis) -> None:
    """Ends the interval."""
    rq_connection.zadd(scheduler.scheduled_jobs_key, {SCAN_JOB_ID: 0})


def take_job(rq_connection: Redis) -> None:
    """As a worker does."""
    assert rq_connection.lpop(open_rq_queue(SCAN_QUEUE, rq_connection).key)


def test_the_first_pass_has_the_scan_run(
    scheduler: PeriodicScheduler, rq_connection: Redis
) -> None:
    scheduler.enqueue_jobs()
    assert waiting(rq_connection) == [SCAN_JOB_ID]
    job = JsonJob.fetch(SCAN_JOB_ID, connection=rq_connection)
    assert (job.func_name, job.args, job.kwargs) == (SCAN_JOB, [], {})


def test_the_scan_comes_again_after_its_interval(
    scheduler: PeriodicScheduler, rq_connection: Redis
) -> None:
    scheduler.enqueue_jobs()
    assert next_run(scheduler, rq_connection) == pytest.approx(
        time.time() + SCAN_INTERVAL_SECONDS, abs=2
    )
    take_job(rq_connection)
    scheduler.enqueue_jobs()
    assert waiting(rq_connection) == []
    make_due(scheduler, rq_connection)
    scheduler.enqueue_jobs()
    assert waiting(rq_connection) == [SCAN_JOB_ID]


def test_scans_that_were_missed_are_not_made_up_for(
    scheduler: PeriodicScheduler, rq_connection: Redis
) -> None:
    for _ in range(5):
        scheduler.enqueue_jobs()
        make_due(scheduler, rq_connection)
    assert waiting(rq_connection) == [SCAN_JOB_ID]


def test_a_scan_whose_next_run_was_lost_is_registered_again(
    scheduler: PeriodicScheduler, rq_connection: Redis
) -> None:
    """A scheduler that dies between removing the job and adding it again leaves this state."""
    scheduler.enqueue_jobs()
    take_job(rq_connection)
    rq_connection.zrem(scheduler.scheduled_jobs_key, SCAN_JOB_ID)
    scheduler.enqueue_jobs()
    assert waiting(rq_connection) == [SCAN_JOB_ID]
    assert next_run(scheduler, rq_connection) is not None


def test_a_scan_that_a_clock_80_hours_ahead_put_off_runs_now(
    scheduler: PeriodicScheduler, rq_connection: Redis
) -> None:
    scheduler.enqueue_jobs()
    take_job(rq_connection)
    rq_connection.zincrby(scheduler.scheduled_jobs_key, 80 * 3600, SCAN_JOB_ID)
    scheduler.enqueue_jobs()
    assert waiting(rq_connection) == [SCAN_JOB_ID]


def test_a_scan_whose_job_was_lost_is_registered_again(
    scheduler: PeriodicScheduler, rq_connection: Redis
) -> None:
    scheduler.enqueue_jobs()
    take_job(rq_connection)
    JsonJob.fetch(SCAN_JOB_ID, connection=rq_connection).delete()
    make_due(scheduler, rq_connection)
    scheduler.enqueue_jobs()
    scheduler.enqueue_jobs()
    assert waiting(rq_connection) == [SCAN_JOB_ID]


def test_all_data_of_the_queue_may_be_lost(
    scheduler: PeriodicScheduler, rq_connection: Redis
) -> None:
    scheduler.enqueue_jobs()
    rq_connection.flushall()
    scheduler.enqueue_jobs()
    assert waiting(rq_connection) == [SCAN_JOB_ID]


def test_two_schedulers_have_one_scan(
    scheduler: PeriodicScheduler, harness: DeliveryHarness, rq_connection: Redis
) -> None:
    other = PeriodicScheduler(
        harness.client,
        Heartbeat("scheduler", RedisClock()),
        threading.Event(),
        connection=rq_connection,
    )
    scheduler.enqueue_jobs()
    other.enqueue_jobs()
    assert waiting(rq_connection) == [SCAN_JOB_ID]
    assert rq_connection.zcard(scheduler.scheduled_jobs_key) == 1


def test_the_scan_is_json(scheduler: PeriodicScheduler, rq_connection: Redis) -> None:
    scheduler.enqueue_jobs()
    data = rq_connection.hget(JsonJob.key_for(SCAN_JOB_ID), "data")
    assert isinstance(data, bytes)
    assert json.loads(zlib.decompress(data)) == [SCAN_JOB, None, [], {}]


def test_a_pass_leaves_jobs_of_others_alone(
    scheduler: PeriodicScheduler, rq_connection: Redis
) -> None:
    rq_connection.zadd("rq:scheduler:scheduled_jobs", {"somebody-elses": 0})
    scheduler.enqueue_jobs()
    assert rq_connection.zscore("rq:scheduler:scheduled_jobs", "somebody-elses") == 0


def test_it_stops_at_its_next_pass_where_python_dropped_what_the_signal_handler_raised(
    harness: DeliveryHarness, rq_connection: Redis
) -> None:
    stopping = threading.Event()
    scheduler = PeriodicScheduler(
        harness.client, Heartbeat("scheduler", RedisClock()), stopping, connection=rq_connection
    )
    stopping.set()
    with pytest.raises(SystemExit):
        scheduler.acquire_lock()
    assert not rq_connection.exists(scheduler.scheduler_lock_key)


class TestHeartbeat:
    def test_it_records_that_the_scheduler_is_alive(
        self, scheduler: PeriodicScheduler, harness: DeliveryHarness
    ) -> None:
        beat(scheduler)
        [seen] = harness.client.run(heartbeats.read("scheduler"))
        assert not seen.is_stalled

    @pytest.fixture
    def away(self, valkey: RedisServer, rq_connection: Redis) -> Iterator[PeriodicScheduler]:
        with open_client(f"{valkey.url}-that-nobody-has") as client:
            yield PeriodicScheduler(
                client,
                Heartbeat("scheduler", RedisClock()),
                threading.Event(),
                connection=rq_connection,
            )

    def test_an_outage_of_the_store_does_not_end_the_scheduler(
        self, away: PeriodicScheduler, rq_connection: Redis
    ) -> None:
        rq_connection.flushall()
        beat(away)
        away.enqueue_jobs()
        assert waiting(rq_connection) == [SCAN_JOB_ID]

    def test_no_pass_waits_for_it_once_the_clock_is_set(
        self, client: RedisClient, scheduler: PeriodicScheduler
    ) -> None:
        beat(scheduler)
        store = intercept(vars(client)["_pipeline"])
        store.away, store.is_silent = {"heartbeats"}, True
        began = time.monotonic()
        for _ in range(3):
            scheduler.heartbeat()
        assert time.monotonic() - began < 0.5
        scheduler.finish_recording()


def test_it_writes_the_data_s_version_again_after_the_store_was_emptied(
    harness: DeliveryHarness, scheduler: PeriodicScheduler
) -> None:
    scheduler.connection.flushall()
    beat(scheduler)
    assert data_version.find_version(harness.client) == data_version.DATA_VERSION
