"""Workers and the scan skip a key of a wrong type, and send the e-mails of all others."""

from email.message import EmailMessage
from typing import Any

import pytest
import structlog.testing
from redis import Redis

from service.links.model import DeliveryState
from service.outbox.doorbell import take_pending
from service.outbox.queues import LINK_QUEUE, OTP_QUEUE
from service.storage import keys
from service.values.ids import partition_of
from tasks.jobs import scan
from tasks.mail.mailer import Refused
from tests.support.delivery_harness import ORG, PARTITION, DeliveryHarness
from tests.support.scripted_smtp import Answer, ScriptedMailer, refusing

OTHERS = "globex"
ELSEWHERE = partition_of(OTHERS)


def spoil(harness: DeliveryHarness, key: str) -> None:
    """Replaces the key by one of another type."""
    harness.redis.delete(key)
    harness.redis.rpush(key, "boom")


def told(logs: list[Any]) -> str:
    return "\n".join(
        str(line) for line in logs if line["event"] in {"data_unreadable", "record_unreadable"}
    )


@pytest.mark.usefixtures("runtimes")
@pytest.mark.parametrize("kind", ["outbox", "scheduled", "otp_outbox", "pending_since"])
def test_the_scan_rings_for_all_others(
    harness: DeliveryHarness, rq_connection: Redis, kind: str
) -> None:
    harness.add_link()
    harness.add_link(org_id=OTHERS)
    spoil(harness, getattr(keys, kind)(PARTITION))
    with structlog.testing.capture_logs() as logs:
        scan()
    assert set(take_pending(LINK_QUEUE, rq_connection)) == {ELSEWHERE} | (
        {PARTITION} if kind != "outbox" else set()
    )
    assert getattr(keys, kind)(PARTITION) in told(logs)


@pytest.mark.usefixtures("runtimes")
def test_codes_go_out_where_scheduled_links_cannot_be_read(
    harness: DeliveryHarness, rq_connection: Redis
) -> None:
    harness.add_code()
    spoil(harness, keys.scheduled(partition_of("jane@example.com")))
    scan()
    assert take_pending(OTP_QUEUE, rq_connection) == [partition_of("jane@example.com")]


@pytest.mark.parametrize("kind", ["outbox", "scheduled", "pending_since"])
def test_a_worker_sends_the_mail_of_other_partitions(
    harness: DeliveryHarness, mailer: ScriptedMailer, kind: str
) -> None:
    harness.add_link()
    harness.add_link("john@example.com", org_id=OTHERS)
    spoil(harness, getattr(keys, kind)(PARTITION))
    harness.link_worker(mailer).run([PARTITION, ELSEWHERE])
    assert set(mailer.recipients) == {"john@example.com"} | (
        {"jane@example.com"} if kind != "outbox" else set()
    )


@pytest.mark.parametrize("is_hash", [False, True], ids=["another type", "another value"])
def test_an_unreadable_link_stays_in_the_outbox_and_is_logged(
    harness: DeliveryHarness, mailer: ScriptedMailer, *, is_hash: bool
) -> None:
    bad, good = harness.add_link("bad@example.com"), harness.add_link()
    if is_hash:
        harness.redis.hset(keys.link(bad.id), "created", "boom")
    else:
        spoil(harness, keys.link(bad.id))
    with structlog.testing.capture_logs() as logs:
        harness.link_worker(mailer).run([PARTITION])
    assert (mailer.recipients, harness.state(good)) == (["jane@example.com"], DeliveryState.SENT)
    assert harness.lease_of(bad) is not None
    assert f"{bad.id[:11]}…" in told(logs)
    assert bad.id not in str(logs)


@pytest.mark.parametrize("answer", [lambda _: None, refusing(error=Refused("550 no"))])
@pytest.mark.parametrize("kind", ["notices", "notice_outbox", "failed", "pending_since", "events"])
def test_a_mail_is_tried_once_whatever_key_of_its_partition_is_unreadable(
    harness: DeliveryHarness, mailer: ScriptedMailer, kind: str, answer: Answer
) -> None:
    link, tried = harness.add_link(), []

    def count(message: EmailMessage) -> object:
        tried.append(message)
        return answer(message)

    mailer.answer = count
    spoil(harness, keys.events(ORG) if kind == "events" else getattr(keys, kind)(PARTITION))
    states = []
    for _ in range(2):
        harness.link_worker(mailer).run([PARTITION])
        states.append(harness.state(link))
        harness.clock.advance(seconds=25)
    assert len(tried) == 1
    assert states == 2 * [DeliveryState.SENT if mailer.sent else DeliveryState.FAILED]
    assert harness.lease_of(link) is None


def test_an_unreadable_code_stays_in_the_outbox_and_delays_no_other(
    harness: DeliveryHarness, mailer: ScriptedMailer
) -> None:
    neighbor = next(
        email
        for email in (f"user{number}@example.com" for number in range(10_000))
        if partition_of(email) == partition_of("jane@example.com")
    )
    harness.add_code(neighbor)
    harness.add_code()
    spoil(harness, keys.otp(neighbor))
    harness.code_worker(mailer).run([partition_of(neighbor)])
    assert mailer.recipients == ["jane@example.com"]
    assert harness.code_lease_of(neighbor) is not None


def test_a_mail_that_cannot_be_marked_as_sent_hides_no_other(
    harness: DeliveryHarness, mailer: ScriptedMailer
) -> None:
    bad, good = harness.add_link("bad@example.com"), harness.add_link()
    mailer.answer = lambda message: (
        spoil(harness, keys.link(bad.id)) if message["To"] == "bad@example.com" else None
    )
    harness.link_worker(mailer).run([PARTITION])
    assert set(mailer.recipients) == {"bad@example.com", "jane@example.com"}
    assert harness.state(good) is DeliveryState.SENT


def test_a_profile_that_cannot_be_read_delays_no_mail(
    harness: DeliveryHarness, mailer: ScriptedMailer
) -> None:
    harness.add_link()
    spoil(harness, keys.profile("acme"))
    harness.link_worker(mailer).run([PARTITION])
    assert mailer.recipients == ["jane@example.com"]
