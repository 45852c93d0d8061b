"""A store of its own with some links, and pipelines to it."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
import uvloop

from service.links.model import Link
from service.storage.connect import create_transport
from service.storage.pipeline import AutoPipeline
from tests.support.clock import Clock
from tests.support.factories import make_link, store_links
from tests.support.pipelines import (
    LINKS,
    Run,
)
from tests.support.redis_client import RedisClient, create_client
from tests.support.servers import RedisServer


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run_in_loop(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine in each kind of loop."""

    def run_in_loop(coroutine: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=request.param) as runner:
            return runner.run(coroutine)

    return run_in_loop


@pytest.fixture
def client(own_store: RedisServer) -> Iterator[RedisClient]:
    """A client of the same store, which is empty."""
    connection = create_client(own_store.url)
    connection.flushall()
    client = RedisClient(connection)
    yield client
    client.close()


@pytest.fixture
def links(client: RedisClient, clock: Clock) -> list[Link]:
    return store_links(
        client, [make_link(clock.now, transaction_id=str(number)) for number in range(LINKS)]
    )


@pytest.fixture
def make_pipeline(own_store: RedisServer) -> Callable[[], AutoPipeline]:
    """Makes a pipeline to the store; call it within a loop."""
    return lambda: AutoPipeline(create_transport(own_store.url))
