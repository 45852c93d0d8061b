"""What is asked of Redis, without the asking."""

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any, Generic, NamedTuple, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Argument = str | int | float


class Script(NamedTuple):
    """A Lua script. Its text begins with what is common to all."""

    name: str
    source: str
    sha: str


class Command(NamedTuple, Generic[T_co]):
    """One command, and how its reply is read. Done twice, counters count twice, and all else is the same."""

    command: tuple[Argument, ...]
    decode: Callable[[Any], T_co]
    script: Script | None = None

    @property
    def keys(self) -> tuple[Argument, ...]:
        """The keys that it touches, all in one slot."""
        if self.script is None:
            return self.command[1:] if self.command[0] == "EXISTS" else self.command[1:2]
        return self.command[3 : 3 + int(self.command[2])]


def call(decode: Callable[[Any], T], *command: Argument) -> Command[T]:
    """A plain command. Its first argument is its only key; those of EXISTS are all keys."""
    return Command(command, decode)


def run_script(
    decode: Callable[[Any], T], name: str, keys: Sequence[str], *args: Argument
) -> Command[T]:
    """The script ``<room>/<name>``, which is ``service/<room>/scripts/<name>.lua``, over ``keys``."""
    script = load_script(name)
    return Command(("EVALSHA", script.sha, len(keys), *keys, *args), decode, script)


@cache
def load_script(name: str) -> Script:
    """The script ``<room>/<name>``, read once."""
    room, _, script = name.partition("/")
    constants = f"local TTL_MARGIN = {duration_ms(TTL_MARGIN)}\n"
    common = files("service.storage") / "scripts" / "common.lua"
    own = files(f"service.{room}") / "scripts" / f"{script}.lua"
    source = constants + common.read_text() + own.read_text()
    return Script(name, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


def attempt(decode: Callable[..., T], *args: Any) -> T | ValueError:
    """What ``decode`` makes of one record among many, or what is wrong with it: the others are not to suffer."""
    try:
        return decode(*args)
    except ValueError as error:
        return error
    except (TypeError, LookupError, ArithmeticError) as error:
        return ValueError(type(error).__name__)


def to_ms(moment: datetime) -> int:
    """Milliseconds since 1970, as every time is kept in Redis."""
    return int((moment - EPOCH) / MILLISECOND)


def from_ms(milliseconds: float | str) -> datetime:
    """The moment behind ``to_ms``."""
    return EPOCH + float(milliseconds) * MILLISECOND


def duration_ms(duration: timedelta) -> int:
    """A duration in milliseconds."""
    return int(duration / MILLISECOND)


TTL_MARGIN = timedelta(days=1)
"""How much later than its last entry an index may end."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
