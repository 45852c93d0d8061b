"""An open load: requests at fixed times, however slowly others are answered."""

import asyncio
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlencode

from service.storage.keys import ALL_PARTITIONS
from service.values.ids import partition_of
from tests.support.admins import as_admin
from tests.support.light_client import LightClient
from tests.support.raw_http import RawResponse

READS = 3
"""One request of so many is a read."""
REPEATS_PER_SECOND = 5
CALLERS = 16
"""Links that are read back at once."""
MAX_PAGE = 100
PATIENCE = 10.0
"""Seconds for which a link is read again that could not be read."""


@dataclass
class Reply:
    """The reply to one request, and to its repetitions."""

    due: float
    """The monotonic time at which it was to be sent."""
    partition: str
    key: str
    """Its ``Idempotency-Key``; the e-mail is made of it."""
    is_create: bool
    status: int = 0
    """That of the first reply: 0 where the connection failed."""
    took: float = 0.0
    """Seconds to the first reply, without those by which this process sent it too late."""
    retry_after: str | None = None
    mended_after: float | None = None
    """Seconds from the first reply to the first good one. None if there was none."""
    link_id: str | None = None
    """The link that was acknowledged, or read."""

    @property
    def is_good(self) -> bool:
        """Whether it was answered as it should be at once."""
        return self.status in {200, 201}

    @property
    def body(self) -> dict[str, Any]:
        return {
            "email": f"{self.key}@example.com",
            "org_id": org_in(self.partition),
            "notify": False,
        }


class PacedLoad:
    """``rate`` requests a second to ``url``: creates and reads, on all of ``partitions`` in turn.

    What is refused is repeated with its key for ``repeat_for`` seconds.
    """

    def __init__(self, url: str, rate: float, partitions: Sequence[str], repeat_for: float) -> None:
        self._url = url
        self._rate = rate
        self._partitions = random.sample([*partitions], len(partitions))
        self._repeat_for = repeat_for
        self._name = f"load{time.monotonic_ns()}"
        self._stopping = False
        self._made: dict[str, list[str]] = defaultdict(list)
        self.replies: list[Reply] = []
        """In the order in which they were due; all of them once the load has ended."""

    def acknowledged(self) -> dict[str, Reply]:
        """The creates that were acknowledged, by their links' ids."""
        return {reply.link_id: reply for reply in self.replies if reply.is_create and reply.link_id}

    def creates(self) -> list[Reply]:
        """All of them, acknowledged or not."""
        return [reply for reply in self.replies if reply.is_create]

    def refused(self) -> list[Reply]:
        """The creates that were not acknowledged."""
        return [reply for reply in self.creates() if not reply.link_id]

    async def pace(self) -> None:
        began, tasks = time.monotonic(), []
        async with _client(self._url) as client:
            while not self._stopping:
                due = began + len(self.replies) / self._rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                tasks.append(asyncio.create_task(self._ask(client, self._next(due))))
            await asyncio.gather(*tasks)

    def stop(self) -> None:
        self._stopping = True

    def _next(self, due: float) -> Reply:
        number = len(self.replies)
        partition = self._partitions[number % len(self._partitions)]
        made = self._made[partition]
        reply = Reply(due, partition, f"{self._name}-{number}", number % READS > 0 or not made)
        if not reply.is_create:
            reply.link_id = random.choice(made)
        self.replies.append(reply)
        return reply

    async def _ask(self, client: LightClient, reply: Reply) -> None:
        sent = time.monotonic()
        response = await _send(client, reply)
        answered = time.monotonic()
        reply.took = answered - sent
        if response is not None:
            reply.status = response.status
            reply.retry_after = response.headers.get("retry-after")
        while not _is_good(response) and time.monotonic() < answered + self._repeat_for:
            await asyncio.sleep(1 / REPEATS_PER_SECOND)
            response = await _send(client, reply)
        if _is_good(response):
            reply.mended_after = 0.0 if reply.is_good else time.monotonic() - answered
        if reply.is_create and reply.link_id:
            self._made[reply.partition].append(reply.link_id)


@contextmanager
def paced_load(
    url: str,
    *,
    rate: float,
    partitions: Sequence[str] = ALL_PARTITIONS,
    repeat_for: float = 0.0,
) -> Iterator[PacedLoad]:
    """The load runs while the context lasts; at its end every request was answered."""
    load = PacedLoad(url, rate, partitions, repeat_for)
    thread = threading.Thread(target=lambda: asyncio.run(load.pace()))
    thread.start()
    try:
        yield load
    finally:
        load.stop()
        thread.join()


def repeat(url: str, replies: Sequence[Reply]) -> list[Reply]:
    """Repeats creates with their keys; gives those that fail again."""

    async def run() -> list[Reply]:
        async with _client(url) as client:
            responses = await _gather([_send(client, reply) for reply in replies])
        return [
            reply
            for reply, response in zip(replies, responses, strict=True)
            if not _is_good(response)
        ]

    return asyncio.run(run())


def find_lost(url: str, acknowledged: dict[str, Reply]) -> list[str]:
    """The links that cannot be read, or are not those that were acknowledged."""

    async def run() -> list[str]:
        async with _client(url) as client:
            found = await _gather([_read(client, link) for link in acknowledged])
        return [
            link
            for (link, reply), response in zip(acknowledged.items(), found, strict=True)
            if response.status != 200 or response.json()["email"] != reply.body["email"]
        ]

    return asyncio.run(run())


def find_miscounted(url: str, creates: Collection[Reply]) -> dict[str, int]:
    """E-mails of creates that do not have one link in the list of their organization."""

    async def run() -> Counter[str]:
        async with _client(url) as client:
            partitions = {reply.partition for reply in creates}
            pages = await _gather([_list(client, org_in(partition)) for partition in partitions])
        return Counter(email for page in pages for email in page)

    copies = asyncio.run(run())
    asked = [str(reply.body["email"]) for reply in creates]
    return {email: copies[email] for email in asked if copies[email] != 1}


@cache
def org_in(partition: str) -> str:
    """An organization of the partition."""
    numbers = iter(range(100_000))
    return next(org for org in map("org-{}".format, numbers) if partition_of(org) == partition)


def _client(url: str) -> LightClient:
    return LightClient(url, as_admin())


async def _send(client: LightClient, reply: Reply) -> RawResponse | None:
    """The response; None where the connection failed. Notes the link that was acknowledged."""
    try:
        if not reply.is_create:
            return await client.get(f"/payment-links/{reply.link_id}")
        key = f"Idempotency-Key: {reply.key}"
        response = await client.post("/payment-links", reply.body, [key])
    except OSError:
        return None
    if _is_good(response):
        reply.link_id = response.json()["id"]
    return response


async def _read(client: LightClient, link_id: str) -> RawResponse:
    """The link, or the refusal that remains one."""
    ends = time.monotonic() + PATIENCE
    while True:
        response = await client.get(f"/payment-links/{link_id}")
        if response.status != 503 or time.monotonic() > ends:
            return response
        await asyncio.sleep(1 / REPEATS_PER_SECOND)


async def _list(client: LightClient, org_id: str) -> list[str]:
    """The e-mails of all links of the organization."""
    emails, query = list[str](), {"limit": str(MAX_PAGE)}
    while True:
        page = (await client.get(f"/orgs/{org_id}/payment-links?{urlencode(query)}")).json()
        emails += [link["email"] for link in page["links"]]
        if not page.get("next_cursor"):
            return emails
        query["cursor"] = page["next_cursor"]


def _is_good(response: RawResponse | None) -> bool:
    return response is not None and response.status in {200, 201}


async def _gather(asked: Sequence[Any]) -> list[Any]:
    """The results, ``CALLERS`` at once."""
    free = asyncio.Semaphore(CALLERS)

    async def run(awaitable: Any) -> Any:
        async with free:
            return await awaitable

    return [*await asyncio.gather(*map(run, asked))]
