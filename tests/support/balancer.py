"""A real proxy: HAProxy, which balances or strips a path."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.servers import free_port, wait_until
from tests.support.service_processes import is_alive

CONFIGURATION = """
defaults
    mode http
    timeout connect 2s
    timeout client 30s
    timeout server 30s
    timeout check 5s
    retries 3
    option redispatch 1
frontend clients
    bind 127.0.0.1:{port}
    default_backend web
backend web
    option httpchk GET /readyz
    default-server check inter 200ms fall 1 rise 1
{servers}
"""
STRIPPING = """
defaults
    mode http
    timeout connect 2s
    timeout client 30s
    timeout server 30s
frontend clients
    bind 127.0.0.1:{port}
    http-request return status 404 unless {{ path {path} }} or {{ path_beg {path}/ }}
    http-request replace-path {path}/?(.*) /\\1
    default_backend web
backend web
    server web 127.0.0.1:{backend}
"""


@contextmanager
def balancer(binary: str, directory: Path, ports: Sequence[int]) -> Iterator[int]:
    """The port on which HAProxy balances between ``ports``, of those whose ``/readyz`` is good.

    A connection that is refused, and no other, is tried elsewhere.
    """
    port = free_port()
    servers = "\n".join(f"    server web{backend} 127.0.0.1:{backend}" for backend in ports)
    with _haproxy(
        binary,
        directory,
        CONFIGURATION.format(port=port, servers=servers),
        f"http://127.0.0.1:{port}",
    ):
        yield port


@contextmanager
def stripping_proxy(
    binary: str, directory: Path, port: int, path: str, backend: int
) -> Iterator[None]:
    """HAProxy on ``port``: passes requests under ``path`` to ``backend`` without it, else 404."""
    configuration = STRIPPING.format(port=port, path=path, backend=backend)
    with _haproxy(binary, directory, configuration, f"http://127.0.0.1:{port}{path}"):
        yield


@contextmanager
def _haproxy(binary: str, directory: Path, configuration: str, url: str) -> Iterator[None]:
    """HAProxy, once the service is alive at ``url``."""
    file = directory / "haproxy.cfg"
    file.write_text(configuration)
    with (directory / "haproxy.log").open("wb") as log:
        process = subprocess.Popen(
            [binary, "-db", "-f", str(file)], stdout=log, stderr=subprocess.STDOUT
        )
    try:
        wait_until(lambda: is_alive(url), "the proxy")
        yield
    finally:
        process.terminate()
        process.wait(10)
