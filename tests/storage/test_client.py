"""The client for threads without an event loop: it reports outages, and works after them."""

import os
import signal
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis
from redis.exceptions import ResponseError

from service.errors import Unavailable, Unreadable
from service.links import mail_store
from service.links import store as links
from service.outbox import store as outbox
from service.storage import keys
from service.storage import rate_limits as limits
from service.storage.client import RedisClient, open_client
from service.storage.command import Command, command
from service.storage.multiplexed_connection import RECONNECT_SECONDS
from tests.support.clock import Clock
from tests.support.factories import RETENTION, make_link, read, store_link, store_links
from tests.support.servers import RedisServer

COUNTER = "pl:{00}:counter"
COUNT = limits.count([limits.RateLimit("sends", COUNTER, 100, timedelta(hours=1))])


@pytest.fixture
def client(own_store: RedisServer) -> Iterator[RedisClient]:
    with redis.Redis.from_url(own_store.url) as connection:
        connection.flushall()
    with open_client(own_store.url) as client:
        yield client


def test_no_commands_have_no_replies(client: RedisClient) -> None:
    assert client.run_all([]) == []


def test_replies_have_the_order_of_the_commands(client: RedisClient, clock: Clock) -> None:
    made = store_links(client, [make_link(clock.now) for _ in range(300)])
    assert client.run_all([links.get(link.id) for link in made[::-1]]) == made[::-1]


def test_a_wrong_command_is_no_outage(client: RedisClient, clock: Clock) -> None:
    store_link(client, make_link(clock.now))
    with pytest.raises(ResponseError, match="wrong number"):
        client.run(command(str, "HGET", keys.org("acme")))


def test_a_key_of_the_wrong_type_is_no_outage(client: RedisClient, clock: Clock) -> None:
    link = store_link(client, make_link(clock.now))
    wrong = command(str, "HGET", keys.org("acme"), "field")
    with pytest.raises(Unreadable):
        client.run(wrong)
    found, unreadable = client.run_each([links.get(link.id), wrong])
    assert found == link
    assert isinstance(unreadable, Unreadable)


def test_scripts_that_redis_lost_are_sent_again(client: RedisClient, clock: Clock) -> None:
    made = [make_link(clock.now), make_link(clock.now)]
    store_link(client, made[0])
    client.run(command(bool, "SCRIPT", "FLUSH"))
    commands: list[Command[Any]] = [
        mail_store.load_claimed(keys.partition_of_link(made[0].id), [made[0].id]),
        outbox.has_pending("00"),
        links.create(made[1], now=clock.now, retention=RETENTION),
    ]
    assert client.run_all(commands) == [[made[0]], False, True]


def test_a_missing_script_runs_once_for_each_command(client: RedisClient) -> None:
    client.run(command(bool, "SCRIPT", "FLUSH"))
    client.run_all([COUNT] * 5)
    assert client.run(command(int, "GET", COUNTER)) == 5


def test_a_stalled_store_is_unavailable_within_two_seconds(
    client: RedisClient, own_store: RedisServer, clock: Clock
) -> None:
    link, other = store_links(client, [make_link(clock.now), make_link(clock.now)])
    began = time.monotonic()
    os.kill(own_store.process.pid, signal.SIGSTOP)
    try:
        with pytest.raises(Unavailable):
            client.run(links.get(link.id))
    finally:
        os.kill(own_store.process.pid, signal.SIGCONT)
    assert 1 < time.monotonic() - began < 2
    assert read(client, other.id) == other


def test_a_stopped_store_is_unavailable_at_once(
    client: RedisClient, own_store: RedisServer, clock: Clock
) -> None:
    link = store_link(client, make_link(clock.now))
    own_store.kill()
    began = time.monotonic()
    try:
        for _ in range(2):
            with pytest.raises(Unavailable):
                client.run(links.get(link.id))
        took = time.monotonic() - began
    finally:
        own_store.start()
    assert took < 0.5
    time.sleep(RECONNECT_SECONDS)
    assert read(client, link.id) == link


def test_a_store_without_memory_is_unavailable_for_writes(
    client: RedisClient, own_store: RedisServer, clock: Clock
) -> None:
    link = store_link(client, make_link(clock.now))
    with redis.Redis.from_url(own_store.url) as connection:
        connection.config_set("maxmemory", 1)
        try:
            with pytest.raises(Unavailable):
                client.run(links.create(make_link(clock.now), now=clock.now, retention=RETENTION))
            assert read(client, link.id) == link
        finally:
            connection.config_set("maxmemory", 0)


def test_a_store_that_became_a_replica_is_unavailable(
    client: RedisClient, own_store: RedisServer, clock: Clock
) -> None:
    """As for a moment in every failover."""
    with redis.Redis.from_url(own_store.url) as connection:
        connection.replicaof("127.0.0.1", 1)
        try:
            with pytest.raises(Unavailable):
                client.run(links.create(make_link(clock.now), now=clock.now, retention=RETENTION))
        finally:
            connection.replicaof("NO", "ONE")
