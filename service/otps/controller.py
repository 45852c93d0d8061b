"""One-time passwords over HTTP: ask for one, submit it, get a token."""

import secrets
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from litestar import post, put
from litestar.params import JSONBody

from service.auth.tokens import CUSTOMER_TOKEN_LIFETIME
from service.context import Context
from service.errors import LimitReached, OtpInvalid, OtpNotVerified, Unavailable, Unreadable
from service.http.body import JsonBodyDTO
from service.http.client_ip import client_of, networks_around, site_of
from service.http.headers import header_values
from service.http.problems import responses
from service.http.request import PublicRequest, context_of
from service.otps import store as otps
from service.otps.model import NONCE_BYTES, VERIFIED_FOR, derive_code, matches
from service.otps.schemas import CustomerToken, OtpSent, SendOtp, SubmitOtp
from service.outbox.doorbell import QueueName
from service.storage import keys
from service.storage.rate_limits import RateLimit, check, count, uncount
from service.values.locale import choose_locale

SENDS, FAILURES = "otp_sends", "otp_failures"
TOO_MANY_OF_CLIENT = "too many requests from this address in this hour"
TOO_MANY = {
    SENDS: TOO_MANY_OF_CLIENT,
    FAILURES: TOO_MANY_OF_CLIENT,
    "resend": "a code was sent to this e-mail a moment ago",
    "sends_hour": "no more codes can be sent to this e-mail in this hour",
    "sends_day": "no more codes can be sent to this e-mail today",
    "ceiling": "too many codes are being sent at the moment",
    "unverified": "too many codes that were not verified were named for this e-mail in this hour",
}
"""What is said of each limit to whoever reaches it."""


@post(
    "/payment-links/otp",
    status_code=202,
    dto=JsonBodyDTO[SendOtp],
    return_dto=None,
    responses=responses(400, 408, 413, 415, 422, 429),
    tags=["One-time passwords"],
    summary="Ask for a one-time password",
    response_description="A code is on its way to this e-mail.",
)
async def send_otp(request: PublicRequest, data: JSONBody[SendOtp]) -> OtpSent:
    """E-mails a one-time password. The answer is the same whether or not that e-mail has links."""
    locale = choose_locale(*header_values(request, b"accept-language"))
    context = context_of(request)
    await ask_for_code(context, data.parse(context.clock()), client_of(request), locale=locale)
    return OtpSent(
        int(context.settings.otp.ttl.total_seconds()),
        int(context.settings.otp.resend_after.total_seconds()),
    )


async def ask_for_code(
    context: Context, email: str, client: str, *, locale: str, org_id: str | None = None
) -> bytes:
    """Owes the canonical ``email`` a new code, in the language of ``locale``, and in the colours of ``org_id``; gives its nonce.

    Raises:
        LimitReached: for this e-mail, for ``client`` or a network around it, or for all together.
    """
    policy = context.settings.otp
    own = (
        otps.client_limits(networks_around(client), SENDS, policy.client_sends_per_hour),
        send_limits(context, email),
    )
    await _count(context, *own)
    try:
        await _count(context, otps.ceiling(policy.sends_per_minute))
    except LimitReached:
        await _uncount(context, *own)
        raise
    except Unreadable:
        pass  # the log and /readyz report it: one broken counter must not keep everybody from their codes
    nonce = secrets.token_bytes(NONCE_BYTES)
    await context.pipeline.run(
        otps.create(email, nonce, now=context.clock(), ttl=policy.ttl, org_id=org_id, locale=locale)
    )
    context.doorbell.ring(QueueName.OTPS, [keys.otp_partition(email)])
    return nonce


def send_limits(context: Context, email: str) -> list[RateLimit]:
    """What limits the codes for the canonical ``email``."""
    policy = context.settings.otp
    return otps.mailbox_limits(
        email,
        resend_after=policy.resend_after,
        sends_per_hour=policy.sends_per_hour,
        sends_per_day=policy.sends_per_day,
    )


@put(
    "/payment-links/otp",
    dto=JsonBodyDTO[SubmitOtp],
    return_dto=None,
    responses=responses(400, 401, 408, 413, 415, 422, 429),
    tags=["One-time passwords"],
    summary="Submit a one-time password",
    response_description="A token for the links that were sent to this e-mail.",
)
async def submit_otp(request: PublicRequest, data: JSONBody[SubmitOtp]) -> CustomerToken:
    """Takes a one-time password and gives the token that opens this e-mail's gated links."""
    context = context_of(request)
    email, otp = data.parse(context.clock())
    token = await redeem_code(context, email, otp, client_of(request))
    return CustomerToken(token, "Bearer", int(CUSTOMER_TOKEN_LIFETIME.total_seconds()))


async def redeem_code(context: Context, email: str, otp: str, client: str) -> str:
    """The token for which the canonical ``email``'s code is taken.

    Raises:
        OtpInvalid: it is wrong, used, expired or unknown.
        LimitReached: for this e-mail, for ``client`` or a network around it.
    """
    policy, site = context.settings.otp, site_of(client)
    failures = otps.client_limits(
        networks_around(client), FAILURES, policy.client_failures_per_hour
    )
    await _count(context, failures)
    outcome = await context.pipeline.run(
        otps.start_attempt(
            email,
            site,
            now=context.clock(),
            max_tries=policy.max_tries,
            failures_per_day=policy.failures_per_day,
        )
    )
    if isinstance(outcome, otps.TriesUsedUp):
        raise LimitReached("too many wrong codes for this e-mail today", outcome.retry_after)
    nonce = outcome or secrets.token_bytes(NONCE_BYTES)
    right = matches(otp, derive_code(context.otp_key, nonce, email)) and outcome is not None
    redeem = otps.redeem(email, site, nonce, now=context.clock(), verified_for=VERIFIED_FOR)
    if not right or not await context.pipeline.run(redeem):
        raise OtpInvalid
    await _uncount(context, failures)
    return context.customer_tokens.issue(email, now=context.clock(), jti=secrets.token_urlsafe(16))


async def require_verified(context: Context, email: str, otp: str, org_id: str) -> None:
    """Lets pass who names a code that the canonical ``email`` has verified.

    A right code asks the limit last, and counts nothing: however many come at once, no more wrong ones than it allows were
    looked at before one is told to be right.

    Raises:
        OtpNotVerified: it has not, or not in the last day.
        LimitReached: ``org_id`` named too many such codes for it.
    """
    nonces = await context.pipeline.run(otps.verified(email, now=context.clock()))
    right = any(
        [  # noqa: C419 - all are compared, so that time tells nothing
            matches(otp, derive_code(context.otp_key, nonce, email)) for nonce in nonces
        ]
    )
    limits = otps.unverified_limit(email, org_id, context.settings.otp.unverified_per_hour)
    reached = await context.pipeline.run(check(limits) if right else count(limits))
    if reached is not None:
        raise LimitReached(TOO_MANY[reached.limit.name], reached.retry_after)
    if not right:
        raise OtpNotVerified


async def _count(context: Context, *counted: Sequence[RateLimit]) -> None:
    """Counts one more under all of ``counted``, each of which lies in one slot, or under none.

    Raises:
        LimitReached: for one of them.
    """
    for number, limits in enumerate(counted):
        reached = await context.pipeline.run(count(limits))
        if reached is not None:
            await _uncount(context, *counted[:number])
            raise LimitReached(TOO_MANY[reached.limit.name], reached.retry_after)


async def _uncount(context: Context, *counted: Sequence[RateLimit]) -> None:
    """Takes counts back. The answer is known by then, a used-up code's above all: it is given whatever becomes of a counter."""
    with suppress(Unavailable):
        await context.pipeline.run_all([uncount(limits) for limits in counted])


HANDLERS: list[Any] = [send_otp, submit_otp]
