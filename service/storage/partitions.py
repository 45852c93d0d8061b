"""One command for each of many partitions. One that fails affects no other."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, Self, TypeVar

from service.errors import Unavailable, Unreadable
from service.storage import keys
from service.storage.command import Command
from service.storage.pipeline import AutoPipeline

T = TypeVar("T")


@dataclass
class Missing:
    """The names, mostly of partitions, that are left out in whole or in part.

    ``unreadable``: a reply cannot be decoded. ``unavailable``: there was no reply.
    """

    unreadable: set[str] = field(default_factory=set)
    unavailable: set[str] = field(default_factory=set)

    def __or__(self, other: Self) -> "Missing":
        return Missing(self.unreadable | other.unreadable, self.unavailable | other.unavailable)


class Replies(NamedTuple, Generic[T]):
    """The reply for each name, and the names without one."""

    by_name: dict[str, T]
    missing: Missing


async def query_each(
    pipeline: AutoPipeline,
    create_command: Callable[[str], Command[T]],
    names: Sequence[str] = keys.ALL_PARTITIONS,
    *,
    needs_reply: bool = True,
) -> Replies[T]:
    """Runs ``create_command(name)`` for each of the names: of partitions, unless others are given.

    Raises:
        Unavailable: there is no reply for any name, and ``needs_reply``.
    """
    try:
        replies = await pipeline.run_each([create_command(name) for name in names])
    except Unavailable:
        if needs_reply:
            raise
        return Replies({}, Missing(unavailable={*names}))
    by_name, missing = dict[str, T](), Missing()
    for name, reply in zip(names, replies, strict=True):
        if isinstance(reply, Unreadable):
            missing.unreadable.add(name)
        elif isinstance(reply, Unavailable):
            missing.unavailable.add(name)
        else:
            by_name[name] = reply
    return Replies(by_name, missing)


async def visit_partitions(
    pipeline: AutoPipeline,
    count: Callable[[str], Command[int]],
    visit: Callable[[str], Awaitable[None]],
    partitions: Sequence[str] = keys.ALL_PARTITIONS,
) -> Missing:
    """Calls ``visit(partition)`` for each partition in which ``count`` finds something.

    They are visited one after the other. When one becomes unavailable, all are asked again, and
    those that do not answer are left out: each would take the time of a command without a reply.

    Raises:
        Unavailable: none of ``partitions`` answers.
    """
    counts, missing = await query_each(pipeline, count, partitions)
    waiting = [partition for partition, found in counts.items() if found]
    while waiting:
        partition = waiting.pop(0)
        try:
            await visit(partition)
        except Unreadable:
            missing.unreadable.add(partition)
        except Unavailable:
            again = await query_each(pipeline, count, partitions)
            unanswered = {partition, *again.missing.unavailable.intersection(waiting)}
            missing.unavailable |= unanswered
            waiting = [each for each in waiting if each not in unanswered]
    return missing
