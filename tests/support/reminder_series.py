"""Links with a series of reminders, and a worker that sends those that are due."""

from datetime import timedelta
from typing import Any

from service.links.model import Link
from service.values.reminders import Reminder
from tests.support.delivery_harness import PARTITION, DeliveryHarness
from tests.support.scripted_smtp import ScriptedMailer

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WEEK = 7 * DAY
THREE = (
    Reminder(after_send="24h"),
    Reminder(after_send="72h"),
    Reminder(before_expiry="24h"),
)
"""The series of the links of these tests, which live a week."""


def add_sent(harness: DeliveryHarness, mailer: ScriptedMailer, **fields: Any) -> Link:
    """A link that lives a week, whose first mail is out."""
    link = harness.add_link(**{"reminders": THREE, "ttl": WEEK, **fields})
    harness.link_worker(mailer).run([PARTITION])
    mailer.sent.clear()
    return harness.link(link)


def work(harness: DeliveryHarness, mailer: ScriptedMailer) -> list[str]:
    """The subjects of the notices that a worker sends now."""
    before = len(mailer.sent)
    harness.notice_worker(mailer).run([PARTITION])
    return [str(message["Subject"]) for message in mailer.sent[before:]]


def types(harness: DeliveryHarness) -> list[str]:
    return [kind for kind, _ in harness.events()]
