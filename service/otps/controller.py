"""One-time passwords over HTTP."""

from litestar import Controller, post, put
from litestar.params import JSONBody

from service.auth.tokens import CUSTOMER_TOKEN_LIFETIME
from service.errors import OtpInvalid
from service.http.body import JsonBodyDTO
from service.http.client_ip import client_network_of
from service.http.openapi import BODY_STATUSES, problem_responses
from service.http.request import PublicRequest, context_of, header_values
from service.otps.operations import redeem_code, send_code
from service.otps.schemas import CustomerToken, OtpSent, SendOtp, SubmitOtp
from service.values.languages import choose_locale


class OtpController(Controller):
    path = "/payment-links/otp"
    tags = ("One-time passwords",)

    @post(
        status_code=202,
        dto=JsonBodyDTO[SendOtp],
        responses=problem_responses(*BODY_STATUSES, 429),
        summary="Ask for a one-time password",
        response_description="A code is on its way to this e-mail.",
    )
    async def send_otp(self, request: PublicRequest, data: JSONBody[SendOtp]) -> OtpSent:
        """E-mails a one-time password. The answer is the same if the e-mail has no links."""
        context = context_of(request)
        locale = choose_locale(*header_values(request, b"accept-language"))
        await send_code(
            context, data.parse(context.clock()), client_network_of(request), locale=locale
        )
        limits = context.settings.otp
        return OtpSent(int(limits.ttl.total_seconds()), int(limits.resend_after.total_seconds()))

    @put(
        dto=JsonBodyDTO[SubmitOtp],
        responses=problem_responses(*BODY_STATUSES, 401, 429, examples=[OtpInvalid()]),
        summary="Submit a one-time password",
        response_description="A token for the links that were sent to this e-mail.",
    )
    async def submit_otp(self, request: PublicRequest, data: JSONBody[SubmitOtp]) -> CustomerToken:
        """Takes a one-time password and gives the token that opens this e-mail's gated links."""
        context = context_of(request)
        email, otp = data.parse(context.clock())
        token = await redeem_code(context, email, otp, client_network_of(request))
        return CustomerToken(token, "Bearer", int(CUSTOMER_TOKEN_LIFETIME.total_seconds()))
