"""One-time passwords in Redis: a nonce for each e-mail, never a code, with limits and what was
verified.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from service.storage import keys
from service.storage.command import Command, command, run_script, try_decode
from service.storage.rate_limits import RateLimit, parse_pttl
from service.values.time import datetime_to_ms, duration_ms, format_time, parse_time

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


class Otp(msgspec.Struct, frozen=True):
    """What a code is derived from, when it expires, and how often its mail was attempted."""

    email: str
    nonce: bytes
    expires_at: datetime
    attempts: int
    org_id: str | None = None
    """Whose link the code opens, if the request came from a link's page."""
    locale: str | None = None
    unconfirmed: int = 0
    """How many attempts handed the mail over without an answer from the mail server."""


class Outstanding(msgspec.Struct, frozen=True):
    """A code that can still be entered, and how often one was."""

    nonce: bytes
    expires_at: datetime
    tries: int


class TriesUsedUp(msgspec.Struct, frozen=True):
    """No code of the e-mail can be tried for another ``retry_after``."""

    retry_after: timedelta


def mailbox_limits(
    email: str, *, resend_after: timedelta, sends_per_hour: int, sends_per_day: int
) -> list[RateLimit]:
    """The limits of codes for the canonical ``email`` and its subaddresses (``jane+shop@``)."""
    return [
        RateLimit("resend", keys.otp_limit(email, "resend"), 1, resend_after),
        RateLimit("sends_hour", keys.otp_limit(email, "sends_hour"), sends_per_hour, HOUR),
        RateLimit("sends_day", keys.otp_limit(email, "sends_day"), sends_per_day, DAY),
    ]


def try_limits(email: str, network: str, failures_per_day: int) -> list[RateLimit]:
    """The limits of wrong codes for the canonical ``email``: all, and those from ``network``."""
    return [
        RateLimit("failures_day", keys.otp_limit(email, "failures_day"), failures_per_day, DAY),
        RateLimit("failures_day", keys.otp_failures(email, network), _share(failures_per_day), DAY),
    ]


def client_limits(networks: Mapping[str, int], limit: str, maximum: int) -> list[RateLimit]:
    """The limits of a client's ``otp_sends`` or ``otp_failures`` in an hour.

    ``networks`` are the client's own and those around it, the widest last, each with how many times
    ``maximum`` it can have.
    """
    counters = keys.client_limit_keys([*networks], limit)
    return [
        RateLimit(limit, key, times * maximum, HOUR)
        for key, times in zip(counters, networks.values(), strict=True)
    ]


def ceiling(sends_per_minute: int) -> list[RateLimit]:
    """The limit of all codes together."""
    return [RateLimit("ceiling", keys.OTP_SENDS, sends_per_minute, MINUTE)]


def unverified_limit(email: str, org_id: str, maximum: int) -> list[RateLimit]:
    """The limit of wrong codes that an organization names as verified for ``email``, in an hour."""
    return [RateLimit("unverified", keys.otp_unverified(email, org_id), maximum, HOUR)]


def create(
    email: str,
    nonce: bytes,
    *,
    now: datetime,
    ttl: timedelta,
    org_id: str | None = None,
    locale: str | None = None,
) -> Command[None]:
    """Stores a code for the canonical ``email``, which voids the one before, and owes its mail."""
    return run_script(
        lambda _: None,
        "otps/create",
        [keys.otp(email), keys.otp_outbox(keys.otp_partition(email))],
        email,
        nonce.hex(),
        datetime_to_ms(now),
        format_time(now + ttl),
        duration_ms(ttl),
        org_id or "",
        locale or "",
    )


def outstanding(email: str, *, now: datetime) -> Command[Outstanding | None]:
    """The code of the canonical ``email``, unless it is used or has expired."""

    def decode(reply: list[str | None]) -> Outstanding | None:
        nonce, expires, tries = reply
        if nonce is None or expires is None or parse_time(expires) <= now:
            return None
        return Outstanding(bytes.fromhex(nonce), parse_time(expires), int(tries or 0))

    return command(decode, "HMGET", keys.otp(email), "nonce", "expires", "tries")


def start_attempt(
    email: str, network: str, *, now: datetime, max_tries: int, failures_per_day: int
) -> Command[bytes | TriesUsedUp | None]:
    """Counts a try by a client of ``network``, and returns the nonce of the code to compare with.

    None: no code is outstanding, and nothing was counted; or the code was tried too often. One
    network can use up half of ``failures_per_day``: the rest is for the mailbox's owner.
    """
    return run_script(
        _decode_try,
        "otps/start_attempt",
        [*_keys_of_try(email, network), keys.otp_limit(email, "decoy")],
        format_time(now),
        max_tries,
        failures_per_day,
        _share(failures_per_day),
        duration_ms(DAY),
    )


def redeem(
    email: str, network: str, nonce: bytes, *, now: datetime, verified_for: timedelta
) -> Command[bool]:
    """Uses the code up, and takes its failed try back. False: it was used or voided meanwhile."""
    return run_script(
        bool,
        "otps/redeem",
        [
            *_keys_of_try(email, network),
            keys.otp_verified_nonces(email),
            keys.otp_outbox(keys.otp_partition(email)),
        ],
        email,
        nonce.hex(),
        datetime_to_ms(now),
        datetime_to_ms(now + verified_for),
    )


def verified(email: str, *, now: datetime) -> Command[list[bytes]]:
    """Nonces of the codes that ``email`` has verified and that a link can still name."""
    return command(
        lambda reply: [bytes.fromhex(nonce) for nonce in reply],
        "ZRANGEBYSCORE",
        keys.otp_verified_nonces(email),
        f"({datetime_to_ms(now)}",
        "+inf",
    )


def load_claimed(partition: str, emails: Sequence[str]) -> Command[list[Otp | ValueError | None]]:
    """Reads the codes of claimed e-mails.

    None: the code is used or has expired, and its mail is no longer owed. ValueError: it cannot be
    decoded.
    """
    return run_script(
        lambda codes: [
            try_decode(_decode_otp, email, code) for email, code in zip(emails, codes, strict=True)
        ],
        "otps/load_claimed",
        [keys.otp_outbox(partition), *map(keys.otp, emails)],
        *emails,
    )


def settle(
    email: str,
    nonce: bytes,
    *,
    lease_deadline: datetime | None,
    retry_at: datetime | None,
    counts_as_attempt: bool = True,
    unconfirmed: bool = False,
) -> Command[bool]:
    """Ends the lease on a code's mail: it was sent or given up, or waits until ``retry_at``.

    It may be out already if it is ``unconfirmed``. Without a ``lease_deadline``, whoever holds the
    lease loses it. False: the lease was lost, or a new code voided this one.
    """
    return run_script(
        bool,
        "otps/settle",
        [keys.otp(email), keys.otp_outbox(keys.otp_partition(email))],
        email,
        nonce.hex(),
        "" if lease_deadline is None else datetime_to_ms(lease_deadline),
        "" if retry_at is None else datetime_to_ms(retry_at),
        int(counts_as_attempt),
        int(unconfirmed),
    )


def requeue(email: str, nonce: bytes, *, at: datetime) -> Command[bool]:
    """Owes the mail of a code that was given up again, from ``at`` on.

    False: the code was used or voided meanwhile, or has expired.
    """
    return run_script(
        bool,
        "otps/requeue",
        [keys.otp(email), keys.otp_outbox(keys.otp_partition(email))],
        email,
        nonce.hex(),
        datetime_to_ms(at),
    )


def _share(failures_per_day: int) -> int:
    """How many of an e-mail's failures one client network can use up."""
    return max(1, failures_per_day // 2)


def _keys_of_try(email: str, network: str) -> list[str]:
    return [
        keys.otp(email),
        keys.otp_limit(email, "failures_day"),
        keys.otp_failures(email, network),
    ]


def _decode_try(reply: list[str]) -> bytes | TriesUsedUp | None:
    outcome, value = reply
    if outcome == "limit":
        return TriesUsedUp(parse_pttl(value))
    return bytes.fromhex(value) if outcome == "try" else None


def _decode_otp(email: str, code: list[str | None]) -> Otp | None:
    nonce, expires, attempts, org, locale, unconfirmed = code
    if nonce is None or expires is None:
        return None
    return Otp(
        email,
        bytes.fromhex(nonce),
        parse_time(expires),
        int(attempts or 0),
        org,
        locale,
        int(unconfirmed or 0),
    )
