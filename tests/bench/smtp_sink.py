"""An SMTP server in a process of its own, which takes every mail and notes when."""

import asyncio
import multiprocessing
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import c_bool, c_double, c_long
from multiprocessing.queues import Queue
from multiprocessing.sharedctypes import RawArray, RawValue
from typing import Any, NamedTuple

from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.support.servers import Pipelining, free_port, wait_until

ROOM = 100_000
"""How many mails may be taken."""


class Mail(NamedTuple):
    """One that was taken, as it was sent."""

    sender: str
    recipient: str
    content: bytes


class Sink(Pipelining):
    """State shared with the parent. Times are ``time.monotonic``, common to all processes."""

    def __init__(self, port: int, kept: "Queue[Mail]") -> None:
        self.port = port
        self._count = RawValue(c_long)
        self._times = RawArray(c_double, ROOM)
        self._keeps = RawValue(c_bool)
        self._offers_pipelining = RawValue(c_bool, True)
        self._kept = kept

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self._keeps.value:
            assert isinstance(envelope.content, bytes)
            self._kept.put(Mail(str(envelope.mail_from), envelope.rcpt_tos[0], envelope.content))
        self._times[self._count.value] = time.monotonic()
        self._count.value += 1
        return "250 taken"

    @property
    def count(self) -> int:
        """How many mails were taken."""
        return int(self._count.value)

    def time_of(self, number: int) -> float:
        """When mail ``number`` (from 0) was taken, once it is."""
        wait_until(lambda: self.count > number, f"mail {number}", within=120)
        return float(self._times[number])

    @contextmanager
    def keeping(self) -> Iterator[list[Mail]]:
        """Gives the mails that are taken meanwhile, at the end."""
        before, mails = self.count, list[Mail]()
        self._keeps.value = True
        yield mails
        self._keeps.value = False
        mails += [self._kept.get() for _ in range(self.count - before)]

    def offers_pipelining(self) -> bool:
        return bool(self._offers_pipelining.value)

    @contextmanager
    def without_pipelining(self) -> Iterator[None]:
        """Sessions that begin meanwhile are not offered it."""
        self._offers_pipelining.value = False
        try:
            yield
        finally:
            self._offers_pipelining.value = True

    def answers(self) -> bool:
        """Whether it takes connections."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def serve(self) -> None:
        """Serves until it is killed."""
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: SMTP(self), "127.0.0.1", self.port)
        await server.serve_forever()


@contextmanager
def sink() -> Iterator[Sink]:
    """Serves while the context lasts."""
    context: Any = multiprocessing.get_context("spawn")
    made = Sink(free_port(), context.Queue())
    process = context.Process(target=made.serve, name="sink")
    process.start()
    try:
        wait_until(made.answers, "the SMTP server to answer")
        yield made
    finally:
        process.kill()
        process.join()
