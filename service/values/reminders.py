"""When a customer is reminded of a link: up to three times, after its mail or before its end."""

import re
from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Annotated

import msgspec
from msgspec import Meta

from service.errors import Faults, Invalid

MAX_REMINDERS = 3
MIN_APART = timedelta(hours=24)
"""The least time between two reminders of a link."""
MIN_DELAY, MAX_DELAY = timedelta(hours=1), timedelta(days=365)
DELAY_PATTERN = "[1-9][0-9]{0,5}[smhd]"
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


Delay = Annotated[str, Meta(examples=["48h"], extra_json_schema={"pattern": f"^{DELAY_PATTERN}$"})]


class Reminder(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """Either a time after the link's mail, or one before its end: 1h to 365d."""

    after_send: Delay | None = None
    before_expiry: Delay | None = None

    @property
    def delay(self) -> timedelta:
        """The time after the mail, or before the end of the link."""
        return parse_delay(self.after_send or self.before_expiry or "")


def parse_delay(text: str) -> timedelta:
    """``90s``, ``10m``, ``72h`` or ``3d``.

    Raises:
        ValueError: it is no duration of 1 hour to 365 days.
    """
    if re.fullmatch(DELAY_PATTERN, text):
        delay = timedelta(**{_UNITS[text[-1]]: int(text[:-1])})
        if MIN_DELAY <= delay <= MAX_DELAY:
            return delay
    raise ValueError("must be a duration from 1h to 365d, such as 48h or 2d")


def parse_reminders(
    reminders: Sequence[Reminder], field: str = "reminders"
) -> tuple[Reminder, ...]:
    """``reminders`` unchanged, as a tuple.

    Raises:
        Invalid: there are more than three; one has neither field, or both; a duration breaks its
            rule; two of a kind are less than 24 hours apart.
    """
    faults = Faults()
    if len(reminders) > MAX_REMINDERS:
        raise Invalid(field, f"must have at most {MAX_REMINDERS} entries")
    delays: list[tuple[bool, timedelta]] = []
    for index, reminder in enumerate(reminders):
        if (reminder.after_send is None) == (reminder.before_expiry is None):
            faults.add(f"{field}[{index}]", "must have either after_send or before_expiry")
            continue
        try:
            delays.append((reminder.after_send is None, reminder.delay))
        except ValueError as error:
            kind = "after_send" if reminder.after_send is not None else "before_expiry"
            faults.add(f"{field}[{index}].{kind}", str(error))
    delays.sort()
    for (is_before_expiry, shorter), (other, longer) in pairwise(delays):
        if is_before_expiry == other and longer - shorter < MIN_APART:
            faults.add(field, "must be at least 24 hours apart")
            break
    faults.raise_if_any()
    return tuple(reminders)


def encode_reminders(reminders: Sequence[Reminder]) -> str:
    """``after_send:72h before_expiry:24h``; ``none`` for an empty series."""
    return " ".join(_encode(reminder) for reminder in reminders) or "none"


def decode_reminders(text: str) -> tuple[Reminder, ...]:
    """The inverse of ``encode_reminders``.

    Raises:
        ValueError: it is something else.
    """
    if text == "none":
        return ()
    pairs = (entry.split(":") for entry in text.split(" "))
    return tuple(Reminder(**{kind: delay}) for kind, delay in pairs)


def _encode(reminder: Reminder) -> str:
    if reminder.after_send is not None:
        return f"after_send:{reminder.after_send}"
    return f"before_expiry:{reminder.before_expiry}"
