"""How an organization presents itself, over HTTP."""

from typing import Any

from litestar import get, put
from litestar.params import JSONBody

from service.auth.guards import require_admin, require_org
from service.http.body import JsonBodyDTO
from service.http.parameters import PathOrgId
from service.http.problems import responses
from service.http.request import AdminRequest, context_of
from service.orgs import profile_store as profiles
from service.orgs.model import Profile
from service.orgs.schemas import ProfileBody, PutProfile
from service.values.ids import parse_org_id


@get(
    "/orgs/{org_id:str}/profile",
    before_request=require_admin,
    responses=responses(400, 401, 403, 422),
    security=[{"admin": []}],
    tags=["Organizations"],
    summary="Read an organization's profile",
    response_description="The profile.",
)
async def get_profile(request: AdminRequest, org_id: PathOrgId) -> ProfileBody:
    """How mails and pages present the organization; null where it has not said."""
    require_org(request.user, parse_org_id(org_id))
    return _body(await context_of(request).pipeline.run(profiles.get(org_id)))


@put(
    "/orgs/{org_id:str}/profile",
    before_request=require_admin,
    dto=JsonBodyDTO[PutProfile],
    return_dto=None,
    responses=responses(400, 401, 403, 408, 413, 415, 422),
    security=[{"admin": []}],
    tags=["Organizations"],
    summary="Replace an organization's profile",
    response_description="The new profile.",
)
async def put_profile(
    request: AdminRequest, org_id: PathOrgId, data: JSONBody[PutProfile]
) -> ProfileBody:
    """Replaces all of it: what is left out is null."""
    require_org(request.user, parse_org_id(org_id))
    context = context_of(request)
    profile = data.parse(context.clock())
    await context.pipeline.run(profiles.put(org_id, profile))
    return _body(profile)


def _body(profile: Profile) -> ProfileBody:
    return ProfileBody(
        display_name=profile.display_name,
        colour=profile.colour,
        logo=profile.logo,
        reply_to=profile.reply_to,
        locale=profile.locale,
        time_zone=profile.time_zone,
    )


HANDLERS: list[Any] = [get_profile, put_profile]
