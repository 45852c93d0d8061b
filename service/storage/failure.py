"""Why Redis could not be asked, in words for logs and ``check``: never with what an address says of user and password."""

import os
import re
import ssl
from collections.abc import Iterator

from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeout

COMMAND = re.compile(r"'([\w|.-]+)' command")
MAX_LENGTH = 200


def describe_failure(error: BaseException) -> str:
    """What is behind ``error``."""
    causes = list(_causes(error))
    known = next(filter(None, map(_describe_known, causes)), None)
    return known or _describe_other(causes[-1])


def is_permission_error(error: BaseException) -> bool:
    """Whether a script was refused a command: the server tells it as a fault of the script."""
    signs = ("ACL failure", "can't run this command", "can't access at least one of the keys")
    return type(error) is ResponseError and any(sign in str(error) for sign in signs)


def _describe_known(cause: BaseException) -> str | None:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {cause.verify_message}"
    if isinstance(cause, ssl.SSLError):
        return f"TLS: {cause.reason}"
    if isinstance(cause, NoPermissionError) or is_permission_error(cause):
        return _describe_permission(str(cause))
    if isinstance(cause, AuthenticationError):
        return "the server does not take the user and the password"
    if isinstance(cause, TimeoutError | RedisTimeout):
        return "it does not answer in time"
    return None


def _describe_other(cause: BaseException) -> str:
    if isinstance(cause, OSError) and cause.errno and cause.errno > 0:
        return os.strerror(cause.errno)
    return f"{type(cause).__name__}: {cause}"[:MAX_LENGTH]


def _describe_permission(message: str) -> str:
    """The server names the user too, who stands in the address."""
    command = COMMAND.search(message)
    if command is not None:
        return f"NOPERM: the user may not run '{command[1]}'"
    return (
        "NOPERM: the user may not use these keys"
        if "key" in message
        else "NOPERM: the user may not do this"
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """``error`` and what led to it."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__
