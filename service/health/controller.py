"""Liveness, readiness, and the state of outgoing mail, over HTTP."""

from typing import Annotated

from litestar import Controller, get
from litestar.params import QueryParameter

from service.auth.guards import require_internal_admin
from service.errors import Invalid
from service.health.operations import read_outbox
from service.health.schemas import Health, Outbox, Readiness, outbox_body, readiness_body
from service.http.openapi import ADMIN_ONLY, problem_responses
from service.http.problems import Stopping
from service.http.request import AdminRequest, PublicRequest, context_of

UNKNOWN_PARAMETER = Invalid("verbose", "is not a known parameter")


class HealthController(Controller):
    tags = ("Operations",)

    @get(
        "/healthz",
        responses={422: problem_responses(422, examples=[UNKNOWN_PARAMETER])[422]},
        summary="Check that the process is alive",
        response_description="The process is alive.",
    )
    async def healthz(self) -> Health:
        """The process lives."""
        return Health("ok")

    @get(
        "/readyz",
        responses=problem_responses(422, examples=[UNKNOWN_PARAMETER]),
        summary="Check that the service is ready",
        response_description="The service can take requests.",
    )
    async def readyz(self, request: PublicRequest) -> Readiness:
        """Whether workers and scheduler are alive, and which e-mails wait.

        503 if no partition of Redis answers or the process is stopping.
        """
        state = request.app.state
        if state.drain.is_draining():
            raise Stopping
        return readiness_body(await state.readiness_check.run())

    @get(
        "/outbox",
        before_request=require_internal_admin,
        responses=problem_responses(
            400, 401, 403, 422, examples=[Invalid("limit", "must be a whole number from 1 to 100")]
        ),
        security=ADMIN_ONLY,
        summary="Read the state of outgoing mail",
        response_description="The outgoing mail of all organizations.",
    )
    async def get_outbox(
        self,
        request: AdminRequest,
        limit: Annotated[int, QueryParameter(ge=1, le=100)] = 20,
    ) -> Outbox:
        """E-mails that are due, jobs in the queues, and the latest ``limit`` e-mails that failed.

        They are of all organizations.
        """
        return outbox_body(await read_outbox(context_of(request), max_failures=limit))
