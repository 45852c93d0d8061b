"""Reminders while processes die or several run at once: each comes once, or again alike."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
import redis

from service.links.model import Link
from service.links.reminders import reminder_member
from service.outbox.doorbell import ring
from service.outbox.queues import NOTICE_QUEUE
from service.storage import keys
from service.storage.command import load_script
from service.values.reminders import Reminder
from service.values.time import datetime_to_ms
from tests.support.event_logs import logged
from tests.support.factories import make_link, read, store_link
from tests.support.link_load import MailLog
from tests.support.proxy import Proxy
from tests.support.redis_client import RedisClient, create_client
from tests.support.servers import MailServer, RedisServer, wait_until
from tests.support.service_processes import Process, Service

log = logging.getLogger(__name__)

WRITES = ("outbox/claim", "outbox/renew", "notices/settle")
"""What a worker writes of each reminder, in this order."""
MOMENTS = [
    pytest.param(write, lands, id=f"{write} {'lands' if lands else 'is lost'}")
    for write in WRITES
    for lands in (False, True)
]
WITHIN = 60.0
"""Seconds after which a reminder is out on a busy machine, its lease ended by hand."""


class Deployment:
    """A store with reminders that are due, and a mail server."""

    def __init__(self, directory: Path, store: RedisServer, mails: MailServer) -> None:
        self.directory = directory
        self.store = store
        self.environ = Service(directory, store.url, mails.url).environ
        self.mail_log = MailLog(mails.mailbox)
        self.client = RedisClient(create_client(store.url))
        self.redis = redis.Redis(unix_socket_path=str(store.socket), decode_responses=True)
        self._numbers = count()

    def close(self) -> None:
        self.client.close()
        self.redis.close()

    def process(self, command: str, **environ: str) -> Process:
        log_file = self.directory / f"{command.replace(' ', '-')}.log"
        return Process(command, self.environ | environ, log_file)

    def add_due(self) -> Link:
        """A link whose only reminder was due a moment ago."""
        number, now = next(self._numbers), datetime.now(UTC)
        link = make_link(
            now - timedelta(hours=25),
            org_id=f"org-{number % 20}",
            email=f"payer{number}@example.com",
            notify=False,
            reminders=(Reminder(after_send="24h"),),
        )
        return store_link(self.client, link)

    def ring(self, link: Link) -> None:
        ring(NOTICE_QUEUE, [keys.partition_of_link(link.id)], self.redis)

    def is_reminded(self, link: Link) -> bool:
        return read(self.client, link.id).reminded_at is not None

    def end_lease(self, link: Link) -> None:
        """As if its time had passed."""
        key = keys.notice_outbox(keys.partition_of_link(link.id))
        now = datetime_to_ms(datetime.now(UTC))
        self.redis.zadd(key, {reminder_member(link.id): now}, xx=True)

    def assert_settled(self, link: Link) -> None:
        """It was sent, with one Message-ID, and logged once; and none is owed any more."""
        taken = self.mail_log.taken[link.id]
        assert len({copy.message_id for copy in taken}) == 1
        local_id = keys.local_id(link.id)
        events = [entry.type for entry in logged(self.redis) if entry.link == local_id]
        assert events == ["reminded"]
        partition, member = keys.partition_of_link(link.id), reminder_member(link.id)
        for key in (keys.notices(partition), keys.notice_outbox(partition)):
            assert self.redis.zscore(key, member) is None


@pytest.fixture(scope="module")
def deployment(
    tmp_path_factory: pytest.TempPathFactory, own_store: RedisServer
) -> Iterator[Deployment]:
    with MailServer() as mails:
        deployment = Deployment(tmp_path_factory.mktemp("reminders"), own_store, mails)
        yield deployment
        deployment.close()


@pytest.fixture(scope="module")
def proxy(deployment: Deployment) -> Iterator[Proxy]:
    """Between a worker and its store."""
    with Proxy(deployment.store.socket) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def worker(deployment: Deployment, proxy: Proxy) -> Iterator[Process]:
    """Behind the proxy. It has sent a reminder, so that the store knows its scripts."""
    worker = deployment.process(
        "worker --queue notices",
        REDIS_URL=f"redis://127.0.0.1:{proxy.port}",
        QUEUE_REDIS_URL=deployment.store.url,
    )
    worker.start()
    link = deployment.add_due()
    deployment.ring(link)
    wait_until(lambda: deployment.is_reminded(link), "the first reminder", WITHIN)
    yield worker
    worker.stop()


@pytest.mark.parametrize(("write", "lands"), MOMENTS)
def test_a_reminder_whose_worker_is_killed_at_a_write_comes_once_or_again_alike(
    deployment: Deployment, proxy: Proxy, worker: Process, write: str, *, lands: bool
) -> None:
    """The worker is killed as it sends ``write``, which reaches the store if it ``lands``."""
    killed = threading.Event()
    digest = load_script(write).sha.encode()

    def watch(piece: bytes) -> None:
        if killed.is_set():
            raise ConnectionResetError
        if digest in piece:
            worker.kill_all()
            if lands:
                proxy.deliver(piece)
            killed.set()
            raise ConnectionResetError

    link = deployment.add_due()
    proxy.watch = watch
    deployment.ring(link)
    assert killed.wait(WITHIN), "the worker never came to that"
    proxy.watch = lambda _: None
    deployment.end_lease(link)
    worker.start()
    deployment.ring(link)
    wait_until(lambda: deployment.is_reminded(link), "the reminder", WITHIN)
    was_sent_before = write == "notices/settle"
    assert len(deployment.mail_log.taken[link.id]) == 1 + (was_sent_before and not lands)
    deployment.assert_settled(link)


def test_schedulers_and_workers_at_once_send_each_reminder_once(
    deployment: Deployment, run_length: Callable[[int, int], int]
) -> None:
    """Full: ten schedulers, three workers and 500 reminders. Short: three, two and 60."""
    links = [deployment.add_due() for _ in range(run_length(60, 500))]
    commands = ["scheduler"] * run_length(3, 10) + ["worker --queue otps"]
    commands += ["worker --queue notices"] * run_length(2, 3)
    with ExitStack() as running:
        for command in commands:
            process = deployment.process(command)
            process.start()
            running.callback(process.stop)
        wait_until(lambda: all(map(deployment.is_reminded, links)), "every reminder", 2 * WITHIN)
    for link in links:
        assert len(deployment.mail_log.taken[link.id]) == 1
        deployment.assert_settled(link)
    log.info("%d reminders, each once", len(links))
