"""TLS with a self-signed certificate, as some hosted stores have."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
import redis

from service.errors import Unavailable
from service.orgs import store as orgs
from service.orgs.model import Profile
from service.storage.client import RedisClient
from service.storage.connect import create_async_client, create_client, create_queue_client
from service.storage.pipeline import AutoPipeline
from tests.support.servers import free_port, store, wait_until
from tests.support.tls import self_signed

# redis-py leaves the connections of an asynchronous cluster to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class Server(NamedTuple):
    """Its port, and the file of its certificate."""

    port: int
    certificate: Path


def secured(redis_binary: str, directory: Path, *options: str) -> Iterator[Server]:
    port, certificate = free_port(), self_signed(directory).certificate
    key = str(directory / "server.pem")
    tls = [
        "--tls-port",
        str(port),
        "--tls-cert-file",
        key,
        "--tls-key-file",
        key,
        "--tls-ca-cert-file",
        str(certificate),
    ]
    with store(redis_binary, *tls, "--tls-auth-clients", "no", *options) as server:
        if "--cluster-enabled" in options:
            with redis.Redis.from_url(server.url, decode_responses=True) as node:
                node.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
                wait_until(
                    lambda: node.cluster("INFO")["cluster_state"] == "ok", "the cluster to be ready"
                )
        yield Server(port, certificate)


@pytest.fixture(scope="module")
def single(redis_binary: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from secured(redis_binary, tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def cluster(redis_binary: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    options = [
        "--cluster-enabled",
        "yes",
        "--tls-cluster",
        "yes",
        "--cluster-port",
        str(free_port()),
    ]
    yield from secured(redis_binary, tmp_path_factory.mktemp("tls"), *options)


@pytest.fixture(
    params=["rediss://127.0.0.1:{port}?", "redis+cluster://127.0.0.1:{port}?ssl=true&"],
    ids=["single", "cluster"],
)
def url(request: pytest.FixtureRequest) -> str:
    server: Server = request.getfixturevalue("cluster" if "cluster" in request.param else "single")
    return str(request.param).format(port=server.port)


@pytest.fixture
def certificate(single: Server, cluster: Server, url: str) -> Path:
    return (cluster if "cluster" in url else single).certificate


def ask_one_by_one(url: str) -> object:
    with closing(RedisClient(create_client(url))) as client:
        return client.run(orgs.get_profile("acme"))


def ask_together(url: str) -> object:
    async def run() -> object:
        async with AutoPipeline(create_async_client(url)) as pipeline:
            return await pipeline.run(orgs.get_profile("acme"))

    return asyncio.run(run())


@pytest.mark.parametrize("ask", [ask_one_by_one, ask_together])
class TestSelfSigned:
    def test_it_is_refused_by_default(self, url: str, ask: Callable[[str], object]) -> None:
        with pytest.raises(Unavailable):
            ask(url.rstrip("?&"))

    def test_it_is_accepted_without_verification(
        self, url: str, ask: Callable[[str], object]
    ) -> None:
        """As the stores of Heroku need."""
        assert ask(f"{url}ssl_cert_reqs=none") == Profile()

    def test_it_is_accepted_with_its_authority(
        self, url: str, certificate: Path, ask: Callable[[str], object]
    ) -> None:
        assert ask(f"{url}ssl_ca_certs={certificate}") == Profile()

    def test_a_certificate_of_another_host_is_accepted_without_comparing_names(
        self, url: str, certificate: Path, ask: Callable[[str], object]
    ) -> None:
        elsewhere = url.replace("127.0.0.1", "localhost")
        assert ask(f"{elsewhere}ssl_check_hostname=false&ssl_ca_certs={certificate}") == Profile()


def test_queues_accept_it_too(single: Server) -> None:
    with create_queue_client(f"rediss://127.0.0.1:{single.port}?ssl_cert_reqs=none") as connection:
        assert connection.ping()
