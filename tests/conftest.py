"""How tests are spread over workers, and fixtures that more than one folder uses.

A server that is missing skips its tests here, and fails them in CI.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from service.storage.client import Client, connect
from service.storage.data_version import claim
from tests.support.clock import Clock
from tests.support.servers import MailServer, Store, redis_server, store, valkey_server

SECRET = "correct horse battery staple, 32 bytes"
SLOWEST = ("faults", "browser", "e2e")
"""Folders whose files take long, so that they begin first."""


def pytest_xdist_auto_num_workers() -> int:
    """Workers: each starts stores and services of its own."""
    return min(os.cpu_count() or 1, 4)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Workers take one file after the other: slow ones first, those that run alone last."""
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> tuple[bool, int]:
    folder = item.path.parent.name
    turn = SLOWEST.index(folder) if folder in SLOWEST else len(SLOWEST)
    return item.get_closest_marker("alone") is not None, turn


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """While a test runs alone, other workers wait; its own time begins afterwards."""
    with Path(__file__).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if item.get_closest_marker("alone") else fcntl.LOCK_SH)
        return (yield)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def valkey() -> Iterator[Store]:
    """An embedded Valkey that tests share; each begins with it empty."""
    with store(valkey_server()) as server:
        yield server


@pytest.fixture(scope="module")
def own_store() -> Iterator[Store]:
    """A store that the tests of one module may stop and kill, and that a process takes whoever filled it."""
    with store(valkey_server(), durable=True) as server:
        with closing(Client(connect(server.url))) as client:
            claim(client)
        yield server


@pytest.fixture(scope="session")
def redis_binary() -> str:
    """Debian's Redis, which knows TLS, as the embedded Valkey does not."""
    binary = redis_server()
    if binary is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("redis-server is not on PATH")
    return binary


@pytest.fixture(scope="session")
def debian_redis(redis_binary: str) -> Iterator[Store]:
    with store(redis_binary) as server:
        yield server


@pytest.fixture(params=["valkey", "debian_redis"])
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    """The store's client on each backend, empty."""
    server: Store = request.getfixturevalue(request.param)
    connection = connect(server.url)
    connection.flushall()
    client = Client(connection)
    yield client
    client.close()


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    with MailServer() as server:
        yield server
