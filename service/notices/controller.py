"""Sample mails over HTTP."""

from datetime import timedelta

from litestar import Controller, post
from litestar.params import JSONBody

from service.auth.guards import require_admin, require_org
from service.errors import LimitReached
from service.http.body import JsonBodyDTO
from service.http.idempotency import REPLAYED, REPLAYED_HEADER, IdempotencyKey, identify
from service.http.openapi import ADMIN_ONLY, BODY_STATUSES, problem_responses
from service.http.parameters import PathOrgId
from service.http.request import AdminRequest, context_of
from service.http.responses import JsonResponse
from service.notices.operations import NO_RECIPIENT, SAMPLES_MESSAGE, request_sample
from service.notices.schemas import QueuedSample, SendSample
from service.values.ids import parse_org_id


class SampleController(Controller):
    path = "/orgs/{org_id:str}/profile/test"
    tags = ("Organizations",)

    @post(
        status_code=202,
        before_request=require_admin,
        dto=JsonBodyDTO[SendSample],
        responses=problem_responses(
            *BODY_STATUSES,
            401,
            403,
            409,
            429,
            examples=[NO_RECIPIENT, LimitReached(SAMPLES_MESSAGE, timedelta(hours=5))],
        ),
        response_headers=[REPLAYED_HEADER],
        security=ADMIN_ONLY,
        summary="Send a sample mail",
        response_description="The mail is on its way.",
    )
    async def send_sample(
        self,
        request: AdminRequest,
        org_id: PathOrgId,
        data: JSONBody[SendSample | None] = None,
        idempotency_key: IdempotencyKey = None,
    ) -> JsonResponse[QueuedSample]:
        """E-mails a sample of a link's mail to the profile's ``reply_to``.

        Its amount is invented. It shows the profile as it is when the mail is sent. An organization
        can have five a day.
        """
        require_org(request.user, parse_org_id(org_id))
        repeatable = identify(request, org_id, idempotency_key, None)
        sent_to, is_new = await request_sample(context_of(request), org_id, repeatable)
        return JsonResponse(
            QueuedSample(sent_to), status_code=202, headers={} if is_new else REPLAYED
        )
