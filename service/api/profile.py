"""How an organization presents itself, over HTTP."""

from typing import Any

from litestar import get, put
from litestar.params import JSONBody

from service.api.bodies import StrictJson
from service.api.context import AdminRequest, context_of
from service.api.guards import require_admin, require_org
from service.api.parameters import PathOrgId
from service.api.problems import responses
from service.api.request_bodies import PutProfile
from service.api.schemas import ProfileBody
from service.domain import link as domain
from service.domain.profile import Profile
from service.store import profiles


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
    require_org(request.user, domain.parse_org_id(org_id))
    return _body(await context_of(request).lane.run(profiles.get(org_id)))


@put(
    "/orgs/{org_id:str}/profile",
    before_request=require_admin,
    dto=StrictJson[PutProfile],
    return_dto=None,
    responses=responses(400, 401, 403, 408, 413, 415, 422),
    security=[{"admin": []}],
    tags=["Organizations"],
    summary="Replace an organization's profile",
    response_description="The new profile.",
)
async def put_profile(request: AdminRequest, org_id: PathOrgId, data: JSONBody[PutProfile]) -> ProfileBody:
    """Replaces all of it: what is left out is null."""
    require_org(request.user, domain.parse_org_id(org_id))
    context = context_of(request)
    profile = data.parse(context.clock())
    await context.lane.run(profiles.put(org_id, profile))
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
