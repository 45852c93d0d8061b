"""Notices in Redis: asked for, loaded and settled. ``service/outbox`` claims them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec

from service.links.model import Link
from service.links.redis_hash import by_name
from service.links.redis_hash import decode as decode_link
from service.links.reminders import next_reminder
from service.notices.model import (
    SAMPLE_LIFETIME,
    Notice,
    NoticeKind,
    ReceiptNotice,
    ReminderNotice,
    SampleNotice,
    Tries,
    sample_member,
)
from service.orgs.model import EMPTY_PROFILE, Profile
from service.storage import event_log, idempotency, keys, rate_limits
from service.storage.command import Command, run_script, try_decode
from service.storage.event_log import SYSTEM, Event, EventType
from service.storage.idempotency import IdempotencyRecord, IdempotentRequest, decode_record
from service.storage.rate_limits import RateLimit, ReachedLimit
from service.values.ids import partition_of
from service.values.mail_replies import reply_code
from service.values.reminders import encode_reminders
from service.values.time import datetime_to_ms, format_time, parse_time

MAX_SAMPLES_PER_DAY = 5
TRIES_FIELDS = {
    NoticeKind.REMINDER: "reminder_tries",
    NoticeKind.RECEIPT: "receipt_tries",
    NoticeKind.SAMPLE: "tries",
}
"""The field that holds the tries of a notice, in the hash of its link or sample.

Its text is the attempts, the unconfirmed ones, and what they are about: of a reminder its number,
of a receipt the payment.
"""


def load_claimed(
    partition: str, members: Sequence[str]
) -> Command[list[Notice | ValueError | None]]:
    """Reads claimed notices.

    None: what it was about no longer exists, and nothing is owed. ValueError: it cannot be read.
    """
    subjects = [_parse_member(member) for member in members]
    sampled = [subject for kind, subject in subjects if kind == NoticeKind.SAMPLE]
    return run_script(
        lambda found: [
            try_decode(_decode, partition, *subject, values)
            for subject, values in zip(subjects, found, strict=True)
        ],
        "notices/load_claimed",
        [
            keys.notice_outbox(partition),
            *(_record_key(partition, *subject) for subject in subjects),
            *map(keys.profile, sampled),
        ],
        len(members),
        *(
            arg
            for member, (kind, _) in zip(members, subjects, strict=True)
            for arg in (member, int(kind == NoticeKind.SAMPLE))
        ),
    )


def mark_sent(
    notice: Notice, *, now: datetime, retention: timedelta, lease_deadline: datetime
) -> Command[bool]:
    """The mail server accepted the notice. False: its lease until ``lease_deadline`` was lost.

    A reminder counts as sent in any case, and the next one is due in its time.
    """
    if not isinstance(notice, ReminderNotice):
        return _settle(notice, now=now, lease_deadline=lease_deadline)
    return _settle(
        notice,
        now=now,
        lease_deadline=lease_deadline,
        tries=_encode_tries(Tries(), str(notice.number + 1)),
        is_reminded=True,
        next_at=next_reminder(msgspec.structs.replace(notice.link, reminded_at=now)),
        event=Event(EventType.REMINDED, SYSTEM),
        retention=retention,
    )


def give_up(
    notice: Notice, *, error: str, now: datetime, retention: timedelta, lease_deadline: datetime
) -> Command[bool]:
    """The notice is not tried again. False: its lease until ``lease_deadline`` was lost.

    The next reminder of the link is sent all the same.
    """
    data = {"mail": notice.kind.value, "error": reply_code(error)}
    is_of_link = not isinstance(notice, SampleNotice)
    return _settle(
        notice,
        now=now,
        lease_deadline=lease_deadline,
        tries=_tries_after_giving_up(notice),
        next_at=next_reminder(notice.link, after=now)
        if isinstance(notice, ReminderNotice)
        else None,
        event=Event(EventType.DELIVERY_FAILED, SYSTEM, data) if is_of_link else None,
        retention=retention,
    )


def put_back(notice: Notice, *, now: datetime, lease_deadline: datetime) -> Command[bool]:
    """Ends the claim of a notice that must not be sent now; a reminder is due again in its time.

    False: its lease until ``lease_deadline`` was lost.
    """
    is_reminder = isinstance(notice, ReminderNotice)
    return _settle(
        notice,
        now=now,
        lease_deadline=lease_deadline,
        tries=_encode_tries(notice.tries, notice.subject_id) if is_reminder else "",
        next_at=next_reminder(notice.link, after=now)
        if isinstance(notice, ReminderNotice)
        else None,
    )


def retry_later(
    notice: Notice,
    *,
    now: datetime,
    at: datetime,
    counts_as_attempt: bool = True,
    unconfirmed: bool = False,
    lease_deadline: datetime,
) -> Command[bool]:
    """Puts the notice off until ``at``; it may be out already if it is ``unconfirmed``.

    False: its lease until ``lease_deadline`` was lost.
    """
    tries = Tries(notice.tries.attempts + counts_as_attempt, notice.tries.unconfirmed + unconfirmed)
    return _settle(
        notice,
        now=now,
        lease_deadline=lease_deadline,
        tries=_encode_tries(tries, notice.subject_id),
        retry_at=at,
    )


def requeue(notice: Notice, *, at: datetime) -> Command[bool]:
    """Owes a notice that was given up again, from ``at`` on.

    False: another has taken its place, or what it is about is gone.
    """
    partition, record = _keys_of(notice)
    return run_script(
        bool,
        "notices/requeue",
        [record, keys.notices(partition)],
        notice.member,
        TRIES_FIELDS[notice.kind],
        _tries_after_giving_up(notice),
        _encode_tries(notice.tries, notice.subject_id),
        datetime_to_ms(at),
    )


def sample_limit(org_id: str) -> RateLimit:
    """How many samples an organization can have in a day."""
    key = keys.samples_day(org_id)
    return RateLimit("samples_day", key, MAX_SAMPLES_PER_DAY, timedelta(days=1))


def request_sample(
    org_id: str, *, now: datetime, request: IdempotentRequest | None = None
) -> Command[IdempotencyRecord | ReachedLimit | None]:
    """Owes the organization a sample, in place of one that is not out yet.

    None: it is owed. The record: that of an earlier request with the same key.
    """
    partition, limit = partition_of(org_id), sample_limit(org_id)
    return run_script(
        partial(_decode_request, limit),
        "notices/request_sample",
        [
            keys.sample(org_id),
            keys.notices(partition),
            keys.notice_outbox(partition),
            limit.key,
            *(() if request is None else (request.redis_key,)),
        ],
        sample_member(org_id),
        datetime_to_ms(now),
        format_time(now),
        datetime_to_ms(now + 2 * SAMPLE_LIFETIME),
        *rate_limits.script_args([limit]),
        *idempotency.script_args(request, now),
    )


def _settle(
    notice: Notice,
    *,
    now: datetime,
    lease_deadline: datetime,
    tries: str = "",
    is_reminded: bool = False,
    retry_at: datetime | None = None,
    next_at: datetime | None = None,
    event: Event | None = None,
    retention: timedelta = timedelta(0),
) -> Command[bool]:
    partition, record = _keys_of(notice)
    link = None if isinstance(notice, SampleNotice) else notice.link
    org_id = notice.sampled_org_id if isinstance(notice, SampleNotice) else notice.link.org_id
    reminded_link = notice.link if isinstance(notice, ReminderNotice) else None
    return run_script(
        bool,
        "notices/settle",
        [record, keys.notices(partition), keys.notice_outbox(partition), keys.events(org_id)],
        notice.member,
        "" if link is None else keys.local_id(link.id),
        TRIES_FIELDS[notice.kind],
        datetime_to_ms(lease_deadline),
        tries,
        format_time(now) if is_reminded else "",
        notice.subject_id,
        datetime_to_ms(now),
        "" if retry_at is None else datetime_to_ms(retry_at),
        "" if next_at is None else datetime_to_ms(next_at),
        *_reminder_fields(reminded_link),
        *(() if event is None else event_log.script_args(event, retention)),
    )


def _reminder_fields(link: Link | None) -> tuple[str, str]:
    """The fields of ``link`` on which the time of its next reminder depends; empty for none."""
    if link is None:
        return "", ""
    reminders = "" if link.reminders is None else encode_reminders(link.reminders)
    return format_time(link.expires_at), reminders


def _keys_of(notice: Notice) -> tuple[str, str]:
    """The partition of a notice, and the hash of its link or sample."""
    if isinstance(notice, SampleNotice):
        org_id = notice.sampled_org_id
        return partition_of(org_id), keys.sample(org_id)
    return keys.partition_of_link(notice.link.id), keys.link(notice.link.id)


def _tries_after_giving_up(notice: Notice) -> str:
    if isinstance(notice, ReminderNotice):
        return _encode_tries(Tries(), str(notice.number + 1))
    return ""


def _encode_tries(tries: Tries, subject_id: str) -> str:
    if tries == Tries() and subject_id in {"", "0"}:
        return ""
    return f"{tries.attempts} {tries.unconfirmed} {subject_id}"


def _decode_tries(text: str | None) -> tuple[Tries, str]:
    """The tries, and what they are about."""
    if not text:
        return Tries(), ""
    attempts, unconfirmed, subject_id = text.split(" ", 2)
    return Tries(int(attempts), int(unconfirmed)), subject_id


def _parse_member(member: str) -> tuple[str, str]:
    """The kind of a notice, and the local id of its link or the id of its organization."""
    kind, _, subject = member.partition(":")
    return kind, subject


def _record_key(partition: str, kind: str, subject: str) -> str:
    if kind == NoticeKind.SAMPLE:
        return keys.sample(subject)
    return keys.link(keys.full_id(partition, subject))


def _decode(partition: str, kind: str, subject: str, values: list[Any]) -> Notice | None:
    """The notice with these values, or None if what it is about does not exist.

    Raises:
        ValueError: it cannot be read.
    """
    if not any(values):
        return None
    if kind == NoticeKind.SAMPLE:
        return _decode_sample(subject, *values)
    fields = by_name(values)
    link = decode_link(keys.full_id(partition, subject), fields)
    if link is None:
        return None
    if kind == NoticeKind.REMINDER:
        tries, number = _decode_tries(fields.get(TRIES_FIELDS[NoticeKind.REMINDER]))
        return ReminderNotice(link, int(number or 0), tries)
    if kind == NoticeKind.RECEIPT:
        tries, payment_id = _decode_tries(fields.get(TRIES_FIELDS[NoticeKind.RECEIPT]))
        payment = link.settling_payment if link.paid_at else None
        is_about_it = payment is not None and payment.id == payment_id
        return ReceiptNotice(link, payment, tries if is_about_it else Tries())
    raise ValueError(f"there is no notice {kind}")


def _decode_sample(
    org_id: str, requested_at: str | None, tries: str | None, profile: str | None
) -> SampleNotice:
    return SampleNotice(
        org_id,
        EMPTY_PROFILE if profile is None else msgspec.json.decode(profile, type=Profile),
        parse_time(requested_at or ""),
        _decode_tries(tries)[0],
    )


def _decode_request(limit: RateLimit, reply: list[Any]) -> IdempotencyRecord | ReachedLimit | None:
    outcome, *values = reply
    if outcome == "limit":
        return rate_limits.decode_reached([limit], *values)
    return decode_record(values) if outcome == "earlier" else None
