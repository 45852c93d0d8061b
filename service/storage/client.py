"""The client of processes that do one thing at a time."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import redis
from redis.cluster import RedisCluster

from service.errors import Unavailable, Unreadable
from service.storage.command import Command
from service.storage.replies import CONNECTION_ERRORS, decode_each, decode_reply, missing_scripts

T = TypeVar("T")

Connection = redis.Redis | RedisCluster


class RedisClient:
    """Runs commands one after the other. What it raises is described at ``decode_reply``."""

    def __init__(self, connection: Connection | Callable[[], Connection]) -> None:
        """``connection`` may be a function: a cluster is contacted as soon as it is made."""
        self._connection = connection

    @property
    def connection(self) -> Connection:
        """The connection of redis-py, made when it is first used."""
        if callable(self._connection):
            self._connection = self._connection()
        return self._connection

    def run(self, command: Command[T]) -> T:
        return self.run_all([command])[0]

    def run_all(self, commands: Sequence[Command[T]]) -> list[T]:
        """The replies to the commands, which are sent together and run independently."""
        return [*map(decode_reply, commands, self._send(commands))]

    def run_each(self, commands: Sequence[Command[T]]) -> list[T | Unreadable]:
        """The same, with an ``Unreadable`` in place of each reply that cannot be decoded."""
        return decode_each(commands, self._send(commands))

    def close(self) -> None:
        if not callable(self._connection):
            self._connection.close()

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
