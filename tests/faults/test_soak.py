"""Mixed load for an hour: memory and keys come back to where they began."""

import asyncio
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.support.mixed_load import LatestCodeMailbox, SimulatedClient
from tests.support.procfs import children, descriptors, resident
from tests.support.run_length import RunLength
from tests.support.servers import MailServer, RedisServer, wait_until
from tests.support.service_processes import UNLIMITED, Service

pytestmark = pytest.mark.alone

CUSTOMERS = 8
SAMPLES = 60
WARM_UP = 20
"""Samples after which pools are full, caches warm, and as many links end as are made."""
GROWTH = 6.0
"""MB, or open files, that may be gained: a tenth of a process. 30 bytes a request are more."""
SETTINGS = {
    "LINK_TTL": "5m",
    "RETENTION": "1m",
    "OTP_TTL": "1m",
    "OTP_RESEND_AFTER": "1s",
    **UNLIMITED,
}
ENDS_WITHIN = 6 * 60 + 10
"""Seconds after which no link is left: ``LINK_TTL``, ``RETENTION`` and a margin."""


class Gauge:
    """Looks at the processes and the store, and writes down what it sees."""

    def __init__(self, service: Service, store: RedisServer, found: redis.Redis) -> None:
        self._found = found
        self._pids = {"store": store.process.pid}
        for name in ("web", "worker", "scheduler"):
            pid = getattr(service, name).process.pid
            self._pids |= {name: pid} | {
                f"{name}/{number}": child for number, child in enumerate(children(pid))
            }
        self.rows: list[dict[str, float]] = []

    def read(self) -> dict[str, float]:
        row = {name: resident(pid) for name, pid in self._pids.items()}
        files = sum(descriptors(pid) for name, pid in self._pids.items() if name != "store")
        used = self._found.info("memory")["used_memory"] / 2**20
        self.rows.append({**row, "store used": used, "files": files, "keys": self._found.dbsize()})
        return self.rows[-1]

    def slopes(self) -> dict[str, float]:
        """How much of each came or went over the whole time after the warm-up, by least squares."""
        late = self.rows[WARM_UP:]
        middle = (len(late) - 1) / 2
        spread = sum((at - middle) ** 2 for at in range(len(late)))
        return {
            name: sum((at - middle) * row[name] for at, row in enumerate(late))
            / spread
            * (len(late) - 1)
            for name in self.rows[0]
        }


@pytest.fixture
def latest_codes() -> LatestCodeMailbox:
    return LatestCodeMailbox()


@pytest.fixture
def mail_server(latest_codes: LatestCodeMailbox) -> Iterator[MailServer]:
    with MailServer(mailbox=latest_codes) as server:
        yield server


def test_an_hour_of_everything_leaves_neither_memory_nor_keys_behind(
    tmp_path: Path,
    own_store: RedisServer,
    mail_server: MailServer,
    latest_codes: LatestCodeMailbox,
    run_length: RunLength,
) -> None:
    """Full: an hour, and then the time in which links end. Short: 12 s, and that links will."""
    seconds = run_length(12, 3600)
    with (
        Service(tmp_path, own_store.url, mail_server.url, **SETTINGS) as service,
        redis.Redis(unix_socket_path=str(own_store.socket), decode_responses=True) as found,
    ):
        lasting = lasting_keys(found)
        gauge = Gauge(service, own_store, found)
        silent = [
            socket.create_connection(("127.0.0.1", service.port), timeout=1) for _ in range(20)
        ]
        requests = asyncio.run(load(service, latest_codes, gauge, seconds))
        slopes = gauge.slopes()
        report(gauge, slopes, f"{requests} requests, {latest_codes.count} mails in {seconds} s")
        assert {
            name: slope for name, slope in slopes.items() if name != "keys" and slope > GROWTH
        } == {}
        assert '"status": 5' not in service.logs()
        for client in silent:
            with client:
                assert client.recv(1) == b""
        assert [
            key for key in found.scan_iter(match="pl:{*", count=1000) if found.ttl(key) == -1
        ] == []
        if seconds > ENDS_WITHIN:
            wait_until(lambda: lasting_keys(found) <= lasting, "links to end", within=ENDS_WITHIN)
            assert gauge.read()["store used"] < gauge.rows[0]["store used"] + 1


async def load(
    service: Service, latest_codes: LatestCodeMailbox, gauge: Gauge, seconds: float
) -> int:
    """Has customers live while the gauge is read; gives the number of their requests."""
    ended = asyncio.Event()
    customers = [SimulatedClient(service.url, number, latest_codes) for number in range(CUSTOMERS)]
    async with asyncio.TaskGroup() as group:
        for customer in customers:
            group.create_task(customer.live(ended))
        for _ in range(SAMPLES):
            await asyncio.sleep(seconds / SAMPLES)
            gauge.read()
        ended.set()
    return sum(customer.requests for customer in customers)


def lasting_keys(found: redis.Redis) -> set[str]:
    """The store's keys, except those of code limits, which live for a day and are few."""
    return {key for key in found.scan_iter(count=1000) if not re.match(r"pl:.*:(otp|client):", key)}


def report(gauge: Gauge, slopes: dict[str, float], summary: str) -> None:
    """Prints the figures."""
    names = list(slopes)
    lines = [summary, " ".join(f"{name:>11}" for name in names)]
    lines += [" ".join(f"{row[name]:11.1f}" for name in names) for row in gauge.rows]
    lines += [
        "slopes: MB, files and keys gained over the time after the warm-up",
        " ".join(f"{slopes[name]:11.2f}" for name in names),
    ]
    print("\n" + "\n".join(lines))
