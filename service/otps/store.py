"""One-time passwords in Redis: a nonce for each e-mail, its limits, and what it has verified. Never a code."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from service.storage import keys
from service.storage.command import Command, command, duration_ms, run_script, to_ms, try_decode
from service.storage.rate_limits import RateLimit, parse_pttl
from service.values.time import format_time, parse_time

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


class Otp(msgspec.Struct, frozen=True):
    """What an e-mail's code is derived from, until when it is good, and how often its mail was tried."""

    email: str
    nonce: bytes
    expires_at: datetime
    attempts: int
    org_id: str | None = None
    """Whose link the code is to open, where it was asked for on a link's page."""
    locale: str | None = None


class Outstanding(msgspec.Struct, frozen=True):
    """A code that can still be entered, and how often that was tried."""

    nonce: bytes
    expires_at: datetime
    tries: int


class TriesUsedUp(msgspec.Struct, frozen=True):
    """No code of the e-mail may be tried for another ``retry_after``."""

    retry_after: timedelta


def mailbox_limits(
    email: str, *, resend_after: timedelta, sends_per_hour: int, sends_per_day: int
) -> list[RateLimit]:
    """What limits the codes for the canonical ``email``: a tag (``jane+shop@``) makes no other mailbox of it."""
    return [
        RateLimit("resend", keys.otp_limit(email, "resend"), 1, resend_after),
        RateLimit("sends_hour", keys.otp_limit(email, "sends_hour"), sends_per_hour, HOUR),
        RateLimit("sends_day", keys.otp_limit(email, "sends_day"), sends_per_day, DAY),
    ]


def try_limits(email: str, network: str, failures_per_day: int) -> list[RateLimit]:
    """What limits wrong codes for the canonical ``email``, and those of a client of ``network`` among them."""
    return [
        RateLimit("failures_day", keys.otp_limit(email, "failures_day"), failures_per_day, DAY),
        RateLimit("failures_day", keys.otp_failures(email, network), _share(failures_per_day), DAY),
    ]


def client_limits(networks: Mapping[str, int], limit: str, maximum: int) -> list[RateLimit]:
    """What limits a client's ``otp_sends`` or ``otp_failures`` in an hour.

    ``networks`` are its own and those around it, the widest last, and how many times ``maximum`` each may have.
    """
    counters = keys.client_limits([*networks], limit)
    return [
        RateLimit(limit, key, times * maximum, HOUR)
        for key, times in zip(counters, networks.values(), strict=True)
    ]


def ceiling(sends_per_minute: int) -> list[RateLimit]:
    """What limits all codes together."""
    return [RateLimit("ceiling", keys.OTP_SENDS, sends_per_minute, MINUTE)]


def unverified_limit(email: str, org_id: str, maximum: int) -> list[RateLimit]:
    """What limits the wrong codes that an organization names as verified for ``email``, in an hour."""
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
    """A new code for the canonical ``email``, and the mail that carries it; the code before it is void."""
    return run_script(
        lambda _: None,
        "otps/create",
        [keys.otp(email), keys.otp_outbox(keys.otp_partition(email))],
        email,
        nonce.hex(),
        to_ms(now),
        format_time(now + ttl),
        duration_ms(ttl),
        org_id or "",
        locale or "",
    )


def outstanding(email: str, *, now: datetime) -> Command[Outstanding | None]:
    """The code of the canonical ``email``, if there is one that is neither used nor expired."""

    def decode(reply: list[str | None]) -> Outstanding | None:
        nonce, expires, tries = reply
        if nonce is None or expires is None or parse_time(expires) <= now:
            return None
        return Outstanding(bytes.fromhex(nonce), parse_time(expires), int(tries or 0))

    return command(decode, "HMGET", keys.otp(email), "nonce", "expires", "tries")


def start_attempt(
    email: str, network: str, *, now: datetime, max_tries: int, failures_per_day: int
) -> Command[bytes | TriesUsedUp | None]:
    """Counts a try by a client of ``network``, and gives the nonce to compare with.

    None where no code is outstanding, which counts nothing, or where it was tried too often. One network can use up half of
    ``failures_per_day``: the rest is for those who own the mailbox.
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
    """Uses the code up and takes its failed try back. False: it was used, or voided, a moment before."""
    return run_script(
        bool,
        "otps/redeem",
        [
            *_keys_of_try(email, network),
            keys.otp_verified(email),
            keys.otp_outbox(keys.otp_partition(email)),
        ],
        email,
        nonce.hex(),
        to_ms(now),
        to_ms(now + verified_for),
    )


def verified(email: str, *, now: datetime) -> Command[list[bytes]]:
    """Nonces of the codes that ``email`` has verified and that still count."""
    key = keys.otp_verified(email)
    return command(
        lambda reply: [bytes.fromhex(nonce) for nonce in reply],
        "ZRANGEBYSCORE",
        key,
        f"({to_ms(now)}",
        "+inf",
    )


def load_claimed(partition: str, emails: Sequence[str]) -> Command[list[Otp | ValueError | None]]:
    """Reads what claimed e-mails are owed. None: the code is used or expired, and no mail is owed any more.

    ValueError: what is kept of it cannot be read.
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
    email: str, *, deadline: datetime, retry_at: datetime | None, attempts: int = 1
) -> Command[bool]:
    """The code's mail is out or given up (``retry_at`` None), or is tried again. False: another holds its lease by now."""
    return run_script(
        bool,
        "otps/settle",
        [keys.otp(email), keys.otp_outbox(keys.otp_partition(email))],
        email,
        to_ms(deadline),
        "" if retry_at is None else to_ms(retry_at),
        attempts,
    )


def _share(failures_per_day: int) -> int:
    """How many of an e-mail's tries one client network can use up."""
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
    nonce, expires, attempts, org, locale = code
    if nonce is None or expires is None:
        return None
    return Otp(email, bytes.fromhex(nonce), parse_time(expires), int(attempts or 0), org, locale)
