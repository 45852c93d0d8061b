"""Events over HTTP: of a link, and of an organization."""

from litestar import Controller, get
from litestar.params import FromQuery

from service.auth.guards import require_admin, require_org
from service.errors import Invalid
from service.events import operations
from service.events.schemas import EventPage, page_body
from service.http.openapi import ADMIN_ONLY, extended_operation, problem_responses
from service.http.parameters import PageCursor, PageLimit, PathLinkId, PathOrgId
from service.http.request import AdminRequest, context_of
from service.links import operations as links
from service.storage.event_log import EventType
from service.values.ids import parse_org_id

NEXT_CURSOR = "$response.body#/next_cursor"
BAD_LIMIT = Invalid("limit", "must be a whole number from 1 to 1000")


class LinkEventController(Controller):
    path = "/payment-links/{link_id:str}/events"
    tags = ("Events",)

    @get(
        before_request=require_admin,
        responses=problem_responses(400, 401, 403, 404, 422, examples=[BAD_LIMIT]),
        operation_class=extended_operation(
            200,
            links={
                "list_link_events": {
                    "link_id": "$request.path.link_id",
                    "cursor": NEXT_CURSOR,
                }
            },
        ),
        security=ADMIN_ONLY,
        summary="List a link's events",
        response_description="A page of events.",
    )
    async def list_link_events(
        self,
        request: AdminRequest,
        link_id: PathLinkId,
        limit: PageLimit = 100,
        cursor: PageCursor = None,
        type: FromQuery[EventType | None] = None,  # noqa: A002 - its name on the wire
    ) -> EventPage:
        """What happened to the link, when, and who did it, latest first.

        Events are kept for ``RETENTION``, and at most some 100,000 of an organization.
        """
        context = context_of(request)
        link = await links.find(context, link_id)
        require_org(request.user, link.org_id)
        return page_body(
            await operations.read_link_events(context, link, limit=limit, kind=type, cursor=cursor)
        )


class OrgEventController(Controller):
    path = "/orgs/{org_id:str}/events"
    tags = ("Events",)

    @get(
        before_request=require_admin,
        responses=problem_responses(400, 401, 403, 422, examples=[BAD_LIMIT]),
        operation_class=extended_operation(
            200,
            links={"list_org_events": {"org_id": "$request.path.org_id", "cursor": NEXT_CURSOR}},
        ),
        security=ADMIN_ONLY,
        summary="List an organization's events",
        response_description="A page of events.",
    )
    async def list_org_events(
        self,
        request: AdminRequest,
        org_id: PathOrgId,
        limit: PageLimit = 100,
        cursor: PageCursor = None,
        type: FromQuery[EventType | None] = None,  # noqa: A002 - its name on the wire
    ) -> EventPage:
        """What happened to the organization's links, when, and who did it, latest first."""
        require_org(request.user, parse_org_id(org_id))
        return page_body(
            await operations.read_org_events(
                context_of(request), org_id, limit=limit, kind=type, cursor=cursor
            )
        )
