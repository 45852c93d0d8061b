"""Payment links over HTTP: create, read, verify, revoke, list."""

import secrets
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from functools import partial
from typing import Annotated, Any

import structlog
from litestar import Response, delete, get, post
from litestar.params import FromQuery, JSONBody, PathParameter, QueryParameter
from litestar.response import Stream

from service.auth.guards import require_admin, require_org
from service.auth.tokens import Admin, Role
from service.context import Context
from service.errors import (
    Forbidden,
    Invalid,
    LinkNotFound,
    OtpRequired,
    TokenInvalid,
    Unavailable,
    Unreadable,
)
from service.http.body import JsonBodyDTO
from service.http.headers import header_values
from service.http.idempotency import REPLAYED, IdempotencyKey, once, require_same
from service.http.parameters import MAX_VALUE, PathOrgId
from service.http.problems import READS_ONLY, responses
from service.http.request import AdminRequest, PublicRequest, context_of
from service.http.responses import JsonResponse
from service.http.schemas import ENCODER
from service.links import model as domain
from service.links import store as links
from service.links.guards import require_access
from service.links.model import DeliveryState, Link, LinkRequest, Status
from service.links.schemas import (
    Counts,
    CreateLink,
    LinkBody,
    LinkPage,
    MaskedVerification,
    Revocation,
    RevokeLinks,
    RevokeRecipient,
    Verification,
    VerifyLink,
    link_body,
    masked_link,
)
from service.otps.operations import require_verified
from service.outbox.doorbell import QueueName
from service.storage import idempotency, keys
from service.storage.idempotency import Once
from service.storage.partitions import query_partitions
from service.values.ids import LINK_ID_PATTERN, is_link_id, parse_org_id, partition_of

log = structlog.get_logger(__name__)

BATCH = 100
"""Links in a piece of a stream. The server takes a dozen pieces for a client that does not read, and waits then."""
REVOKED_AT_ONCE = 100
"""Links that are revoked at once, so that other requests' commands get their turn."""
NDJSON = "application/x-ndjson"
PathId = Annotated[str, PathParameter(schema_extra={"pattern": f"^{LINK_ID_PATTERN}$"})]
MAX_ATTEMPTS = 3
"""How often a link is made anew because the one that its request made was forgotten at that moment."""


@post(
    "/payment-links",
    before_request=require_admin,
    dto=JsonBodyDTO[CreateLink],
    return_dto=None,
    responses=responses(400, 401, 403, 408, 409, 413, 415, 422, 429),
    security=[{"admin": []}],
    tags=["Payment links"],
    summary="Create a payment link",
    response_description="The new link, or the one that the same request created before.",
)
async def create_link(
    request: AdminRequest,
    data: JSONBody[CreateLink],
    idempotency_key: IdempotencyKey = None,
) -> JsonResponse[LinkBody]:
    """Makes a payment link and e-mails it, now or at ``scheduled_at``.

    With an ``Idempotency-Key`` a request may be repeated for 24 hours: it makes one link, and the answer to another is that link as
    it is then, with ``Idempotency-Replayed: true``.
    """
    context = context_of(request)
    requested = data.parse(context.clock())
    require_org(request.user, requested.org_id)
    key = idempotency_key
    repeatable = None if key is None else once(request, requested.org_id, key, requested.meaning)
    link, is_new = await _create_once(context, requested, repeatable)
    if is_new and link.delivery.state is DeliveryState.QUEUED:
        context.doorbell.ring(QueueName.LINKS, [keys.partition_of_link(link.id)])
    body = link_body(
        link, now=context.clock(), public_url=context.settings.public_url, for_admin=True
    )
    location = {"Location": f"{context.root}/payment-links/{link.id}"}
    return JsonResponse(body, status_code=201, headers=location | ({} if is_new else REPLAYED))


@get(
    "/payment-links/{link_id:str}",
    responses=responses(400, 401, 403, 404, 422),
    security=[{}, {"customer": []}, {"admin": []}],
    tags=["Payment links"],
    summary="Read a payment link",
    response_description="The link.",
)
async def get_link(request: PublicRequest, link_id: PathId) -> LinkBody:
    """The link, whatever its status. A gated one opens to its customer and to admins of its organization."""
    context = context_of(request)
    link = await find_link(context, link_id)
    for_admin = await require_access(request, link)
    return link_body(
        link, now=context.clock(), public_url=context.settings.public_url, for_admin=for_admin
    )


@post(
    "/payment-links/verify",
    status_code=200,
    opt={READS_ONLY: True},
    dto=JsonBodyDTO[VerifyLink],
    return_dto=None,
    responses=responses(400, 404, 408, 413, 415, 422),
    security=[{}, {"customer": []}, {"admin": []}],
    tags=["Payment links"],
    summary="Verify a payment link",
    response_description="Whether the link is valid, and the link itself; without proof, only part of a gated one.",
)
async def verify_link(
    request: PublicRequest, data: JSONBody[VerifyLink]
) -> Verification | MaskedVerification:
    """Whether the link is good. Of a gated one, strangers learn only what needs no proof."""
    context = context_of(request)
    link, now = await find_link(context, data.link_id), context.clock()
    status = link.status(now)
    try:
        for_admin = await require_access(request, link)
    except (OtpRequired, TokenInvalid, Forbidden, Unavailable):
        return MaskedVerification(status is Status.ACTIVE, status, masked_link(link, now=now))
    body = link_body(link, now=now, public_url=context.settings.public_url, for_admin=for_admin)
    return Verification(status is Status.ACTIVE, status, body)


@delete(
    "/payment-links/{link_id:str}",
    status_code=200,
    before_request=require_admin,
    dto=JsonBodyDTO[RevokeLinks],
    return_dto=None,
    responses=responses(400, 401, 403, 404, 408, 413, 415, 422),
    security=[{"admin": []}],
    tags=["Payment links"],
    summary="Revoke a payment link",
    response_description="The links that were active until now.",
)
async def revoke_link(
    request: AdminRequest, link_id: PathId, data: JSONBody[RevokeLinks | None] = None
) -> Revocation:
    """Revokes the link, and, where a body names an ``email``, all active links that were sent to it."""
    context = context_of(request)
    recipient = None if data is None else data.parse(context.clock())
    link = await find_link(context, link_id)
    require_org(request.user, link.org_id)
    newly = await context.pipeline.run(
        links.revoke(link, now=context.clock(), retention=context.settings.retention)
    )
    revoked = [link.id] if newly else []
    if recipient is not None:
        revoked += await _revoke_recipient(context, request.user, recipient)
    return Revocation(len(revoked), revoked)


@delete(
    "/payment-links",
    status_code=200,
    before_request=require_admin,
    dto=JsonBodyDTO[RevokeRecipient],
    return_dto=None,
    responses=responses(400, 401, 408, 413, 415, 422),
    security=[{"admin": []}],
    tags=["Payment links"],
    summary="Revoke all links of a recipient",
    response_description="The links that were active until now.",
)
async def revoke_recipient(
    request: AdminRequest, data: JSONBody[RevokeRecipient | None] = None
) -> Revocation:
    """Revokes all active links that were sent to ``email``: an org-admin's own organization's, or every one's."""
    if data is None:
        raise Invalid("email", "name a link in the path, or an e-mail in the body, or both")
    context = context_of(request)
    revoked = await _revoke_recipient(context, request.user, data.parse(context.clock()))
    return Revocation(len(revoked), revoked)


@get(
    "/orgs/{org_id:str}/payment-links",
    before_request=require_admin,
    responses=responses(400, 401, 403, 422),
    security=[{"admin": []}],
    tags=["Payment links"],
    summary="List an organization's links",
    response_description="A page of links, and the number of links of each status.",
)
async def list_links(
    request: AdminRequest,
    org_id: PathOrgId,
    limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100,
    cursor: Annotated[
        str | None,
        QueryParameter(min_length=1, max_length=MAX_VALUE, description="the next_cursor of a page"),
    ] = None,
    status: FromQuery[Status | None] = None,
) -> Response[LinkPage]:
    """The organization's links, newest first. Of one ``status``, those that end or ended last are on the first page.

    ``Accept: application/x-ndjson`` streams all of them, one a line.
    """
    context = context_of(request)
    parse_org_id(org_id)
    require_org(request.user, org_id)
    now = context.clock()
    if (
        header_values(request, b"accept")
        and request.accept.best_match(["application/json", NDJSON]) == NDJSON
    ):
        await _page(context, now, org_id, 1, cursor, status)
        return Stream(_stream(context, org_id, cursor, status), media_type=NDJSON)  # type: ignore[return-value]
    page = await _page(context, now, org_id, limit, cursor, status)
    counts = Counts(**{status.value: count for status, count in page.counts.items()})
    return JsonResponse(
        LinkPage(page.total, counts, _bodies(context, page.links, now), page.next_cursor)
    )


async def find_link(context: Context, link_id: str) -> Link:
    """The link.

    Raises:
        LinkNotFound: there is none.
    """
    link = await context.pipeline.run(links.get(link_id)) if is_link_id(link_id) else None
    if link is None:
        raise LinkNotFound
    return link


async def _create_once(
    context: Context, requested: LinkRequest, request: Once | None
) -> tuple[Link, bool]:
    """The link that is asked for, and whether it is new: not where ``request`` made it before and it is still there.

    Raises:
        IdempotencyConflict: the same key came with another request before.
    """
    earlier = None if request is None else await context.pipeline.run(idempotency.find(request))
    for _ in range(MAX_ATTEMPTS):
        if request is not None and earlier is not None:
            require_same(request, earlier)
            made = await context.pipeline.run(
                links.get(keys.full_id(partition_of(requested.org_id), earlier.local_id))
            )
            if made is not None:
                return made, False
        link = domain.create(
            requested,
            entropy=secrets.token_bytes(32),
            now=context.clock(),
            ttl=context.settings.link_ttl,
        )
        if requested.otp is not None:
            await require_verified(context, link.recipient, requested.otp, link.org_id)
        gone = earlier.local_id if earlier else ""
        stored = await context.pipeline.run(
            links.create(
                link,
                now=link.created_at,
                retention=context.settings.retention,
                once=request,
                gone=gone,
            )
        )
        if stored is True:
            return link, True
        earlier = stored or None
    raise Unavailable("the link could not be stored")


async def _revoke_recipient(context: Context, admin: Admin, recipient: str) -> list[str]:
    """Revokes what the admin may of the recipient's active links: they lie in every partition, an organization's in one.

    Raises:
        Unreadable: something could not be revoked. The rest is.
    """
    partitions = (
        keys.PARTITIONS if admin.role is Role.INTERNAL_ADMIN else [partition_of(admin.org_id or "")]
    )
    first = partial(links.active_ids, recipient=recipient, now=context.clock(), offset=0, limit=1)
    answers = await query_partitions(context.pipeline, first, partitions)
    is_complete, revoked = not answers.unreadable, list[str]()
    for partition in (partition for partition, found in answers.by_partition.items() if found):
        is_complete &= await _revoke_in(context, partition, admin, recipient, revoked)
    if not is_complete:
        raise Unreadable(
            f"{len(revoked)} links are revoked; others cannot be read: an operator finds their keys in the log"
        )
    return revoked


async def _revoke_in(
    context: Context, partition: str, admin: Admin, recipient: str, revoked: list[str]
) -> bool:
    """Adds the ids of those that were active until now to ``revoked``; gives whether all could be read."""
    passed_over, is_complete = 0, True
    while True:
        now = context.clock()
        ids = await context.pipeline.run(
            links.active_ids(
                partition, recipient, now=now, offset=passed_over, limit=REVOKED_AT_ONCE
            )
        )
        if not ids:
            return is_complete
        found = await context.pipeline.run_each([links.get(link_id) for link_id in ids])
        theirs = [
            link for link in found if isinstance(link, Link) and admin.may_act_for(link.org_id)
        ]
        outcomes = await context.pipeline.run_each(
            [links.revoke(link, now=now, retention=context.settings.retention) for link in theirs]
        )
        revoked += [
            link.id for link, outcome in zip(theirs, outcomes, strict=True) if outcome is True
        ]
        is_complete &= not any(isinstance(one, Unreadable) for one in (*found, *outcomes))
        passed_over += len(ids) - sum(
            1 for outcome in outcomes if not isinstance(outcome, Unreadable)
        )


async def _page(
    context: Context,
    now: datetime,
    org_id: str,
    limit: int,
    cursor: str | None,
    status: Status | None,
) -> links.Page:
    """A page, its links newest first. A record that cannot be read hides no other."""
    page = await context.pipeline.run(
        links.page(
            org_id,
            now=now,
            retention=context.settings.retention,
            limit=limit,
            status=status,
            cursor=cursor,
        )
    )
    if page.unreadable:
        log.error("data_unreadable", keys=keys.for_log(page.unreadable))
    if status is not None:  # whose index sorts links by their end
        page.links.sort(key=lambda link: link.created_at, reverse=True)
    return page


def _bodies(context: Context, found: Sequence[Link], now: datetime) -> list[LinkBody]:
    public_url = context.settings.public_url
    return [link_body(link, now=now, public_url=public_url, for_admin=True) for link in found]


async def _stream(
    context: Context, org_id: str, cursor: str | None, status: Status | None
) -> AsyncIterator[bytes]:
    while True:
        now = context.clock()
        page = await _page(context, now, org_id, BATCH, cursor, status)
        yield ENCODER.encode_lines(_bodies(context, page.links, now))
        if page.next_cursor is None:
            return
        cursor = page.next_cursor


HANDLERS: list[Any] = [
    create_link,
    get_link,
    verify_link,
    revoke_link,
    revoke_recipient,
    list_links,
]
