"""With LOG_FORMAT=json every line of every process is an object, whatever happens there."""

import json
import os
import signal
import textwrap
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.procfs import children
from tests.support.servers import MailServer, RedisServer, wait_until
from tests.support.service_processes import Service

TROUBLE = """
import sys, threading, time, warnings

def trouble():
    modules = sys.modules
    while not (
        hasattr(modules.get("service.process.logs"), "configure")
        and modules["structlog"].is_configured()
    ):
        time.sleep(0.05)
    time.sleep(0.5)
    warnings.warn("trouble ahead", stacklevel=1)
    raise RuntimeError("trouble")

threading.Thread(target=trouble, daemon=True).start()
"""
"""A sitecustomize.py: what it does happens in each Python process."""


@pytest.fixture
def service(tmp_path: Path, own_store: RedisServer, mail_server: MailServer) -> Service:
    home = tmp_path / "trouble"
    home.mkdir()
    (home / "sitecustomize.py").write_text(textwrap.dedent(TROUBLE))
    return Service(
        tmp_path,
        own_store.url,
        mail_server.url,
        PYTHONPATH=str(home),
        LOG_FORMAT="json",
        PYTHONWARNINGS="default",
    )


def entries(service: Service, name: str) -> list[dict[str, Any]]:
    """Its lines; each is an object."""
    return [json.loads(line) for line in getattr(service, name).output().splitlines()]


def test_warnings_tracebacks_and_lives_of_processes_are_json(
    service: Service, own_store: RedisServer
) -> None:
    with service:
        for name in ("web", "worker", "scheduler"):
            wait_until(
                partial(in_trouble, service, name),
                f"trouble of {name}",
                within=20,
            )
        own_store.kill()
        wait_until(
            lambda: "queue_unavailable" in service.scheduler.output(),
            "the outage to be noted",
            within=20,
        )
        own_store.start()
        os.kill(children(service.worker.process.pid)[-1], signal.SIGKILL)
        wait_until(lambda: "worker_died" in service.worker.output(), "the death to be noted")
    for name in ("web", "worker", "scheduler"):
        found = entries(service, name)
        assert any("trouble ahead" in str(line["event"]) for line in found)
        assert any(
            line["event"] == "uncaught_exception" and "RuntimeError: trouble" in line["exception"]
            for line in found
        )


def in_trouble(service: Service, name: str) -> bool:
    return '"RuntimeError: trouble"' in said(service, name)


def said(service: Service, name: str) -> str:
    return "".join(
        f'"{line["exception"].splitlines()[-1]}"'
        for line in entries(service, name)
        if "exception" in line
    )
