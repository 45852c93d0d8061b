"""The client of processes, and threads, that have no event loop."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from service.errors import Unavailable, Unreadable
from service.storage.command import Command
from service.storage.connect import create_transport
from service.storage.pipeline import AutoPipeline

T = TypeVar("T")


class RedisClient:
    """Runs commands in a pipeline whose event loop has a thread of its own.

    What it raises is described at ``decode_reply``.
    """

    def __init__(self, portal: BlockingPortal, pipeline: AutoPipeline) -> None:
        self._portal = portal
        self._pipeline = pipeline

    def run(self, command: Command[T]) -> T:
        reply: T = self._portal.call(self._pipeline.run, command)
        return reply

    def run_all(self, commands: Sequence[Command[T]]) -> list[T]:
        """The replies to the commands, which are sent together and run independently."""
        return self._portal.call(self._pipeline.run_all, commands)

    def run_each(self, commands: Sequence[Command[T]]) -> list[T | Unreadable | Unavailable]:
        """The same, each for itself: ``decode_each`` describes what takes a reply's place.

        Raises:
            Unavailable: no command was answered.
        """
        return self._portal.call(self._pipeline.run_each, commands)

    def start(self, work: Callable[[AutoPipeline], Awaitable[None]]) -> "Future[None]":
        """Begins ``work`` with the pipeline; returns at once."""
        return self._portal.start_task_soon(work, self._pipeline)


@contextmanager
def open_client(url: str) -> Iterator[RedisClient]:
    """A client of the Redis at ``url``. It connects when it is first used.

    Its loop is asyncio's own: with uvloop, a process that exits during a DNS look-up crashes.
    """
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(AutoPipeline(create_transport(url))) as pipeline,
    ):
        yield RedisClient(portal, pipeline)
