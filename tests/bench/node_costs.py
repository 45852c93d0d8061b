"""What an operation costs the process that asks for it, and each server of the data."""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import redis

from tests.support.procfs import cpu_clock

REST_SECONDS = 2.0
"""How long a meter watches processes of which nobody asks anything."""


class Node:
    """A server of the data, and what it has done so far."""

    def __init__(self, client: redis.Redis, pid: int) -> None:
        self._client = client
        self._clock = cpu_clock(pid)

    def work(self) -> "Work":
        stats: Any = self._client.info("stats")
        return Work(
            time.clock_gettime_ns(self._clock) / 1000,
            stats["total_reads_processed"],
            stats["total_net_input_bytes"],
        )


class Work(NamedTuple):
    """CPU µs, reads from sockets, and their bytes."""

    cpu: float
    reads: float
    bytes: float


class Cost(NamedTuple):
    """What one operation took."""

    client: float
    """CPU µs of the process that asks the store."""
    nodes: list[Work]


Act = Callable[[], int]
"""Does something so many times, and returns how many."""


class Meter:
    """Measures CPU, and subtracts what processes take while nobody asks for anything."""

    def __init__(self, nodes: Sequence[Node], read_client: Callable[[], float]) -> None:
        """``read_client`` gives the CPU µs of the process that asks the nodes."""
        self._nodes = nodes
        self._read_client = read_client
        time.sleep(1)
        began, (client, works) = time.monotonic(), self._read()
        time.sleep(REST_SECONDS)
        later, works_later = self._read()
        seconds = time.monotonic() - began
        self._idle_client = (later - client) / seconds
        self._idle = [
            (new.cpu - old.cpu) / seconds for old, new in zip(works, works_later, strict=True)
        ]

    def cost(self, act: Act) -> Cost:
        began, (client, works) = time.monotonic(), self._read()
        count = act()
        seconds = time.monotonic() - began
        client_later, works_later = self._read()
        return Cost(
            (client_later - client - seconds * self._idle_client) / count,
            [
                Work(
                    (new.cpu - old.cpu - seconds * idle) / count,
                    (new.reads - old.reads) / count,
                    (new.bytes - old.bytes) / count,
                )
                for old, new, idle in zip(works, works_later, self._idle, strict=True)
            ],
        )

    def _read(self) -> tuple[float, list[Work]]:
        return self._read_client(), [node.work() for node in self._nodes]
