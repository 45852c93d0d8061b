"""The API's description (OpenAPI 3.1) and its browsable page, with nothing from other hosts."""

from collections.abc import Sequence
from decimal import Decimal
from importlib.resources import files
from typing import Any

import msgspec
from litestar import Litestar, Response, get
from litestar.datastructures import CacheControlHeader
from litestar.enums import MediaType, OpenAPIMediaType
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, OpenAPIType, Schema, SecurityScheme
from litestar.plugins import OpenAPISchemaPlugin
from litestar.static_files import create_static_files_router
from litestar.typing import FieldDefinition

TITLE = "Payment Link Service"
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


def describe(handlers: Sequence[Any], version: str) -> dict[str, Any]:
    """The OpenAPI description of ``handlers``."""
    config = OpenAPIConfig(
        title=TITLE,
        version=version,
        description="Creates, e-mails, verifies, gates, revokes and lists payment links. Errors are RFC 9457 problems.",
        components=Components(
            security_schemes={
                "admin": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT", description="An admin's token."),
                "customer": SecurityScheme(
                    type="http", scheme="bearer", bearer_format="JWT", description="From PUT /payment-links/otp."
                ),
            }
        ),
    )
    described = Litestar(list(handlers), openapi_config=config, plugins=[_Numbers()], logging_config=None)
    description = described.openapi_schema.to_schema()
    for operation in (operation for path in description["paths"].values() for operation in path.values()):
        body = operation.get("requestBody")
        if body and {"type": "null"} in body["content"]["application/json"]["schema"].get("oneOf", []):
            body["required"] = False
            content = body["content"]["application/json"]
            content["schema"] = next(option for option in content["schema"]["oneOf"] if option != {"type": "null"})
    listed = description["paths"]["/orgs/{org_id}/payment-links"]["get"]["responses"]["200"]
    listed["content"]["application/x-ndjson"] = {"schema": {"type": "string", "description": "A LinkBody a line."}}
    return description


class _Numbers(OpenAPISchemaPlugin):
    """Decimals are numbers on the wire."""

    @staticmethod
    def is_plugin_supported_type(value: Any) -> bool:
        return isinstance(value, type) and issubclass(value, Decimal)

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: Any) -> Schema:
        return Schema(type=OpenAPIType.NUMBER)
