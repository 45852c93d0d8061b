"""One-time passwords over HTTP: ask for one, submit it, get a token."""

import secrets
from contextlib import suppress
from typing import Any

from litestar import post, put
from litestar.params import JSONBody

from service.api.bodies import StrictJson
from service.api.clients import client_of
from service.api.context import Context, PublicRequest, context_of, header_values
from service.api.problems import responses
from service.api.schemas import CustomerToken, OtpSent, SendOtp, SubmitOtp
from service.domain.email import canonical, parse_email
from service.domain.errors import Faults, LimitReached, OtpInvalid, Unavailable
from service.domain.link import partition_of
from service.domain.locale import choose_locale
from service.domain.otp import NONCE_BYTES, VERIFIED_FOR, derive_code, matches
from service.domain.tokens import CUSTOMER_LIFE
from service.jobs import Bell
from service.store import otps

SENDS, FAILURES = "otp_sends", "otp_failures"
TOO_MANY = {
    otps.Limit.RESEND: "a code was sent to this e-mail a moment ago",
    otps.Limit.HOUR: "no more codes can be sent to this e-mail in this hour",
    otps.Limit.DAY: "no more codes can be sent to this e-mail today",
}


@post(
    "/payment-links/otp",
    status_code=202,
    dto=StrictJson[SendOtp],
    return_dto=None,
    responses=responses(400, 408, 413, 415, 422, 429),
    tags=["One-time passwords"],
    summary="Ask for a one-time password",
    response_description="A code is on its way to this e-mail.",
)
async def send_otp(request: PublicRequest, data: JSONBody[SendOtp]) -> OtpSent:
    """E-mails a one-time password. The answer is the same whether or not that e-mail has links."""
    locale = choose_locale(*header_values(request, b"accept-language"))
    return await ask_for_code(context_of(request), canonical(parse_email(data.email)), client_of(request), locale=locale)


async def ask_for_code(context: Context, email: str, client: str, *, locale: str, org_id: str | None = None) -> OtpSent:
    """Owes the canonical ``email`` a new code, in the language of ``locale``, and in the colours of ``org_id``.

    Raises:
        LimitReached: for this e-mail, or for ``client``.
    """
    policy = context.otp_policy
    await _count_client(context, client, SENDS, policy.client_sends_per_hour)
    refusal = await context.lane.run(
        otps.create(
            email,
            context.entropy.take(NONCE_BYTES),
            now=context.clock(),
            ttl=policy.ttl,
            resend_after=policy.resend_after,
            sends_per_hour=policy.sends_per_hour,
            sends_per_day=policy.sends_per_day,
            org_id=org_id,
            locale=locale,
        )
    )
    if refusal is not None:
        await _uncount_client(context, client, SENDS)
        raise LimitReached(TOO_MANY[refusal.limit or otps.Limit.DAY], refusal.retry_after)
    context.doorbell.ring(Bell.OTPS, [partition_of(email)])
    return OtpSent(int(policy.ttl.total_seconds()), int(policy.resend_after.total_seconds()))


@put(
    "/payment-links/otp",
    dto=StrictJson[SubmitOtp],
    return_dto=None,
    responses=responses(400, 401, 408, 413, 415, 422, 429),
    tags=["One-time passwords"],
    summary="Submit a one-time password",
    response_description="A token for the links that were sent to this e-mail.",
)
async def submit_otp(request: PublicRequest, data: JSONBody[SubmitOtp]) -> CustomerToken:
    """Takes a one-time password and gives the token that opens this e-mail's gated links."""
    context = context_of(request)
    data.check(context.clock(), Faults())
    token = await redeem_code(context, canonical(data.email), data.otp, client_of(request))
    return CustomerToken(token, "Bearer", int(CUSTOMER_LIFE.total_seconds()))


async def redeem_code(context: Context, email: str, otp: str, client: str) -> str:
    """The token for which the canonical ``email``'s code is taken.

    Raises:
        OtpInvalid: it is wrong, used, expired or unknown.
        LimitReached: for this e-mail, or for ``client``.
    """
    policy = context.otp_policy
    await _count_client(context, client, FAILURES, policy.client_failures_per_hour)
    outcome = await context.lane.run(
        otps.start_try(email, now=context.clock(), max_tries=policy.max_tries, failures_per_day=policy.failures_per_day)
    )
    if isinstance(outcome, otps.Refusal):
        raise LimitReached("too many wrong codes for this e-mail today", outcome.retry_after)
    nonce = outcome or context.entropy.take(NONCE_BYTES)
    right = matches(otp, derive_code(context.otp_key, nonce, email)) and outcome is not None
    if not right or not await context.lane.run(otps.redeem(email, nonce, now=context.clock(), verified_for=VERIFIED_FOR)):
        raise OtpInvalid
    await _uncount_client(context, client, FAILURES)
    return context.customer_tokens.issue(email, now=context.clock(), jti=secrets.token_urlsafe(16))


async def _count_client(context: Context, client: str, limit: str, most: int) -> None:
    refusal = await context.lane.run(otps.count_client(client, limit, most=most))
    if refusal is not None:
        raise LimitReached("too many requests from this address in this hour", refusal.retry_after)


async def _uncount_client(context: Context, client: str, limit: str) -> None:
    """Takes a count back. The answer is known by then, a used-up code's above all: it is given whatever becomes of a counter."""
    with suppress(Unavailable):
        await context.lane.run(otps.uncount_client(client, limit))


HANDLERS: list[Any] = [send_otp, submit_otp]
