"""The composition root of the web process."""

import asyncio
import gc
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext, suppress
from datetime import datetime
from importlib.metadata import version
from typing import Any

from litestar import Litestar, Response
from litestar.config.cors import CORSConfig
from litestar.datastructures import State
from litestar.enums import ScopeType
from litestar.types import ControllerRouterHandler

from config.settings import Settings, load
from service.console.controller import CONSOLE_FILES, ConsoleController
from service.context import create_context
from service.health import schemas as health_schemas
from service.health.controller import HealthController
from service.health.heartbeat import Heartbeat, keep_recording
from service.health.operations import ReadinessCheck
from service.http.access_log import observe
from service.http.body import TimedRequest
from service.http.docs_page import SCHEMA_ASSETS, openapi_config
from service.http.head_limits import refusal
from service.http.options import answer_options
from service.http.parameters import check_query
from service.http.problems import EXCEPTION_HANDLERS
from service.http.request import AnyRequest
from service.http.responses import JsonResponse
from service.links import schemas as links_schemas
from service.links.controller import LinkController, OrgLinkController, WindowController
from service.orgs import schemas as orgs_schemas
from service.orgs.controller import OrgController
from service.otps import schemas as otps_schemas
from service.otps.controller import OtpController
from service.outbox.doorbell import Doorbell
from service.pages.controller import PAGE_FILES, PageController
from service.pages.home import HOME_FILES, HomeController
from service.process import logs
from service.process.data_dir import LOCK_VARIABLE
from service.process.shutdown import Drain, exit_with_parent
from service.process.startup import StartupError, wait_for_data
from service.storage.clock import RedisClock
from service.storage.pipeline import AutoPipeline
from service.storage.redis_url import REDIS_TIMEOUT_SECONDS, connect_async, connect_queue

HANDLERS: list[ControllerRouterHandler] = [
    ConsoleController,
    HealthController,
    HomeController,
    LinkController,
    OrgLinkController,
    WindowController,
    OrgController,
    OtpController,
    PageController,
    CONSOLE_FILES,
    HOME_FILES,
    PAGE_FILES,
    SCHEMA_ASSETS,
]
EXAMPLES = (
    *links_schemas.EXAMPLES,
    *otps_schemas.EXAMPLES,
    *orgs_schemas.EXAMPLES,
    *health_schemas.EXAMPLES,
)
"""Of every request body and answer, for the API's description."""
COLLECT_EVERY = 20_000
"""Objects between two collections of garbage: a request makes some hundred, and hardly any garbage that needs collecting."""


class PaymentLinks(Litestar):
    """The application, with every request observed, those that no route matches included."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == ScopeType.HTTP:
            refused = refusal(scope)
            app = super().__call__ if refused is None else refused.to_asgi_response()
            await observe(app, scope, receive, send, self.state.drain.is_draining)
        else:
            await super().__call__(scope, receive, send)


def create_app(
    settings: Settings, clock: Callable[[], datetime] | None = None, drain: Drain | None = None
) -> Litestar:
    """The application that ``settings`` describe, on the store's time unless it is given a ``clock``.

    It connects when it starts, not before.
    """

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        doorbell = Doorbell(
            connect_queue(settings.queue_redis_url, socket_timeout=2, socket_connect_timeout=2)
        )
        async with AutoPipeline(connect_async(settings.redis_url)) as pipeline:
            store_clock = RedisClock()
            app.state.context = create_context(settings, pipeline, doorbell, clock or store_clock)
            app.state.readiness_check = ReadinessCheck(app.state.context)
            try:
                async with (
                    _data_claimed(settings.redis_url, pipeline),
                    keep_recording(Heartbeat("web", store_clock), pipeline)
                    if clock is None
                    else nullcontext(),
                ):
                    yield
            finally:
                await doorbell.close()

    return PaymentLinks(
        route_handlers=HANDLERS,
        lifespan=[lifespan],
        before_request=_check,
        return_dto=None,
        exception_handlers=EXCEPTION_HANDLERS,
        state=State({"drain": drain or Drain()}),
        request_class=TimedRequest,
        response_class=JsonResponse,
        cors_config=_cors(settings),
        openapi_config=openapi_config(EXAMPLES, version("payment-links"), settings.public_url),
        logging_config=None,
    )


async def _check(request: AnyRequest) -> Response[None] | None:
    """Runs before every handler that has no ``before_request`` of its own."""
    if request.method == "OPTIONS":
        return answer_options(request)
    await check_query(request)
    return None


def from_environment() -> Litestar:
    """The application as ``payment-links web`` serves it."""
    exit_with_parent()
    settings = load(os.environ)
    log_writer = logs.configure(settings.log_format)
    # Under `up` there is no other process that clients could move on to.
    drain = Drain(0) if LOCK_VARIABLE in os.environ else Drain()
    app = create_app(settings, drain=drain)
    app.on_startup += [drain.watch, _spare_collector]
    app.on_shutdown.append(log_writer.flush_now)
    return app


@asynccontextmanager
async def _data_claimed(redis_url: str, pipeline: AutoPipeline) -> AsyncIterator[None]:
    """Keeps the pipeline shut until the store's data is known to be of this release's version."""
    stopping = threading.Event()

    async def claim() -> None:
        with suppress(StartupError):  # the main process meets it too, says so, and ends us
            await asyncio.to_thread(wait_for_data, redis_url, stopping)
            pipeline.resume()

    pipeline.pause()
    claiming = asyncio.create_task(claim())
    await asyncio.wait([claiming], timeout=REDIS_TIMEOUT_SECONDS)
    try:
        yield
    finally:
        stopping.set()
        await asyncio.wait([claiming])


def _spare_collector() -> None:
    """What is there when the process begins to serve is there to stay: looking for garbage in it took a tenth of all time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY)


def _cors(settings: Settings) -> CORSConfig | None:
    if not settings.cors_origins:
        return None
    return CORSConfig(
        allow_origins=list(settings.cors_origins),
        allow_headers=[
            "*"
        ],  # an origin that may call may send what its libraries add: trace ids, versions
        expose_headers=[
            "Allow",
            "Idempotency-Replayed",
            "Location",
            "Retry-After",
            "WWW-Authenticate",
            "X-Request-ID",
        ],
    )
