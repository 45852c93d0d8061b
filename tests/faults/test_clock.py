"""A machine whose clock is wrong: a process under libfaketime, beside others that are right."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.links.model import DeliveryState
from tests.support.admins import as_admin
from tests.support.servers import MailServer, RedisServer, wait_until
from tests.support.service_processes import Process, Service

pytestmark = pytest.mark.usefixtures("redis_db")

JANE = "jane@example.com"
SKEWED = '"event":"clock_skew"'
"""In the log of a process with a wrong clock; ``web`` also reports others as a reason."""
RunBeside = Callable[..., Service]


@pytest.fixture(scope="session")
def libfaketime() -> str:
    """What shows a process another time than the machine's, but lets its monotonic clock be."""
    found = [*Path("/usr/lib").glob("*/faketime/libfaketime.so.1")]
    if not found:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("faketime is not installed")
    return str(found[0])


@pytest.fixture
def run(
    own_store: RedisServer, tmp_path: Path, libfaketime: str, mail_server: MailServer
) -> Iterator[RunBeside]:
    """Runs everything, ``wrong`` one of it on a machine whose clock is ``hours`` ahead."""
    with ExitStack() as stack:

        def run(wrong: str, hours: float) -> Service:
            service = Service(tmp_path, own_store.url, mail_server.url, OTP_RESEND_AFTER="1s")
            faked = {
                **service.environ,
                "LD_PRELOAD": libfaketime,
                "FAKETIME": f"{hours * 3600:+.0f}s",
                "DONT_FAKE_MONOTONIC": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }
            setattr(service, wrong, Process(wrong, faked, getattr(service, wrong).log))
            stack.enter_context(running(service))
            return service

        yield run


@contextmanager
def running(service: Service) -> Iterator[None]:
    for process in (service.web, service.worker, service.scheduler):
        process.start()
    try:
        wait_until(lambda: is_told(service), "everything to be alive", within=60)
        yield
    finally:
        for process in (service.web, service.worker, service.scheduler):
            process.interrupt()


def is_told(service: Service) -> bool:
    """Whether everything is alive, and that a clock is wrong is the only thing told."""
    return bool(service.readiness().get("reasons") == ["clock_skew"])


def create(service: Service, **fields: Any) -> dict[str, Any]:
    response = httpx.post(
        f"{service.url}/payment-links",
        json={"email": JANE, "org_id": "acme", **fields},
        headers=as_admin(),
    )
    assert response.status_code == 201, response.text
    link: dict[str, Any] = response.json()
    return link


def state(service: Service, link: dict[str, Any]) -> str:
    return str(httpx.get(f"{service.url}/payment-links/{link['id']}").json()["delivery"]["state"])


@pytest.mark.parametrize(
    ("wrong", "hours"),
    [
        ("worker", 80),
        ("worker", -80),
        ("worker", 11 / 60),
        ("web", 80),
        ("web", -80),
        ("scheduler", 80),
    ],
)
def test_a_wrong_clock_destroys_no_mail(
    run: RunBeside, mail_server: MailServer, wrong: str, hours: float
) -> None:
    service, now = run(wrong, hours), datetime.now(UTC)
    later = create(
        service, email="later@example.com", scheduled_at=(now + timedelta(hours=1)).isoformat()
    )
    create(service, email="soon@example.com", scheduled_at=(now + timedelta(seconds=3)).isoformat())
    create(service)
    assert (
        httpx.post(
            f"{service.url}/payment-links/otp", json={"email": "code@example.com"}
        ).status_code
        == 202
    )
    for recipient in (JANE, "code@example.com", "soon@example.com"):
        assert len(mail_server.mailbox.wait_for(recipient)) == 1
    assert datetime.now(UTC) >= now + timedelta(seconds=3)
    assert state(service, later) == DeliveryState.SCHEDULED
    assert mail_server.mailbox.to("later@example.com") == []
    assert is_told(service)
    assert SKEWED in getattr(service, wrong).output()
    assert SKEWED not in "".join(process.output() for process in others(service, wrong))
    created_at = datetime.fromisoformat(later["created_at"])
    assert abs(created_at - now) < timedelta(seconds=5)


def others(service: Service, wrong: str) -> list[Process]:
    return [getattr(service, name) for name in ("web", "worker", "scheduler") if name != wrong]
