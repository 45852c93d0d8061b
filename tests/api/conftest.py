"""The application under test, on the shared store, with a clock that tests turn by hand."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import Any

import pytest
import redis
from litestar.testing import TestClient

from config.settings import Settings, load
from service.app import create_app
from service.storage.client import Client, connect
from service.storage.data_version import claim
from tests.api.helpers import PUBLIC_URL, Api, FromPeer
from tests.api.pages import CHECKOUT
from tests.conftest import SECRET
from tests.support.clock import Clock
from tests.support.servers import Store

MakeApi = Callable[..., Api]


@pytest.fixture
def redis_db(valkey: Store) -> Iterator[redis.Redis]:
    """The store's own client; the store is empty, but for the version of its data."""
    with empty(valkey) as connection:
        yield connection


@contextmanager
def empty(store: Store) -> Iterator[redis.Redis]:
    """A connection to ``store``, which then holds nothing but the version of its data."""
    connection = connect(store.url)
    assert isinstance(connection, redis.Redis)
    connection.flushall()
    claim(Client(connection))
    yield connection
    connection.close()


@pytest.fixture
def make_api(valkey: Store, redis_db: redis.Redis, clock: Clock) -> Iterator[MakeApi]:
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
def application(valkey: Store) -> Iterator[tuple[TestClient[Any], ClockOfTheTest]]:
    """Started once, which takes longer than most tests. It rings in a database of its own, where it disturbs nobody."""
    clock = ClockOfTheTest()
    app = create_app(settings_of(valkey, QUEUE_REDIS_URL=f"{valkey.url}?db=1"), clock)
    with empty(valkey), TestClient(FromPeer(app)) as client:
        yield client, clock


def settings_of(store: Store, **environ: str) -> Settings:
    return load({"SECRET_KEY": SECRET, "REDIS_URL": store.url, "PUBLIC_URL": PUBLIC_URL} | environ)
