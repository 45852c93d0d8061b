"""One-time passwords in Redis: a nonce for each e-mail, its limits, and what it has verified. Never a code."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from service.domain.link import partition_of
from service.store import keys
from service.store.call import Call, attempt, call, from_ms, run_script, span_ms, to_ms

HOUR = timedelta(hours=1)


class Otp(msgspec.Struct, frozen=True):
    """What an e-mail's code is derived from, until when it is good, and how often its mail was tried."""

    email: str
    nonce: bytes
    expires_at: datetime
    attempts: int
    org_id: str | None = None
    """Whose link the code is to open, where it was asked for on a link's page."""
    locale: str | None = None


class Limit(StrEnum):
    """Which limit of an e-mail forbids another code."""

    RESEND = "resend"
    HOUR = "hour"
    DAY = "day"


class Refusal(msgspec.Struct, frozen=True):
    """A limit is reached; it is not any more after ``retry_after``."""

    retry_after: timedelta
    limit: Limit | None = None


def create(
    email: str,
    nonce: bytes,
    *,
    now: datetime,
    ttl: timedelta,
    resend_after: timedelta,
    sends_per_hour: int,
    sends_per_day: int,
    org_id: str | None = None,
    locale: str | None = None,
) -> Call[Refusal | None]:
    """A new code for the canonical ``email``, and the mail that carries it; the code before it is void."""
    return run_script(
        lambda reply: None if reply[0] == "created" else Refusal(_wait(reply[1]), Limit(reply[0])),
        "otp_create",
        [
            keys.otp(email),
            *(keys.otp_limit(email, limit) for limit in ("resend", "sends_hour", "sends_day")),
            keys.otp_outbox(partition_of(email)),
        ],
        email,
        nonce.hex(),
        to_ms(now),
        span_ms(ttl),
        span_ms(resend_after),
        sends_per_hour,
        sends_per_day,
        org_id or "",
        locale or "",
    )


def start_try(email: str, *, now: datetime, max_tries: int, failures_per_day: int) -> Call[bytes | Refusal | None]:
    """Counts a try, and gives the nonce to compare with; None where there is no code, or it was tried too often."""
    return run_script(
        _decode_try,
        "otp_try",
        [keys.otp(email), keys.otp_limit(email, "failures_day")],
        to_ms(now),
        max_tries,
        failures_per_day,
    )


def redeem(email: str, nonce: bytes, *, now: datetime, verified_for: timedelta) -> Call[bool]:
    """Uses the code up and takes its failed try back. False: it was used, or voided, a moment before."""
    return run_script(
        bool,
        "otp_redeem",
        [
            keys.otp(email),
            keys.otp_limit(email, "failures_day"),
            keys.otp_verified(email),
            keys.otp_outbox(partition_of(email)),
        ],
        email,
        nonce.hex(),
        to_ms(now),
        to_ms(now + verified_for),
    )


def verified(email: str, *, now: datetime) -> Call[list[bytes]]:
    """Nonces of the codes that ``email`` has verified and that still count."""
    key = keys.otp_verified(email)
    return call(lambda reply: [bytes.fromhex(nonce) for nonce in reply], "ZRANGEBYSCORE", key, f"({to_ms(now)}", "+inf")


def open_codes(partition: str, emails: Sequence[str]) -> Call[list[Otp | ValueError | None]]:
    """Reads what claimed e-mails are owed. None: the code is used or expired, and no mail is owed any more.

    ValueError: what is kept of it cannot be read.
    """
    return run_script(
        lambda codes: [attempt(_decode_otp, email, code) for email, code in zip(emails, codes, strict=True)],
        "otp_open",
        [keys.otp_outbox(partition), *map(keys.otp, emails)],
        *emails,
    )


def settle(email: str, *, deadline: datetime, retry_at: datetime | None, attempts: int = 1) -> Call[bool]:
    """The code's mail is out or given up (``retry_at`` None), or is tried again. False: another holds its lease by now."""
    return run_script(
        bool,
        "otp_settle",
        [keys.otp(email), keys.otp_outbox(partition_of(email))],
        email,
        to_ms(deadline),
        "" if retry_at is None else to_ms(retry_at),
        attempts,
    )


def count_client(client: str, limit: str, *, most: int) -> Call[Refusal | None]:
    """Counts one of ``client``'s ``otp_sends`` or ``otp_failures`` in this hour, if it has not had ``most``."""
    return run_script(
        lambda wait: Refusal(_wait(wait)) if int(wait) else None,
        "count",
        [keys.client_limit(client, limit)],
        most,
        span_ms(HOUR),
    )


def uncount_client(client: str, limit: str) -> Call[None]:
    """Takes one count of ``client`` back."""
    return run_script(lambda _: None, "uncount", [keys.client_limit(client, limit)])


def _decode_try(reply: list[str]) -> bytes | Refusal | None:
    outcome, value = reply
    if outcome == "limit":
        return Refusal(_wait(value))
    return bytes.fromhex(value) if outcome == "try" else None


def _decode_otp(email: str, code: list[str | None]) -> Otp | None:
    nonce, expires_at, attempts, org_id, locale = code
    if nonce is None or expires_at is None:
        return None
    return Otp(email, bytes.fromhex(nonce), from_ms(expires_at), int(attempts or 0), org_id or None, locale or None)


def _wait(milliseconds: str | int) -> timedelta:
    return timedelta(milliseconds=max(1, int(milliseconds)))
