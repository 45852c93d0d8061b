"""How long a node takes to rewrite its append-only file, to start from it, and to fill a replica.

Nobody asks it for anything meanwhile.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from tests.bench.figures import Measure, Measured, Recorder, Row, Table
from tests.bench.scale import fill
from tests.support.redis_cluster import free_ports
from tests.support.servers import RedisServer, store, valkey_server, wait_until

LINKS_PER_SECOND = 100_000
"""How many links the node has, for each second that measurements may take."""
ORGANIZATIONS = 100
NAME = "a node"
SIZES = ("links", "MB of memory", "MB on disk")
FORK, TIMES = "ms held by the fork", ("rewrite", "start", "fill a replica")
WITHIN = 120.0


@contextmanager
def prepared(_home: Path, seconds: float) -> Iterator[dict[str, Measure]]:
    count, [port] = int(LINKS_PER_SECOND * seconds), free_ports(1)
    options = (
        *("--port", str(port), "--bind", "127.0.0.1", "--appendonly", "yes"),
        *("--repl-diskless-sync-delay", "0", "--auto-aof-rewrite-percentage", "0"),
    )
    with store(valkey_server(), *options) as server:
        fill(server.url, count, ORGANIZATIONS)

        def measure() -> Measured:
            rewrite = _time(lambda: _rewrite(server))
            with redis.Redis.from_url(server.url) as connection:
                info: Any = connection.info()
            return {
                "links": count,
                "MB of memory": info["used_memory"] / 1e6,
                "MB on disk": info["aof_base_size"] / 1e6,
                FORK: info["latest_fork_usec"] / 1000,
                "rewrite": rewrite,
                "start": _time(lambda: _restart(server)),
                "fill a replica": _fill_replica(port),
            }

        yield {NAME: measure}


def tables(recorder: Recorder) -> list[Table]:
    figures = recorder.of(NAME)
    return [Table("Seconds that a node takes", [*SIZES, FORK, *TIMES], [Row(NAME, figures)])]


def _time(act: Callable[[], None]) -> float:
    began = time.monotonic()
    act()
    return time.monotonic() - began


def _rewrite(server: RedisServer) -> None:
    with redis.Redis.from_url(server.url) as connection:
        connection.bgrewriteaof()
        wait_until(lambda: _has_rewritten(connection), "the file to be rewritten", WITHIN)


def _has_rewritten(connection: redis.Redis) -> bool:
    info: Any = connection.info("persistence")
    return not (info["aof_rewrite_in_progress"] or info["aof_rewrite_scheduled"])


def _restart(server: RedisServer) -> None:
    server.kill()
    server.start()


def _fill_replica(port: int) -> float:
    """Seconds until an empty replica has all data."""
    with (
        store(valkey_server(), "--appendonly", "no") as replica,
        redis.Redis.from_url(replica.url) as connection,
    ):

        def synchronize() -> None:
            connection.replicaof("127.0.0.1", str(port))
            wait_until(lambda: _is_in_sync(connection), "the replica", WITHIN)

        return _time(synchronize)


def _is_in_sync(connection: redis.Redis) -> bool:
    try:
        info: Any = connection.info("replication")
    except redis.RedisError:  # it loads
        return False
    return bool(info.get("master_link_status") == "up")
