"""How tests are spread over workers, and fixtures that more than one folder uses.

A server that is missing skips its tests here, and fails them in CI.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import redis
from litestar.testing import TestClient

from service.app import create_app
from service.storage.data_version import ensure_version
from tests.support.api import Api, FromPeer, MakeApi, empty, settings_of
from tests.support.clock import Clock
from tests.support.page_client import CHECKOUT
from tests.support.redis_client import RedisClient, create_client
from tests.support.servers import MailServer, RedisServer, redis_server, store, valkey_server

SLOWEST = ("faults", "browser", "e2e")
"""Folders whose files take long, so that they begin first."""


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors, for many tests wait; each has stores of its own."""
    return min(os.cpu_count() or 1, 4) + 1


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
def valkey() -> Iterator[RedisServer]:
    """An embedded Valkey that tests share; each begins with it empty."""
    with store(valkey_server()) as server:
        yield server


@pytest.fixture(scope="module")
def own_store() -> Iterator[RedisServer]:
    """A durable store for one module, whose tests may kill it and start processes on it."""
    with store(valkey_server(), durable=True) as server:
        with closing(RedisClient(create_client(server.url))) as client:
            ensure_version(client)
        yield server


@pytest.fixture(scope="session")
def redis_binary() -> str:
    """Debian's Redis, which knows TLS, as the embedded Valkey does not."""
    binary = redis_server()
    if binary is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("redis-server is not on PATH")
    return binary


@pytest.fixture(scope="session")
def debian_redis(redis_binary: str) -> Iterator[RedisServer]:
    with store(redis_binary) as server:
        yield server


@pytest.fixture(params=["valkey", "debian_redis"])
def client(request: pytest.FixtureRequest) -> Iterator[RedisClient]:
    """The store's client on each backend, empty."""
    server: RedisServer = request.getfixturevalue(request.param)
    connection = create_client(server.url)
    connection.flushall()
    client = RedisClient(connection)
    yield client
    client.close()


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    with MailServer() as server:
        yield server


@pytest.fixture
def redis_db(valkey: RedisServer) -> Iterator[redis.Redis]:
    """The store's own client; the store is empty, but for the version of its data."""
    with empty(valkey) as connection:
        yield connection


@pytest.fixture
def make_api(valkey: RedisServer, redis_db: redis.Redis, clock: Clock) -> Iterator[MakeApi]:
    """Starts an application with settings of its own; several share the store, as processes do."""
    with ExitStack() as started:

        def make(**environ: str) -> Api:
            app = create_app(settings_of(valkey, **environ), clock)
            return Api(started.enter_context(TestClient(FromPeer(app))), clock, redis_db)

        yield make


@pytest.fixture
def api(
    application: tuple[TestClient[Any], "ClockOfTheTest"], redis_db: redis.Redis, clock: Clock
) -> Api:
    """The application with settings as they come."""
    client, clock_of_the_test = application
    clock_of_the_test.clock = clock
    return Api(client, clock, redis_db)


@pytest.fixture
def shop(make_api: MakeApi) -> Api:
    """An application whose links lead to a checkout."""
    return make_api(CHECKOUT_URL=CHECKOUT)


class ClockOfTheTest:
    """Gives the time of the test that runs."""

    clock: Clock

    def __call__(self) -> datetime:
        return self.clock()


@pytest.fixture(scope="session")
def application(valkey: RedisServer) -> Iterator[tuple[TestClient[Any], ClockOfTheTest]]:
    """The application, started once a session, with its queue in another database."""
    clock = ClockOfTheTest()
    app = create_app(settings_of(valkey, QUEUE_REDIS_URL=f"{valkey.url}?db=1"), clock)
    with empty(valkey), TestClient(FromPeer(app)) as client:
        yield client, clock
