"""A queue runner on an event loop in a thread of its own, which outlives the jobs that wake it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskStatus
from anyio.from_thread import BlockingPortal, start_blocking_portal

from service.health.heartbeat import Heartbeat, record
from service.storage.command import Command
from service.storage.connect import create_transport
from service.storage.pipeline import AutoPipeline
from tasks.delivery.queue_runner import QueueRunner

T = TypeVar("T")
CreateRunner = Callable[[AutoPipeline], QueueRunner[Any]]


class RunnerThread:
    """Calls a queue runner, and runs commands in its pipeline, from other threads."""

    def __init__(
        self,
        portal: BlockingPortal,
        runner: QueueRunner[Any],
        pipeline: AutoPipeline,
        running: "Future[None]",
    ) -> None:
        self._portal = portal
        self._runner = runner
        self._pipeline = pipeline
        self._running = running
        self._recording: Future[None] | None = None

    def wake(self, partitions: Iterable[str]) -> None:
        self._portal.call(self._runner.wake, partitions)

    def wait_until_dry(self, seconds: float) -> bool:
        return self._portal.call(self._runner.wait_until_dry, seconds)

    def stop(self) -> None:
        """Asks the runner to stop; returns at once."""
        self._portal.start_task_soon(self._stop)

    def raise_if_ended(self) -> None:
        """Raises what ended the runner."""
        if self._running.done():
            self._running.result()

    def query(
        self, create_command: Callable[[str], Command[T]], partitions: Sequence[str]
    ) -> dict[str, T]:
        """The replies of the partitions that answer; ``CircuitBreaker.query`` says more."""
        query: Any = self._runner.circuit_breaker.query
        replies: dict[str, T] = self._portal.call(query, create_command, partitions)
        return replies

    def record(self, heartbeat: Heartbeat) -> "Future[None]":
        """Begins to record ``heartbeat``, unless the one before is still on its way.

        Jobs do not wait for that: the slot of heartbeats may be unavailable.
        """
        if self._recording is not None:
            if not self._recording.done():
                return self._recording
            self._recording.result()  # raises what nobody expected
        self._recording = self._portal.start_task_soon(record, heartbeat, self._pipeline)
        return self._recording

    async def _stop(self) -> None:
        self._runner.stop()


@contextmanager
def start_runner(redis_url: str, create_runner: CreateRunner) -> Iterator[RunnerThread]:
    """Runs a queue runner until the context ends; e-mails that it is sending have time to end."""
    with start_blocking_portal(backend_options={"use_uvloop": True}) as portal:
        running, (pipeline, runner) = portal.start_task(_run, redis_url, create_runner)
        try:
            yield RunnerThread(portal, runner, pipeline, running)
        finally:
            portal.call(runner.stop)
            running.result()


async def _run(
    redis_url: str,
    create_runner: CreateRunner,
    *,
    task_status: TaskStatus[tuple[AutoPipeline, QueueRunner[Any]]] = TASK_STATUS_IGNORED,
) -> None:
    async with AutoPipeline(create_transport(redis_url)) as pipeline:
        runner = create_runner(pipeline)
        task_status.started((pipeline, runner))
        await runner.run()
