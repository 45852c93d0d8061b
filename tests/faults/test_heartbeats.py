"""A worker stops, beside another that goes on: somebody sees it."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.procfs import children
from tests.support.servers import MailServer, RedisServer, wait_until
from tests.support.service_processes import COMMAND, Process, Service

pytestmark = pytest.mark.usefixtures("redis_db")


def reasons(service: Service) -> list[str] | None:
    return service.readiness().get("reasons")


def count_workers(service: Service) -> int:
    """Those for links that were alive of late."""
    return len(service.readiness().get("heartbeats", {}).get("worker-links", []))


def probe(service: Service) -> int:
    """What a platform's liveness probe runs on the workers' machine."""
    environ = {"PATH": os.environ["PATH"], **service.environ}
    return subprocess.run(
        [COMMAND, "check", "--worker"], env=environ, check=False, capture_output=True
    ).returncode


def test_one_of_two_workers_that_stops_is_seen_and_forgotten_when_it_is_asked_to_end(
    own_store: RedisServer, tmp_path: Path, mail_server: MailServer
) -> None:
    with Service(tmp_path, own_store.url, mail_server.url) as service:
        other = Process("worker", service.environ, tmp_path / "other.log")
        other.start()
        wait_until(lambda: count_workers(service) == 2, "the other worker")
        assert probe(service) == 0
        stopped = children(other.process.pid)
        for child in stopped:
            os.kill(child, signal.SIGSTOP)
        try:
            wait_until(
                lambda: reasons(service) == ["process_stalled"], "the stop to be seen", within=25
            )
            assert probe(service) == 1
        finally:
            for child in stopped:
                os.kill(child, signal.SIGCONT)
        wait_until(lambda: reasons(service) == [], "it to be alive again")
        assert other.stop() == 0
        wait_until(lambda: count_workers(service) == 1, "it to be forgotten")
        assert (reasons(service), probe(service)) == ([], 0)
