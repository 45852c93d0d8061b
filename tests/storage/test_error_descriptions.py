"""Why Redis does not answer: named for operators, without the user and the password of its URL."""

import asyncio
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

import service
from service.errors import Unavailable
from service.orgs import store as orgs
from service.outbox import store as outbox
from service.storage import acl_check, keys
from service.storage.command import Command
from service.storage.connect import create_queue_client, create_transport
from service.storage.error_descriptions import describe_failure
from service.storage.pipeline import AutoPipeline
from tests.support.clock import Clock
from tests.support.factories import all_keys
from tests.support.redis_client import RedisClient, create_client
from tests.support.servers import RedisServer, free_port, store, unreachable, valkey_server
from tests.support.tls import self_signed

USER, PASSWORD = "ann-the-operator", "hunter2"
NOW = Clock().now
DUE = outbox.read_due("7c", now=NOW)


@pytest.fixture(params=["valkey", "redis"], scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[tuple[RedisServer, int]]:
    """A store that also listens on a port."""
    port = free_port()
    binary = (
        valkey_server() if request.param == "valkey" else request.getfixturevalue("redis_binary")
    )
    with store(binary, "--port", str(port)) as running:
        yield running, port


@pytest.fixture
def url_of(server: tuple[RedisServer, int]) -> Callable[[str], str]:
    """The URL of a user with these rules (redis.io: ACL)."""
    running, port = server

    def url_of(rules: str) -> str:
        with redis.Redis.from_url(running.url) as connection:
            connection.script_flush()
            connection.execute_command(
                "ACL", "SETUSER", USER, "reset", "on", f">{PASSWORD}", *rules.split()
            )
        return f"redis://{USER}:{PASSWORD}@127.0.0.1:{port}"

    return url_of


def failures(url: str, command: Command[object]) -> set[str]:
    """The descriptions of the failure, of the client and of the pipeline."""

    async def by_pipeline() -> str:
        async with AutoPipeline(create_transport(url)) as pipeline:
            with pytest.raises(Unavailable) as raised:
                await pipeline.run(command)
        return describe_failure(raised.value)

    client = RedisClient(create_client(url))
    with pytest.raises(Unavailable) as raised:
        client.run(command)
    client.close()
    return {describe_failure(raised.value), asyncio.run(by_pipeline())}


@pytest.mark.parametrize(
    ("rules", "command", "description"),
    [
        ("~* +@all -eval -evalsha", DUE, "NOPERM: the user may not run 'evalsha'"),
        ("~* +@all -eval", DUE, "NOPERM: the user may not run 'eval'"),
        ("~* +@all -get", orgs.get_profile("acme"), "NOPERM: the user may not run 'get'"),
        ("~other:* +@all", orgs.get_profile("acme"), "NOPERM: the user may not use these keys"),
    ],
    ids=["no scripts", "no new scripts", "no command", "no keys"],
)
def test_a_denied_command_is_named(
    url_of: Callable[[str], str], rules: str, command: Command[object], description: str
) -> None:
    assert failures(url_of(rules), command) == {description}


def test_a_denied_command_of_a_script_is_no_error_of_the_data(
    url_of: Callable[[str], str],
) -> None:
    [description] = failures(url_of("~* +@all -zrangebyscore -zcard -type"), DUE)
    assert description.startswith("NOPERM: the user may not")


def test_a_wrong_password_is_reported_but_not_shown(url_of: Callable[[str], str]) -> None:
    url = url_of("~* +@all").replace(PASSWORD, "hunter3")
    assert failures(url, DUE) == {"it rejects the user or the password"}


def test_a_missing_password_is_reported() -> None:
    port = free_port()
    with store(valkey_server(), "--port", str(port)) as server:
        with redis.Redis.from_url(server.url) as connection:
            connection.config_set("requirepass", PASSWORD)
        assert failures(f"redis://127.0.0.1:{port}", DUE) == {"it requires a password"}


@pytest.mark.parametrize(
    ("hosts", "reason"),
    [
        ("127.0.0.1:{closed}", " (connection refused or lost)"),
        ("127.0.0.1:{hanging}", " (no answer in time)"),
        (
            "127.0.0.1:{closed},127.0.0.1:{hanging}",
            " (connection refused or lost, no answer in time)",
        ),
    ],
)
def test_sentinels_that_do_not_answer_are_reported(hosts: str, reason: str) -> None:
    closed, hanging = free_port(), free_port()
    with unreachable(hanging):
        url = f"redis+sentinel://{hosts.format(closed=closed, hanging=hanging)}/main"
        with create_queue_client(url) as connection, pytest.raises(redis.ConnectionError) as raised:
            connection.ping()
    assert describe_failure(raised.value) == f"no Sentinel knows the master{reason}"


def test_a_refused_connection_is_reported() -> None:
    assert failures(f"redis://{USER}:{PASSWORD}@127.0.0.1:{free_port()}", DUE) == {
        "Connection refused"
    }


def test_an_untrusted_certificate_is_reported(redis_binary: str, tmp_path: Path) -> None:
    port, tls = free_port(), self_signed(tmp_path)
    files = [
        "--tls-cert-file",
        str(tmp_path / "server.pem"),
        "--tls-key-file",
        str(tmp_path / "server.pem"),
    ]
    with store(redis_binary, "--tls-port", str(port), *files, "--tls-auth-clients", "no"):
        assert failures(f"rediss://127.0.0.1:{port}", DUE) == {
            "certificate verify failed: self-signed certificate"
        }
        assert tls.certificate.exists()


def test_the_probe_tries_all_commands_of_scripts() -> None:
    scripts = Path(service.__file__).parent.glob("*/scripts/*.lua")
    sources = {f"{path.parent.parent.name}/{path.name}": path.read_text() for path in scripts}
    tried = set(re.findall(r"\{'([A-Z]+)'", sources.pop("storage/check_acl.lua")))
    assert tried >= set(re.findall(r"(?:call|read)\('([A-Z]+)'", "".join(sources.values())))


def test_a_user_with_all_permissions_has_no_denied_commands(client: RedisClient) -> None:
    assert client.run(acl_check.find_denied_commands(keys.probe())) == []
    assert all_keys(client) == set()


def test_denied_commands_are_found(url_of: Callable[[str], str]) -> None:
    client = RedisClient(create_client(url_of("~* +@all -zadd -time -hset")))
    assert client.run(acl_check.find_denied_commands(keys.probe())) == ["ZADD", "HSET", "TIME"]
    client.close()
