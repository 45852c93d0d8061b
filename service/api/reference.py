"""The API's description and its browsable page, with nothing from other hosts."""

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import msgspec
from litestar import Response, get
from litestar.datastructures import CacheControlHeader
from litestar.enums import MediaType, OpenAPIMediaType
from litestar.static_files import create_static_files_router

from service.api.description import TITLE, describe

ASSETS = "/schema/assets"
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PAGE = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{TITLE}</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="{ASSETS}/swagger-ui.css">
<div id="reference"></div>
<script src="{ASSETS}/swagger-ui-bundle.js"></script><script src="{ASSETS}/own/reference.js"></script>
</html>"""


def reference(handlers: Sequence[Any], version: str) -> list[Any]:
    """Handlers that describe ``handlers``: the page, the description itself, and the page's files."""
    description = msgspec.json.encode(describe(handlers, version))

    policy = {"Content-Security-Policy": CONTENT_SECURITY_POLICY}

    @get("/schema", media_type=MediaType.HTML, include_in_schema=False, response_headers=policy)
    async def page() -> str:
        return PAGE

    @get("/schema/openapi.json", include_in_schema=False)
    async def openapi() -> Response[bytes]:
        return Response(description, media_type=OpenAPIMediaType.OPENAPI_JSON)

    own, bundled = files("service.api") / "assets", files("litestar_offline_docs") / "static"
    kept = CacheControlHeader(public=True, max_age=3600)
    assets = [
        create_static_files_router(path=path, directories=[str(folder)], include_in_schema=False, cache_control=kept)
        for path, folder in ((f"{ASSETS}/own", own), (ASSETS, bundled))
    ]
    return [page, openapi, *assets]
