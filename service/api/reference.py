"""The API's description and its browsable page, with nothing from other hosts."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
from litestar import Response, get
from litestar.enums import MediaType, OpenAPIMediaType

from service.api.description import TITLE, describe
from service.api.files import OWN, serve_files

ASSETS = "/schema/assets"
_BUNDLED = Path(str(files("litestar_offline_docs"))) / "static"
FILES = {
    "swagger-ui.css": _BUNDLED / "swagger-ui.css",
    "swagger-ui-bundle.js": _BUNDLED / "swagger-ui-bundle.js",
    "reference.js": OWN / "reference.js",
}
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
<script src="{ASSETS}/swagger-ui-bundle.js"></script><script src="{ASSETS}/reference.js"></script>
</html>"""


def reference(handlers: Sequence[Any], version: str) -> list[Any]:
    """Handlers that describe ``handlers``: the page, the description itself, and the page's files."""
    description = msgspec.json.encode(describe(handlers, version))

    policy = {"Content-Security-Policy": CONTENT_SECURITY_POLICY}

    @get("/schema", include_in_schema=False, response_headers=policy)
    async def page() -> Response[str]:
        return Response(PAGE, media_type=MediaType.HTML)

    @get("/schema/openapi.json", include_in_schema=False)
    async def openapi() -> Response[bytes]:
        return Response(description, media_type=OpenAPIMediaType.OPENAPI_JSON)

    return [page, openapi, serve_files(ASSETS, FILES)]
