"""A real Sentinel with one master."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from tests.support.servers import free_port, valkey_server, wait_until

SERVICE = "main"


@contextmanager
def run_sentinel(
    master_port: int, *directives: str, binary: str | None = None, **connection: Any
) -> Iterator[int]:
    """Gives the port of a Sentinel that knows its master, as ``SERVICE``.

    ``directives`` are lines of its configuration, and ``connection`` what redis-py needs to ask it.
    """
    port = connection.setdefault("port", free_port())
    with tempfile.TemporaryDirectory(prefix="pl-") as directory:
        config = Path(directory) / "sentinel.conf"
        lines = [
            *("port 0" if "ssl" in connection else f"port {port}", f"dir {directory}"),
            *(f"logfile {directory}/log", f"sentinel monitor {SERVICE} 127.0.0.1 {master_port} 1"),
            *directives,
        ]
        config.write_text("\n".join(lines))
        with subprocess.Popen([binary or valkey_server(), str(config), "--sentinel"]) as process:
            try:
                wait_until(lambda: _has_master(connection), "the Sentinel to know its master")
                yield int(port)
            finally:
                process.kill()


def _has_master(connection: dict[str, Any]) -> bool:
    with redis.Redis(**connection, decode_responses=True) as client:
        try:
            return bool(client.sentinel_master(SERVICE)["flags"] == "master")
        except redis.RedisError:
            return False
