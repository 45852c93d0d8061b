"""A real balancer: HAProxy, which looks at ``/readyz`` and sends no request twice."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import lives
from tests.support.servers import free_port, wait_until

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


@contextmanager
def balancer(binary: str, directory: Path, ports: Sequence[int]) -> Iterator[int]:
    """The port on which HAProxy balances between ``ports``. A connection that is refused, and no other, is tried elsewhere."""
    port = free_port()
    servers = "\n".join(f"    server web{backend} 127.0.0.1:{backend}" for backend in ports)
    configuration = directory / "haproxy.cfg"
    configuration.write_text(CONFIGURATION.format(port=port, servers=servers))
    with (directory / "haproxy.log").open("wb") as log:
        process = subprocess.Popen([binary, "-db", "-f", str(configuration)], stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: lives(f"http://127.0.0.1:{port}"), "the balancer")
        yield port
    finally:
        process.terminate()
        process.wait(10)
