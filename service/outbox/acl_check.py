"""Finds what the ACL of a user of RQ's Redis denies, for ``payment-links check``."""

from collections.abc import Iterator

from redis import Redis
from redis.exceptions import NoPermissionError, ResponseError

from service.outbox.doorbell import NAMESPACE
from service.storage.error_descriptions import COMMAND

PROBE_COMMANDS = """
WATCH key | UNWATCH | MULTI | EXEC
SET key 1 | EXISTS key | TYPE key | EXPIRE key 1 | PERSIST key | TTL key | DEL key
HSET key a 1 | HGET key a | HGETALL key | HINCRBY key a 1 | HINCRBYFLOAT key a 1 | HDEL key a
SADD key a | SMEMBERS key | SCARD key | SREM key a
RPUSH key a | LRANGE key 0 0 | LLEN key | LPOS key a | LREM key 0 a
BLMOVE key key LEFT RIGHT 0.001 | DEL key
ZADD key 1 a | ZCARD key | ZSCORE key a | ZRANGE key 0 0 | ZRANGEBYSCORE key 0 1
ZREMRANGEBYSCORE key 2 3 | ZREM key a
XADD key * a 1 | DEL key
"""
"""All that RQ, rq-scheduler and the doorbell need, beside EVAL. Nothing remains of it."""


def find_denied(connection: Redis) -> list[str]:
    """The commands, and the key prefixes, that the user may not use.

    Raises:
        RedisError: RQ's Redis does not answer.
    """
    denied = []
    for prefix in (f"{NAMESPACE}:", "rq:"):
        for command, *arguments in probe_commands(f"{prefix}probe"):
            try:
                connection.execute_command(command, *arguments)
            except NoPermissionError as error:
                keys = f"keys that begin with {prefix}"
                denied.append(command if COMMAND.search(str(error)) else keys)
            except ResponseError:
                pass  # EXEC without the MULTI that was denied: the user may use EXEC
    return [*dict.fromkeys(denied)]


def probe_commands(key: str) -> Iterator[list[str]]:
    """``PROBE_COMMANDS`` on ``key``, which is unused, each as a list of words."""
    yield ["EVAL", "return 1", "0"]
    for command in PROBE_COMMANDS.replace("|", "\n").strip().splitlines():
        yield [key if word == "key" else word for word in command.split()]
