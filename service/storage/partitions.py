"""Questions to many partitions at once. One that holds something that is not ours hides no other."""

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from service.errors import Unreadable
from service.storage import keys
from service.storage.command import Command
from service.storage.pipeline import AutoPipeline

T = TypeVar("T")


class Answers(NamedTuple, Generic[T]):
    """What each partition answered, and those that could not be read."""

    by_partition: dict[str, T]
    unreadable: list[str]


async def query_partitions(
    pipeline: AutoPipeline,
    create_call: Callable[[str], Command[T]],
    partitions: Sequence[str] = keys.PARTITIONS,
) -> Answers[T]:
    """The answers to ``create_call(partition)`` of ``partitions``.

    Raises:
        Unavailable: Redis does not answer.
    """
    replies = await pipeline.run_each([create_call(partition) for partition in partitions])
    asked = list(zip(partitions, replies, strict=True))
    return Answers(
        {partition: reply for partition, reply in asked if not isinstance(reply, Unreadable)},
        [partition for partition, reply in asked if isinstance(reply, Unreadable)],
    )
