"""``payment-links check --worker`` tells whether this machine's workers are alive."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from click.testing import Result
from redis import Redis

from service.health import store as heartbeats
from service.health.heartbeat import host_name
from service.storage import keys
from service.storage.client import Client
from service.storage.command import command
from service.storage.redis_url import connect
from tests.support.command import SECRET, results_of, run
from tests.support.servers import Store, free_port


@pytest.fixture
def client(valkey: Store) -> Iterator[Client]:
    client = Client(connect(valkey.url))
    with Redis.from_url(valkey.url) as connection:
        connection.flushall()
    yield client
    client.close()


def record(client: Client, *queues: str, host: str | None = None, age: float = 0) -> None:
    for queue in queues:
        key = keys.heartbeats(f"worker-{queue}")
        now = client.run(heartbeats.record(f"worker-{queue}", "elsewhere:1", skew=timedelta(0)))
        client.run(
            command(int, "HSET", key, f"{host or host_name()}:7", f"{(now - age) * 1000:.0f} 0")
        )


def probe(valkey: Store, *options: str) -> Result:
    return run("check", "--worker", *options, SECRET_KEY=SECRET, REDIS_URL=valkey.url)


def test_workers_that_are_alive_are_good(valkey: Store, client: Client) -> None:
    record(client, "links", "otps")
    result = probe(valkey)
    assert (result.exit_code, list(results_of(result))) == (0, ["worker-links", "worker-otps"])


def test_one_that_has_stopped_is_not(valkey: Store, client: Client) -> None:
    record(client, "links", age=25)
    record(client, "otps")
    result = probe(valkey)
    assert result.exit_code == 1
    assert results_of(result)["worker-links"][0] == "FAIL"
    assert results_of(result)["worker-links"][1].startswith("last alive 25.")


def test_those_of_other_machines_do_not_count(valkey: Store, client: Client) -> None:
    record(client, "links", "otps", host="elsewhere")
    assert probe(valkey).exit_code == 1


def test_a_worker_for_one_queue_is_asked_for_alone(valkey: Store, client: Client) -> None:
    record(client, "otps")
    assert probe(valkey).exit_code == 1
    assert probe(valkey, "--queue", "otps").exit_code == 0


def test_while_redis_is_away_no_worker_is_blamed() -> None:
    url = f"redis://operator:hunter2@127.0.0.1:{free_port()}"
    result = run("check", "--worker", SECRET_KEY=SECRET, REDIS_URL=url)
    assert (result.exit_code, results_of(result)["redis"][0]) == (0, "warn")
    assert "hunter2" not in result.output


def test_wrong_settings_are_told() -> None:
    assert run("check", "--worker").exit_code == 1
