"""Every process refuses another release's data in one line, whenever the store answers."""

import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from service.storage import data_version
from service.storage.command import command
from tests.support.clock import Clock
from tests.support.factories import make_link, store_link
from tests.support.redis_client import RedisClient, create_client
from tests.support.servers import RedisServer, free_port, store, valkey_server, wait_until
from tests.support.service_processes import COMMAND, SECRET, Process

LINE = (
    "REDIS_URL: it holds data of version 1, and this release reads version 3 only: "
    "give it an empty database "
    "(`up`: another DATA_DIR), or run the release that wrote the data\n"
)


@pytest.fixture
def old_store() -> Iterator[RedisServer]:
    """A store that 0.1.0 wrote to."""
    with store(valkey_server(), durable=True) as server:
        with closing(RedisClient(create_client(server.url))) as client:
            store_link(client, make_link(Clock().now))
        yield server


@pytest.fixture
def environ(old_store: RedisServer, tmp_path: Path) -> dict[str, str]:
    return {
        "SECRET_KEY": SECRET,
        "REDIS_URL": old_store.url,
        "PORT": str(free_port()),
        "DATA_DIR": str(tmp_path),
        "PATH": "/usr/bin",
    }


@pytest.mark.parametrize("command", ["web", "worker", "scheduler", "up"])
def test_it_is_refused_at_the_start(command: str, environ: dict[str, str]) -> None:
    run = subprocess.run(
        [COMMAND, command], env=environ, capture_output=True, text=True, timeout=30, check=False
    )
    assert (run.returncode, run.stderr) == (2, LINE)


def test_check_names_it(environ: dict[str, str]) -> None:
    run = subprocess.run(
        [COMMAND, "check"], env=environ, capture_output=True, text=True, timeout=30, check=False
    )
    assert run.returncode == 1
    assert (
        "FAIL  redis data: holds data of version 1, and this release reads version 3 only\n"
        in run.stdout
    )


@pytest.mark.parametrize("name", ["web", "worker", "scheduler"])
def test_a_process_that_started_without_the_store_ends_once_that_answers(
    name: str, environ: dict[str, str], old_store: RedisServer, tmp_path: Path
) -> None:
    """Until then it lives, and ``web`` answers what needs no store. Nothing is written."""
    with closing(RedisClient(create_client(old_store.url))) as client:
        keys_before = len(client.run(command(list, "KEYS", "*")))
    old_store.kill()
    process = Process(name, environ, tmp_path / "log")
    process.start()
    health = f"http://127.0.0.1:{environ['PORT']}/healthz"
    wait_until(lambda: "store_unavailable" in process.output(), "an attempt")
    if name == "web":
        wait_until(lambda: answers(health), "the web process")
    assert process.process.poll() is None
    old_store.start()
    assert process.process.wait(15) == 2
    assert process.output().endswith(LINE)
    with closing(RedisClient(create_client(old_store.url))) as client:
        assert len(client.run(command(list, "KEYS", "*"))) == keys_before


@pytest.mark.parametrize("command", ["worker", "scheduler"])
def test_a_process_that_waits_for_the_store_stops_when_it_is_asked_to(
    command: str, tmp_path: Path
) -> None:
    process = Process(
        command, {"SECRET_KEY": SECRET, "REDIS_URL": f"unix://{tmp_path}/nobody"}, tmp_path / "log"
    )
    process.start()
    wait_until(lambda: "store_unavailable" in process.output(), "an attempt")
    assert process.stop(5) == 0


def test_processes_serve_once_a_store_of_their_own_answers(tmp_path: Path) -> None:
    with store(valkey_server(), durable=True) as server:
        server.kill()
        port = free_port()
        process = Process(
            "web",
            {"SECRET_KEY": SECRET, "REDIS_URL": server.url, "PORT": str(port)},
            tmp_path / "log",
        )
        process.start()
        try:
            wait_until(lambda: answers(f"http://127.0.0.1:{port}/healthz"), "the web process")
            assert httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 503
            server.start()
            wait_until(lambda: answers(f"http://127.0.0.1:{port}/readyz"), "it to serve")
            with closing(RedisClient(create_client(server.url))) as client:
                assert client.run(data_version.get_version()) == data_version.DATA_VERSION
        finally:
            process.interrupt()


def answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False
