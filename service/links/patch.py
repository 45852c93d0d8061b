"""Changing a link: which fields can change, under which conditions, and what follows."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from service.errors import Faults, LinkEnded, LinkPaid, LinkSent
from service.links.link_request import (
    EXPIRY_RULE,
    MAX_LINK_LIFETIME,
    MAX_SCHEDULE_AHEAD,
    MIN_LINK_LIFETIME,
    check_scheduled_at,
    parse_description,
    parse_metadata,
)
from service.links.model import Delivery, DeliveryState, Link, Status
from service.values.email import parse_email
from service.values.languages import parse_locale
from service.values.money import check_range, parse_amount, parse_currency
from service.values.reminders import Reminder, parse_reminders
from service.values.time import parse_request_time, to_utc_ms

MONEY_FIELDS = {"payment_amount", "currency"}
MAIL_FIELDS = MONEY_FIELDS | {"email", "scheduled_at", "otp_required"}
"""Fields that cannot change once a mail of the link is out."""
UNSENT_STATES = {DeliveryState.SCHEDULED, DeliveryState.QUEUED, DeliveryState.FAILED}
"""States of an e-mail whose time of sending follows ``scheduled_at``."""
PARSERS: dict[str, Callable[[Any], Any]] = {
    "description": parse_description,
    "metadata": parse_metadata,
    "locale": parse_locale,
    "reminders": parse_reminders,
    "email": parse_email,
    "currency": parse_currency,
    "payment_amount": check_range,
    "expires_at": lambda time: parse_request_time(time, "expires_at"),
    "scheduled_at": lambda time: parse_request_time(time, "scheduled_at"),
}


class LinkPatch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A request to change a link. ``UNSET`` keeps a value, None removes it."""

    description: str | UnsetType | None = UNSET
    metadata: dict[str, str] | UnsetType | None = UNSET
    locale: str | UnsetType | None = UNSET
    reminders: tuple[Reminder, ...] | UnsetType | None = UNSET
    expires_at: datetime | UnsetType = UNSET
    email: str | UnsetType = UNSET
    payment_amount: Decimal | UnsetType | None = UNSET
    currency: str | UnsetType | None = UNSET
    scheduled_at: datetime | UnsetType | None = UNSET
    otp_required: bool | UnsetType = UNSET

    @property
    def given(self) -> dict[str, Any]:
        """The new values, by field name."""
        fields = msgspec.structs.asdict(self)
        return {name: value for name, value in fields.items() if value is not UNSET}


class Change(NamedTuple):
    """The changed link, and the names of the fields that changed."""

    link: Link
    fields: list[str]

    @property
    def is_in_mail(self) -> bool:
        """Whether the change alters the link's e-mail, or to whom or when it is sent."""
        return not MAIL_FIELDS.isdisjoint(self.fields)


def validate_patch(patch: LinkPatch, *, now: datetime, faults: Faults | None = None) -> LinkPatch:
    """``patch`` with the values checked, save for rules that depend on the link.

    Args:
        patch: What the caller sent.
        now: The time at which its times are checked if it has faults, to name all of them;
            otherwise ``apply`` checks them, if they change.
        faults: Those that the caller has found already.

    Raises:
        Invalid: values break their rules.
    """
    faults, now = faults or Faults(), to_utc_ms(now)
    parsed: dict[str, Any] = {
        name: faults.check(PARSERS[name], value) if name in PARSERS else value
        for name, value in patch.given.items()
    }
    if "currency" in parsed and "currency" not in faults and "payment_amount" not in faults:
        faults.check(parse_amount, parsed.get("payment_amount"), parsed["currency"])
    if faults.found:
        _check_possible_times(faults, parsed.get("scheduled_at"), parsed.get("expires_at"), now)
        faults.raise_if_any()
    return LinkPatch(**parsed)


def apply(patch: LinkPatch, link: Link, *, now: datetime) -> Change | None:
    """``link`` with ``patch`` applied at ``now``; None if that changes nothing.

    A later ``expires_at`` makes an expired link active. An e-mail that is not out, even
    one that failed, is sent at the new ``scheduled_at``.

    Raises:
        LinkEnded: it was revoked or paid.
        LinkSent: a mail is out that shows what would change.
        LinkPaid: it was paid in part, and its amount or currency would change.
        Invalid: values break rules, together with the link's other values.
    """
    now, given = to_utc_ms(now), patch.given
    if given and link.status(now) in {Status.REVOKED, Status.PAID}:
        raise LinkEnded("the link was revoked or paid")
    changed = _find_changed(given, link)
    if not changed:
        return None
    is_money_changed = not MONEY_FIELDS.isdisjoint(changed)
    if link.is_mail_out and not MAIL_FIELDS.isdisjoint(changed):
        raise LinkSent
    if is_money_changed and any(link.valid_payments):
        raise LinkPaid(
            "the link was paid in part: void its payments to change its amount or currency"
        )
    after, faults = replace(link, **changed, version=link.version + 1), Faults()
    if is_money_changed:
        after = _check_amount(faults, after)
    if "scheduled_at" in changed:
        check_scheduled_at(faults, after.scheduled_at, now)
    if not {"scheduled_at", "expires_at"}.isdisjoint(changed):
        _check_lifetime(faults, after, now, is_end_given="expires_at" in given)
    faults.raise_if_any()
    if "scheduled_at" in changed and link.delivery.state in UNSENT_STATES:
        after = replace(after, delivery=_owed_again(after))
    return Change(after, list(changed))


def _find_changed(given: dict[str, Any], link: Link) -> dict[str, Any]:
    """The ``given`` values that differ from those of ``link``, in the form in which it has them."""
    values = dict(given)
    if "metadata" in given:
        values["metadata"] = given["metadata"] or {}
    if "reminders" in given and link.is_mail_out:  # too late for the organization's default
        values["reminders"] = given["reminders"] or ()
    return {name: value for name, value in values.items() if value != getattr(link, name)}


def _check_amount(faults: Faults, link: Link) -> Link:
    """The link with its amount in the decimals of its currency."""
    amount = faults.check(parse_amount, link.payment_amount, link.currency)
    if link.accept_partial and link.payment_amount is None:
        faults.add("payment_amount", "must stay, because the link may be paid in parts")
    return replace(link, payment_amount=amount)


def _check_possible_times(
    faults: Faults, scheduled_at: datetime | None, expires_at: datetime | None, now: datetime
) -> None:
    """Checks the rules that hold for every link."""
    check_scheduled_at(faults, scheduled_at, now)
    latest = now + MAX_SCHEDULE_AHEAD + MAX_LINK_LIFETIME
    if expires_at is not None and not now + MIN_LINK_LIFETIME <= expires_at <= latest:
        faults.add("expires_at", EXPIRY_RULE)


def _check_lifetime(faults: Faults, link: Link, now: datetime, *, is_end_given: bool) -> None:
    """Checks that the link lives for 5 minutes to 365 days after it is sent, or changed."""
    sent_at = now if link.is_mail_out else max(link.due_at, now)
    if sent_at + MIN_LINK_LIFETIME <= link.expires_at <= sent_at + MAX_LINK_LIFETIME:
        return
    if is_end_given:
        faults.add("expires_at", EXPIRY_RULE)
    elif "scheduled_at" not in faults:
        faults.add("scheduled_at", "must lie 5 minutes to 365 days before expires_at: give both")


def _owed_again(link: Link) -> Delivery:
    """The state of an e-mail that is to be sent at the link's time, even if it failed before."""
    state = DeliveryState.QUEUED if link.scheduled_at is None else DeliveryState.SCHEDULED
    return Delivery(state, sends=link.delivery.sends)
