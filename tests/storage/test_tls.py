"""TLS with a self-signed certificate, as some hosted stores have: of a server, a node, a Sentinel.

The Sentinel takes clients, and finds its master, over TLS only.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import redis

from service.errors import Unavailable
from service.orgs import store as orgs
from service.orgs.model import Profile
from service.storage.client import open_client
from service.storage.connect import create_queue_client
from tests.support.cli_runner import results_of, run_check
from tests.support.sentinel import run_sentinel
from tests.support.servers import RedisServer, free_port, store, wait_until
from tests.support.tls import self_signed


class Server(NamedTuple):
    """Its port, the file of its certificate, and a URL without TLS of the server of the data."""

    port: int
    certificate: Path
    local_url: str


def secured(redis_binary: str, directory: Path, *options: str) -> Iterator[Server]:
    port, certificate = free_port(), self_signed(directory).certificate
    key = str(directory / "server.pem")
    tls = (
        *("--tls-port", str(port), "--tls-auth-clients", "no"),
        *("--tls-cert-file", key, "--tls-key-file", key, "--tls-ca-cert-file", str(certificate)),
    )
    with store(redis_binary, *tls, *options) as server:
        if "--cluster-enabled" in options:
            with redis.Redis.from_url(server.url, decode_responses=True) as node:
                node.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
                wait_until(
                    lambda: node.cluster("INFO")["cluster_state"] == "ok", "the cluster to be ready"
                )
        yield Server(port, certificate, server.url)


@pytest.fixture(scope="module")
def single(redis_binary: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from secured(redis_binary, tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def cluster(redis_binary: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    options = (
        *("--cluster-enabled", "yes", "--tls-cluster", "yes"),
        *("--cluster-port", str(free_port())),
    )
    yield from secured(redis_binary, tmp_path_factory.mktemp("tls"), *options)


@pytest.fixture(scope="module")
def sentinel(redis_binary: str, single: Server) -> Iterator[Server]:
    port, certificate = free_port(), single.certificate
    key = certificate.with_name("server.pem")
    files = (f"tls-cert-file {key}", f"tls-key-file {key}", f"tls-ca-cert-file {certificate}")
    tls = (f"tls-port {port}", *files, "tls-auth-clients no", "tls-replication yes")
    with run_sentinel(
        single.port, *tls, binary=redis_binary, port=port, ssl=True, ssl_cert_reqs="none"
    ):
        yield Server(port, certificate, single.local_url)


URLS = {
    "single": "rediss://127.0.0.1:{port}?",
    "cluster": "rediss+cluster://127.0.0.1:{port}?",
    "sentinel": "redis+sentinels://127.0.0.1:{port}/main?",
}


@pytest.fixture(params=URLS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(request: pytest.FixtureRequest, kind: str) -> Server:
    found: Server = request.getfixturevalue(kind)
    return found


@pytest.fixture
def url(server: Server, kind: str) -> str:
    return URLS[kind].format(port=server.port)


@pytest.fixture
def certificate(server: Server) -> Path:
    return server.certificate


Ask = Callable[[str], bool]
"""Whether a client of the URL gets a reply; raises Unavailable if Redis cannot be reached."""


def ask_for_data(url: str) -> bool:
    with open_client(url) as client:
        return client.run(orgs.get_profile("acme")) == Profile()


def ask_as_queue(url: str) -> bool:
    with create_queue_client(url) as connection:
        try:
            return bool(connection.ping())
        except redis.ConnectionError as error:
            raise Unavailable from error


@pytest.mark.parametrize(
    ("kind", "ask"),
    [
        *((kind, ask_for_data) for kind in URLS),
        ("single", ask_as_queue),
        ("sentinel", ask_as_queue),
    ],
)
class TestSelfSigned:
    def test_it_is_refused_by_default(self, url: str, ask: Ask) -> None:
        with pytest.raises(Unavailable):
            ask(url.rstrip("?&"))

    def test_it_is_accepted_without_verification(self, url: str, ask: Ask) -> None:
        """As the stores of Heroku need."""
        assert ask(f"{url}ssl_cert_reqs=none")

    def test_it_is_accepted_with_its_authority(self, url: str, certificate: Path, ask: Ask) -> None:
        assert ask(f"{url}ssl_ca_certs={certificate}")

    def test_a_certificate_of_another_host_is_accepted_without_comparing_names(
        self, url: str, certificate: Path, ask: Ask
    ) -> None:
        elsewhere = url.replace("127.0.0.1", "localhost")
        assert ask(f"{elsewhere}ssl_check_hostname=false&ssl_ca_certs={certificate}")

    def test_the_service_may_need_a_certificate(self, url: str, server: Server, ask: Ask) -> None:
        key = server.certificate.with_name("server.pem")
        trusted = f"{url}ssl_ca_certs={server.certificate}"
        with redis.Redis.from_url(server.local_url) as connection:
            connection.config_set("tls-auth-clients", "yes")
            try:
                with pytest.raises(Unavailable):
                    ask(trusted)
                assert ask(f"{trusted}&ssl_certfile={key}&ssl_keyfile={key}")
            finally:
                connection.config_set("tls-auth-clients", "no")


def test_check_asks_every_node_so_too(
    url: str, certificate: Path, valkey: RedisServer, tmp_path: Path
) -> None:
    result = run_check(
        REDIS_URL=f"{url}ssl_ca_certs={certificate}",
        QUEUE_REDIS_URL=valkey.url,
        DATA_DIR=str(tmp_path),
    )
    results = results_of(result)
    assert result.exit_code == 0
    assert results["redis"][1].startswith("answers")
    assert results["redis commands"][1].startswith("allowed")
