"""The service's client for tests: of a single server or fakeredis, without an event loop."""

from collections.abc import Sequence
from typing import Any, TypeVar

import redis

from service.errors import Unavailable, Unreadable
from service.storage import client
from service.storage.command import Command
from service.storage.connect import OPTIONS, create_queue_client
from service.storage.replies import CONNECTION_ERRORS, decode_each, decode_reply, missing_scripts

T = TypeVar("T")


def create_client(url: str) -> redis.Redis:
    """A client of redis-py, as ``RedisClient`` needs it."""
    return create_queue_client(url, **OPTIONS)


class RedisClient(client.RedisClient):
    """Runs commands on a connection of redis-py, in the thread of its caller."""

    def __init__(self, connection: redis.Redis) -> None:
        self.connection = connection

    def run(self, command: Command[T]) -> T:
        return self.run_all([command])[0]

    def run_all(self, commands: Sequence[Command[T]]) -> list[T]:
        """The replies to the commands, which are sent together and run independently."""
        return [*map(decode_reply, commands, self._send(commands))]

    def run_each(self, commands: Sequence[Command[T]]) -> list[T | Unreadable | Unavailable]:
        """The same, each for itself: ``decode_each`` describes what takes a reply's place."""
        return decode_each(commands, self._send(commands))

    def close(self) -> None:
        self.connection.close()

    def _send(self, commands: Sequence[Command[Any]]) -> list[Any]:
        if not commands:
            return []
        try:
            replies = self._execute(commands)
            if missing := missing_scripts(commands, replies):
                results = self._execute([*missing.values()])
                for index, reply in zip(missing, results, strict=True):
                    replies[index] = reply
        except CONNECTION_ERRORS as error:
            raise Unavailable from error
        return replies

    def _execute(self, commands: Sequence[Command[Any]]) -> list[Any]:
        pipeline: Any = self.connection.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command.args)
        return list(pipeline.execute(raise_on_error=False))
