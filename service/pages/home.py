"""What is asked of the address itself: a page that leads on, the icon of all pages, and a word for crawlers."""

from pathlib import Path
from typing import Any

from litestar import Response, get
from litestar.enums import MediaType
from litestar.response import File

from service.http.accept import prefers_json
from service.http.docs_page import TITLE
from service.http.headers import header_values
from service.http.request import PublicRequest, context_of
from service.http.responses import JsonResponse
from service.http.static import KEPT, SHARED_ASSETS, serve_files
from service.i18n.language import get_templates
from service.values.locale import LANGUAGES

ASSETS = "/assets"
FILES = {
    "base.css": SHARED_ASSETS / "base.css",
    "home.css": Path(__file__).parent / "assets" / "home.css",
}
CONTENT_SECURITY_POLICY = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
PLACES = {
    "console": "/console",
    "schema": "/schema",
    "openapi": "/schema/openapi.json",
    "health": "/readyz",
}
NO_PAGES = ("/orgs", "/outbox", "/payment-links")
"""Pages themselves say ``noindex``, which crawlers only learn from those that they may fetch, and so may link previews."""


@get("/", include_in_schema=False)
async def home(request: PublicRequest) -> Response[Any]:
    """Where to go from here: as a page, or as JSON, where that is asked for by name."""
    context = context_of(request)
    if prefers_json(",".join(header_values(request, b"accept"))):
        return JsonResponse(
            {"title": TITLE}
            | {name: context.settings.public_url + path for name, path in PLACES.items()}
        )
    return Response(
        get_templates("service.pages", LANGUAGES[0])
        .get_template("home.html")
        .render(root=context.root, title=TITLE),
        media_type=MediaType.HTML,
        headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY, "Vary": "Accept"},
    )


@get(["/favicon.svg", "/favicon.ico"], include_in_schema=False, cache_control=KEPT)
async def favicon() -> File:
    """The icon; browsers ask for the latter where a page, or JSON, names none."""
    return File(
        SHARED_ASSETS / "favicon.svg", media_type="image/svg+xml", content_disposition_type="inline"
    )


@get("/robots.txt", include_in_schema=False)
async def robots(request: PublicRequest) -> Response[str]:
    """What crawlers may fetch (RFC 9309)."""
    root = context_of(request).root
    lines = ["User-agent: *", *(f"Disallow: {root}{path}" for path in NO_PAGES)]
    return Response("\n".join(lines) + "\n", media_type=MediaType.TEXT)


HANDLERS: list[Any] = [home, favicon, robots, serve_files(ASSETS, FILES)]
