"""One command, or more, of every function that returns one."""

from datetime import timedelta
from typing import Any

from service.health import store as heartbeats
from service.links import mail_store
from service.links import store as links
from service.links.model import Status
from service.orgs import store as orgs
from service.orgs.model import Profile
from service.otps import store as otps
from service.outbox import store as outbox
from service.outbox.queues import LINK_QUEUE
from service.storage import acl_check, data_version, idempotency, keys
from service.storage import rate_limits as limits
from service.storage.command import Command
from service.storage.idempotency import IdempotentRequest
from tests.support.clock import Clock
from tests.support.factories import MILLISECOND, RETENTION, make_link

NOW = Clock().now
HOUR = timedelta(hours=1)
EMAIL = "{o}{brace}+tag@example.com"
LINK = make_link(NOW, email=EMAIL)
SCHEDULED = make_link(NOW, email=EMAIL, scheduled_at=NOW + HOUR)
SILENT = make_link(NOW, email=EMAIL, notify=False)
IDS = [LINK.id, SCHEDULED.id, SILENT.id]
PARTITION = keys.partition_of_link(LINK.id)
MAILBOX_LIMITS = otps.mailbox_limits(EMAIL, resend_after=HOUR, sends_per_hour=5, sends_per_day=10)
CLIENT_LIMITS = otps.client_limits(
    {"2001:db8::/64": 1, "2001:db8::/56": 5, "2001:db8::/48": 20}, "otp_sends", 30
)
REQUEST = IdempotentRequest(LINK.org_id, "0a1b", "2c3d")
COMMANDS: dict[str, Command[Any]] = {
    "data_version.get_version": data_version.get_version(),
    "data_version.set_version_if_absent": data_version.set_version_if_absent(),
    "data_version.has_links": data_version.has_links(PARTITION),
    "links.create": links.create(LINK, now=NOW, retention=RETENTION),
    "links.create (scheduled)": links.create(
        SCHEDULED, now=NOW, retention=RETENTION, request=REQUEST
    ),
    "links.create (silent)": links.create(SILENT, now=NOW, retention=RETENTION),
    "links.get": links.get(LINK.id),
    "links.revoke": links.revoke(LINK, now=NOW, retention=RETENTION),
    "links.active_ids": links.active_ids(PARTITION, EMAIL, now=NOW, offset=0, limit=9),
    "idempotency.find": idempotency.find(REQUEST),
    "orgs.list_ids": orgs.list_ids(PARTITION, now=NOW, retention=RETENTION),
    "orgs.get_profile": orgs.get_profile("acme"),
    "orgs.put_profile": orgs.put_profile("acme", Profile(display_name="Acme")),
    "links.read_page": links.read_page(
        "acme", now=NOW, retention=RETENTION, limit=9, status=Status.ACTIVE
    ),
    "limits.count (client)": limits.count(CLIENT_LIMITS),
    "limits.count (mailbox)": limits.count(MAILBOX_LIMITS),
    "limits.check": limits.check(otps.unverified_limit(EMAIL, "acme", 20)),
    "limits.check (tries)": limits.check(otps.try_limits(EMAIL, "2001:db8::/48", 10)),
    "limits.uncount": limits.uncount(MAILBOX_LIMITS),
    "otps.create": otps.create(EMAIL, b"n" * 16, now=NOW, ttl=HOUR),
    "otps.start_attempt": otps.start_attempt(
        EMAIL, "2001:db8::/48", now=NOW, max_tries=5, failures_per_day=10
    ),
    "otps.outstanding": otps.outstanding(EMAIL, now=NOW),
    "otps.redeem": otps.redeem(EMAIL, "2001:db8::/48", b"n" * 16, now=NOW, verified_for=HOUR),
    "otps.verified": otps.verified(EMAIL, now=NOW),
    "otps.load_claimed": otps.load_claimed(keys.otp_partition(EMAIL), [EMAIL]),
    "otps.settle": otps.settle(EMAIL, lease_deadline=NOW, retry_at=None),
    "mail_store.claim_window": mail_store.claim_window(
        PARTITION, now=NOW, start=NOW, end=NOW + HOUR, limit=9
    ),
    "mail_store.load_claimed": mail_store.load_claimed(PARTITION, IDS),
    "mail_store.mark_sent": mail_store.mark_sent(LINK.id, now=NOW),
    "mail_store.mark_failed": mail_store.mark_failed(
        LINK.id, error="550 no such user", counts_as_attempt=True, now=NOW, retention=RETENTION
    ),
    "mail_store.retry_later": mail_store.retry_later(LINK.id, error="421 try later", at=NOW),
    "mail_store.count_scheduled": mail_store.count_scheduled(PARTITION, start=NOW),
    "mail_store.read_failures": mail_store.read_failures(
        PARTITION, now=NOW, retention=RETENTION, limit=9
    ),
    "outbox.claim": outbox.claim(LINK_QUEUE, PARTITION, now=NOW, lease_deadline=NOW, limit=9),
    "outbox.claim_window": outbox.claim_window(
        LINK_QUEUE, PARTITION, now=NOW, start=NOW, end=NOW + HOUR, limit=9
    ),
    "outbox.renew": outbox.renew(
        LINK_QUEUE, PARTITION, [keys.local_id(LINK.id)], lease_deadline=NOW, until=NOW + HOUR
    ),
    "outbox.has_pending": outbox.has_pending(PARTITION),
    "outbox.read_due": outbox.read_due(PARTITION, now=NOW),
    "heartbeats.record": heartbeats.record("scheduler", "host:1", skew=MILLISECOND),
    "heartbeats.remove": heartbeats.remove("scheduler", "host:1"),
    "acl_check.find_denied_commands": acl_check.find_denied_commands(),
    "heartbeats.read": heartbeats.read("scheduler"),
}
"""A command of every function that returns one."""
SCRIPTS = {made.script.name: made for made in COMMANDS.values() if made.script}
"""A command for each script."""

STORES = {
    "data_version": data_version,
    "mail_store": mail_store,
    "heartbeats": heartbeats,
    "idempotency": idempotency,
    "limits": limits,
    "links": links,
    "orgs": orgs,
    "otps": otps,
    "outbox": outbox,
    "acl_check": acl_check,
}
