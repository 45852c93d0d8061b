"""The home page, the icon of all pages, and the rules for crawlers."""

from pathlib import Path
from typing import Any

from litestar import Controller, Response, get
from litestar.response import File

from service.http.docs_page import TITLE
from service.http.request import PublicRequest, context_of
from service.http.responses import JsonResponse
from service.http.security_policy import content_security_policy
from service.http.static import CACHE_CONTROL, SHARED_ASSETS, serve_files
from service.i18n.formats import get_templates
from service.pages.rendering import wants_page

home_assets_handler = serve_files(
    "/assets", SHARED_ASSETS / "base.css", Path(__file__).parent / "assets" / "home.css"
)
POLICY_HEADER = content_security_policy(script_src="'none'", connect_src="'none'", img_src="'self'")
ENTRY_POINTS = {
    "console": "/console",
    "schema": "/schema",
    "openapi": "/schema/openapi.json",
    "health": "/readyz",
}
ROBOTS_DISALLOWED_PATHS = ("/orgs", "/outbox", "/payment-links")
"""Paths that crawlers must not fetch. Pages say ``noindex`` instead: link previews fetch them."""


class HomeController(Controller):
    include_in_schema = False

    @get("/")
    async def home(self, request: PublicRequest) -> Response[Any]:
        """Links to the other pages; as JSON if the client names it."""
        context = context_of(request)
        if not wants_page(request):
            public_url = context.settings.public_url
            urls = {name: public_url + path for name, path in ENTRY_POINTS.items()}
            return JsonResponse({"title": TITLE} | urls)
        template = get_templates("service.pages").get_template("home.html")
        return Response(
            template.render(root=context.base_path, title=TITLE),
            media_type="text/html",
            headers=POLICY_HEADER | {"Vary": "Accept"},
        )

    @get(["/favicon.svg", "/favicon.ico"], cache_control=CACHE_CONTROL)
    async def favicon(self) -> File:
        """The icon. Browsers ask for ``.ico`` if a page, or JSON, names none."""
        return File(
            SHARED_ASSETS / "favicon.svg",
            media_type="image/svg+xml",
            content_disposition_type="inline",
        )

    @get("/robots.txt")
    async def robots(self, request: PublicRequest) -> Response[str]:
        """What crawlers may fetch (RFC 9309)."""
        root = context_of(request).base_path
        lines = ["User-agent: *", *(f"Disallow: {root}{path}" for path in ROBOTS_DISALLOWED_PATHS)]
        return Response("\n".join(lines) + "\n", media_type="text/plain")
