"""The mails of links over HTTP: sending them again, and those of scheduled links now."""

from datetime import timedelta

from litestar import Controller, post
from litestar.params import JSONBody
from msgspec.inspect import DateTimeType

from service.auth.guards import require_admin, require_internal_admin, require_org
from service.errors import Invalid, LimitReached, LinkEnded
from service.http.body import JsonBodyDTO
from service.http.idempotency import REPLAYED, REPLAYED_HEADER, IdempotencyKey, identify
from service.http.json_reader import TYPE_RULES
from service.http.openapi import ADMIN_ONLY, BODY_STATUSES, problem_responses
from service.http.parameters import PathLinkId, PathOrgId
from service.http.request import AdminRequest, actor_of, context_of
from service.http.responses import JsonResponse
from service.links import mail_operations, operations
from service.links.mail_operations import RESEND_MESSAGES
from service.links.mail_store import RESEND_AFTER
from service.links.schemas import (
    Dispatch,
    DispatchWindow,
    FailedResending,
    ResendFailed,
    Resending,
    ResendLink,
)
from service.values.ids import parse_org_id
from service.values.time import format_time

NO_ORG = ""
"""Owns the idempotency keys of requests that are about all organizations."""


class ResendController(Controller):
    path = "/payment-links/{link_id:str}/resend"
    tags = ("Payment links",)

    @post(
        status_code=202,
        before_request=require_admin,
        dto=JsonBodyDTO[ResendLink],
        responses=problem_responses(
            *BODY_STATUSES,
            401,
            403,
            404,
            409,
            429,
            examples=[
                LinkEnded(),
                LimitReached(RESEND_MESSAGES["resend"], timedelta(seconds=43)),
                Invalid("email", "is not a known field"),
            ],
        ),
        response_headers=[REPLAYED_HEADER],
        security=ADMIN_ONLY,
        summary="Send a link's mail again",
        response_description="The mail is on its way again.",
    )
    async def resend_link(
        self,
        request: AdminRequest,
        link_id: PathLinkId,
        data: JSONBody[ResendLink | None] = None,
        idempotency_key: IdempotencyKey = None,
    ) -> JsonResponse[Resending]:
        """E-mails an active link once more, whether its mail was sent, failed, or not asked for.

        A minute must lie between two resends of a link, and it can have five a day. While its mail
        is still on its way, the answer is 409 ``mail_pending``.
        """
        context = context_of(request)
        link = await operations.find(context, link_id)
        require_org(request.user, link.org_id)
        repeatable = identify(request, link.org_id, idempotency_key, None)
        resent = await mail_operations.resend(context, link, actor_of(request), repeatable)
        return JsonResponse(
            Resending(resent.sends, int(RESEND_AFTER.total_seconds())),
            status_code=202,
            headers=REPLAYED if resent.earlier else {},
        )


class ResendFailedController(Controller):
    path = "/orgs/{org_id:str}/resend-failed"
    tags = ("Payment links",)

    @post(
        status_code=202,
        before_request=require_admin,
        dto=JsonBodyDTO[ResendFailed],
        responses=problem_responses(
            *BODY_STATUSES,
            401,
            403,
            409,
            examples=[Invalid("since", TYPE_RULES[DateTimeType])],
        ),
        response_headers=[REPLAYED_HEADER],
        security=ADMIN_ONLY,
        summary="Send an organization's failed mails again",
        response_description="How many mails are on their way again.",
    )
    async def resend_failed(
        self,
        request: AdminRequest,
        org_id: PathOrgId,
        data: JSONBody[ResendFailed | None] = None,
        idempotency_key: IdempotencyKey = None,
    ) -> JsonResponse[FailedResending]:
        """E-mails all active links of the organization whose mail failed, at or after ``since``.

        Each is queued once, however many requests do this at the same time.
        """
        require_org(request.user, parse_org_id(org_id))
        context, body = context_of(request), data or ResendFailed()
        since = body.parse(context.clock())
        queued, is_new = await mail_operations.resend_failed(
            context,
            org_id,
            since=since,
            actor=actor_of(request),
            repeatable=identify(request, org_id, idempotency_key, since),
        )
        return JsonResponse(
            FailedResending(queued), status_code=202, headers={} if is_new else REPLAYED
        )


class DispatchController(Controller):
    path = "/payment-links/scheduled"
    tags = ("Operations",)

    @post(
        status_code=200,
        before_request=require_internal_admin,
        dto=JsonBodyDTO[DispatchWindow],
        responses=problem_responses(
            *BODY_STATUSES,
            401,
            403,
            409,
            examples=[Invalid("scheduled_at", TYPE_RULES[DateTimeType])],
        ),
        response_headers=[REPLAYED_HEADER],
        security=ADMIN_ONLY,
        summary="Send the scheduled links of a window",
        response_description="How many links were due, and how many of them are queued.",
    )
    async def dispatch_window(
        self,
        request: AdminRequest,
        data: JSONBody[DispatchWindow | None] = None,
        idempotency_key: IdempotencyKey = None,
    ) -> JsonResponse[Dispatch]:
        """Queues every link scheduled in the window.

        Each is e-mailed once, however often this is called. A repeated request goes on with the
        window of the first, and queues what was ``unavailable`` then.
        """
        context, window = context_of(request), data or DispatchWindow()
        window.parse(context.clock())
        repeatable = identify(request, NO_ORG, idempotency_key, window.normalized)
        first_at, is_new = await mail_operations.begin_request(context, repeatable)
        start, end = window.parse(first_at)
        result = await mail_operations.dispatch_window(context, start, end)
        dispatch = Dispatch(
            format_time(start),
            format_time(end),
            result.due,
            result.queued,
            sorted(result.missing.unreadable),
            sorted(result.missing.unavailable),
        )
        return JsonResponse(dispatch, headers={} if is_new else REPLAYED)
