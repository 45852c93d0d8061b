"""Logins at servers, nodes and Sentinels, with passwords that change while the service runs."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis

from service.errors import Unavailable
from service.outbox import store as outbox
from service.storage import keys
from service.storage.client import RedisClient, open_client
from service.storage.connect import create_queue_client
from service.storage.error_descriptions import describe_failure
from tests.support.redis_cluster import free_ports, redis_cluster
from tests.support.sentinel import run_sentinel
from tests.support.servers import free_port, store, valkey_server, wait_until

USER = "ann"
QUERIES = [outbox.has_pending(partition) for partition in keys.ALL_PARTITIONS]
"""They ask every node of a cluster."""
REJECTED = "it rejects the user or the password"
UNKNOWN = "no Sentinel knows the master"
MISSING = "password_file: No such file or directory"


class Login(NamedTuple):
    """The URL of a user whose password is in a file, and the servers that know the user."""

    url: str
    file: Path
    servers: Sequence[Any]

    def change_password(self, password: str) -> None:
        """Changes it on the servers, which forget the connections of the user."""
        for server in self.servers:
            server.execute_command("ACL", "SETUSER", USER, "resetpass", f">{password}")
            server.execute_command("CLIENT", "KILL", "USER", USER)

    def write_file(self, password: str) -> None:
        self.file.write_text(f"{password}\n")


@pytest.fixture(scope="module")
def single() -> Iterator[tuple[str, list[Any]]]:
    port = free_port()
    with store(valkey_server(), "--port", str(port)) as server:
        yield f"redis://{USER}@127.0.0.1:{port}", [redis.Redis.from_url(server.url)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[str, list[Any]]]:
    with redis_cluster(primaries=3, replicas=0) as running:
        hosts = running.url.partition("://")[2]
        yield f"redis+cluster://{USER}@{hosts}", [node.redis for node in running.nodes]


@pytest.fixture(scope="module")
def sentinel(single: tuple[str, list[Any]]) -> Iterator[tuple[str, list[Any]]]:
    url, servers = single
    with run_sentinel(int(url.rpartition(":")[2])) as port:
        yield f"redis+sentinel://{USER}@127.0.0.1:{port}/main", servers


@pytest.fixture(params=["single", "cluster", "sentinel"])
def login(request: pytest.FixtureRequest, tmp_path: Path) -> Login:
    """A user who may do everything, with the password ``first``."""
    url, servers = request.getfixturevalue(request.param)
    file = tmp_path / "password"
    for server in servers:
        server.execute_command("ACL", "SETUSER", USER, "reset", "on", ">first", "~*", "&*", "+@all")
    found = Login(f"{url}?password_file={file}", file, servers)
    found.write_file("first")
    return found


def ask(url: str) -> list[bool]:
    """What a new client is answered by all partitions."""
    with open_client(url) as client:
        return client.run_all(QUERIES)


def find_refusal(client: RedisClient) -> str | None:
    """Why no partition answers; None if all do."""
    try:
        client.run_all(QUERIES)
    except Unavailable as error:
        return describe_failure(error)
    return None


def test_the_new_password_is_taken_from_the_file(login: Login) -> None:
    with open_client(login.url) as client:
        client.run_all(QUERIES)
        login.change_password("second")
        wait_until(lambda: find_refusal(client) == REJECTED, "the old password to be refused")
        login.write_file("second")
        wait_until(lambda: find_refusal(client) is None, "the new password to be accepted")


def test_a_file_may_be_missing_or_empty_for_a_while(login: Login) -> None:
    with open_client(login.url) as client:
        login.file.unlink()
        assert find_refusal(client) == MISSING
        login.write_file("")
        empty = "password_file: empty"
        wait_until(lambda: find_refusal(client) == empty, "the empty file to be read")
        login.write_file("first")
        wait_until(lambda: find_refusal(client) is None, "the password to be accepted")


def test_connections_that_have_logged_in_outlive_the_password(login: Login) -> None:
    with open_client(login.url) as client:
        client.run_all(QUERIES)
        for server in login.servers:
            server.execute_command("ACL", "SETUSER", USER, "<first", ">second")
        login.file.unlink()
        client.run_all(QUERIES)


@pytest.mark.parametrize("login", ["single", "sentinel"], indirect=True)
def test_queues_take_the_new_password_from_the_file(login: Login) -> None:
    with create_queue_client(login.url) as connection:
        assert connection.ping()
        login.change_password("second")
        with pytest.raises(redis.ConnectionError):
            connection.ping()
        login.write_file("second")
        assert connection.ping()


SENTINEL_PASSWORD, ENCODED = "a&b=c", "a%26b%3Dc"


@pytest.fixture(scope="module")
def protected_sentinel(single: tuple[str, list[Any]]) -> Iterator[int]:
    master_port, password = int(single[0].rpartition(":")[2]), SENTINEL_PASSWORD
    user = f"user bob on >{password} +@all"
    with run_sentinel(master_port, f"requirepass {password}", user, password=password) as port:
        yield port


class TestSentinel:
    """A Sentinel with a password of its own, of a master that has none."""

    @pytest.fixture
    def url(self, protected_sentinel: int) -> str:
        return f"redis+sentinel://127.0.0.1:{protected_sentinel}/main"

    @pytest.mark.parametrize(
        "options",
        [
            f"sentinel_password={ENCODED}",
            f"sentinel_username=bob&sentinel_password={ENCODED}",
            "sentinel_password_file={file}",
            "sentinel_username=bob&sentinel_password_file={file}",
        ],
    )
    def test_it_takes_its_own_password(self, url: str, options: str, tmp_path: Path) -> None:
        file = tmp_path / "password"
        file.write_text(f"{SENTINEL_PASSWORD}\n")
        url = f"{url}?{options.format(file=file)}"
        assert ask(url) == [False] * len(QUERIES)
        with create_queue_client(url) as connection:
            assert connection.ping()

    @pytest.mark.parametrize(
        ("options", "description"),
        [
            ("", f"{UNKNOWN} (login refused)"),
            ("?sentinel_password=wrong", f"{UNKNOWN} (login refused)"),
            (
                "?sentinel_password_file=/nowhere",
                f"{UNKNOWN} (sentinel_password_file cannot be read or is empty)",
            ),
        ],
    )
    def test_a_wrong_one_is_reported_but_not_shown(
        self, url: str, options: str, description: str
    ) -> None:
        with open_client(f"{url}{options}") as client:
            assert find_refusal(client) == description
        with (
            create_queue_client(f"{url}{options}") as connection,
            pytest.raises(redis.ConnectionError) as refused,
        ):
            connection.ping()
        assert describe_failure(refused.value) == description

    def test_it_gets_no_password_of_the_servers(self, url: str) -> None:
        """Which it would log, were it another's."""
        with open_client(url.replace("//", f"//:{ENCODED}@")) as client:
            assert find_refusal(client) == f"{UNKNOWN} (login refused)"


class TestIpv6:
    def test_a_server_is_reached(self) -> None:
        port = free_port()
        url = f"redis://[::1]:{port}"
        with store(valkey_server(), "--port", str(port), "--bind", "::1"):
            assert ask(url) == [False] * len(QUERIES)
            with create_queue_client(url) as connection:
                assert connection.ping()

    def test_a_sentinel_is_reached(self, single: tuple[str, list[Any]]) -> None:
        master_port = int(single[0].rpartition(":")[2])
        with run_sentinel(master_port, "bind ::1", host="::1") as port:
            url = f"redis+sentinel://[::1]:{free_port()},[::1]:{port}/main"
            assert ask(url) == [False] * len(QUERIES)

    def test_nodes_of_a_cluster_are_found(self) -> None:
        with ExitStack() as started:
            ports, nodes = [], []
            for _ in range(2):
                port, bus = free_ports(2)
                options = ("--cluster-enabled", "yes", "--cluster-port", str(bus), "--bind", "::1")
                server = started.enter_context(
                    store(valkey_server(), "--port", str(port), *options)
                )
                ports.append((port, bus))
                nodes.append(started.enter_context(redis.Redis.from_url(server.url)))
            first, second = nodes
            first.execute_command("CLUSTER ADDSLOTSRANGE", 0, 8000)
            second.execute_command("CLUSTER ADDSLOTSRANGE", 8001, 16383)
            first.execute_command("CLUSTER MEET", "::1", *ports[1])
            for node in nodes:
                wait_until(partial(is_ok, node), "the cluster to be ready")
            url = f"redis+cluster://[::1]:{free_port()},[::1]:{ports[0][0]}"
            assert ask(url) == [False] * len(QUERIES)


def is_ok(node: Any) -> bool:
    """Whether the node of a cluster sees that all slots are served."""
    return bool(node.cluster("INFO")["cluster_state"] == "ok")
