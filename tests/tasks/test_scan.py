"""The scan rings for whatever is due, even if earlier rings were lost."""

from datetime import timedelta

import pytest
from redis import Redis

from service.outbox import store as outbox
from service.outbox.doorbell import open_rq_queue, ring, take_pending
from service.outbox.queues import LINK_QUEUE, OTP_QUEUE, QUEUES, MailQueue
from service.values.ids import partition_of
from tasks.jobs import scan
from tests.support.delivery_harness import PARTITION, DeliveryHarness
from tests.support.scripted_smtp import ScriptedMailer

JANE = "jane@example.com"


pytestmark = pytest.mark.usefixtures("runtimes")


def rung(rq_connection: Redis) -> dict[MailQueue, list[str]]:
    """The pending partitions of each queue."""
    pending = {queue: take_pending(queue, rq_connection) for queue in QUEUES}
    return {queue: partitions for queue, partitions in pending.items() if partitions}


def test_it_rings_for_nothing_where_nothing_is_due(rq_connection: Redis) -> None:
    scan()
    assert rung(rq_connection) == {}
    assert all(len(open_rq_queue(queue, rq_connection)) == 0 for queue in QUEUES)


def test_it_rings_for_a_mail_whose_own_ring_was_lost(
    harness: DeliveryHarness, rq_connection: Redis
) -> None:
    harness.add_link()
    scan()
    assert rung(rq_connection) == {LINK_QUEUE: [PARTITION]}


def test_it_rings_for_a_code_whose_own_ring_was_lost(
    harness: DeliveryHarness, rq_connection: Redis
) -> None:
    harness.add_code()
    scan()
    assert rung(rq_connection) == {OTP_QUEUE: [partition_of(JANE)]}


@pytest.mark.parametrize(
    ("early", "rings"), [(1, False), (0, True)], ids=["a millisecond before", "at that moment"]
)
def test_it_rings_for_a_scheduled_link_when_its_time_comes(
    harness: DeliveryHarness, rq_connection: Redis, early: int, *, rings: bool
) -> None:
    harness.add_link(scheduled_at=harness.clock() + timedelta(hours=1))
    harness.clock.advance(hours=1, milliseconds=-early)
    scan()
    assert rung(rq_connection) == ({LINK_QUEUE: [PARTITION]} if rings else {})


@pytest.mark.parametrize(
    ("after", "rings"), [(19.999, False), (20, True)], ids=["while it lasts", "when it lapses"]
)
def test_it_rings_for_a_lease_that_lapsed(
    harness: DeliveryHarness, rq_connection: Redis, after: float, *, rings: bool
) -> None:
    harness.add_link()
    harness.claim()
    harness.clock.advance(seconds=after)
    scan()
    assert rung(rq_connection) == ({LINK_QUEUE: [PARTITION]} if rings else {})


def test_it_rings_for_a_code_whose_lease_lapsed(
    harness: DeliveryHarness, rq_connection: Redis
) -> None:
    harness.add_code()
    now = harness.clock()
    claimed = outbox.claim(
        OTP_QUEUE, partition_of(JANE), now=now, lease_deadline=now + timedelta(seconds=20), limit=10
    )
    assert harness.client.run(claimed) == [JANE]
    scan()
    assert rung(rq_connection) == {}
    harness.clock.now = now + timedelta(seconds=20)
    scan()
    assert rung(rq_connection) == {OTP_QUEUE: [partition_of(JANE)]}


def test_it_rings_for_each_partition_with_due_mail(
    harness: DeliveryHarness, rq_connection: Redis
) -> None:
    organizations = ["acme", "globex", "initech", "umbrella"]
    for org_id in organizations:
        harness.add_link(org_id=org_id)
    scan()
    assert rung(rq_connection) == {
        LINK_QUEUE: sorted({partition_of(org_id) for org_id in organizations})
    }


def test_it_rings_once_for_many_scans(harness: DeliveryHarness, rq_connection: Redis) -> None:
    harness.add_link()
    for _ in range(5):
        scan()
    assert len(open_rq_queue(LINK_QUEUE, rq_connection)) == 1


def test_it_rings_again_where_the_job_was_lost(
    harness: DeliveryHarness, rq_connection: Redis
) -> None:
    harness.add_link()
    ring(LINK_QUEUE, [PARTITION], rq_connection)
    rq_connection.delete(open_rq_queue(LINK_QUEUE, rq_connection).key)
    scan()
    assert len(open_rq_queue(LINK_QUEUE, rq_connection)) == 1


def test_it_rings_no_more_once_all_is_sent(
    harness: DeliveryHarness, rq_connection: Redis, mailer: ScriptedMailer
) -> None:
    harness.add_link()
    harness.add_code()
    harness.link_worker(mailer).run([PARTITION])
    harness.code_worker(mailer).run([partition_of(JANE)])
    assert len(mailer.sent) == 2
    harness.clock.advance(days=1)
    scan()
    assert rung(rq_connection) == {}


def test_it_does_not_ring_for_a_revoked_link(
    harness: DeliveryHarness, rq_connection: Redis
) -> None:
    link = harness.add_link(scheduled_at=harness.clock() + timedelta(hours=1))
    harness.revoke(link)
    harness.clock.advance(hours=2)
    scan()
    assert rung(rq_connection) == {}


def test_it_sends_nothing_itself(harness: DeliveryHarness, mailer: ScriptedMailer) -> None:
    harness.add_link()
    scan()
    assert mailer.sent == []
