"""Connections to Redis: the one place that knows whether it is a single server, Sentinel or a cluster."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar, cast
from urllib.parse import SplitResult, urlsplit, urlunsplit

import redis
import redis.asyncio
import structlog
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.connection import parse_url
from redis.exceptions import NoScriptError, RedisClusterException, RedisError, ResponseError
from redis.retry import Retry
from redis.sentinel import Sentinel

from service.errors import Unavailable, Unreadable
from service.storage.command import Argument, Command, Script
from service.storage.failure import is_permission_error
from service.storage.keys import for_log

log = structlog.get_logger(__name__)

T = TypeVar("T")

TIMEOUT = 1.25
"""Seconds that a connection, and a command, may take: a request is answered in 2 on a busy machine too."""
Connection = redis.Redis | RedisCluster
AWAY = (RedisError, RedisClusterException, OSError)
"""What is raised where Redis does not answer; only a plain ResponseError can mean anything else."""


class Client:
    """Carries out calls one after the other, for processes that do one thing at a time."""

    def __init__(self, connection: Connection | Callable[[], Connection]) -> None:
        """``connection`` may be what makes one: a cluster is asked for its nodes as soon as it is made."""
        self._connection = connection

    @property
    def _redis(self) -> Connection:
        if callable(self._connection):
            self._connection = self._connection()
        return self._connection

    def run(self, call: Command[T]) -> T:
        """The reply to ``call``.

        Raises:
            Unavailable: Redis does not answer.
            Unreadable: a key holds something else.
        """
        return self.run_all([call])[0]

    def run_all(self, calls: Sequence[Command[T]]) -> list[T]:
        """The replies to ``calls``, in one round trip, but for those whose script the server has forgotten: they come after it.

        Raises:
            Unavailable: Redis does not answer; any of the calls may have been carried out.
            Unreadable: a key holds something else; the other calls have been carried out.
        """
        return all_readable(self.run_each(calls))

    def run_each(self, calls: Sequence[Command[T]]) -> list[T | Unreadable]:
        """The same, with an ``Unreadable`` in place of the reply to a call whose keys hold something else."""
        return self.start(calls)()

    def start(self, calls: Sequence[Command[T]]) -> Callable[[], list[T | Unreadable]]:
        """Sends ``calls``, to a cluster not before their replies are asked for. What it gives waits for the replies.

        It has to be called: until then, they hold a connection.

        Raises:
            Unavailable: as ``run_each``, both here and there.
        """
        if not calls:
            return list
        try:
            finish = self._send(calls)
        except AWAY as error:
            raise Unavailable from error
        return partial(self._replies, calls, finish)

    def _replies(
        self, calls: Sequence[Command[T]], finish: Callable[[], list[Any]]
    ) -> list[T | Unreadable]:
        try:
            replies = finish()
            if again := forgotten(calls, replies):
                for script in scripts_of([*again.values()]):
                    self._redis.script_load(script.source)
                for index, reply in zip(again, self._send([*again.values()])(), strict=True):
                    replies[index] = reply
        except AWAY as error:
            raise Unavailable from error
        return [try_decode(call, reply) for call, reply in zip(calls, replies, strict=True)]

    def _send(self, calls: Sequence[Command[Any]]) -> Callable[[], list[Any]]:
        commands = [call.command for call in calls]
        if not isinstance(self._redis, RedisCluster):
            return _send_on(self._redis.connection_pool, commands)
        pipeline = self._redis.pipeline(transaction=False)  # type: ignore[no-untyped-call]
        for command in commands:
            pipeline.execute_command(*command)
        return partial(pipeline.execute, raise_on_error=False)

    def close(self) -> None:
        if not callable(self._connection):
            self._connection.close()


def _send_on(pool: Any, commands: Sequence[tuple[Argument, ...]]) -> Callable[[], list[Any]]:
    """What a pipeline of redis-py's does in one step, in two: something else can be done before the replies are read."""
    connection = pool.get_connection()
    try:
        connection.send_packed_command(connection.pack_commands(commands))
    except BaseException:
        connection.disconnect()
        pool.release(connection)
        raise

    def read() -> list[Any]:
        try:
            return [_read(connection) for _ in commands]
        except BaseException:
            connection.disconnect()  # or whoever has it next reads what is meant for us
            raise
        finally:
            pool.release(connection)

    return read


def _read(connection: Any) -> Any:
    try:
        return connection.read_response()
    except ResponseError as error:
        return error


def forgotten(calls: Sequence[Command[T]], replies: Sequence[Any]) -> dict[int, Command[T]]:
    """Those of ``calls``, by their place, whose script the server does not know."""
    return {
        index: call
        for index, (call, reply) in enumerate(zip(calls, replies, strict=True))
        if isinstance(reply, NoScriptError)
    }


def scripts_of(calls: Sequence[Command[Any]]) -> list[Script]:
    """The scripts that ``calls`` need, each once."""
    return list({call.script.sha: call.script for call in calls if call.script}.values())


def try_decode(call: Command[T], reply: Any) -> T | Unreadable:
    """What ``reply`` says; an ``Unreadable``, which the log tells of, where the call's keys hold something else.

    Raises:
        Unavailable: the server cannot serve now (loading, read-only, out of memory), or the connection broke.
        ResponseError: the call is wrong.
    """
    if type(reply) is ResponseError and _is_about_data(reply):
        return _unreadable(call, reply)
    if isinstance(reply, Exception):
        if is_permission_error(reply):
            raise Unavailable from reply
        if not isinstance(reply, AWAY) or (type(reply) is ResponseError and not _is_passing(reply)):
            raise reply
        raise Unavailable from reply
    try:
        return call.decode(reply)
    except (ValueError, TypeError, LookupError, ArithmeticError) as error:
        return _unreadable(call, error)


def decode_reply(call: Command[T], reply: Any) -> T:
    """The same, but raises ``Unreadable``."""
    return all_readable([try_decode(call, reply)])[0]


def all_readable(results: Sequence[T | Unreadable]) -> list[T]:
    """``results``.

    Raises:
        Unreadable: one of them is.
    """
    for result in results:
        if isinstance(result, Unreadable):
            raise result
    return cast("list[T]", results)


def _unreadable(call: Command[Any], error: Exception) -> Unreadable:
    """Its values stay out of the log: they are people's."""
    command = call.script.name if call.script else call.command[0]
    reason = str(error)[:200] if isinstance(error, ResponseError) else type(error).__name__
    log.error("data_unreadable", command=command, keys=for_log(call.keys), error=reason)
    unreadable = Unreadable()
    unreadable.__cause__ = error
    return unreadable


def connect(url: str) -> Connection:
    """A connection for ``Client``: commands are never sent twice, and give up after ``TIMEOUT``.

    Raises:
        Unavailable: it is a cluster, and none of its nodes answers.
    """
    parts = urlsplit(url)
    if parts.scheme == "redis+cluster":
        try:
            return RedisCluster(**_cluster(parts), **_options(), retry=Retry(NoBackoff(), 0))
        except AWAY as error:
            raise Unavailable from error
    return connect_queue(url, **_options())


def connect_queue(url: str, **options: Any) -> redis.Redis:
    """A connection that RQ can use: one server, or the one that Sentinel names. Commands are never sent twice."""
    parts = urlsplit(url)
    options["retry"] = Retry(NoBackoff(), 0)
    if parts.scheme == "redis+sentinel":
        service, database = _sentinel_service(parts)
        once = {**_options(), "retry": options["retry"]}
        sentinel = Sentinel(_hosts(parts), sentinel_kwargs=once, **_given(parts), **options)  # type: ignore[no-untyped-call]
        return cast("redis.Redis", sentinel.master_for(service, db=database))  # type: ignore[no-untyped-call]
    return redis.Redis.from_url(url, **options)


def connect_async(url: str) -> "redis.asyncio.Redis | redis.asyncio.RedisCluster":
    """What a ``AutoPipeline`` connects by."""
    parts = urlsplit(url)
    options: dict[str, Any] = {**_options(), "retry": AsyncRetry(NoBackoff(), 0)}
    if parts.scheme == "redis+cluster":
        return redis.asyncio.RedisCluster(**_cluster(parts), **options)
    if parts.scheme == "redis+sentinel":
        service, database = _sentinel_service(parts)
        sentinel = redis.asyncio.Sentinel(  # type: ignore[no-untyped-call]
            _hosts(parts), sentinel_kwargs=options, **_given(parts), **options
        )
        return cast("redis.asyncio.Redis", sentinel.master_for(service, db=database))
    return redis.asyncio.Redis.from_url(url, **options)


def _options() -> dict[str, Any]:
    return {"decode_responses": True, "socket_timeout": TIMEOUT, "socket_connect_timeout": TIMEOUT}


def _hosts(parts: SplitResult) -> list[tuple[str, int]]:
    """``host:port`` of every Sentinel; the port may be left out."""
    addresses = parts.netloc.rpartition("@")[2].split(",")
    return [
        (host, int(port or 26379))
        for host, _, port in (address.partition(":") for address in addresses)
    ]


def _sentinel_service(parts: SplitResult) -> tuple[str, int]:
    service, _, database = parts.path.strip("/").partition("/")
    return service, int(database or 0)


def _given(parts: SplitResult) -> dict[str, Any]:
    """What redis-py reads in a URL of one server: user, password and options. ``ssl=true`` is what ``rediss`` is there."""
    user, at, _ = parts.netloc.rpartition("@")
    url = urlunsplit(("redis", f"{user}{at}localhost", "", parts.query, ""))
    given: dict[str, Any] = parse_url(url)  # type: ignore[no-untyped-call]
    del given["host"]
    return {**given, "ssl": given.get("ssl") == "true"}


def _cluster(parts: SplitResult) -> dict[str, Any]:
    return {"host": parts.hostname or "localhost", "port": parts.port or 6379, **_given(parts)}


def _is_about_data(error: ResponseError) -> bool:
    """Whether a key holds what the command, or the script, cannot work with."""
    signs = (
        "WRONGTYPE",
        "user_script",
        "is not an integer",
        "is not a valid float",
        "is not a float",
    )
    return (
        any(sign in str(error) for sign in signs)
        and not _is_passing(error)
        and not is_permission_error(error)
    )


def _is_passing(error: ResponseError) -> bool:
    """Whether the server refuses now what it will take later."""
    return str(error).startswith(
        (
            "OOM",
            "READONLY",
            "LOADING",
            "BUSY",
            "MASTERDOWN",
            "MISCONF",
            "NOREPLICAS",
            "CLUSTERDOWN",
            "TRYAGAIN",
        )
    )
