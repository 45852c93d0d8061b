"""The scheduler: its periodic job is there again on every pass, whatever was lost meanwhile."""

import json
import threading
import zlib
from collections.abc import Iterator
from datetime import datetime

import pytest
from redis import Redis

from service.health import store as heartbeats
from service.health.heartbeat import Heartbeat
from service.outbox.doorbell import (
    SCAN_BELL,
    SCAN_INTERVAL,
    SCAN_JOB,
    SCAN_JOB_ID,
    JsonJob,
    queue_of,
)
from service.storage import data_version
from service.storage.client import Client
from service.storage.clock import RedisClock
from service.storage.redis_url import connect
from tasks.scheduler import PeriodicScheduler
from tests.support.harness import Harness
from tests.support.servers import Store


@pytest.fixture
def scheduler(harness: Harness, queue: Redis) -> PeriodicScheduler:
    return PeriodicScheduler(
        harness.client, Heartbeat("scheduler", RedisClock()), threading.Event(), connection=queue
    )


def waiting(queue: Redis) -> list[str]:
    return queue_of(SCAN_BELL, queue).get_job_ids()


def next_run(scheduler: PeriodicScheduler, queue: Redis) -> float | None:
    return queue.zscore(scheduler.scheduled_jobs_key, SCAN_JOB_ID)


def make_due(scheduler: PeriodicScheduler, queue: Redis) -> None:
    """As if the interval were over."""
    queue.zadd(scheduler.scheduled_jobs_key, {SCAN_JOB_ID: 0})


def take_job(queue: Redis) -> None:
    """As a worker does."""
    assert queue.lpop(queue_of(SCAN_BELL, queue).key)


def test_the_first_pass_has_the_scan_run(scheduler: PeriodicScheduler, queue: Redis) -> None:
    scheduler.enqueue_jobs()
    assert waiting(queue) == [SCAN_JOB_ID]
    job = JsonJob.fetch(SCAN_JOB_ID, connection=queue)
    assert (job.func_name, job.args, job.kwargs) == (SCAN_JOB, [], {})


def test_the_scan_comes_again_after_its_interval(
    scheduler: PeriodicScheduler, queue: Redis
) -> None:
    scheduler.enqueue_jobs()
    now = datetime.now().timestamp()  # noqa: DTZ005 - seconds since 1970 all the same
    assert next_run(scheduler, queue) == pytest.approx(now + SCAN_INTERVAL, abs=2)
    take_job(queue)
    scheduler.enqueue_jobs()
    assert waiting(queue) == []
    make_due(scheduler, queue)
    scheduler.enqueue_jobs()
    assert waiting(queue) == [SCAN_JOB_ID]


def test_scans_that_were_missed_are_not_made_up_for(
    scheduler: PeriodicScheduler, queue: Redis
) -> None:
    for _ in range(5):
        scheduler.enqueue_jobs()
        make_due(scheduler, queue)
    assert waiting(queue) == [SCAN_JOB_ID]


def test_a_scan_whose_next_run_was_lost_is_registered_again(
    scheduler: PeriodicScheduler, queue: Redis
) -> None:
    """As where the scheduler dies between taking the job off its list and putting it back."""
    scheduler.enqueue_jobs()
    take_job(queue)
    queue.zrem(scheduler.scheduled_jobs_key, SCAN_JOB_ID)
    scheduler.enqueue_jobs()
    assert waiting(queue) == [SCAN_JOB_ID]
    assert next_run(scheduler, queue) is not None


def test_a_scan_that_a_clock_80_hours_ahead_put_off_runs_now(
    scheduler: PeriodicScheduler, queue: Redis
) -> None:
    scheduler.enqueue_jobs()
    take_job(queue)
    queue.zincrby(scheduler.scheduled_jobs_key, 80 * 3600, SCAN_JOB_ID)
    scheduler.enqueue_jobs()
    assert waiting(queue) == [SCAN_JOB_ID]


def test_a_scan_whose_job_was_lost_is_registered_again(
    scheduler: PeriodicScheduler, queue: Redis
) -> None:
    scheduler.enqueue_jobs()
    take_job(queue)
    JsonJob.fetch(SCAN_JOB_ID, connection=queue).delete()
    make_due(scheduler, queue)
    scheduler.enqueue_jobs()
    scheduler.enqueue_jobs()
    assert waiting(queue) == [SCAN_JOB_ID]


def test_all_data_of_the_queue_may_be_lost(scheduler: PeriodicScheduler, queue: Redis) -> None:
    scheduler.enqueue_jobs()
    queue.flushall()
    scheduler.enqueue_jobs()
    assert waiting(queue) == [SCAN_JOB_ID]


def test_two_schedulers_have_one_scan(
    scheduler: PeriodicScheduler, harness: Harness, queue: Redis
) -> None:
    other = PeriodicScheduler(
        harness.client, Heartbeat("scheduler", RedisClock()), threading.Event(), connection=queue
    )
    scheduler.enqueue_jobs()
    other.enqueue_jobs()
    assert waiting(queue) == [SCAN_JOB_ID]
    assert queue.zcard(scheduler.scheduled_jobs_key) == 1


def test_the_scan_is_json(scheduler: PeriodicScheduler, queue: Redis) -> None:
    scheduler.enqueue_jobs()
    data = queue.hget(JsonJob.key_for(SCAN_JOB_ID), "data")
    assert data is not None
    assert json.loads(zlib.decompress(data)) == [SCAN_JOB, None, [], {}]


def test_a_pass_leaves_jobs_of_others_alone(scheduler: PeriodicScheduler, queue: Redis) -> None:
    queue.zadd("rq:scheduler:scheduled_jobs", {"somebody-elses": 0})
    scheduler.enqueue_jobs()
    assert queue.zscore("rq:scheduler:scheduled_jobs", "somebody-elses") == 0


def test_it_stops_at_its_next_pass_where_python_dropped_what_the_signal_handler_raised(
    harness: Harness, queue: Redis
) -> None:
    stopping = threading.Event()
    scheduler = PeriodicScheduler(
        harness.client, Heartbeat("scheduler", RedisClock()), stopping, connection=queue
    )
    stopping.set()
    with pytest.raises(SystemExit):
        scheduler.acquire_lock()
    assert not queue.exists(scheduler.scheduler_lock_key)


class TestHeartbeat:
    def test_it_says_that_the_scheduler_lives(
        self, scheduler: PeriodicScheduler, harness: Harness
    ) -> None:
        scheduler.heartbeat()
        [seen] = harness.client.run(heartbeats.read("scheduler"))
        assert not seen.is_stalled

    @pytest.fixture
    def away(self, valkey: Store, queue: Redis) -> Iterator[PeriodicScheduler]:
        client = Client(connect(f"{valkey.url}-that-nobody-has"))
        yield PeriodicScheduler(
            client, Heartbeat("scheduler", RedisClock()), threading.Event(), connection=queue
        )
        client.close()

    def test_a_store_that_is_away_does_not_end_the_scheduler(
        self, away: PeriodicScheduler, queue: Redis
    ) -> None:
        queue.flushall()
        away.heartbeat()
        away.enqueue_jobs()
        assert waiting(queue) == [SCAN_JOB_ID]


def test_it_writes_the_data_s_version_again_after_the_store_was_emptied(
    harness: Harness, scheduler: PeriodicScheduler
) -> None:
    scheduler.connection.flushall()
    scheduler.heartbeat()
    assert data_version.find(harness.client) == data_version.VERSION
