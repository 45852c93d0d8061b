"""A store of which a part does not answer, as a cluster's where a shard is down.

Tests choose the part, and may do so between two commands of a request.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from redis.exceptions import ConnectionError as ConnectionLost

from service.storage.command import Command
from service.storage.pipeline import AutoPipeline, Transport

Tag = str
"""What keys that lie together have between braces: a partition, or ``heartbeats``."""


class PartialTransport:
    """Sends commands to the store, except those for the parts that are ``away``.

    ``before`` is called with each command, and may change what is away. Where it ``is_silent``,
    commands are never answered, as by a server that hangs.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.away = set[Tag]()
        self.is_silent = False
        self.before: Callable[[Command[Any]], None] = lambda _: None

    def send(self, command: Command[Any], reply: "asyncio.Future[Any]") -> None:
        self.before(command)
        if tag_of(command) not in self.away:
            self._transport.send(command, reply)
        elif not self.is_silent:
            reply.set_result(ConnectionLost("a shard is away"))

    def go_away_after(self, command_name: str, tags: set[Tag]) -> None:
        """The parts are away as soon as a command of that name has been sent."""
        sent = list[str]()

        def watch(command: Command[Any]) -> None:
            if command_name in sent:
                self.away |= tags
            sent.append(command.name)

        self.before = watch

    def drop_if_silent(self, reply: "asyncio.Future[Any]", since: float) -> None:
        """Keeps the connection, which is that of the other parts."""

    async def close(self) -> None:
        await self._transport.close()


def tag_of(command: Command[Any]) -> Tag:
    """The tag of the command's keys; of a key without one, the key."""
    key = str(command.keys[0])
    return key.partition("{")[2].partition("}")[0] or key


def intercept(pipeline: AutoPipeline) -> PartialTransport:
    """Lets a test choose which commands of the pipeline reach the store: at first all."""
    attributes: dict[str, Any] = vars(pipeline)
    transport = PartialTransport(attributes["_transport"])
    attributes["_transport"] = transport
    return transport
