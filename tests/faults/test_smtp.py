"""Mail servers that decline, refuse, hang up or hang. Every mail that is still good arrives."""

import asyncio
import itertools
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

import httpx
import msgspec
import pytest
import redis
from aiosmtpd.smtp import SMTP, Envelope, Session

from service.otps import store as otps
from service.outbox.doorbell import ring
from service.outbox.queues import OTP_QUEUE
from service.values.ids import partition_of
from tests.support.admins import as_admin
from tests.support.factories import make_link, store_link
from tests.support.proxy import Proxy
from tests.support.redis_client import RedisClient, create_client
from tests.support.run_length import RunLength
from tests.support.sender import Sender
from tests.support.servers import (
    Mailbox,
    MailServer,
    RedisServer,
    free_port,
    unreachable,
    wait_until,
)
from tests.support.service_processes import Service

WAITS = (5.0, 15.0, 45.0)
"""Seconds between one try of a declined mail and the next."""
LATE_BY = 4.0
"""Seconds that the scan and a busy machine may add to them."""
HANGS: dict[str, Callable[[bytes], bool]] = {
    "after the final dot": lambda said: said.endswith(b"\r\n.\r\n"),
    "in DATA": lambda said: said.upper().endswith(b"DATA\r\n"),
    "at EHLO": lambda said: said.upper().startswith(b"EHLO "),
    "at its banner": lambda _: True,
}
"""What the server is told last before it answers nothing more."""


class FaultyMailbox(Mailbox):
    """Notes each try, and declines, delays or hangs up after the final dot, as configured.

    Every other session is offered PIPELINING.
    """

    def __init__(self) -> None:
        super().__init__()
        self.replies: dict[str, list[str]] = {}
        self.tries: dict[str, list[float]] = {}
        self.dawdles: dict[str, float] = {}
        self.hangs_up_on: set[str] = set()
        self._sessions = itertools.count()

    def offers_pipelining(self) -> bool:
        return next(self._sessions) % 2 == 0

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        tries = self.tries.setdefault(address, [])
        tries.append(time.monotonic())
        await asyncio.sleep(self.dawdles.get(address, 0))
        replies = self.replies.get(address, [])
        if len(tries) <= len(replies):
            return replies[len(tries) - 1]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        reply = await super().handle_DATA(server, session, envelope)
        if envelope.rcpt_tos[0] in self.hangs_up_on:
            self.hangs_up_on.remove(envelope.rcpt_tos[0])
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
        return reply


class Stack(NamedTuple):
    """The whole service, its mail server, and the proxy between them."""

    service: Service
    postmaster: FaultyMailbox
    proxy: Proxy
    store: RedisClient
    queue: redis.Redis

    def create_ending(self, name: str, life: timedelta) -> str:
        """The id of a link to ``name`` that lives for ``life``, which the API may not allow."""
        now = datetime.now(UTC)
        return store_link(
            self.store,
            msgspec.structs.replace(make_link(now, email=address(name)), expires_at=now + life),
        ).id

    def create_code(self, name: str, life: timedelta) -> None:
        """A code for ``name``, as the API makes it, which is good for ``life``."""
        self.store.run(
            otps.create(address(name), secrets.token_bytes(16), now=datetime.now(UTC), ttl=life)
        )
        ring(OTP_QUEUE, [partition_of(address(name))], self.queue)

    def delivery(self, link_id: str) -> dict[str, Any]:
        return dict(read(self.service, link_id)["delivery"])

    def error(self, link_id: str) -> str | None:
        error: str | None = self.delivery(link_id)["error"]
        return error

    def is_sent(self, link_id: str) -> bool:
        return bool(self.delivery(link_id)["state"] == "sent")

    def tries(self, name: str) -> list[float]:
        return self.postmaster.tries.get(address(name), [])


def create(service: Service, name: str) -> str:
    """The id of a link to ``name``, to be mailed now."""
    answer = httpx.post(
        f"{service.url}/payment-links",
        headers=as_admin(),
        json={"email": address(name), "org_id": "acme"},
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def revoke(service: Service, link_id: str) -> None:
    answer = httpx.delete(f"{service.url}/payment-links/{link_id}", headers=as_admin())
    assert answer.json()["revoked"] == 1


def read(service: Service, link_id: str) -> dict[str, Any]:
    return dict(httpx.get(f"{service.url}/payment-links/{link_id}", headers=as_admin()).json())


def address(name: str) -> str:
    return f"{name.replace(' ', '-')}@example.com"


@pytest.fixture(scope="module")
def timeout(run_length: RunLength) -> int:
    """Seconds that a server may take to confirm a mail; a fifth of it for any other step."""
    return run_length(12, 300)


@pytest.fixture(scope="module")
def dawdles(timeout: int) -> float:
    """Seconds that the server takes to hear of a recipient."""
    return timeout / 6


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, own_store: RedisServer, timeout: int
) -> Iterator[Stack]:
    postmaster = FaultyMailbox()
    with ExitStack() as opened:
        server = opened.enter_context(MailServer(postmaster))
        proxy = opened.enter_context(Proxy((server.hostname, server.port)))
        smtp_url = f"smtp://127.0.0.1:{proxy.port}"
        service = opened.enter_context(
            Service(
                tmp_path_factory.mktemp("service"),
                own_store.url,
                smtp_url,
                SMTP_TIMEOUT=f"{timeout}s",
            )
        )
        store = RedisClient(create_client(own_store.url))
        opened.callback(store.close)
        queue = opened.enter_context(redis.Redis.from_url(own_store.url))
        yield Stack(service, postmaster, proxy, store, queue)


@pytest.fixture(scope="module")
def declined(run_length: RunLength) -> int:
    """How often a server declines a mail before it takes it. Full: until the third wait is over."""
    return run_length(1, len(WAITS))


@pytest.fixture(scope="module")
def life(run_length: RunLength) -> timedelta:
    """The life of a code and a link whose mail is declined. Full: the least ``OTP_TTL``."""
    return timedelta(seconds=run_length(4, 60))


@pytest.fixture(scope="module")
def ids(stack: Stack, declined: int, life: timedelta, dawdles: float) -> dict[str, str]:
    """Links with difficult mail servers, all under way at once, by their recipients' names."""
    postmaster = stack.postmaster
    postmaster.replies = {
        address("declined"): ["451 4.3.0 try again later"] * declined,
        address("greylisted"): ["450 4.2.0 greylisted"] * declined,
        address("unknown"): ["550 5.1.1 no such mailbox"] * 100,
        **{
            address(name): ["451 4.3.0 try again later"] * 100
            for name in ("revoked", "expired", "expired code")
        },
    }
    postmaster.reply = lambda envelope: (
        "554 5.7.1 spam" if envelope.rcpt_tos == [address("filtered")] else None
    )
    postmaster.hangs_up_on = {address("dropped")}
    postmaster.dawdles = {address("dawdling"): dawdles}
    made = {
        name: create(stack.service, name)
        for name in ("declined", "greylisted", "unknown", "filtered", "dropped", "revoked")
    }
    made["expired"] = stack.create_ending("expired", life)
    stack.create_code("expired code", life)
    for name in (*made, "expired code"):
        wait_until(partial(stack.tries, name), f"the mail to {name} to be tried")
    revoke(stack.service, made["revoked"])
    return made


@pytest.fixture(scope="module")
def unreached(
    tmp_path_factory: pytest.TempPathFactory, own_store: RedisServer, timeout: int
) -> Iterator["Future[float]"]:
    """The seconds after which an unreachable server is given up, measured beside other tests."""
    port = free_port()
    with (
        Sender(
            tmp_path_factory.mktemp("unreached"),
            f"{own_store.url}?db=1",
            f"smtp://127.0.0.1:{port}",
            SMTP_TIMEOUT=f"{timeout}s",
        ) as sender,
        ThreadPoolExecutor() as threads,
    ):
        yield threads.submit(reach_late, sender, port)


def reach_late(sender: Sender, port: int) -> float:
    with unreachable(port):
        wait_until(sender.workers, "the worker")
        began = time.monotonic()
        sender.owe(address("jane"))
        wait_until(sender.pause, "the server to be given up", 90)
        given_up_in = time.monotonic() - began
    with MailServer(port=port):
        sender.wait_until_sent([address("jane")])
    return given_up_in


@pytest.mark.usefixtures("unreached", "ids")
def test_a_server_that_hangs_is_given_up_and_the_mail_arrives_when_it_is_well(
    stack: Stack, timeout: int, run_length: RunLength
) -> None:
    """Full: whatever it hangs at; short: after the final dot."""
    for stage in list(HANGS)[: run_length(1, len(HANGS))]:
        with hanging(stack.proxy, stage) as hangs_since:
            link_id = create(stack.service, f"hanging {stage}")
            wait_until(
                partial(stack.error, link_id),
                f"the server that hangs {stage} to be given up",
                2 * timeout,
            )
            assert time.monotonic() - hangs_since() < timeout + LATE_BY
        mails = stack.postmaster.wait_for(
            address(f"hanging {stage}"),
            2 if "dot" in stage else 1,
            within=20 + 1.2 * timeout,  # full: the longest pause, and a session that opens in vain
        )
        wait_until(partial(stack.is_sent, link_id), "the mail to count as sent")
        assert len({mail["Message-ID"] for mail in mails}) == 1


@pytest.mark.parametrize("name", ["declined", "greylisted"])
def test_a_mail_that_is_declined_is_tried_again_later_and_later_and_arrives(
    stack: Stack, ids: dict[str, str], declined: int, name: str
) -> None:
    """Full: declined three times, for 65 s; short: once."""
    stack.postmaster.wait_for(address(name), within=sum(WAITS) + 30)
    wait_until(lambda: stack.delivery(ids[name])["state"] == "sent", "the mail to count as sent")
    delivery, tries = stack.delivery(ids[name]), stack.tries(name)
    waits = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert (delivery["attempts"], delivery["error"]) == (declined + 1, None)
    assert all(wait >= least for wait, least in zip(waits, WAITS[:declined], strict=True))
    assert len(stack.postmaster.to(address(name))) == 1


def test_a_drop_after_the_final_dot_is_unknown_and_tried_again_with_the_same_message_id(
    stack: Stack, ids: dict[str, str]
) -> None:
    mails = stack.postmaster.wait_for(address("dropped"), 2)
    wait_until(
        lambda: stack.delivery(ids["dropped"])["state"] == "sent", "the mail to count as sent"
    )
    assert (len(mails), len({mail["Message-ID"] for mail in mails})) == (2, 1)
    assert stack.delivery(ids["dropped"])["attempts"] == 2


@pytest.mark.parametrize(
    ("name", "reason"),
    [("unknown", "550 5.1.1 no such mailbox"), ("filtered", "554 5.7.1 spam")],
    ids=["recipient", "content"],
)
def test_a_mail_that_is_refused_is_tried_once_and_its_link_says_why(
    stack: Stack, ids: dict[str, str], name: str, reason: str
) -> None:
    wait_until_tried_again(stack, name)
    delivery = stack.delivery(ids[name])
    assert (delivery["state"], delivery["attempts"], delivery["error"]) == ("failed", 1, reason)
    assert len(stack.tries(name)) == 1


def test_a_code_is_not_sent_after_it_expired(
    stack: Stack, ids: dict[str, str], life: timedelta
) -> None:
    """Nor is a link. Full: after a minute; short: after 4 s."""
    wait_until(
        lambda: stack.delivery(ids["expired"])["state"] == "failed",
        "the link to be given up",
        life.total_seconds() + 30,
    )
    tries = [stack.tries(name) for name in ("expired", "expired code")]
    for name in ("expired", "expired code"):
        stack.postmaster.replies.pop(address(name))
        wait_until_tried_again(stack, name)
    assert [stack.tries(name) for name in ("expired", "expired code")] == tries
    assert read(stack.service, ids["expired"])["status"] == "expired"
    assert "expired" in stack.delivery(ids["expired"])["error"]


@pytest.mark.usefixtures("ids")
def test_a_code_that_expires_while_its_server_dawdles_is_not_sent(
    stack: Stack, dawdles: float
) -> None:
    life = dawdles * 0.8
    for _ in range(10):  # a busy machine may not try a code within so short a life
        stack.create_code("dawdling", timedelta(seconds=life))
        with suppress(AssertionError):
            wait_until(lambda: stack.tries("dawdling"), "the code to be tried", within=life)
            break
    assert stack.tries("dawdling")
    wait_until(
        lambda: time.monotonic() > stack.tries("dawdling")[0] + dawdles + 1, "the server to be done"
    )
    assert stack.postmaster.to(address("dawdling")) == []


def test_a_revoked_link_is_not_sent(stack: Stack, ids: dict[str, str]) -> None:
    stack.postmaster.replies.pop(address("revoked"))
    wait_until_tried_again(stack, "revoked")
    assert len(stack.tries("revoked")) == 1
    assert stack.delivery(ids["revoked"])["state"] == "none"


def test_a_server_that_cannot_be_reached_is_given_up_and_the_mail_arrives_when_it_can(
    unreached: "Future[float]", timeout: int
) -> None:
    assert unreached.result() < timeout / 5 + LATE_BY


def wait_until_tried_again(stack: Stack, name: str) -> None:
    """Waits until the mail to ``name`` would have been tried again, if it were still owed."""
    tries = stack.tries(name)
    due = tries[-1] + WAITS[len(tries) - 1] + LATE_BY
    wait_until(lambda: time.monotonic() > due, "the next try", within=sum(WAITS))


@contextmanager
def hanging(proxy: Proxy, stage: str) -> Iterator[Callable[[], float]]:
    """The server is silent once the client has sent ``stage``; yields the time since then.

    Sessions begin anew, so that the client comes to every stage.
    """
    since: list[float] = []

    def watch(said: bytes) -> None:
        if HANGS[stage](said):
            proxy.half_open = True
            since.append(time.monotonic())

    if stage == "at its banner":
        watch(b"")
    proxy.watch = watch
    proxy.reset()
    yield lambda: since[0]
    proxy.watch, proxy.half_open = (lambda _: None), False
