"""The API's description and its browsable page, with nothing from other hosts."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
from litestar import Response, get
from litestar.enums import MediaType, OpenAPIMediaType

from service.http.openapi import TITLE, describe
from service.http.request import PublicRequest, context_of
from service.http.static import SHARED_ASSETS, serve_files
from service.i18n.language import get_templates
from service.values.locale import LANGUAGES

ASSETS = "/schema/assets"
_BUNDLED = Path(str(files("litestar_offline_docs"))) / "static"
FILES = {
    "swagger-ui.css": _BUNDLED / "swagger-ui.css",
    "swagger-ui-bundle.js": _BUNDLED / "swagger-ui-bundle.js",
    "reference.js": SHARED_ASSETS / "reference.js",
}
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def reference(
    handlers: Sequence[Any], examples: Sequence[msgspec.Struct], version: str, public_url: str
) -> list[Any]:
    """Handlers that describe ``handlers``: the page, the description itself, and the page's files."""
    description = msgspec.json.encode(describe(handlers, examples, version, public_url))
    policy = {"Content-Security-Policy": CONTENT_SECURITY_POLICY}

    @get("/schema", include_in_schema=False, response_headers=policy)
    async def page(request: PublicRequest) -> Response[str]:
        template = get_templates("service.http", LANGUAGES[0]).get_template("schema.html")
        return Response(
            template.render(root=context_of(request).root, title=TITLE), media_type=MediaType.HTML
        )

    @get("/schema/openapi.json", include_in_schema=False)
    async def openapi() -> Response[bytes]:
        return Response(description, media_type=OpenAPIMediaType.OPENAPI_JSON)

    return [page, openapi, serve_files(ASSETS, FILES)]
