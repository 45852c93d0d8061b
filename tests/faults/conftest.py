"""Deliberate faults. ``FAULTS=full`` runs them at the length that the README's figures state."""

import itertools
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from service.storage.data_version import ensure_version
from tests.support.redis_client import RedisClient
from tests.support.relay import Relay
from tests.support.run_length import RunLength
from tests.support.sender import OpenPost, Post, Sender
from tests.support.servers import RedisServer
from tests.support.service_processes import Service
from tests.support.web import run_web

pytest.register_assert_rewrite("tests.support.model_comparison")


HERE = Path(__file__).parent
IS_FULL = os.environ.get("FAULTS") == "full"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of full length take as long as they take."""
    for item in items:
        if IS_FULL and item.path.parent == HERE:
            item.add_marker(pytest.mark.timeout(0))


@pytest.fixture(scope="session")
def run_length() -> RunLength:
    """Chooses between a figure's short and its full length."""
    return lambda short, full: full if IS_FULL else short


@pytest.fixture
def redis_db(own_store: RedisServer) -> Iterator["redis.Redis"]:
    """The module's store, empty, but for the version of its data."""
    with redis.Redis.from_url(own_store.url, decode_responses=True) as connection:
        connection.flushall()
        ensure_version(RedisClient(connection))
        yield connection


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, own_store: RedisServer) -> Iterator[Service]:
    with run_web(tmp_path_factory.mktemp("web"), own_store.url) as running:
        yield running
    assert "internal_error" not in running.web.output()


@pytest.fixture(scope="module")
def open_post(
    tmp_path_factory: pytest.TempPathFactory, own_store: RedisServer
) -> Iterator[OpenPost]:
    databases = itertools.count()
    with ExitStack() as opened:

        def open_post(*commands: str, userinfo: str = "", **settings: str) -> Post:
            relay = opened.enter_context(Relay())
            directory = tmp_path_factory.mktemp("sender")
            store_url = f"{own_store.url}?db={next(databases)}"
            sender = Sender(directory, store_url, relay.url(userinfo), *commands, **settings)
            return Post(opened.enter_context(sender), relay)

        yield open_post
