"""The organizations there are, over HTTP."""

from functools import partial
from typing import Annotated, Any

from litestar import get
from litestar.params import QueryParameter

from service.auth.guards import require_internal_admin
from service.http.problems import responses
from service.http.request import AdminRequest, context_of
from service.orgs import store as orgs
from service.orgs.schemas import OrgPage
from service.storage.partitions import ask_partitions


@get(
    "/orgs",
    before_request=require_internal_admin,
    responses=responses(400, 401, 403, 422),
    security=[{"admin": []}],
    tags=["Organizations"],
    summary="List organizations",
    response_description="The first organizations, and how many there are.",
)
async def list_orgs(
    request: AdminRequest,
    prefix: Annotated[str, QueryParameter(max_length=64)] = "",
    limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100,
) -> OrgPage:
    """The organizations that have links, in order; those whose id begins with ``prefix``, in any case."""
    context = context_of(request)
    now, retention = context.clock(), context.settings.retention
    answers = await ask_partitions(
        context.pipeline, partial(orgs.ids, now=now, retention=retention)
    )
    named = [
        org_id
        for ids in answers.by_partition.values()
        for org_id in ids
        if org_id.lower().startswith(prefix.lower())
    ]
    return OrgPage(
        len(named),
        sorted(named, key=lambda org_id: (org_id.lower(), org_id))[:limit],
        answers.unreadable,
    )


HANDLERS: list[Any] = [list_orgs]
