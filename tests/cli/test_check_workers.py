"""``payment-links check --worker`` tells whether this machine's workers are alive."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from click.testing import Result
from redis import Redis

from service.health import store as heartbeats
from service.health.heartbeat import host_name
from service.storage import keys
from service.storage.command import command
from tests.support.cli_runner import SECRET, results_of, run
from tests.support.redis_client import RedisClient, create_client
from tests.support.servers import RedisServer, free_port


@pytest.fixture
def client(valkey: RedisServer) -> Iterator[RedisClient]:
    client = RedisClient(create_client(valkey.url))
    with Redis.from_url(valkey.url) as connection:
        connection.flushall()
    yield client
    client.close()


def record(client: RedisClient, *queues: str, host: str | None = None, age: float = 0) -> None:
    for queue in queues:
        key = keys.heartbeats(f"worker-{queue}")
        now = client.run(heartbeats.record(f"worker-{queue}", "elsewhere:1", skew=timedelta(0)))
        client.run(
            command(int, "HSET", key, f"{host or host_name()}:7", f"{(now - age) * 1000:.0f} 0")
        )


def probe(valkey: RedisServer, *options: str) -> Result:
    return run("check", "--worker", *options, SECRET_KEY=SECRET, REDIS_URL=valkey.url)


def test_live_workers_are_ok(valkey: RedisServer, client: RedisClient) -> None:
    record(client, "links", "otps", "notices")
    result = probe(valkey)
    assert (result.exit_code, list(results_of(result))) == (
        0,
        ["worker-links", "worker-otps", "worker-notices"],
    )


def test_a_stalled_worker_fails(valkey: RedisServer, client: RedisClient) -> None:
    record(client, "links", age=25)
    record(client, "otps")
    result = probe(valkey)
    assert result.exit_code == 1
    assert results_of(result)["worker-links"][0] == "FAIL"
    assert results_of(result)["worker-links"][1].startswith("last alive 25.")


def test_workers_of_other_machines_do_not_count(valkey: RedisServer, client: RedisClient) -> None:
    record(client, "links", "otps", host="elsewhere")
    assert probe(valkey).exit_code == 1


def test_the_workers_of_one_queue_can_be_checked_alone(
    valkey: RedisServer, client: RedisClient
) -> None:
    record(client, "otps")
    assert probe(valkey).exit_code == 1
    assert probe(valkey, "--queue", "otps").exit_code == 0


def test_where_no_worker_can_say_that_it_is_alive_none_fails(
    valkey: RedisServer, client: RedisClient
) -> None:
    record(client, "links", "otps", "notices", age=25)
    with Redis.from_url(valkey.url) as connection:
        connection.config_set("min-replicas-to-write", 1)
        try:
            result = probe(valkey)
        finally:
            connection.config_set("min-replicas-to-write", 0)
    assert (result.exit_code, list(results_of(result))) == (0, ["redis"])
    assert "NOREPLICAS" in results_of(result)["redis"][1]


def test_without_redis_no_worker_fails() -> None:
    url = f"redis://operator:hunter2@127.0.0.1:{free_port()}"
    result = run("check", "--worker", SECRET_KEY=SECRET, REDIS_URL=url)
    assert (result.exit_code, results_of(result)["redis"][0]) == (0, "warn")
    assert "hunter2" not in result.output


def test_wrong_settings_fail() -> None:
    assert run("check", "--worker").exit_code == 1
