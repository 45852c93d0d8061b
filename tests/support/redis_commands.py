"""One command, or more, of every function that returns one."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec

from service.events import store as events
from service.events.model import Origin, Position
from service.health import store as heartbeats
from service.links import change_store, mail_store
from service.links import store as links
from service.links.change_store import StoredLink
from service.links.link_request import OnConflict
from service.links.model import Delivery, DeliveryState, Payment, Status
from service.notices import store as notices
from service.notices.model import Notice, ReceiptNotice, ReminderNotice, SampleNotice
from service.orgs import store as orgs
from service.orgs.model import Profile
from service.otps import store as otps
from service.outbox import store as outbox
from service.outbox.queues import LINK_QUEUE
from service.storage import acl_check, clock, data_version, idempotency, keys
from service.storage import rate_limits as limits
from service.storage.command import Command
from service.storage.event_log import SYSTEM, Event, EventType
from service.storage.idempotency import IdempotentRequest
from tests.support.clock import Clock
from tests.support.factories import ADMIN, MILLISECOND, RETENTION, make_link

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
OTHER_REQUEST = IdempotentRequest(LINK.org_id, "1b2c", "3d4e")
RESEND_REQUEST = IdempotentRequest(LINK.org_id, "2d3e", "4f5a")
PAYMENT_REQUEST = IdempotentRequest(LINK.org_id, "2c3d", "4e5f")
PAID = msgspec.structs.replace(
    LINK,
    payments=(Payment(id="ch_1", amount=Decimal("10.50"), paid_at=NOW, recorded_at=NOW),),
    paid_at=NOW,
    delivery=Delivery(DeliveryState.NONE),
)
SAMPLE_REQUEST = IdempotentRequest(LINK.org_id, "3d4e", "5f6a")
NOTICES: list[Notice] = [
    ReminderNotice(LINK, 0),
    ReceiptNotice(PAID, PAID.settling_payment),
    SampleNotice("acme", Profile(reply_to=EMAIL), NOW),
]
COMMANDS: dict[str, Command[Any]] = {
    "data_version.get_version": data_version.get_version(),
    "data_version.set_version_if_absent": data_version.set_version_if_absent(),
    "data_version.has_links": data_version.has_links(PARTITION),
    "links.create": links.create(LINK, now=NOW, retention=RETENTION),
    "links.create (scheduled)": links.create(
        SCHEDULED, now=NOW, retention=RETENTION, request=REQUEST
    ),
    "links.create (silent)": links.create(SILENT, now=NOW, retention=RETENTION),
    **{
        f"links.create ({rule}, {name})": links.create(
            make_link(NOW, transaction_id="{o}{brace}/1"),
            now=NOW,
            retention=RETENTION,
            on_conflict=rule,
            actor=ADMIN,
        )
        for rule in OnConflict
        for name in ("first", "another")
    },
    "links.get": links.get(LINK.id),
    "links.revoke": links.revoke(LINK, now=NOW, retention=RETENTION, actor=ADMIN),
    "links.count_active": links.count_active(PARTITION, EMAIL, now=NOW),
    "links.active_ids": links.active_ids(PARTITION, EMAIL, now=NOW, offset=0, limit=9),
    "idempotency.find": idempotency.find(REQUEST),
    "idempotency.begin": idempotency.begin(OTHER_REQUEST, now=NOW),
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
    "otps.requeue": otps.requeue(EMAIL, b"n" * 16, at=NOW),
    "otps.settle": otps.settle(EMAIL, b"n" * 16, lease_deadline=NOW, retry_at=None),
    "change_store.read": change_store.read(LINK.id),
    "change_store.update": change_store.update(
        StoredLink(LINK, {}),
        PAID,
        now=NOW,
        retention=RETENTION,
        events=[Event(EventType.PAID, SYSTEM, {"amount_paid": "10.50"})],
        request=PAYMENT_REQUEST,
        receipt_at=NOW,
    ),
    "mail_store.claim_window": mail_store.claim_window(
        PARTITION, now=NOW, start=NOW, end=NOW + HOUR, limit=9
    ),
    "mail_store.load_claimed": mail_store.load_claimed(PARTITION, IDS),
    "mail_store.mark_sent": mail_store.mark_sent(LINK, now=NOW, retention=RETENTION),
    "mail_store.mark_failed": mail_store.mark_failed(
        LINK, error="550 no such user", counts_as_attempt=True, now=NOW, retention=RETENTION
    ),
    "mail_store.retry_later": mail_store.retry_later(LINK, error="421 try later", at=NOW),
    "mail_store.requeue": mail_store.requeue(LINK.id, at=NOW),
    "mail_store.resend": mail_store.resend(
        LINK, now=NOW, retention=RETENTION, actor=ADMIN, request=REQUEST
    ),
    "mail_store.resend_failed": mail_store.resend_failed(
        "acme",
        now=NOW,
        retention=RETENTION,
        since=None,
        until=NOW,
        limit=9,
        actor=ADMIN,
        request=RESEND_REQUEST,
    ),
    "mail_store.count_scheduled": mail_store.count_scheduled(PARTITION, start=NOW),
    "mail_store.read_failures": mail_store.read_failures(
        PARTITION, now=NOW, retention=RETENTION, limit=9
    ),
    "notices.load_claimed": notices.load_claimed(
        PARTITION, [notice.member for notice in NOTICES] + ["reminder:gone"]
    ),
    "notices.mark_sent": notices.mark_sent(
        NOTICES[0], now=NOW, retention=RETENTION, lease_deadline=NOW
    ),
    "notices.give_up": notices.give_up(
        NOTICES[1], error="550 no", now=NOW, retention=RETENTION, lease_deadline=NOW
    ),
    "notices.put_back": notices.put_back(NOTICES[2], now=NOW, lease_deadline=NOW),
    "notices.retry_later": notices.retry_later(NOTICES[0], now=NOW, at=NOW, lease_deadline=NOW),
    "notices.requeue": notices.requeue(NOTICES[1], at=NOW),
    "notices.request_sample": notices.request_sample("acme", now=NOW, request=SAMPLE_REQUEST),
    "events.append": events.append(
        "acme", LINK.id, Event(EventType.CODE_VERIFIED, SYSTEM), now=NOW, retention=RETENTION
    ),
    "events.read_log": events.read_log("acme", after=None, since=NOW, entries=9, limit=9),
    "events.read_created": events.read_created(
        "acme", after=Position(1, Origin.CREATION, keys.local_id(LINK.id)), limit=9
    ),
    "events.read_expired": events.read_expired(
        "acme", after=None, now=NOW, retention=RETENTION, limit=9
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
    "heartbeats.probe_writes": heartbeats.probe_writes(PARTITION),
    "heartbeats.remove": heartbeats.remove("scheduler", "host:1"),
    "acl_check.find_denied_commands": acl_check.find_denied_commands(keys.probe()),
    "heartbeats.read": heartbeats.read("scheduler"),
    "clock.read_time": clock.read_time(),
}
"""A command of every function that returns one."""
SCRIPTS = {made.script.name: made for made in COMMANDS.values() if made.script}
"""A command for each script."""

STORES = {
    "data_version": data_version,
    "change_store": change_store,
    "mail_store": mail_store,
    "notices": notices,
    "events": events,
    "heartbeats": heartbeats,
    "idempotency": idempotency,
    "limits": limits,
    "links": links,
    "orgs": orgs,
    "otps": otps,
    "outbox": outbox,
    "acl_check": acl_check,
    "clock": clock,
}
