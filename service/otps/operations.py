"""Sending one-time passwords, redeeming them, and checking the ones that requests name."""

import secrets
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

from service.context import Context
from service.errors import LimitReached, OtpInvalid, OtpNotVerified, Unavailable, Unreadable
from service.otps import store
from service.otps.model import (
    NONCE_BYTES,
    VERIFIED_FOR,
    client_site,
    derive_code,
    limit_multipliers,
    matches,
)
from service.outbox.queues import OTP_QUEUE
from service.storage import keys
from service.storage.rate_limits import RateLimit, check, count, uncount

SENDS, FAILURES = "otp_sends", "otp_failures"
LIMIT_MESSAGES = {
    SENDS: "too many requests from this address in this hour",
    FAILURES: "too many requests from this address in this hour",
    "resend": "a code was sent to this e-mail a moment ago",
    "sends_hour": "no more codes can be sent to this e-mail in this hour",
    "sends_day": "no more codes can be sent to this e-mail today",
    "ceiling": "too many codes are being sent at the moment",
    "unverified": "too many codes that were not verified were named for this e-mail in this hour",
}
"""The ``detail`` of the problem when a rate limit is reached, by the limit's name."""


async def send_code(
    context: Context, email: str, client_network: str, *, locale: str, org_id: str | None = None
) -> bytes:
    """Queues a mail with a new code for the canonical ``email``, and returns the code's nonce.

    The mail is in the language ``locale``, and in the colors of ``org_id``.

    Raises:
        LimitReached: for this e-mail, for the client or a network around it, or for all together.
    """
    limits = context.settings.otp
    own = (
        store.client_limits(limit_multipliers(client_network), SENDS, limits.client_sends_per_hour),
        _mailbox_limits(context, email),
    )
    await _count(context, *own)
    try:
        await _count(context, store.ceiling(limits.sends_per_minute))
    except LimitReached:
        await _uncount(context, *own)
        raise
    except (Unreadable, Unavailable):
        pass  # /readyz reports it: one counter that is unreadable or unavailable must not stop all
    nonce = secrets.token_bytes(NONCE_BYTES)
    await context.pipeline.run(
        store.create(
            email, nonce, now=context.clock(), ttl=limits.ttl, org_id=org_id, locale=locale
        )
    )
    context.doorbell.ring(OTP_QUEUE, [keys.otp_partition(email)])
    return nonce


async def redeem_code(context: Context, email: str, otp: str, client_network: str) -> str:
    """Redeems the code of the canonical ``email`` for a customer token.

    Raises:
        OtpInvalid: the code is wrong, used, expired or unknown.
        LimitReached: for this e-mail, for ``client_network`` or a network around it.
    """
    limits, site = context.settings.otp, client_site(client_network)
    failures = store.client_limits(
        limit_multipliers(client_network), FAILURES, limits.client_failures_per_hour
    )
    await _count(context, failures)
    attempt = await context.pipeline.run(
        store.start_attempt(
            email,
            site,
            now=context.clock(),
            max_tries=limits.max_tries,
            failures_per_day=limits.failures_per_day,
        )
    )
    if isinstance(attempt, store.TriesUsedUp):
        raise LimitReached("too many wrong codes for this e-mail today", attempt.retry_after)
    nonce = attempt or secrets.token_bytes(NONCE_BYTES)
    # Compared even where no code is outstanding, so that the time taken does not tell.
    is_right = matches(otp, derive_code(context.otp_key, nonce, email)) and attempt is not None
    redeem = store.redeem(email, site, nonce, now=context.clock(), verified_for=VERIFIED_FOR)
    if not is_right or not await context.pipeline.run(redeem):
        raise OtpInvalid
    await _uncount(context, failures)
    return context.customer_tokens.issue(email, now=context.clock(), jti=secrets.token_urlsafe(16))


async def require_verified(context: Context, email: str, otp: str, org_id: str) -> None:
    """Lets a code pass that the canonical ``email`` has verified in the last day.

    The limit is checked after the codes are compared, and a right code does not count. So of any
    number of concurrent requests, no more wrong codes than the limit are answered as such.

    Raises:
        OtpNotVerified: it has not verified this code.
        LimitReached: ``org_id`` named too many such codes for it.
    """
    nonces = await context.pipeline.run(store.verified(email, now=context.clock()))
    codes = [derive_code(context.otp_key, nonce, email) for nonce in nonces]
    # All are compared, so that the time taken does not tell which one matches.
    is_right = True in [matches(otp, code) for code in codes]
    limits = store.unverified_limit(email, org_id, context.settings.otp.unverified_per_hour)
    reached = await context.pipeline.run(check(limits) if is_right else count(limits))
    if reached is not None:
        raise LimitReached(LIMIT_MESSAGES[reached.limit.name], reached.retry_after)
    if not is_right:
        raise OtpNotVerified


async def waiting_times(
    context: Context, email: str, client_network: str
) -> tuple[timedelta, timedelta]:
    """How long until another code can be sent to ``email``, and until the client can try one."""
    tries = store.try_limits(
        email, client_site(client_network), context.settings.otp.failures_per_day
    )
    reached = await context.pipeline.run_all([check(_mailbox_limits(context, email)), check(tries)])
    send, attempt = (timedelta(0) if limit is None else limit.retry_after for limit in reached)
    return send, attempt


def _mailbox_limits(context: Context, email: str) -> list[RateLimit]:
    limits = context.settings.otp
    return store.mailbox_limits(
        email,
        resend_after=limits.resend_after,
        sends_per_hour=limits.sends_per_hour,
        sends_per_day=limits.sends_per_day,
    )


async def _count(context: Context, *counted: Sequence[RateLimit]) -> None:
    """Counts one under all of ``counted``, each of which lies in one slot, or under none.

    Raises:
        LimitReached: for one of them.
    """
    for number, limits in enumerate(counted):
        reached = await context.pipeline.run(count(limits))
        if reached is not None:
            await _uncount(context, *counted[:number])
            raise LimitReached(LIMIT_MESSAGES[reached.limit.name], reached.retry_after)


async def _uncount(context: Context, *counted: Sequence[RateLimit]) -> None:
    """Takes the counts back. A failure changes no answer: a code is redeemed only once."""
    with suppress(Unavailable):
        await context.pipeline.run_all([uncount(limits) for limits in counted])
