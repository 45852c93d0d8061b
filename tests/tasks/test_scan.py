"""The scan: it rings for whatever is due, whatever became of the bells that were rung for it."""

from datetime import timedelta

import pytest

from service.otps import store as otps
from service.outbox.doorbell import QueueName, answer, queue_of, ring
from service.values.ids import partition_of
from tasks.jobs import scan
from tasks.runtime import Runtime
from tests.support.harness import PARTITION, Harness
from tests.support.mailers import ScriptedMailer

JANE = "jane@example.com"


def rung(runtime: Runtime) -> dict[QueueName, list[str]]:
    """The partitions that wait behind each bell that was rung."""
    waiting = {bell: answer(bell, runtime.queue) for bell in QueueName}
    return {bell: partitions for bell, partitions in waiting.items() if partitions}


def test_it_rings_for_nothing_where_nothing_is_due(runtime: Runtime) -> None:
    scan()
    assert rung(runtime) == {}
    assert all(len(queue_of(bell, runtime.queue)) == 0 for bell in QueueName)


def test_it_rings_for_a_mail_whose_own_bell_was_lost(harness: Harness, runtime: Runtime) -> None:
    harness.add_link()
    scan()
    assert rung(runtime) == {QueueName.LINKS: [PARTITION]}


def test_it_rings_for_a_code_whose_own_bell_was_lost(harness: Harness, runtime: Runtime) -> None:
    harness.add_code()
    scan()
    assert rung(runtime) == {QueueName.OTPS: [partition_of(JANE)]}


@pytest.mark.parametrize(
    ("early", "rings"), [(1, False), (0, True)], ids=["a millisecond before", "at that moment"]
)
def test_it_rings_for_a_scheduled_link_when_its_time_comes(
    harness: Harness, runtime: Runtime, early: int, *, rings: bool
) -> None:
    harness.add_link(scheduled_at=harness.clock() + timedelta(hours=1))
    harness.clock.advance(hours=1, milliseconds=-early)
    scan()
    assert rung(runtime) == ({QueueName.LINKS: [PARTITION]} if rings else {})


@pytest.mark.parametrize(
    ("after", "rings"), [(19.999, False), (20, True)], ids=["while it lasts", "when it lapses"]
)
def test_it_rings_for_a_lease_that_lapsed(
    harness: Harness, runtime: Runtime, after: float, *, rings: bool
) -> None:
    harness.add_link()
    harness.claim()
    harness.clock.advance(seconds=after)
    scan()
    assert rung(runtime) == ({QueueName.LINKS: [PARTITION]} if rings else {})


def test_it_rings_for_a_code_whose_lease_lapsed(harness: Harness, runtime: Runtime) -> None:
    harness.add_code()
    now = harness.clock()
    claimed = otps.claim(
        partition_of(JANE), now=now, deadline=now + timedelta(seconds=20), limit=10
    )
    assert harness.client.run(claimed) == [JANE]
    scan()
    assert rung(runtime) == {}
    harness.clock.now = now + timedelta(seconds=20)
    scan()
    assert rung(runtime) == {QueueName.OTPS: [partition_of(JANE)]}


def test_it_rings_for_each_partition_that_owes(harness: Harness, runtime: Runtime) -> None:
    organizations = ["acme", "globex", "initech", "umbrella"]
    for org_id in organizations:
        harness.add_link(org_id=org_id)
    scan()
    assert rung(runtime) == {
        QueueName.LINKS: sorted({partition_of(org_id) for org_id in organizations})
    }


def test_it_rings_once_for_many_scans(harness: Harness, runtime: Runtime) -> None:
    harness.add_link()
    for _ in range(5):
        scan()
    assert len(queue_of(QueueName.LINKS, runtime.queue)) == 1


def test_it_rings_again_where_the_job_was_lost(harness: Harness, runtime: Runtime) -> None:
    harness.add_link()
    ring(QueueName.LINKS, [PARTITION], runtime.queue)
    runtime.queue.delete(queue_of(QueueName.LINKS, runtime.queue).key)
    scan()
    assert len(queue_of(QueueName.LINKS, runtime.queue)) == 1


def test_it_rings_no_more_once_all_is_sent(
    harness: Harness, runtime: Runtime, mailer: ScriptedMailer
) -> None:
    harness.add_link()
    harness.add_code()
    runtime.links.drain([PARTITION])
    runtime.otps.drain([partition_of(JANE)])
    assert len(mailer.sent) == 2
    harness.clock.advance(days=1)
    scan()
    assert rung(runtime) == {}


def test_it_does_not_ring_for_a_revoked_link(harness: Harness, runtime: Runtime) -> None:
    link = harness.add_link(scheduled_at=harness.clock() + timedelta(hours=1))
    harness.revoke(link)
    harness.clock.advance(hours=2)
    scan()
    assert rung(runtime) == {}


@pytest.mark.usefixtures("runtime")
def test_it_sends_nothing_itself(harness: Harness, mailer: ScriptedMailer) -> None:
    harness.add_link()
    scan()
    assert mailer.sent == []
