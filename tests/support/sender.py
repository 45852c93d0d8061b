"""Workers on a database of their own, and the one relay that they send to."""

import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple, Self

import redis

from service.health import store as heartbeats
from service.health.model import Pause, ProcessHealth
from service.links.model import Delivery
from service.otps import store as otps
from service.outbox.doorbell import ring
from service.outbox.queues import LINK_QUEUE, OTP_QUEUE, MailQueue
from service.storage import keys
from service.storage.data_version import ensure_version
from service.values.ids import partition_of
from tests.support.factories import make_link, read, revoke, store_links
from tests.support.redis_client import RedisClient, create_client
from tests.support.relay import Relay
from tests.support.servers import wait_until
from tests.support.service_processes import SECRET, Process

LINK_WORKER, CODE_WORKER = (f"worker --queue {queue.name}" for queue in (LINK_QUEUE, OTP_QUEUE))
SESSIONS = 16
"""The default of ``SMTP_SESSIONS``."""
RING_INTERVAL_SECONDS = 0.5


class Sender:
    """Processes that send a database's mails. It rings for them, as the scheduler's scan does."""

    def __init__(
        self, directory: Path, redis_url: str, smtp_url: str, *commands: str, **settings: str
    ) -> None:
        self.directory = directory
        self.redis_url = redis_url
        environ = {
            "SECRET_KEY": SECRET,
            "REDIS_URL": redis_url,
            "DATA_DIR": str(directory),
            "LOG_FORMAT": "json",
            "SMTP_URL": smtp_url,
            "MAIL_FROM": "Acme Pay <pay@acme.example>",
            **settings,
        }
        self.processes = [
            Process(command, environ, directory / f"{number}.log")
            for number, command in enumerate(commands or (LINK_WORKER,))
        ]
        self.ids: dict[str, str] = {}
        """The links' ids, by their recipients."""
        self._owed: set[tuple[MailQueue, str]] = set()
        self._stopped = threading.Event()
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        self.store = RedisClient(create_client(self.redis_url))
        self._opened.callback(self.store.close)
        ensure_version(self.store)
        self._queue = self._opened.enter_context(redis.Redis.from_url(self.redis_url))
        ringing = threading.Thread(target=self._ring_often, daemon=True)
        ringing.start()
        self._opened.callback(ringing.join)
        self._opened.callback(self._stopped.set)
        for process in self.processes:
            process.start()
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.kill_all()
        self._opened.close()

    def owe(self, *recipients: str, org_id: str = "acme") -> None:
        """Links to ``recipients``, whose mails are due."""
        now = datetime.now(UTC)
        made = [make_link(now, email=recipient, org_id=org_id) for recipient in recipients]
        self.ids |= {link.email: link.id for link in store_links(self.store, made)}
        self._ring(LINK_QUEUE, partition_of(org_id))

    def owe_code(self, recipient: str, life: timedelta) -> None:
        """A code for ``recipient``, whose mail is due."""
        nonce = secrets.token_bytes(16)
        self.store.run(otps.create(recipient, nonce, now=datetime.now(UTC), ttl=life))
        self._ring(OTP_QUEUE, partition_of(recipient))

    def revoke(self, recipient: str) -> None:
        link = read(self.store, self.ids[recipient])
        assert revoke(self.store, link, datetime.now(UTC))

    def delivery(self, recipient: str) -> Delivery:
        return read(self.store, self.ids[recipient]).delivery

    def states(self, recipients: Iterable[str]) -> Counter[str]:
        return Counter(self.delivery(recipient).state.value for recipient in recipients)

    def wait_until_sent(self, recipients: Iterable[str], within: float = 30.0) -> None:
        waiting = set(recipients)

        def all_sent() -> bool:
            sent = {each for each in waiting if self.delivery(each).state == "sent"}
            waiting.difference_update(sent)
            return not waiting

        wait_until(all_sent, "every mail to count as sent", within)

    def is_claimed(self, recipient: str) -> bool:
        """Whether the mail is under a lease, or waits for its next try."""
        link = self.ids[recipient]
        score = self._queue.zscore(keys.outbox(keys.partition_of_link(link)), keys.local_id(link))
        return score is not None and score > time.time() * 1000

    def make_due(self, recipients: Iterable[str]) -> None:
        """As if their leases, or waits for the next try, were over."""
        for recipient in recipients:
            link = self.ids[recipient]
            key, member = keys.outbox(keys.partition_of_link(link)), keys.local_id(link)
            self._queue.zadd(key, {member: time.time() * 1000}, xx=True)

    def workers(self) -> list[ProcessHealth]:
        """Those for links."""
        return self.store.run(heartbeats.read(LINK_QUEUE.worker_name))

    def pause(self) -> Pause | None:
        """Why a worker for links holds its mails back."""
        return next((each.pause for each in self.workers() if each.pause is not None), None)

    def pauses(self) -> list[str]:
        """The lines of the log that say that mails are held back."""
        lines = "".join(process.output() for process in self.processes).splitlines()
        return [line for line in lines if "mail_paused" in line]

    def _ring(self, queue: MailQueue, partition: str) -> None:
        self._owed.add((queue, partition))
        ring(queue, [partition], self._queue)

    def _ring_often(self) -> None:
        while not self._stopped.wait(RING_INTERVAL_SECONDS):
            for queue, partition in list(self._owed):
                ring(queue, [partition], self._queue)


class Post(NamedTuple):
    """Workers, and the relay that they send to."""

    sender: Sender
    relay: Relay

    def check_all_arrive(self, recipients: Iterable[str]) -> None:
        """Owes mails to ``recipients``. All arrive once, and none is held back for a moment."""
        owed = list(recipients)
        self.sender.owe(*owed)
        self.sender.wait_until_sent(owed)
        self.check_each_arrived_once(owed)
        assert self.sender.pauses() == []

    def check_each_arrived_once(self, recipients: Iterable[str]) -> None:
        copies = self.relay.copies()
        assert {recipient: copies[recipient] for recipient in recipients} == dict.fromkeys(
            recipients, 1
        )


OpenPost = Callable[..., Post]
"""Starts a sender's commands, with settings as keywords, beside a relay of a kind."""


def recipients(name: str, count: int, domains: int = 8) -> list[str]:
    """E-mails in so many domains, in turn."""
    return [f"{name}{number}@host{number % domains}.example" for number in range(count)]
