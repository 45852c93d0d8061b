"""Why Redis does not answer, for logs and ``check``.

No description contains the user or the password, which are part of the URL.
"""

import os
import re
import ssl
from collections.abc import Iterator

from redis.asyncio.sentinel import MasterNotFoundError as AsyncMasterNotFoundError
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeout
from redis.sentinel import MasterNotFoundError

from service.storage.credentials import PasswordFileError

COMMAND = re.compile(r"'([\w|.-]+)' command")
"""Where the message of a permission error names the command."""
PERMISSION_ERRORS = (
    "ACL failure",
    "can't run this command",
    "can't access at least one of the keys",
)
"""Parts of messages that report a permission error of a script as an error in the script."""
SENTINEL_ERROR = re.compile(r" - \w+:(\w+)")
"""Where redis-py's message about an unknown master names the class of each Sentinel's error."""
SENTINEL_REASONS = {
    "AuthenticationError": "login refused",
    "ConnectionError": "connection refused or lost",
    "PasswordFileError": "sentinel_password_file cannot be read or is empty",
    "TimeoutError": "no answer in time",
}
MAX_LOGGED_ERROR_CHARACTERS = 200


def describe_failure(error: BaseException) -> str:
    """The first of the error's causes that is known, else the last."""
    causes = list(_causes(error))
    known = next(filter(None, map(_describe_known, causes)), None)
    return known or _describe_unknown(causes[-1])


def is_permission_error(error: BaseException) -> bool:
    """Whether a script ran a command that the user may not run."""
    return type(error) is ResponseError and any(part in str(error) for part in PERMISSION_ERRORS)


def _describe_known(cause: BaseException) -> str | None:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {cause.verify_message}"
    if isinstance(cause, ssl.SSLError):
        return f"TLS: {cause.reason}"
    if isinstance(cause, NoPermissionError) or is_permission_error(cause):
        return _describe_permission(str(cause))
    if isinstance(cause, TimeoutError | RedisTimeout):
        return "it does not answer in time"
    return _describe_login(cause)


def _describe_login(cause: BaseException) -> str | None:
    if isinstance(cause, AuthenticationError):
        return _describe_rejection(str(cause))
    if isinstance(cause, PasswordFileError):
        return str(cause)
    if isinstance(cause, MasterNotFoundError | AsyncMasterNotFoundError):
        return _describe_sentinels(str(cause))
    return None


def _describe_unknown(cause: BaseException) -> str:
    if isinstance(cause, OSError) and cause.errno and cause.errno > 0:
        return os.strerror(cause.errno)
    return f"{type(cause).__name__}: {cause}"[:MAX_LOGGED_ERROR_CHARACTERS]


def _describe_permission(message: str) -> str:
    """The message itself names the user."""
    command = COMMAND.search(message)
    if command is not None:
        return f"NOPERM: the user may not run '{command[1]}'"
    what = "use these keys" if "key" in message else "do this"
    return f"NOPERM: the user may not {what}"


def _describe_rejection(message: str) -> str:
    if "Authentication required" in message or "HELLO must be called" in message:
        return "it requires a password"
    return "it rejects the user or the password"


def _describe_sentinels(message: str) -> str:
    """The reasons of the Sentinels that were asked, each once. The message is too long for logs."""
    reasons = dict.fromkeys(
        SENTINEL_REASONS.get(name, name) for name in SENTINEL_ERROR.findall(message)
    )
    return "no Sentinel knows the master" + (f" ({', '.join(reasons)})" if reasons else "")


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
