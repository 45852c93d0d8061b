"""Commands for Redis as values: stores build them, a client or pipeline runs them."""

import hashlib
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import cache
from importlib.resources import files
from typing import Any, Generic, NamedTuple, TypeVar

from service.storage.event_log import EVENT_ARGS, MAX_EVENTS
from service.values.time import duration_ms

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Argument = str | int | float

TTL_MARGIN = timedelta(days=1)
"""How much later than its last entry an index may end."""


class Script(NamedTuple):
    """A Lua script, with the functions of ``common.lua`` in front: storage's and its package's."""

    name: str
    source: str
    sha: str


class Command(NamedTuple, Generic[T_co]):
    """One command, and the function that decodes its reply.

    All keys lie in one slot. Commands are idempotent, except those that count.
    """

    args: tuple[Argument, ...]
    decode: Callable[[Any], T_co]
    script: Script | None = None

    @property
    def keys(self) -> tuple[Argument, ...]:
        if self.script is None:
            return self.args[1:] if self.args[0] == "EXISTS" else self.args[1:2]
        return self.args[3 : 3 + int(self.args[2])]

    def with_source(self) -> "Command[T_co]":
        """The same, with the script itself in place of its digest; the server then keeps it."""
        if self.script is None:
            return self
        return self._replace(args=("EVAL", self.script.source, *self.args[2:]))

    @property
    def name(self) -> str:
        return self.script.name if self.script else str(self.args[0])


def command(decode: Callable[[Any], T], *args: Argument) -> Command[T]:
    """A plain command: its first argument is its key; all arguments of EXISTS are keys."""
    return Command(args, decode)


def run_script(
    decode: Callable[[Any], T], name: str, keys: Sequence[str], *args: Argument
) -> Command[T]:
    """A command that runs the script ``<package>/<name>`` on ``keys``."""
    script = load_script(name)
    return Command(("EVALSHA", script.sha, len(keys), *keys, *args), decode, script)


@cache
def load_script(name: str) -> Script:
    """The script ``<package>/<name>``, in ``service/<package>/scripts/<name>.lua``."""
    package, _, stem = name.partition("/")
    constants = (
        f"local TTL_MARGIN, MAX_EVENTS = {duration_ms(TTL_MARGIN)}, {MAX_EVENTS}\n"
        f"local EVENT_ARGS = {EVENT_ARGS}\n"
    )
    shared = [files(f"service.{each}") / "scripts" / "common.lua" for each in ("storage", package)]
    own = files(f"service.{package}") / "scripts" / f"{stem}.lua"
    common = (each.read_text() for each in dict.fromkeys(shared) if each.is_file())
    source = constants + "".join(common) + own.read_text()
    return Script(name, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


def try_decode(decode: Callable[..., T], *args: Any) -> T | ValueError:
    """One record of several, decoded; an error instead of it, so that the others can be used."""
    try:
        return decode(*args)
    except ValueError as error:
        return error
    except (TypeError, LookupError, ArithmeticError) as error:
        return ValueError(type(error).__name__)
