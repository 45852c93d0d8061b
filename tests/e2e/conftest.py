"""The real service: tests talk to it over HTTP and read its mails from an SMTP server."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.admins import admin_token
from tests.support.servers import MailServer, RedisServer
from tests.support.service_processes import Service, Up


@pytest.fixture(scope="module")
def mails() -> Iterator[MailServer]:
    with MailServer() as server:
        yield server


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, own_store: RedisServer, mails: MailServer
) -> Iterator[Service]:
    directory: Path = tmp_path_factory.mktemp("service")
    with Service(directory, own_store.url, mails.url) as running:
        yield running


@pytest.fixture
def public(service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url) as client:
        yield client


@pytest.fixture
def admin(service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=service.url, headers={"Authorization": f"Bearer {admin_token()}"}
    ) as client:
        yield client


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    running = Up(tmp_path)
    running.start()
    yield running
    if running.process.poll() is None:
        running.interrupt()
