"""The scheduler dies, at whatever moment. The scan runs again, and what is due is sent."""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count

import pytest
import redis

from service.outbox.doorbell import SCAN_JOB_ID, open_rq_queue
from service.outbox.queues import SCAN_QUEUE
from tasks.message import LEASE_DURATION
from tasks.scheduler import PeriodicScheduler
from tests.support.factories import make_link, store_link
from tests.support.proxy import Proxy
from tests.support.redis_client import RedisClient, create_client
from tests.support.run_length import RunLength
from tests.support.servers import MailServer, RedisServer
from tests.support.service_processes import Process, Service

log = logging.getLogger(__name__)

SCAN_AGAIN_WITHIN = 20.0
SCAN_AGAIN_FOR_A_DEAD_WORKER = 30.0 - LEASE_DURATION.total_seconds()
"""A mail is with the server again 30 s after its worker died, of which the lease takes the most."""
LOCK = PeriodicScheduler.scheduler_lock_key
JOBS = PeriodicScheduler.scheduled_jobs_key
Moment = Callable[[bytes], bool]
"""Whether the scheduler is to be killed as it sends these bytes."""


class Deployment:
    """A worker and a scheduler, with a proxy between the scheduler and its Redis."""

    def __init__(
        self, service: Service, store: RedisServer, proxy: Proxy, mails: MailServer
    ) -> None:
        self._proxy = proxy
        self._mails = mails
        self._recipients = (f"payer{number}@example.com" for number in count())
        self.client = RedisClient(create_client(store.url))
        self.queue = redis.Redis(unix_socket_path=str(store.socket))
        self.worker = service.worker
        self.scheduler = Process(
            "scheduler",
            {**service.environ, "QUEUE_REDIS_URL": f"redis://127.0.0.1:{proxy.port}"},
            service.scheduler.log,
        )
        self.second_scheduler = service.scheduler

    def kill_at(self, moment: Moment, *, lands: bool) -> None:
        """Kills the scheduler as it sends ``moment``; that reaches Redis if it ``lands``."""
        killed = threading.Event()

        def watch(piece: bytes) -> None:
            if killed.is_set():
                raise ConnectionResetError
            if moment(piece):
                self.scheduler.process.kill()
                if lands:
                    self._proxy.deliver(piece)
                killed.set()
                raise ConnectionResetError

        self._proxy.watch = watch
        assert killed.wait(20), "the scheduler never came to that"
        self.scheduler.process.wait()
        self._proxy.watch = lambda _: None

    def seconds_to_the_next_scan(self) -> float:
        """Seconds until a link is mailed for which no doorbell rang, by a scan of a later pass."""
        began = time.monotonic()
        self.queue.delete(open_rq_queue(SCAN_QUEUE, self.queue).key)
        time.sleep(0.2)  # one that the worker had begun is over
        recipient = next(self._recipients)
        store_link(self.client, make_link(datetime.now(UTC), email=recipient))
        self._mails.mailbox.wait_for(recipient, within=60)
        return time.monotonic() - began


@pytest.fixture(scope="module")
def deployment(
    tmp_path_factory: pytest.TempPathFactory, own_store: RedisServer
) -> Iterator[Deployment]:
    with MailServer() as mails, Proxy(own_store.socket) as proxy:
        service = Service(tmp_path_factory.mktemp("scheduler"), own_store.url, mails.url)
        deployment = Deployment(service, own_store, proxy, mails)
        deployment.worker.start()
        deployment.scheduler.start()
        deployment.seconds_to_the_next_scan()
        yield deployment
        deployment.scheduler.stop()
        deployment.worker.stop()
        deployment.client.close()
        deployment.queue.close()


def test_the_scan_runs_again_wherever_the_scheduler_is_killed(
    deployment: Deployment, run_length: RunLength
) -> None:
    """Full: 50 kills, before and after each command of a pass, and at random moments."""
    chance = random.Random(1138)
    sweep = [(number, lands) for number in range(20) for lands in (False, True)]
    took: list[float] = []
    for number, lands in chance.sample(sweep, run_length(0, 40)):
        deployment.queue.zrem(JOBS, SCAN_JOB_ID)  # so that the pass registers its job, too
        deployment.kill_at(nth_command(number), lands=lands)
        deployment.scheduler.start()
        took.append(deployment.seconds_to_the_next_scan())
    for _ in range(run_length(1, 10)):
        time.sleep(chance.uniform(0, 2))
        deployment.scheduler.kill()
        deployment.scheduler.start()
        took.append(deployment.seconds_to_the_next_scan())
    log.info("%d kills: the scan ran again after %.1f s at most", len(took), max(took))
    assert max(took) < SCAN_AGAIN_WITHIN, took


def test_the_scan_runs_again_where_the_scheduler_is_killed_between_two_writes_with_its_lock_held(
    deployment: Deployment,
) -> None:
    """Between ZREM and ZADD the job is on no list. The scan still comes in time."""
    deployment.kill_at(command("ZREM", JOBS), lands=True)
    assert (deployment.queue.exists(LOCK), deployment.queue.zscore(JOBS, SCAN_JOB_ID)) == (1, None)
    deployment.scheduler.start()
    took = deployment.seconds_to_the_next_scan()
    log.info("killed between ZREM and ZADD: the scan ran again after %.1f s", took)
    assert took < SCAN_AGAIN_FOR_A_DEAD_WORKER


@pytest.fixture
def second_scheduler(deployment: Deployment) -> Iterator[None]:
    """At work beside the first one, which is to be killed."""
    deployment.second_scheduler.start()
    yield
    deployment.second_scheduler.stop()
    deployment.scheduler.start()


@pytest.mark.usefixtures("second_scheduler")
def test_the_scan_runs_again_where_one_of_two_schedulers_is_killed_with_the_lock_held(
    deployment: Deployment,
) -> None:
    deployment.kill_at(command("ZSCORE", JOBS), lands=True)  # which only the lock's holder sends
    took = deployment.seconds_to_the_next_scan()
    log.info("one of two killed: the scan ran again after %.1f s", took)
    assert took < SCAN_AGAIN_FOR_A_DEAD_WORKER


def nth_command(number: int) -> Moment:
    """The one ``number`` commands after a pass asks for the lock."""
    asks, seen = command("SET", LOCK), count()
    begun = threading.Event()

    def moment(piece: bytes) -> bool:
        if asks(piece):
            begun.set()
        return begun.is_set() and next(seen) == number

    return moment


def command(name: str, key: str) -> Moment:
    """The next one of that name on ``key``, as RESP puts it on the wire."""
    words = f"\r\n${len(name)}\r\n{name}\r\n${len(key)}\r\n{key}\r\n".encode()
    return lambda piece: words in piece
