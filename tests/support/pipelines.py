"""Commands for tests of pipelines, and stores that stall or die."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import redis

from service.errors import Unavailable
from service.links import mail_store
from service.links import store as link_store
from service.links.model import Link
from service.links.redis_hash import decode_list
from service.storage import keys
from service.storage import rate_limits as limits
from service.storage.command import Command
from service.storage.pipeline import AutoPipeline
from tests.support.servers import RedisServer

COUNTER = "pl:{00}:counter"
COUNT = limits.count([limits.RateLimit("sends", COUNTER, 100, timedelta(hours=1))])
LINKS = 100
Run = Callable[[Coroutine[Any, Any, Any]], Any]


@contextmanager
def stalled(server: RedisServer) -> Iterator[None]:
    """The store does not answer within the context."""
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.process.pid, signal.SIGCONT)


def read_link(link: Link) -> Command[Any]:
    """Reads ``link``: by a plain command for half of the links, by a script for the others."""
    if int(link.transaction_id or 0) % 2:
        return link_store.get(link.id)
    read: Command[Any] = mail_store.load_claimed(keys.partition_of_link(link.id), [link.id])
    return read._replace(decode=lambda records: decode_list(link.id, records[0]))


async def run_concurrently(pipeline: AutoPipeline, commands: list[Command[Any]]) -> list[Any]:
    """The reply, or the error, of each of the commands, run by concurrent callers."""
    return await asyncio.gather(*map(pipeline.run, commands), return_exceptions=True)


async def seconds_until_answered(pipeline: AutoPipeline, link: Link) -> float:
    """Seconds until the pipeline works again."""
    began = time.monotonic()
    while True:
        try:
            assert await pipeline.run(link_store.get(link.id)) == link
        except Unavailable:
            await asyncio.sleep(0.01)
        else:
            return time.monotonic() - began


async def closes_in_time(pipeline: AutoPipeline) -> bool:
    """Whether the pipeline closes in half a second. If not, cancels all tasks."""
    closing = asyncio.create_task(pipeline.__aexit__())
    done, _ = await asyncio.wait([closing], timeout=0.5)
    if done:
        return True
    own = asyncio.current_task()
    for _ in range(20):
        for task in asyncio.all_tasks() - {own}:
            task.cancel()
        await asyncio.sleep(0.01)
    return False


def count_connections(server: RedisServer) -> int:
    """The connections of the store, without the one that counts them."""
    with redis.Redis.from_url(server.url) as connection:
        return len(connection.client_list()) - 1


def count_runs(name: str, server: RedisServer) -> int:
    """How often the store has run the command."""
    with redis.Redis.from_url(server.url) as connection:
        return int(connection.info("commandstats")[f"cmdstat_{name}"]["calls"])


async def timed(awaitable: Awaitable[list[Any]]) -> tuple[list[Any], float]:
    began = time.monotonic()
    return await awaitable, time.monotonic() - began


async def run_while_killed(
    server: RedisServer, pipeline: AutoPipeline, links: list[Link]
) -> tuple[list[Any], float]:
    """The results of commands whose store is killed meanwhile, and their seconds. Restarts it."""
    os.kill(server.process.pid, signal.SIGSTOP)
    callers = asyncio.create_task(run_concurrently(pipeline, [read_link(link) for link in links]))
    await asyncio.sleep(0.1)
    server.kill()
    try:
        return await timed(callers)
    finally:
        await asyncio.to_thread(server.start)
