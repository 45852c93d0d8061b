"""Fixtures that more than one folder uses. A server that is missing skips its tests here, and fails them in CI."""

import os
from collections.abc import Iterator
from contextlib import closing

import fakeredis
import pytest

from service.storage.client import Client, connect
from service.storage.data_version import claim
from tests.support.clock import Clock
from tests.support.servers import MailServer, Store, redis_server, store, valkey_server

SECRET = "correct horse battery staple, 32 bytes"


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
    with store(valkey_server()) as server:
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


@pytest.fixture(params=["fakeredis", "valkey", "redis"])
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    """The store's client on each backend, empty."""
    if request.param == "fakeredis":
        yield Client(fakeredis.FakeRedis(version=(7,), decode_responses=True))
        return
    server: Store = request.getfixturevalue(
        "valkey" if request.param == "valkey" else "debian_redis"
    )
    connection = connect(server.url)
    connection.flushall()
    client = Client(connection)
    yield client
    client.close()


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    with MailServer() as server:
        yield server
