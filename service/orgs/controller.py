"""Organizations over HTTP: which there are, and their profiles."""

from typing import Annotated

from litestar import Controller, get, put
from litestar.params import JSONBody, QueryParameter

from service.auth.guards import require_admin, require_internal_admin, require_org
from service.errors import Invalid
from service.http.body import JsonBodyDTO
from service.http.openapi import ADMIN_ONLY, BODY_STATUSES, problem_responses
from service.http.parameters import PathOrgId
from service.http.request import AdminRequest, context_of
from service.orgs import store
from service.orgs.operations import find_orgs
from service.orgs.schemas import OrgPage, ProfileBody, PutProfile, profile_body
from service.values.ids import ORG_ID_RULE, parse_org_id


class OrgController(Controller):
    path = "/orgs"
    tags = ("Organizations",)
    security = ADMIN_ONLY

    @get(
        before_request=require_internal_admin,
        responses=problem_responses(
            400, 401, 403, 422, examples=[Invalid("limit", "must be a whole number from 1 to 1000")]
        ),
        summary="List organizations",
        response_description="The first organizations, and how many there are.",
    )
    async def list_orgs(
        self,
        request: AdminRequest,
        prefix: Annotated[str, QueryParameter(max_length=64)] = "",
        limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100,
    ) -> OrgPage:
        """The organizations with links whose id begins with ``prefix``, in any case, in order."""
        org_ids, missing = await find_orgs(context_of(request), prefix)
        return OrgPage(
            len(org_ids), org_ids[:limit], sorted(missing.unreadable), sorted(missing.unavailable)
        )

    @get(
        "/{org_id:str}/profile",
        before_request=require_admin,
        responses=problem_responses(
            400, 401, 403, 422, examples=[Invalid("org_id", f"must be {ORG_ID_RULE}")]
        ),
        summary="Read an organization's profile",
        response_description="The profile.",
    )
    async def get_profile(self, request: AdminRequest, org_id: PathOrgId) -> ProfileBody:
        """How mails and pages present the organization, and what its links do by default.

        A field that it has not set is null, and ``receipts`` false.
        """
        require_org(request.user, parse_org_id(org_id))
        return profile_body(await context_of(request).pipeline.run(store.get_profile(org_id)))

    @put(
        "/{org_id:str}/profile",
        before_request=require_admin,
        dto=JsonBodyDTO[PutProfile],
        responses=problem_responses(
            *BODY_STATUSES, 401, 403, examples=[Invalid("display_name", "must not be blank")]
        ),
        summary="Replace an organization's profile",
        response_description="The new profile.",
    )
    async def put_profile(
        self, request: AdminRequest, org_id: PathOrgId, data: JSONBody[PutProfile]
    ) -> ProfileBody:
        """Replaces the whole profile: a field that is left out becomes null, ``receipts`` false."""
        require_org(request.user, parse_org_id(org_id))
        context = context_of(request)
        profile = data.parse(context.clock())
        await context.pipeline.run(store.put_profile(org_id, profile))
        return profile_body(profile)
