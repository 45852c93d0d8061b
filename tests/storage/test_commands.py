"""All keys of a command are in one slot, and all scripts are used."""

import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

import fakeredis
import pytest
from redis.crc import key_slot

import service
from service.storage import keys
from service.storage.command import Command
from service.values.ids import partition_of
from tests.support.redis_client import RedisClient
from tests.support.redis_commands import COMMANDS, LINK, SCRIPTS, STORES


def functions_of(store: str, module: ModuleType) -> set[str]:
    """The public functions of the module that return a command."""
    return {
        f"{store}.{name}"
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__
        and not name.startswith("_")
        and str(function.__annotations__["return"]).startswith("service.storage.command.Command")
    }


def test_the_commands_of_all_functions_are_listed() -> None:
    functions = {name for store, module in STORES.items() for name in functions_of(store, module)}
    assert len(functions) > 20
    assert {name.partition(" ")[0] for name in COMMANDS} == functions


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
def test_all_keys_of_a_command_are_in_one_slot(command: Command[Any]) -> None:
    assert command.keys
    assert len({key_slot(str(key).encode()) for key in command.keys}) == 1


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
def test_keys_are_those_arguments_with_our_prefix(command: Command[Any]) -> None:
    assert list(command.keys) == [
        argument for argument in command.args if str(argument).startswith("pl:")
    ]


def test_the_id_of_a_link_contains_its_partition() -> None:
    assert keys.partition_of_link(LINK.id) == partition_of("acme")


@pytest.mark.parametrize("command", SCRIPTS.values(), ids=SCRIPTS.keys())
def test_fakeredis_runs_every_script(command: Command[Any]) -> None:
    """As a smoke test: its Lua differs from that of real servers."""
    RedisClient(fakeredis.FakeRedis(version=(7,), decode_responses=True)).run(command)


def test_every_script_is_used() -> None:
    files = Path(service.__file__).parent.glob("*/scripts/*.lua")
    scripts = {f"{path.parent.parent.name}/{path.stem}" for path in files if path.stem != "common"}
    assert set(SCRIPTS) == scripts
