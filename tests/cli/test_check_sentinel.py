"""``payment-links check`` names each Sentinel, and each server that they watch, that is wrong."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import NamedTuple

import pytest
import redis

from tests.support.cli_runner import results_of, run_check
from tests.support.sentinel import SERVICE, run_sentinel
from tests.support.servers import RedisServer, free_port, store, valkey_server, wait_until

MIN_REPLICAS = ("--min-replicas-to-write", "1", "--min-replicas-max-lag", "1")
NO_REPLICA = "no replica is connected: it refuses writes (min-replicas-to-write)"


class Watched(NamedTuple):
    """A master and a replica, by port, and the Sentinels that watch them."""

    servers: dict[int, RedisServer]
    sentinel_ports: list[int]

    @property
    def url(self) -> str:
        addresses = ",".join(f"127.0.0.1:{port}" for port in self.sentinel_ports)
        return f"redis+sentinel://{addresses}/{SERVICE}"


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    master_port, replica_port = free_port(), free_port()
    replica_of = ("--replicaof", f"127.0.0.1 {master_port}", "--repl-diskless-sync-delay", "0")
    with ExitStack() as started:
        servers = {
            port: started.enter_context(
                store(valkey_server(), "--port", str(port), *MIN_REPLICAS, *options, durable=True)
            )
            for port, options in {master_port: (), replica_port: replica_of}.items()
        }
        with redis.Redis(port=replica_port, decode_responses=True) as replica:
            wait_until(
                lambda: replica.info("replication")["master_link_status"] == "up", "replication"
            )
        sentinel_ports = [started.enter_context(run_sentinel(master_port)) for _ in range(2)]
        for port in sentinel_ports:
            with redis.Redis(port=port, decode_responses=True) as sentinel:
                wait_until(
                    lambda: sentinel.sentinel_slaves(SERVICE), "Sentinel to find the replica"
                )
        yield Watched(servers, sentinel_ports)


def check(url: str) -> dict[str, tuple[str, str]]:
    results = results_of(run_check(REDIS_URL=url))
    return {name: results[name] for name in results if name.startswith("redis")}


def find_faults(url: str) -> dict[str, tuple[str, str]]:
    return {name: found for name, found in check(url).items() if found[0] != "ok"}


def test_a_durable_pair_is_ok(watched: Watched) -> None:
    master_port, _ = watched.servers
    results = check(watched.url)
    assert {status for status, _ in results.values()} == {"ok"}
    assert results["redis sentinels"] == (
        "ok",
        f"127.0.0.1:{master_port} is the master (2 nodes)",
    )
    assert results["redis"] == ("ok", "answers (2 nodes)")
    assert results["redis replication"] == (
        "ok",
        "1 replica online (with one less, it refuses writes), replica in sync (2 nodes)",
    )
    assert results["redis min-replicas"][1].endswith("max-lag 1 (2 nodes)")
    assert results["redis persistence"][1].endswith("appendfsync always (2 nodes)")
    assert results["redis commands"] == ("ok", "allowed")


@pytest.mark.parametrize("index", [0, 1], ids=["the master", "the replica"])
@pytest.mark.parametrize(
    ("setting", "value", "topic", "status"),
    [
        ("appendonly", "no", "persistence", "warn"),
        ("min-replicas-to-write", "0", "min-replicas", "warn"),
        ("min-replicas-max-lag", "10", "min-replicas", "warn"),
        ("maxmemory-policy", "allkeys-lru", "eviction", "FAIL"),
    ],
)
def test_a_server_with_a_wrong_setting_is_named(
    watched: Watched, index: int, setting: str, value: str, topic: str, status: str
) -> None:
    port = [*watched.servers][index]
    with redis.Redis(port=port, decode_responses=True) as client:
        right = client.config_get(setting)[setting]
        client.config_set(setting, value)
        try:
            faults = find_faults(watched.url)
        finally:
            client.config_set(setting, right)
    assert {name: found[0] for name, found in faults.items()} == {
        f"redis {topic} 127.0.0.1:{port}": status
    }


def test_a_sentinel_that_is_away_is_named(watched: Watched) -> None:
    away = free_port()
    url = watched.url.replace("://", f"://127.0.0.1:{away},")
    assert find_faults(url) == {
        f"redis sentinels 127.0.0.1:{away}": ("warn", "does not answer: Connection refused")
    }


def test_a_sentinel_that_names_another_master_is_named(watched: Watched) -> None:
    port = free_port()
    with store(valkey_server(), "--port", str(port)), run_sentinel(port) as sentinel_port:
        faults = find_faults(watched.url.replace("://", f"://127.0.0.1:{sentinel_port},"))
    assert faults[f"redis sentinels 127.0.0.1:{sentinel_port}"] == (
        "warn",
        f"takes 127.0.0.1:{port} for the master, unlike most others",
    )


def test_a_name_that_no_sentinel_knows_fails(watched: Watched) -> None:
    reason = "cannot be asked: ResponseError: No such master with that name"
    assert find_faults(watched.url.replace(SERVICE, "other")) == {
        "redis": ("FAIL", f"no Sentinel knows the master ({reason})")
    }


def test_a_password_that_sentinels_refuse_fails(watched: Watched) -> None:
    reason = "does not answer: it rejects the user or the password"
    assert find_faults(f"{watched.url}?sentinel_username=ann&sentinel_password=wrong") == {
        "redis": ("FAIL", f"no Sentinel knows the master ({reason})")
    }


def test_a_replica_that_is_away_is_named_and_its_master(watched: Watched) -> None:
    master_port, replica_port = watched.servers
    replica = watched.servers[replica_port]
    replica.kill()
    try:
        faults = find_faults(watched.url)
    finally:
        replica.start()
    assert faults == {
        f"redis 127.0.0.1:{replica_port}": ("warn", "does not answer: Connection refused"),
        f"redis replication 127.0.0.1:{master_port}": ("FAIL", NO_REPLICA),
    }
