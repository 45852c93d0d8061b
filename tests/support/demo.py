"""The demo checkout as a process of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from service.auth.tokens import Admin, Role, issue_admin_token
from tests.support.servers import wait_until
from tests.support.service_processes import SECRET

ROOT = Path(__file__).parents[2]


def checkout_url(port: int) -> str:
    """The ``CHECKOUT_URL`` of a service that leads to a demo checkout on ``port``."""
    return f"http://127.0.0.1:{port}/?link={{link_id}}"


@contextmanager
def demo_checkout(port: int, service_url: str, org_id: str) -> Iterator[None]:
    """Runs the demo checkout of an organization; events name it ``checkout``."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.demo_checkout"],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "PORT": str(port),
            "SERVICE_URL": service_url,
            "ADMIN_TOKEN": issue_admin_token(
                SECRET.encode(),
                Admin("checkout", Role.ORG_ADMIN, org_id),
                now=datetime.now(UTC),
                lifetime=timedelta(hours=1),
            ),
        },
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: process.poll() is not None or _answers(port), "the demo checkout")
        yield
    finally:
        process.terminate()
        process.wait(10)


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/favicon.ico").status_code == 404
    except httpx.TransportError:
        return False
