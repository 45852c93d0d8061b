"""One command for each of many partitions. A partition that cannot be read affects no other."""

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from service.errors import Unreadable
from service.storage import keys
from service.storage.command import Command
from service.storage.pipeline import AutoPipeline

T = TypeVar("T")


class PartitionReplies(NamedTuple, Generic[T]):
    """The reply for each partition, and the partitions whose reply cannot be decoded."""

    by_partition: dict[str, T]
    unreadable: list[str]


async def query_partitions(
    pipeline: AutoPipeline,
    create_command: Callable[[str], Command[T]],
    partitions: Sequence[str] = keys.ALL_PARTITIONS,
) -> PartitionReplies[T]:
    """Runs ``create_command(partition)`` for each of the partitions.

    Raises:
        Unavailable: Redis does not answer.
    """
    replies = await pipeline.run_each([create_command(partition) for partition in partitions])
    by_partition, unreadable = dict[str, T](), list[str]()
    for partition, reply in zip(partitions, replies, strict=True):
        if isinstance(reply, Unreadable):
            unreadable.append(partition)
        else:
            by_partition[partition] = reply
    return PartitionReplies(by_partition, unreadable)
