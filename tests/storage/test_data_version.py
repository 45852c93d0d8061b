"""The version of stored data: an empty store gets ours, and data of another version is refused."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

import pytest
import redis

from service.errors import Unavailable, Unreadable
from service.storage import data_version, keys
from service.storage.client import open_client
from service.storage.command import Command, command
from service.storage.data_version import (
    DATA_VERSION,
    WrongDataVersionError,
    ensure_version,
    find_version,
)
from tests.support.clock import Clock
from tests.support.factories import all_keys, make_link, store_link
from tests.support.partial_store import intercept
from tests.support.redis_client import RedisClient, create_client
from tests.support.servers import RedisServer

T = TypeVar("T")
VERSION_KEYS = (keys.DATA_VERSION_KEY, *keys.DATA_VERSION_COPIES)


def test_an_empty_store_gets_this_version(client: RedisClient) -> None:
    assert find_version(client) is None
    ensure_version(client)
    ensure_version(client)
    assert find_version(client) == DATA_VERSION
    assert all_keys(client) == {*VERSION_KEYS}
    assert {client.run(command(int, "PTTL", key)) for key in VERSION_KEYS} == {-1}


def test_finding_the_version_writes_nothing(client: RedisClient) -> None:
    find_version(client)
    assert all_keys(client) == set()


def test_data_of_this_version_is_accepted(client: RedisClient, clock: Clock) -> None:
    ensure_version(client)
    store_link(client, make_link(clock.now))
    ensure_version(client)


@pytest.mark.parametrize("version", ["1", "2", "4", "10", "two"])
def test_data_of_another_version_is_refused_and_left_alone(
    client: RedisClient, version: str
) -> None:
    client.run(command(bool, "SET", keys.DATA_VERSION_KEY, version))
    with pytest.raises(
        WrongDataVersionError,
        match=f"data of version {version}, and this release reads version 3 only",
    ):
        ensure_version(client)
    assert client.run(data_version.get_version()) == version


def test_a_copy_with_another_version_is_refused(client: RedisClient) -> None:
    ensure_version(client)
    client.run(command(bool, "SET", keys.DATA_VERSION_COPIES[7], "4"))
    with pytest.raises(WrongDataVersionError, match="data of version 4,"):
        ensure_version(client)


def test_copies_that_are_missing_are_written(client: RedisClient) -> None:
    client.run(data_version.set_version_if_absent())
    ensure_version(client)
    assert all_keys(client) == {*VERSION_KEYS}


def test_a_copy_is_enough_while_the_version_is_away(valkey: RedisServer) -> None:
    with open_client(valkey.url) as partial_client:
        ensure_version(partial_client)
        store = intercept(vars(partial_client)["_pipeline"])
        store.away = {keys.DATA_VERSION_KEY, *keys.ALL_PARTITIONS} - {"f0"}
        ensure_version(partial_client)
        store.away.add("f0")
        with pytest.raises(Unavailable):
            ensure_version(partial_client)


@pytest.mark.parametrize("key", [VERSION_KEYS[0], VERSION_KEYS[-1]])
def test_an_unreadable_version_is_refused(client: RedisClient, key: str) -> None:
    client.run(command(bool, "SADD", key, "3"))
    with pytest.raises(WrongDataVersionError, match="data of version unknown,"):
        ensure_version(client)


def test_a_store_is_not_taken_for_empty_while_a_part_of_it_is_away(
    redis_db: redis.Redis, valkey: RedisServer
) -> None:
    redis_db.delete(*VERSION_KEYS)
    with open_client(valkey.url) as partial_client:
        store = intercept(vars(partial_client)["_pipeline"])
        store.away = {"7f"}
        with pytest.raises(Unavailable):
            ensure_version(partial_client)
        assert not redis_db.exists(*VERSION_KEYS)
        store.away = set()
        ensure_version(partial_client)
        store.away = {*keys.ALL_PARTITIONS}
        ensure_version(partial_client)


def test_links_without_a_version_have_the_oldest(client: RedisClient, clock: Clock) -> None:
    store_link(client, make_link(clock.now))
    with pytest.raises(WrongDataVersionError, match="data of version 1,"):
        ensure_version(client)
    assert client.run(data_version.get_version()) is None


def test_processes_that_start_together_all_start(valkey: RedisServer) -> None:
    """The first creates links while the others still read the version."""

    def start(number: int) -> None:
        with closing(RedisClient(create_client(valkey.url))) as client:
            ensure_version(client)
            store_link(client, make_link(Clock().now, org_id=f"org-{number}"))

    with closing(RedisClient(create_client(valkey.url))) as client:
        for _ in range(20):
            client.run(command(bool, "FLUSHALL"))
            with ThreadPoolExecutor(16) as threads:
                list(threads.map(start, range(16)))


class RecordingClient(RedisClient):
    """Records the names of its commands, and calls ``before`` when it runs several together."""

    def __init__(self, client: RedisClient, before: Callable[[], object] = lambda: None) -> None:
        super().__init__(client.connection)
        self._before = before
        self.names: list[str] = []

    def run_all(self, commands: Sequence[Command[T]]) -> list[T]:
        if len(commands) > 1:
            self._before()
        self.names += [command.name for command in commands]
        return super().run_all(commands)

    def run_each(self, commands: Sequence[Command[T]]) -> list[T | Unreadable | Unavailable]:
        self.names += [command.name for command in commands]
        return super().run_each(commands)


def test_links_that_another_process_creates_meanwhile_have_this_version(
    client: RedisClient, clock: Clock
) -> None:
    def another() -> None:
        ensure_version(client)
        store_link(client, make_link(clock.now))

    ensure_version(RecordingClient(client, another))


def test_each_partition_is_queried_once(client: RedisClient) -> None:
    recording = RecordingClient(client)
    find_version(recording)
    assert recording.names == [*["GET"] * len(VERSION_KEYS), *["EXISTS"] * 256]
