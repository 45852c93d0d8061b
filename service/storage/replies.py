"""Replies of Redis: how they are decoded, and what each error means."""

from collections.abc import Sequence
from typing import Any, NoReturn, TypeVar

import structlog
from redis.exceptions import NoScriptError, RedisClusterException, RedisError, ResponseError

from service.errors import Unavailable, Unreadable
from service.storage.command import Command
from service.storage.error_descriptions import MAX_LOGGED_ERROR_CHARACTERS, is_permission_error
from service.storage.keys import for_log

log = structlog.get_logger(__name__)

T = TypeVar("T")

CONNECTION_ERRORS = (RedisError, RedisClusterException, OSError)
"""What redis-py raises when Redis does not answer. Only a plain ResponseError can mean more."""
DATA_ERRORS = (
    "WRONGTYPE",
    "user_script",
    "is not an integer",
    "is not a valid float",
    "is not a float",
)
"""Parts of error messages about a key that holds something else than the command expects."""
TRANSIENT_ERRORS = ("BUSY", "MISCONF", "NOREPLICAS")
"""Codes of temporary errors for which redis-py has no class."""


def missing_scripts(
    commands: Sequence[Command[T]], replies: Sequence[Any]
) -> dict[int, Command[T]]:
    """The commands, by index, that did not run because the server lacks their scripts.

    Each comes with the source of its script, to be sent again.
    """
    return {
        index: command.with_source()
        for index, (command, reply) in enumerate(zip(commands, replies, strict=True))
        if isinstance(reply, NoScriptError)
    }


def decode_each(
    commands: Sequence[Command[T]], replies: Sequence[Any]
) -> list[T | Unreadable | Unavailable]:
    """The decoded replies, each for itself.

    An ``Unreadable`` takes the place of each that cannot be decoded, an ``Unavailable`` that of
    each command that was not answered.

    Raises:
        Unavailable: no command was answered.
        ResponseError: as ``decode_reply``.
    """
    decoded = [_try_decode(*pair) for pair in zip(commands, replies, strict=True)]
    unanswered = [reply for reply in decoded if isinstance(reply, Unavailable)]
    if unanswered and len(unanswered) == len(decoded):
        raise unanswered[0]
    return decoded


def decode_reply(command: Command[T], reply: Any) -> T:
    """The decoded reply.

    Raises:
        Unavailable: the connection broke, or the server cannot run the command now.
        Unreadable: a key holds something else than the command expects.
        ResponseError: the command is wrong.
    """
    if isinstance(reply, Exception):
        _raise(command, reply)
    try:
        return command.decode(reply)
    except (ValueError, TypeError, LookupError, ArithmeticError) as error:
        _log_unreadable(command, type(error).__name__)
        raise Unreadable from error


def is_transient(error: ResponseError) -> bool:
    """Whether the server may run the same command later."""
    return type(error) is not ResponseError or str(error).startswith(TRANSIENT_ERRORS)


def _try_decode(command: Command[T], reply: Any) -> T | Unreadable | Unavailable:
    try:
        return decode_reply(command, reply)
    except (Unreadable, Unavailable) as error:
        return error


def _raise(command: Command[Any], error: Exception) -> NoReturn:
    if not isinstance(error, CONNECTION_ERRORS):
        raise error
    if not isinstance(error, ResponseError) or is_transient(error) or is_permission_error(error):
        raise Unavailable from error
    if any(part in str(error) for part in DATA_ERRORS):
        _log_unreadable(command, str(error)[:MAX_LOGGED_ERROR_CHARACTERS])
        raise Unreadable from error
    raise error


def _log_unreadable(command: Command[Any], reason: str) -> None:
    """Logs no values: they are personal data."""
    log.error("data_unreadable", command=command.name, keys=for_log(command.keys), error=reason)
