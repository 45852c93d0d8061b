"""Payments of a link over HTTP."""

from typing import Annotated
from urllib.parse import unquote_to_bytes

from litestar import Controller, delete, post
from litestar.openapi import ResponseSpec
from litestar.params import JSONBody, PathParameter

from service.auth.guards import require_admin, require_org
from service.context import Context
from service.errors import (
    PartialNotAccepted,
    PaymentConflict,
    PaymentNotFound,
)
from service.http.body import JsonBodyDTO
from service.http.idempotency import REPLAYED, REPLAYED_HEADER, IdempotencyKey, identify
from service.http.openapi import ADMIN_ONLY, BODY_STATUSES, problem_responses
from service.http.parameters import PathLinkId
from service.http.request import AdminRequest, AnyRequest, actor_of, context_of
from service.http.responses import JsonResponse
from service.links import operations as links
from service.links.link_body import LinkBody, link_body
from service.links.model import Link
from service.payments import operations
from service.payments.schemas import RecordedPayment, RecordPayment, recorded_payment

PathPaymentId = Annotated[
    str, PathParameter(description="Percent-encoded, its slashes too.", min_length=1)
]


class PaymentController(Controller):
    path = "/payment-links/{link_id:str}/payments"
    tags = ("Payments",)

    @post(
        before_request=require_admin,
        dto=JsonBodyDTO[RecordPayment],
        responses={
            200: ResponseSpec(
                RecordedPayment,
                description="The payment, which was recorded before.",
                generate_examples=False,
            )
        }
        | problem_responses(
            *BODY_STATUSES,
            401,
            403,
            404,
            409,
            examples=[PaymentConflict(), PartialNotAccepted("125000.50 NGN")],
        ),
        response_headers=[REPLAYED_HEADER],
        security=ADMIN_ONLY,
        summary="Record a payment",
        response_description="The payment, and the link as it then is.",
    )
    async def record_payment(
        self,
        request: AdminRequest,
        link_id: PathLinkId,
        data: JSONBody[RecordPayment],
        idempotency_key: IdempotencyKey = None,
    ) -> JsonResponse[RecordedPayment]:
        """Records money that was received. A link that is paid in whole sends no mail any more.

        Money for a link that has ended, or was paid before, is recorded too, as ``late`` or
        ``duplicate``. The same ``payment_id`` is recorded once, however often it is sent.
        """
        context = context_of(request)
        payment_request = data.parse(context.clock())
        link = await links.find(context, link_id)
        require_org(request.user, link.org_id)
        repeatable = identify(request, link.org_id, idempotency_key, payment_request.normalized)
        recording = await operations.record(
            context, link, payment_request, actor_of(request), repeatable
        )
        body = recorded_payment(
            recording.payment,
            _body(context, recording.link),
            is_duplicate=recording.payment.id in recording.link.duplicate_ids,
        )
        return JsonResponse(
            body,
            status_code=201 if recording.is_new else 200,
            headers=REPLAYED if recording.is_replayed else {},
        )

    @delete(
        "/{payment_id:path}",
        status_code=200,
        before_request=require_admin,
        responses=problem_responses(400, 401, 403, 404, 422, examples=[PaymentNotFound()]),
        security=ADMIN_ONLY,
        summary="Void a payment",
        response_description="The link as it then is.",
    )
    async def void_payment(
        self, request: AdminRequest, link_id: PathLinkId, payment_id: PathPaymentId
    ) -> JsonResponse[LinkBody]:
        """Voids a payment that was recorded in error or charged back.

        It stays in the link's list with ``voided_at``. If the other payments do not pay the link in
        whole, it is active, expired or revoked again; a mail that was taken back is not sent.
        """
        context = context_of(request)
        link = await links.find(context, link_id)
        require_org(request.user, link.org_id)
        voided = await operations.void(context, link, _exact_id(request), actor_of(request))
        return JsonResponse(_body(context, voided))


def _exact_id(request: AnyRequest) -> str:
    """The payment's id in the path: Litestar decodes it, and then drops slashes from it.

    Raises:
        PaymentNotFound: it is not UTF-8.
    """
    path = request.scope["raw_path"].partition(b"?")[0]
    try:
        return unquote_to_bytes(path.partition(b"/payments/")[2]).decode()
    except UnicodeDecodeError:
        raise PaymentNotFound from None


def _body(context: Context, link: Link) -> LinkBody:
    public_url = context.settings.public_url
    return link_body(link, now=context.clock(), public_url=public_url, for_admin=True)
