"""Creates many links over HTTP, with retries, and logs the mails that follow."""

import random
import re
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import httpx
from aiosmtpd.smtp import Envelope

from tests.support.admins import admin_token
from tests.support.servers import Mailbox

CALLERS = 8
PATIENCE = 60.0
"""Seconds for which a caller repeats a request that gets no answer."""


class Taken(NamedTuple):
    """A mail that the server took, and when, which it says in a moment."""

    at: float
    message_id: bytes


class MailLog:
    """Whose mail a mail server took. ``pause``: seconds before it says so with a 250."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.pause = 0.0
        self.taken: dict[str, list[Taken]] = defaultdict(list)
        mailbox.reply = self._note

    def _note(self, envelope: Envelope) -> None:
        assert isinstance(envelope.content, bytes)
        link, message_id = (
            re.search(pattern, envelope.content)
            for pattern in (rb"/pay/(pl_[0-9A-Za-z]{24})", rb"Message-ID: (\S+)")
        )
        assert link is not None
        assert message_id is not None
        self.taken[link[1].decode()].append(Taken(time.time(), message_id[1]))
        time.sleep(self.pause)

    def total(self) -> int:
        """How many mails were taken."""
        return sum(map(len, list(self.taken.values())))

    def copies(self) -> dict[str, int]:
        """How often each link's mail was taken."""
        return {link: len(taken) for link, taken in list(self.taken.items())}


@contextmanager
def create_links(
    url: str, count: int, seconds: float, orgs: int = 20
) -> Iterator[list[Future[str]]]:
    """Creates ``count`` links within ``seconds``, every other one scheduled, for ``orgs`` in turn.

    Yields futures of their ids.
    """
    headers = {"Authorization": f"Bearer {admin_token()}"}
    began = time.monotonic()
    with (
        httpx.Client(base_url=url, headers=headers, timeout=5) as client,
        ThreadPoolExecutor(CALLERS) as callers,
    ):

        def create(number: int) -> str:
            time.sleep(max(0.0, began + number * seconds / count - time.monotonic()))
            body = {"email": f"payer{number}@example.com", "org_id": f"org-{number % orgs}"}
            if number % 2:
                at = datetime.now(UTC) + timedelta(seconds=random.randint(1, 2))
                body["scheduled_at"] = at.replace(microsecond=0).isoformat()
            return acknowledged(client, body, f"campaign-{began}-{number}")

        yield [callers.submit(create, number) for number in range(count)]


def acknowledged(client: httpx.Client, body: dict[str, str], key: str) -> str:
    """The id of the created link; the request is repeated until it is answered."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with suppress(httpx.TransportError):
            response = client.post("/payment-links", json=body, headers={"Idempotency-Key": key})
            if response.status_code == 201:
                return str(response.json()["id"])
            assert response.status_code == 503, response.text
        time.sleep(0.1)
    raise AssertionError(f"no answer within {PATIENCE} s")
