"""Processes die, and the queue loses its data: every mail arrives, rarely twice."""

import logging
import os
import random
import re
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, NamedTuple

import pytest
import redis

from service.links.redis_hash import decode
from service.outbox.doorbell import open_rq_queue
from service.outbox.queues import LINK_QUEUE, OTP_QUEUE, QUEUES, MailQueue
from service.storage import keys
from service.storage.command import load_script
from tests.support.link_load import MailLog, create_links
from tests.support.proxy import Proxy
from tests.support.sender import SESSIONS
from tests.support.servers import MailServer, RedisServer, store, valkey_server, wait_until
from tests.support.service_processes import Process, Service

log = logging.getLogger(__name__)

AGAIN_WITHIN = 30.0
"""Seconds after which a mail whose worker died, or whose bell was lost, is with the mail server."""
ON_ITS_WAY = 0.3
"""Seconds after which the output of a stopped process has reached Redis and SMTP."""
A_SLOW_REPLY = 0.03
"""Seconds before the mail server's 250 while a worker is about to be killed, to hit them."""


class Death(NamedTuple):
    """A killed worker: the leases that it left, and the mails that it sent but did not mark."""

    at: float
    leases: set[tuple[str, float]]
    unmarked: set[tuple[str, int]]


class Deployment:
    """The service with a queue of its own."""

    def __init__(
        self, service: Service, main: RedisServer, queue_store: RedisServer, mail_log: MailLog
    ) -> None:
        self.service = service
        self.main = main
        self.queue_store = queue_store
        self.mail_log = mail_log
        self.deaths: list[Death] = []
        self._killed: set[int] = set()
        self._store: Any = redis.Redis(unix_socket_path=str(main.socket), decode_responses=True)
        self.queue = redis.Redis(unix_socket_path=str(queue_store.socket), decode_responses=True)

    def close(self) -> None:
        self._store.close()
        self.queue.close()

    def victims(self) -> dict[str, Callable[[], None]]:
        """Who may be killed, and how; what a platform would start again is started again."""
        service = self.service
        return {
            "web": lambda: self.replace(service.web),
            "web's child": self.kill_web_child,
            "worker": lambda: restart(service.worker),
            "worker and its children": lambda: self.kill_sender(
                lambda _: self.replace(service.worker)
            ),
            "worker for links": lambda: self.kill_sender(self.kill),
            "worker for codes": lambda: self.kill(self.worker_pid(OTP_QUEUE)),
            "scheduler": lambda: restart(service.scheduler),
        }

    def kill(self, pid: int) -> None:
        self._killed.add(pid)
        os.kill(pid, signal.SIGKILL)

    def kill_sender(self, kill: Callable[[int], None]) -> None:
        """Stops the worker of links at work, notes its leases and unmarked mails, and kills it."""
        pid, self.mail_log.pause = self.worker_pid(LINK_QUEUE), A_SLOW_REPLY
        self.wait_for_mail(within=2)
        time.sleep(random.uniform(0, 2 * A_SLOW_REPLY))
        os.kill(pid, signal.SIGSTOP)
        time.sleep(ON_ITS_WAY)
        self.mail_log.pause = 0.0
        copies = self.mail_log.copies()
        leases, unmarked = self.leases(), {(link, copies[link]) for link in self.unmarked(copies)}
        for death in self.deaths:
            leases -= death.leases
            unmarked -= death.unmarked
        self.deaths.append(Death(time.time(), leases, unmarked))
        kill(pid)

    def kill_web_child(self) -> None:
        """Granian replaces the child; if that happens too often, it exits and is started again."""
        web, child = self.service.web, self.web_child()
        self.kill(child)
        wait_until(
            lambda: web.process.poll() is not None or self.web_children()[-1] != str(child),
            "another child of web",
        )
        if web.process.poll() is not None:
            web.start()

    def replace(self, process: Process) -> None:
        """As where a container goes and another comes."""
        self._killed |= (
            {self.web_child()}
            if process is self.service.web
            else {self.worker_pid(queue) for queue in QUEUES}
        )
        process.kill_all()
        process.start()

    def web_child(self) -> int:
        """The youngest one."""
        return self._living(self.web_children, "a child of web")

    def web_children(self) -> list[str]:
        """Those that Granian speaks of, in their order."""
        return re.findall(r"Spawning worker-1 with PID: (\d+)", self.service.web.output())

    def worker_pid(self, queue: MailQueue) -> int:
        """The youngest worker of the queue that RQ knows of."""

        def registered() -> list[str]:
            workers = [
                self.queue.hmget(key, "birth", "pid")
                for key in self.queue.smembers(
                    f"rq:workers:{open_rq_queue(queue, self.queue).name}"
                )
            ]
            return [
                str(pid)
                for birth, pid in sorted((birth, pid) for birth, pid in workers if birth and pid)
            ]

        return self._living(registered, f"a worker for {queue.name}")

    def _living(self, pids: Callable[[], list[str]], what: str) -> int:
        """The last one of ``pids``, as soon as that is none that was killed."""
        wait_until(lambda: pids() and int(pids()[-1]) not in self._killed, what)
        return int(pids()[-1])

    def wait_for_mail(self, within: float) -> None:
        """Until the mail server takes one, unless there is none to take."""
        before = self.mail_log.total()
        with suppress(AssertionError):
            wait_until(lambda: self.mail_log.total() != before, "a mail", within)

    def leases(self) -> set[tuple[str, float]]:
        """The links that some worker, dead or alive, is to send, each with the lease's deadline."""
        with self._store.pipeline(transaction=False) as pipeline:
            for partition in keys.ALL_PARTITIONS:
                pipeline.zrangebyscore(
                    keys.outbox(partition), time.time() * 1000, "+inf", withscores=True
                )
            found = zip(keys.ALL_PARTITIONS, pipeline.execute(), strict=True)
        return {
            (keys.full_id(partition, local_id), deadline)
            for partition, leases in found
            for local_id, deadline in leases
        }

    def end_leases(self, links: Iterable[str]) -> None:
        """As if their time had passed."""
        for link in links:
            self._store.zadd(
                keys.outbox(keys.partition_of_link(link)),
                {keys.local_id(link): time.time() * 1000},
                xx=True,
            )

    def unmarked(self, links: Iterable[str]) -> set[str]:
        """Those of ``links`` whose mail does not count as sent."""
        asked = list(links)
        with self._store.pipeline(transaction=False) as pipeline:
            for link in asked:
                pipeline.hgetall(keys.link(link))
            found = [
                decode(link, record) for link, record in zip(asked, pipeline.execute(), strict=True)
            ]
            return {
                link
                for link, read in zip(asked, found, strict=True)
                if read is None or read.delivery.state != "sent"
            }

    def lateness(self, links: Iterable[str]) -> list[float]:
        """Seconds from each link's time to its mail's."""
        late = []
        for link in links:
            read = decode(link, self._store.hgetall(keys.link(link)))
            assert read is not None
            due = max(read.created_at, read.due_at)
            late.append(self.mail_log.taken[link][0].at - due.timestamp())
        return late

    def wait_for_all(self, creations: list[Future[str]], within: float) -> set[str]:
        """The campaign's links, once each was mailed and marked."""
        created = {creation.result(60) for creation in creations}
        assert len(created) == len(creations)
        wait_until(lambda: created <= self.mail_log.taken.keys(), "every mail", within)
        wait_until(lambda: not self.unmarked(created), "every link to be marked as sent", within)
        return created


@pytest.fixture(scope="module")
def queue_store() -> Iterator[RedisServer]:
    """RQ's, which keeps nothing when it dies."""
    with store(valkey_server()) as server:
        yield server


@pytest.fixture(scope="module")
def deployment(
    tmp_path_factory: pytest.TempPathFactory, own_store: RedisServer, queue_store: RedisServer
) -> Iterator[Deployment]:
    with MailServer() as mails:
        directory = tmp_path_factory.mktemp("workers")
        with Service(
            directory, own_store.url, mails.url, QUEUE_REDIS_URL=queue_store.url
        ) as service:
            deployment = Deployment(service, own_store, queue_store, MailLog(mails.mailbox))
            yield deployment
            deployment.close()


def test_kills_of_every_process_lose_no_mail_and_repeat_only_what_was_not_marked(
    deployment: Deployment, run_length: Callable[[int, int], int]
) -> None:
    """Full: 100 kills while 2,000 links are mailed. Short: 3, and leases are ended by hand."""
    kills = run_length(3, 100)
    creations: list[Future[str]] = []
    chance = random.Random()
    victims = list(deployment.victims().items())
    for number in range(kills):
        if number % len(victims) == 0:
            chance.shuffle(victims)
        with create_links(deployment.service.url, run_length(10, 20), run_length(0, 1)) as some:
            time.sleep(chance.uniform(0, 1))
            name, kill = victims[number % len(victims)]
            log.info("kill %d: %s", number + 1, name)
            kill()
        creations += some
        deployment.wait_for_mail(within=run_length(2, 6))
    if run_length(1, 0):
        deployment.end_leases(link for death in deployment.deaths for link, _ in death.leases)
    created = deployment.wait_for_all(creations, within=AGAIN_WITHIN)
    repeated = {
        (link, copy) for link in created for copy in range(1, len(deployment.mail_log.taken[link]))
    }
    between = [death for death in deployment.deaths if death.unmarked]
    log.info(
        "%d kills, %d of a sender; %d between the 250 and the mark",
        kills,
        len(deployment.deaths),
        len(between),
    )
    log.info("%d mails, %d of them twice", len(created), len(repeated))
    assert repeated <= {copy for death in between for copy in death.unmarked}
    assert all(len(death.unmarked) <= SESSIONS for death in between)
    assert all(
        len({copy.message_id for copy in deployment.mail_log.taken[link]}) == 1 for link in created
    )


def test_mails_of_a_worker_that_died_are_with_the_server_again_within_30_s(
    deployment: Deployment, run_length: Callable[[int, int], int]
) -> None:
    """Full: 5 times. Short: once, and leases are ended by hand."""
    for _ in range(run_length(1, 5)):
        sender = deployment.worker_pid(LINK_QUEUE)
        os.kill(sender, signal.SIGSTOP)  # so that it finds all of them at once
        with create_links(deployment.service.url, 60, 0, orgs=1) as creations:
            pass
        os.kill(sender, signal.SIGCONT)
        deployment.kill_sender(deployment.kill)
        death = deployment.deaths[-1]
        held = {link for link, _ in death.leases}
        if run_length(1, 0):
            deployment.end_leases(held)
        deployment.wait_for_all(creations, within=60)
        again = [
            min(copy.at for copy in deployment.mail_log.taken[link] if copy.at > death.at)
            - death.at
            for link in held
        ]
        log.info("%d mails of a dead worker again after %.1f s at most", len(again), max(again))
        assert max(again) < AGAIN_WITHIN


@pytest.fixture
def proxy(deployment: Deployment) -> Iterator[Proxy]:
    """Between the worker and its store."""
    direct = deployment.service.worker
    direct.stop()
    with Proxy(deployment.main.socket) as proxy:
        environ = {**deployment.service.environ, "REDIS_URL": f"redis://127.0.0.1:{proxy.port}"}
        behind = Process("worker", environ, direct.log)
        behind.start()
        yield proxy
        behind.stop()
    direct.start()
    for queue in QUEUES:
        deployment.worker_pid(queue)


def test_a_mail_that_was_taken_but_not_marked_comes_again_with_the_same_message_id(
    deployment: Deployment, proxy: Proxy, run_length: Callable[[int, int], int]
) -> None:
    """Its worker is killed as it marks the mail. Short: the lease is ended by hand."""
    pid, killed, settle = (
        deployment.worker_pid(LINK_QUEUE),
        threading.Event(),
        load_script("links/settle").sha.encode(),
    )

    def watch(piece: bytes) -> None:
        if settle in piece and not killed.is_set():
            deployment.kill(pid)
            killed.set()
            raise ConnectionResetError

    proxy.watch = watch
    with create_links(deployment.service.url, 1, 0) as [creation]:
        link = creation.result(20)
    assert killed.wait(20)
    died = time.time()
    assert (deployment.mail_log.copies()[link], deployment.unmarked([link])) == (1, {link})
    if run_length(1, 0):
        deployment.end_leases([link])
    deployment.wait_for_all([creation], within=60)
    first, second = deployment.mail_log.taken[link]
    log.info("again %.1f s after its worker died", second.at - died)
    assert first.message_id == second.message_id
    assert second.at - died < AGAIN_WITHIN


def test_a_queue_that_loses_its_data_again_and_again_loses_no_mail(
    deployment: Deployment, run_length: Callable[[int, int], int]
) -> None:
    """Full: 1,000 mails within a minute, in which the queue is flushed some 200 times."""
    flushes = 0
    with create_links(
        deployment.service.url, run_length(100, 1000), run_length(1, 60)
    ) as creations:
        while not all(creation.done() for creation in creations):
            deployment.queue.flushdb()
            flushes += 1
            time.sleep(random.uniform(0, 0.5))
    created = deployment.wait_for_all(creations, within=60)
    late = max(deployment.lateness(created))
    log.info("%d flushes, %d mails, each within %.1f s of its time", flushes, len(created), late)
    assert late < AGAIN_WITHIN
    assert all(len(deployment.mail_log.taken[link]) == 1 for link in created)


def test_a_queue_that_dies_and_comes_back_empty_loses_no_mail(
    deployment: Deployment, run_length: Callable[[int, int], int]
) -> None:
    """Full: 5 times, for 5 s each. Due mails are sent soon after the queue is back."""
    for _ in range(run_length(1, 5)):
        away = run_length(1, 5)
        with create_links(deployment.service.url, run_length(50, 400), 2 * away) as creations:
            time.sleep(away / 2)
            deployment.queue_store.kill()
            time.sleep(away)
            deployment.queue_store.start()
        created = deployment.wait_for_all(creations, within=30)
        late = max(deployment.lateness(created)) - away
        log.info(
            "%d mails, each within %.1f s of its time or the queue's return", len(created), late
        )
        assert late < AGAIN_WITHIN
        assert all(len(deployment.mail_log.taken[link]) == 1 for link in created)


def restart(process: Process) -> None:
    process.kill()
    process.start()
