"""The composition root of the web process."""

import gc
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from functools import partial
from importlib.metadata import version
from typing import Any

from litestar import Litestar, Response
from litestar.config.cors import CORSConfig
from litestar.datastructures import State
from litestar.types import ControllerRouterHandler

from config.settings import Settings, load
from service.console.controller import ConsoleController, console_assets_handler
from service.console.preview import PreviewController
from service.context import create_context
from service.events import schemas as events_schemas
from service.events.controller import LinkEventController, OrgEventController
from service.health import schemas as health_schemas
from service.health.controller import HealthController
from service.health.heartbeat import Heartbeat, keep_recording
from service.health.operations import ReadinessCheck
from service.http.access_log import serve_logged
from service.http.body import LimitedRequest
from service.http.docs_page import openapi_config, schema_assets_handler
from service.http.head_limits import find_head_problem
from service.http.options import respond_to_options
from service.http.parameters import check_query
from service.http.problems import EXCEPTION_HANDLERS
from service.http.request import AnyRequest
from service.http.responses import JsonResponse
from service.links import patch_schemas
from service.links import schemas as links_schemas
from service.links.controller import LinkController, OrgLinkController
from service.links.mail_controller import (
    DispatchController,
    ResendController,
    ResendFailedController,
)
from service.notices import schemas as notices_schemas
from service.notices.controller import SampleController
from service.orgs import schemas as orgs_schemas
from service.orgs.controller import OrgController
from service.otps import schemas as otps_schemas
from service.otps.controller import OtpController
from service.outbox.doorbell import Doorbell
from service.pages.controller import PageController, page_assets_handler
from service.pages.home import HomeController, home_assets_handler
from service.pages.reminders import ReminderPageController
from service.payments import schemas as payments_schemas
from service.payments.controller import PaymentController
from service.process import logs
from service.process.data_dir import LOCK_VARIABLE
from service.process.shutdown import Drain, exit_with_parent
from service.process.startup import refusing_until_claimed
from service.storage.clock import RedisClock
from service.storage.connect import create_queue_client, create_transport
from service.storage.pipeline import AutoPipeline

QUEUE_TIMEOUT_SECONDS = 2
GARBAGE_THRESHOLD = 20_000
"""New objects between two collections: a request makes some hundred, of which few need one."""
HANDLERS: list[ControllerRouterHandler] = [
    ConsoleController,
    PreviewController,
    HealthController,
    HomeController,
    LinkController,
    OrgLinkController,
    DispatchController,
    ResendController,
    ResendFailedController,
    LinkEventController,
    OrgEventController,
    PaymentController,
    OrgController,
    OtpController,
    PageController,
    ReminderPageController,
    SampleController,
    console_assets_handler,
    home_assets_handler,
    page_assets_handler,
    schema_assets_handler,
]


class PaymentLinks(Litestar):
    """The application. Every request is logged, those that match no route included."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            refused = find_head_problem(scope)
            app = super().__call__ if refused is None else refused.to_asgi_response()
            await serve_logged(app, scope, receive, send, self.state.drain.is_draining)
        else:
            await super().__call__(scope, receive, send)


def create_app(
    settings: Settings, clock: Callable[[], datetime] | None = None, drain: Drain | None = None
) -> Litestar:
    """The application that ``settings`` describe. It connects when it starts, not before.

    Without ``clock`` it uses the store's time, and records heartbeats.
    """
    examples = (
        *links_schemas.EXAMPLES,
        *patch_schemas.EXAMPLES,
        *events_schemas.EXAMPLES,
        *payments_schemas.EXAMPLES,
        *otps_schemas.EXAMPLES,
        *orgs_schemas.EXAMPLES,
        *notices_schemas.EXAMPLES,
        *health_schemas.EXAMPLES,
    )
    return PaymentLinks(
        route_handlers=HANDLERS,
        lifespan=[partial(_connect, settings=settings, clock=clock)],
        before_request=_check_request,
        return_dto=None,
        exception_handlers=EXCEPTION_HANDLERS,
        state=State({"drain": drain or Drain()}),
        request_class=LimitedRequest,
        response_class=JsonResponse,
        cors_config=_cors_config(settings.cors_origins),
        openapi_config=openapi_config(examples, version("payment-links"), settings.public_url),
        logging_config=None,
    )


def create_app_from_environment() -> Litestar:
    """The application as ``payment-links web`` serves it."""
    exit_with_parent()
    settings = load(os.environ)
    log_writer = logs.configure(settings.log_format)
    # Under `up` there is no other process that clients could move on to.
    drain = Drain(0) if LOCK_VARIABLE in os.environ else Drain()
    app = create_app(settings, drain=drain)
    app.on_startup += [drain.begin_on_sigterm, _tune_garbage_collector]
    app.on_shutdown.append(log_writer.flush_now)
    return app


@asynccontextmanager
async def _connect(
    app: Litestar, settings: Settings, clock: Callable[[], datetime] | None
) -> AsyncIterator[None]:
    """Provides the context while the application runs."""
    queue = create_queue_client(
        settings.queue_redis_url,
        socket_timeout=QUEUE_TIMEOUT_SECONDS,
        socket_connect_timeout=QUEUE_TIMEOUT_SECONDS,
    )
    doorbell, redis_clock = Doorbell(queue), RedisClock()
    async with AsyncExitStack() as stack:
        pipeline = await stack.enter_async_context(
            AutoPipeline(create_transport(settings.redis_url))
        )
        stack.push_async_callback(doorbell.close)
        context = create_context(settings, pipeline, doorbell, clock or redis_clock)
        app.state.context, app.state.readiness_check = context, ReadinessCheck(context)
        await stack.enter_async_context(refusing_until_claimed(pipeline, settings.redis_url))
        if clock is None:
            await stack.enter_async_context(keep_recording(Heartbeat("web", redis_clock), pipeline))
        yield


async def _check_request(request: AnyRequest) -> Response[None] | None:
    """Runs before every handler that has no ``before_request`` of its own."""
    if request.method == "OPTIONS":
        return respond_to_options(request)
    await check_query(request)
    return None


def _cors_config(origins: tuple[str, ...]) -> CORSConfig | None:
    if not origins:
        return None
    # An allowed origin may send any header: its libraries add trace ids, versions and more.
    return CORSConfig(
        allow_origins=list(origins),
        allow_headers=["*"],
        expose_headers=[
            "Allow",
            "ETag",
            "Idempotency-Replayed",
            "Location",
            "Retry-After",
            "WWW-Authenticate",
            "X-Request-ID",
        ],
    )


def _tune_garbage_collector() -> None:
    """Exempts objects made at startup, which stay: scanning them took 10 % of all time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)
