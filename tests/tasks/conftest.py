"""A harness for delivery: the real store, a clock that is turned by hand, and no mail server."""

from collections.abc import Iterator
from threading import Event

import pytest
from redis import Redis

from service.storage.client import Client
from service.storage.clock import RedisClock
from service.storage.redis_url import connect
from tasks.runtime import CURRENT, Runtime, create_heartbeats
from tests.support.clock import Clock
from tests.support.harness import Harness
from tests.support.mailers import ScriptedMailer
from tests.support.servers import Store


@pytest.fixture
def harness(valkey: Store, clock: Clock) -> Iterator[Harness]:
    """An empty one."""
    client = Client(connect(valkey.url))
    with Redis.from_url(valkey.url, decode_responses=True) as redis:
        redis.flushall()
        yield Harness(client, redis, clock)
    client.close()


@pytest.fixture
def queue(valkey: Store) -> Iterator[Redis]:
    """RQ's connection."""
    with Redis.from_url(valkey.url) as connection:
        yield connection


@pytest.fixture
def mailer() -> ScriptedMailer:
    return ScriptedMailer()


@pytest.fixture
def runtime(harness: Harness, queue: Redis, mailer: ScriptedMailer) -> Iterator[Runtime]:
    """What jobs find: the harness's store and clock, and ``mailer``."""
    stopping = Event()
    made = Runtime(
        client=harness.client,
        queue=queue,
        links=harness.link_worker(mailer, stopping.is_set),
        otps=harness.code_worker(mailer, stopping.is_set),
        clock=harness.clock,
        heartbeats=create_heartbeats(RedisClock()),
        stopping=stopping,
    )
    token = CURRENT.set(made)
    yield made
    CURRENT.reset(token)
