"""Payment links over HTTP."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import Annotated, Any

from litestar import Controller, Response, delete, get, patch, post
from litestar.datastructures import CacheControlHeader, ResponseHeader
from litestar.openapi import ResponseSpec
from litestar.params import FromQuery, JSONBody, QueryParameter
from litestar.response import Stream

from service.auth.guards import require_admin, require_org
from service.context import Context
from service.errors import (
    Forbidden,
    Invalid,
    LinkPaid,
    LinkSent,
    OtpRequired,
    TokenInvalid,
    TransactionExists,
    Unavailable,
)
from service.http.body import JsonBodyDTO
from service.http.conditional import ETAG_HEADER, IfMatch, read_if_match
from service.http.fields import EXAMPLE_LINK_ID
from service.http.idempotency import REPLAYED, REPLAYED_HEADER, IdempotencyKey, identify
from service.http.openapi import (
    ADMIN_ONLY,
    ANYONE,
    BODY_STATUSES,
    binary_media,
    extended_operation,
    problem_responses,
    text_media,
)
from service.http.parameters import PageCursor, PageLimit, PathLinkId, PathOrgId
from service.http.problems import READ_ONLY_OPT
from service.http.request import (
    AdminRequest,
    PublicRequest,
    actor_of,
    context_of,
    header_values,
)
from service.http.responses import JsonResponse
from service.http.schemas import ENCODER
from service.links import operations, patch_operations, qr
from service.links.guards import require_access
from service.links.link_body import EXAMPLE_LINK, LinkBody, link_body, masked_link
from service.links.model import Link, Status, page_path
from service.links.patch_schemas import UpdateLink
from service.links.schemas import (
    Counts,
    CreateLink,
    LinkPage,
    MaskedVerification,
    QrFormat,
    Revocation,
    RevokeLinks,
    RevokeRecipient,
    Verification,
    VerifyLink,
)
from service.values.ids import parse_org_id

NDJSON = "application/x-ndjson"
SVG, PNG, BYTES = "image/svg+xml", "image/png", "application/octet-stream"
DEFAULT_QR_PIXELS = 256
QR_EXECUTOR = ThreadPoolExecutor(max_workers=1, thread_name_prefix="qr")
"""Drawing takes up to 9 ms, too long for the event loop; more threads would slow the loop down."""

CREATE_HEADERS = [
    ResponseHeader(
        "Location", documentation_only=True, description="The link's path.", required=True
    ),
    REPLAYED_HEADER,
]
CREATE_LINK_OPENAPI = extended_operation(
    201,
    links={
        "get_link": {"link_id": "$response.body#/id"},
        "pay": {"link_id": "$response.body#/id"},
        "get_qr": {"link_id": "$response.body#/id"},
        "list_link_events": {"link_id": "$response.body#/id"},
        "update_link": {"link_id": "$response.body#/id"},
        "revoke_link": {"link_id": "$response.body#/id"},
        "list_links": {"org_id": "$response.body#/org_id"},
    },
)
QR_OPENAPI = extended_operation(
    200,
    first=binary_media(SVG, '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 37 37">…</svg>')
    | binary_media(PNG)
    | binary_media(BYTES),
)
LIST_LINKS_OPENAPI = extended_operation(
    200,
    last=text_media(NDJSON, "A LinkBody a line.", ENCODER.encode_lines([EXAMPLE_LINK]).decode()),
    links={
        "list_links": {
            "org_id": "$request.path.org_id",
            "cursor": "$response.body#/next_cursor",
        }
    },
)


class LinkController(Controller):
    path = "/payment-links"
    tags = ("Payment links",)

    @post(
        before_request=require_admin,
        dto=JsonBodyDTO[CreateLink],
        responses=problem_responses(
            *BODY_STATUSES, 401, 403, 409, 429, examples=[TransactionExists(EXAMPLE_LINK_ID)]
        ),
        response_headers=CREATE_HEADERS,
        operation_class=CREATE_LINK_OPENAPI,
        security=ADMIN_ONLY,
        summary="Create a payment link",
        response_description="The new link, or the one that the same request created before.",
    )
    async def create_link(
        self,
        request: AdminRequest,
        data: JSONBody[CreateLink],
        idempotency_key: IdempotencyKey = None,
    ) -> JsonResponse[LinkBody]:
        """Makes a payment link and e-mails it, now or at ``scheduled_at``.

        With an ``Idempotency-Key`` a request may be repeated for 24 hours: it makes one link, and
        later answers are that link as it is then, with ``Idempotency-Replayed: true``.

        ``on_conflict`` decides what happens if an active or paid link has the same
        ``transaction_id``: with ``error``, the answer names the newest one as ``link_id``.
        """
        context = context_of(request)
        link_request = data.parse(context.clock())
        require_org(request.user, link_request.org_id)
        repeatable = identify(
            request, link_request.org_id, idempotency_key, link_request.normalized
        )
        link, is_new = await operations.create(context, link_request, actor_of(request), repeatable)
        headers = {"Location": f"{context.base_path}/payment-links/{link.id}"}
        if not is_new:
            headers |= REPLAYED
        return JsonResponse(
            _body(context, link, context.clock(), for_admin=True), status_code=201, headers=headers
        )

    @get(
        "/{link_id:str}",
        responses=problem_responses(
            400,
            401,
            403,
            404,
            422,
            examples=[OtpRequired(), Invalid("lang", "is not a known parameter")],
        ),
        response_headers=[ETAG_HEADER],
        security=ANYONE,
        summary="Read a payment link",
        response_description="The link.",
    )
    async def get_link(self, request: PublicRequest, link_id: PathLinkId) -> JsonResponse[LinkBody]:
        """The link, whatever its status.

        A gated link opens to its customer and to admins of its organization.
        """
        context = context_of(request)
        link = await operations.find(context, link_id)
        for_admin = await require_access(request, link)
        return _tagged(context, link, for_admin=for_admin)

    @post(
        "/verify",
        status_code=200,
        opt={READ_ONLY_OPT: True},
        dto=JsonBodyDTO[VerifyLink],
        responses=problem_responses(
            *BODY_STATUSES, 404, examples=[Invalid("link_id", "must be text")]
        ),
        security=ANYONE,
        summary="Verify a payment link",
        response_description="Whether the link is valid, and the link itself; without proof,"
        " only part of a gated one.",
    )
    async def verify_link(
        self, request: PublicRequest, data: JSONBody[VerifyLink]
    ) -> Verification | MaskedVerification:
        """Whether the link is good. Of a gated one, strangers learn only what needs no proof."""
        context = context_of(request)
        link, now = await operations.find(context, data.link_id), context.clock()
        status = link.status(now)
        try:
            for_admin = await require_access(request, link)
        except (OtpRequired, TokenInvalid, Forbidden, Unavailable):
            return MaskedVerification(status is Status.ACTIVE, status, masked_link(link, now=now))
        return Verification(
            status is Status.ACTIVE, status, _body(context, link, now, for_admin=for_admin)
        )

    @patch(
        "/{link_id:str}",
        before_request=require_admin,
        dto=JsonBodyDTO[UpdateLink],
        responses=problem_responses(*BODY_STATUSES, 401, 403, 404, 409, 412, examples=[LinkSent()]),
        response_headers=[ETAG_HEADER],
        security=ADMIN_ONLY,
        summary="Change a payment link",
        response_description="The link as it then is.",
    )
    async def update_link(
        self,
        request: AdminRequest,
        link_id: PathLinkId,
        data: JSONBody[UpdateLink],
        if_match: IfMatch = None,
    ) -> JsonResponse[LinkBody]:
        """Changes the fields that the body names; null removes a value.

        A later ``expires_at`` makes an expired link active again. ``email``, ``payment_amount``,
        ``currency``, ``scheduled_at`` and ``otp_required`` can change while no mail of the link is
        out; after that, create another link that supersedes it. With ``If-Match``, the link changes
        only if it is still as you read it.
        """
        context, tags = context_of(request), read_if_match(request)
        change = data.parse(context.clock())
        link = await operations.find(context, link_id)
        require_org(request.user, link.org_id)
        changed = await patch_operations.update(
            context, link.id, change, actor_of(request), if_match=tags
        )
        return _tagged(context, changed, for_admin=True)

    @delete(
        "/{link_id:str}",
        status_code=200,
        before_request=require_admin,
        dto=JsonBodyDTO[RevokeLinks],
        responses=problem_responses(*BODY_STATUSES, 401, 403, 404, 409, examples=[LinkPaid()]),
        security=ADMIN_ONLY,
        summary="Revoke a payment link",
        response_description="The links that were active until now.",
    )
    async def revoke_link(
        self, request: AdminRequest, link_id: PathLinkId, data: JSONBody[RevokeLinks | None] = None
    ) -> Revocation:
        """Revokes the link and, if a body names an ``email``, all active links sent to it."""
        context = context_of(request)
        recipient = None if data is None else data.parse(context.clock())
        link = await operations.find(context, link_id)
        require_org(request.user, link.org_id)
        actor = actor_of(request)
        revoked = [link.id] if await operations.revoke(context, link, actor) else []
        if recipient is None:
            return Revocation(len(revoked), revoked, [])
        found = await operations.revoke_recipient(context, request.user, recipient, actor)
        return Revocation(len(revoked + found.ids), revoked + found.ids, found.unavailable)

    @delete(
        status_code=200,
        before_request=require_admin,
        dto=JsonBodyDTO[RevokeRecipient],
        responses=problem_responses(*BODY_STATUSES, 401),
        security=ADMIN_ONLY,
        summary="Revoke all links of a recipient",
        response_description="The links that were active until now.",
    )
    async def revoke_recipient(
        self, request: AdminRequest, data: JSONBody[RevokeRecipient | None] = None
    ) -> Revocation:
        """Revokes all active links sent to ``email``.

        An org-admin revokes links of its own organization, an internal-admin those of all.
        """
        if data is None:
            raise Invalid("email", "name a link in the path, or an e-mail in the body, or both")
        context = context_of(request)
        recipient, actor = data.parse(context.clock()), actor_of(request)
        found = await operations.revoke_recipient(context, request.user, recipient, actor)
        return Revocation(len(found.ids), found.ids, found.unavailable)

    @get(
        "/{link_id:str}/qr",
        responses={200: ResponseSpec(None, description="The picture.", generate_examples=False)}
        | problem_responses(
            400, 404, 422, examples=[Invalid("size", "must be a whole number from 64 to 1024")]
        ),
        operation_class=QR_OPENAPI,
        cache_control=CacheControlHeader(private=True, max_age=3600),
        summary="Get a link's QR code",
    )
    async def get_qr(
        self,
        request: PublicRequest,
        link_id: PathLinkId,
        format: FromQuery[QrFormat] = QrFormat.SVG,  # noqa: A002 - its name on the wire
        size: Annotated[int | None, QueryParameter(ge=64, le=1024)] = None,
    ) -> Response[Any]:
        """A QR code of the link's ``url``: SVG, or a PNG of at most ``size`` pixels each way.

        ``size`` is 256 by default. The PNG has the largest whole number of pixels a module that
        fits into it. A client that accepts only ``application/octet-stream`` gets that media type.
        """
        if size is not None and format is QrFormat.SVG:
            raise Invalid("size", "is for format=png: an SVG has none")
        context = context_of(request)
        link = await operations.find(context, link_id)
        url = context.settings.public_url + page_path(link.id)
        if format is QrFormat.SVG:
            media_type, draw = SVG, partial(qr.draw_svg, url)
        else:
            media_type, draw = PNG, partial(qr.draw_png, url, size or DEFAULT_QR_PIXELS)
        wants_bytes = request.accept.best_match([media_type, BYTES]) == BYTES
        picture = await asyncio.get_running_loop().run_in_executor(QR_EXECUTOR, draw)
        return Response(picture, media_type=BYTES if wants_bytes else media_type)


class OrgLinkController(Controller):
    path = "/orgs/{org_id:str}/payment-links"
    tags = ("Payment links",)

    @get(
        before_request=require_admin,
        responses=problem_responses(
            400, 401, 403, 422, examples=[Invalid("limit", "must be a whole number from 1 to 1000")]
        ),
        operation_class=LIST_LINKS_OPENAPI,
        security=ADMIN_ONLY,
        summary="List an organization's links",
        response_description="A page of links, and the number of links of each status.",
    )
    async def list_links(
        self,
        request: AdminRequest,
        org_id: PathOrgId,
        limit: PageLimit = 100,
        cursor: PageCursor = None,
        status: FromQuery[Status | None] = None,
    ) -> Response[LinkPage]:
        """The organization's links, newest first.

        Of one ``status``, the links that end or ended last are on the first page.
        ``Accept: application/x-ndjson`` streams all links, one a line.
        """
        context, now = context_of(request), context_of(request).clock()
        require_org(request.user, parse_org_id(org_id))
        if (
            header_values(request, b"accept")
            and request.accept.best_match(["application/json", NDJSON]) == NDJSON
        ):
            # Read once before, so that an error is answered as a problem.
            await operations.read_page(
                context, org_id, now=now, limit=1, status=status, cursor=cursor
            )
            stream: Response[Any] = Stream(
                _encode_lines(context, org_id, status, cursor), media_type=NDJSON
            )
            return stream
        page = await operations.read_page(
            context, org_id, now=now, limit=limit, status=status, cursor=cursor
        )
        counts = Counts(**{status.value: count for status, count in page.counts.items()})
        return JsonResponse(
            LinkPage(page.total, counts, _bodies(context, page.links, now), page.next_cursor)
        )


def _body(context: Context, link: Link, now: datetime, *, for_admin: bool) -> LinkBody:
    return link_body(link, now=now, public_url=context.settings.public_url, for_admin=for_admin)


def _tagged(context: Context, link: Link, *, for_admin: bool) -> JsonResponse[LinkBody]:
    """The answer that is the link as it is now."""
    now = context.clock()
    body = _body(context, link, now, for_admin=for_admin)
    return JsonResponse(body, headers={"ETag": link.entity_tag(now)})


def _bodies(context: Context, links: Sequence[Link], now: datetime) -> list[LinkBody]:
    public_url = context.settings.public_url
    return [link_body(link, now=now, public_url=public_url, for_admin=True) for link in links]


async def _encode_lines(
    context: Context, org_id: str, status: Status | None, cursor: str | None
) -> AsyncIterator[bytes]:
    async for now, links in operations.pages(context, org_id, status=status, cursor=cursor):
        yield ENCODER.encode_lines(_bodies(context, links, now))
