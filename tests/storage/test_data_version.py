"""The version of what is stored: an empty store becomes this release's, and that of any other is left alone."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest

from service.storage import data_version, keys
from service.storage.client import Client
from service.storage.command import Command, command
from service.storage.data_version import VERSION, WrongDataVersionError, claim, find
from service.storage.redis_url import connect
from tests.support.clock import Clock
from tests.support.factories import all_keys, make_link, put
from tests.support.servers import Store


def test_an_empty_store_becomes_ours(client: Client) -> None:
    assert find(client) is None
    claim(client)
    claim(client)
    assert find(client) == VERSION
    assert all_keys(client) == {"pl:data_version"}
    assert client.run(command(int, "PTTL", keys.DATA_VERSION)) == -1


def test_who_only_looks_writes_nothing(client: Client) -> None:
    find(client)
    assert all_keys(client) == set()


def test_our_own_data_is_taken_again(client: Client, clock: Clock) -> None:
    claim(client)
    put(client, make_link(clock.now))
    claim(client)


@pytest.mark.parametrize("version", ["1", "2", "4", "10", "two"])
def test_data_of_another_version_is_refused_and_stays_as_it_is(
    client: Client, version: str
) -> None:
    client.run(command(bool, "SET", keys.DATA_VERSION, version))
    with pytest.raises(
        WrongDataVersionError,
        match=f"data of version {version}, and this release reads version 3 only",
    ):
        claim(client)
    assert client.run(data_version.read()) == version


def test_what_is_no_version_is_refused_too(client: Client) -> None:
    client.run(command(bool, "SADD", keys.DATA_VERSION, "3"))
    with pytest.raises(WrongDataVersionError, match="data of version unknown,"):
        claim(client)


def test_links_without_a_version_are_of_the_oldest(client: Client, clock: Clock) -> None:
    put(client, make_link(clock.now))
    with pytest.raises(WrongDataVersionError, match="data of version 1,"):
        claim(client)
    assert client.run(data_version.read()) is None


def test_processes_that_start_at_once_all_start(valkey: Store) -> None:
    """The first of them already creates links while others look for a version."""

    def start(number: int) -> None:
        with closing(Client(connect(valkey.url))) as client:
            claim(client)
            put(client, make_link(Clock().now, org_id=f"org-{number}"))

    with closing(Client(connect(valkey.url))) as client:
        for _ in range(20):
            client.run(command(bool, "FLUSHALL"))
            with ThreadPoolExecutor(16) as threads:
                list(threads.map(start, range(16)))


class Watched:
    """A client, with what it is asked; ``before`` comes before several things are asked at once."""

    def __init__(self, client: Client, before: Callable[[], object] = lambda: None) -> None:
        self._client, self._before = client, before
        self.asked: list[str] = []

    def run(self, call: Command[Any]) -> Any:
        return self.run_all([call])[0]

    def run_all(self, calls: list[Command[Any]]) -> list[Any]:
        if len(calls) > 1:
            self._before()
        self.asked += [str(call.args[0]) for call in calls]
        return self._client.run_all(calls)


def test_links_that_another_process_made_since_we_looked_are_ours(
    client: Client, clock: Clock
) -> None:
    def another() -> None:
        claim(client)
        put(client, make_link(clock.now))

    claim(Watched(client, another))  # type: ignore[arg-type]


def test_it_asks_each_slot_once(client: Client) -> None:
    watched = Watched(client)
    find(watched)  # type: ignore[arg-type]
    assert watched.asked == ["GET", *["EXISTS"] * 256]
