"""The API's description (OpenAPI 3.1) and its browsable page, with nothing from other hosts."""

from importlib.resources import files
from typing import Any

from litestar import Request
from litestar.datastructures import CacheControlHeader
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import SwaggerRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.static_files import create_static_files_router

ASSETS = "/schema/assets"


class ReferencePage(SwaggerRenderPlugin):
    """Swagger UI from this service's own files, without a script in the page."""

    def __init__(self) -> None:
        super().__init__(path="/", js_url=f"{ASSETS}/swagger-ui-bundle.js", css_url=f"{ASSETS}/swagger-ui.css")

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{openapi_schema["info"]["title"]}</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="{self.css_url}">
<div id="reference"></div>
<script src="{self.js_url}"></script><script src="{ASSETS}/own/reference.js"></script>
</html>""".encode()


def openapi_config(version: str) -> OpenAPIConfig:
    """What ``/schema`` serves; ``/schema/openapi.json`` is the description itself."""
    return OpenAPIConfig(
        title="Payment Link Service",
        version=version,
        description="Creates, e-mails, verifies, gates, revokes and lists payment links. Errors are RFC 9457 problems.",
        path="/schema",
        render_plugins=[ReferencePage()],
        components=Components(
            security_schemes={
                "admin": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT", description="An admin's token."),
                "customer": SecurityScheme(
                    type="http", scheme="bearer", bearer_format="JWT", description="From PUT /payment-links/otp."
                ),
            }
        ),
    )


def assets_router() -> Any:
    """Serves Swagger UI's files and our own few lines that start it."""
    own, bundled = files("service.api") / "assets", files("litestar_offline_docs") / "static"
    kept = CacheControlHeader(public=True, max_age=3600)
    return [
        create_static_files_router(path=path, directories=[str(folder)], include_in_schema=False, cache_control=kept)
        for path, folder in ((f"{ASSETS}/own", own), (ASSETS, bundled))
    ]
