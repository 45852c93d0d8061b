"""RQ's worker behind a bell: it sends, says that it lives, and stops when asked to."""

import multiprocessing
import re
import signal
import time
from collections.abc import Iterator
from multiprocessing.context import SpawnProcess
from pathlib import Path

import msgspec
import pytest

from service.domain.link import partition_of
from service.jobs import Bell, ring
from service.store import heartbeats
from service.store.client import Client, connect
from tasks import worker
from tasks.runtime import Runtime
from tasks.worker import DoorbellWorker, record_heartbeat
from tests.tasks.doubles import ScriptedMailer
from tests.tasks.office import PARTITION, Office


@pytest.fixture(autouse=True)
def _own_signal_handlers() -> Iterator[None]:
    """A worker takes over signals; pytest has them back afterwards."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("bell", "subject"), [(Bell.LINKS, "Payment link from acme"), (Bell.OTPS, "CODE is your payment code")], ids=["links", "codes"]
)
def test_a_worker_finds_its_job_by_name_and_sends(
    office: Office, runtime: Runtime, mailer: ScriptedMailer, bell: Bell, subject: str
) -> None:
    office.add_link()
    office.add_code()
    for each in Bell:
        ring(each, [PARTITION, partition_of("jane@example.com")], runtime.queue)
    DoorbellWorker(bell, runtime).work(burst=True, logging_level="ERROR")
    assert [re.sub("^[0-9]{6}", "CODE", str(message["Subject"])) for message in mailer.sent] == [subject]


@pytest.mark.parametrize("bell", list(Bell), ids=str)
def test_a_worker_says_that_it_lives(office: Office, runtime: Runtime, bell: Bell) -> None:
    DoorbellWorker(bell, runtime).work(burst=True, logging_level="ERROR")
    alive = [each for each in Bell if office.client.run(heartbeats.read(f"worker-{each}"))]
    assert alive == [bell]


def test_a_store_that_is_away_does_not_end_a_worker(runtime: Runtime, tmp_path: Path) -> None:
    away = Client(connect(f"unix://{tmp_path}/nobody"))
    record_heartbeat(Bell.LINKS, msgspec.structs.replace(runtime, client=away))
    away.close()


def test_a_job_that_fails_does_not_end_a_worker(office: Office, runtime: Runtime, mailer: ScriptedMailer) -> None:
    def fall_over(_: object) -> None:
        raise RuntimeError("nobody thought of this")

    office.add_link()
    ring(Bell.LINKS, [PARTITION], runtime.queue)
    mailer.answer = fall_over
    DoorbellWorker(Bell.LINKS, runtime).work(burst=True, logging_level="CRITICAL")
    mailer.answer = lambda _: None
    office.clock.advance(seconds=20)
    ring(Bell.LINKS, [PARTITION], runtime.queue)
    DoorbellWorker(Bell.LINKS, runtime).work(burst=True, logging_level="CRITICAL")
    assert mailer.recipients == ["jane@example.com"]


def test_a_worker_that_is_asked_to_stop_gives_back_what_it_has_not_begun(
    office: Office, runtime: Runtime, mailer: ScriptedMailer
) -> None:
    made = office.add_links(3)
    ring(Bell.LINKS, [PARTITION], runtime.queue)
    mailer.answer = lambda _: signal.raise_signal(signal.SIGTERM)
    DoorbellWorker(Bell.LINKS, runtime).work(logging_level="ERROR")
    assert len(mailer.sent) == 1
    assert [office.lease_of(link) for link in made] == [None, office.clock(), office.clock()]


def test_where_a_process_cannot_be_started_the_others_are_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python would wait for them, and so never end."""
    started: list[SpawnProcess] = []

    def start(bell: Bell) -> SpawnProcess:
        if bell is Bell.OTPS:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        started.append(multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600,)))
        started[0].start()
        return started[0]

    monkeypatch.setattr(worker, "_start", start)
    with pytest.raises(BlockingIOError):
        worker.supervise([Bell.LINKS, Bell.OTPS])
    assert not started[0].is_alive()
