"""``/schema``: the API's description and a page to browse it, without files from other hosts."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
from litestar import Request, Response, Router
from litestar.exceptions import NotFoundException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme, Server, Tag

from service.http.openapi import complete_description
from service.http.request import context_of
from service.http.security_policy import content_security_policy
from service.http.static import SHARED_ASSETS, serve_files
from service.i18n.formats import get_templates

TITLE = "Payment Link Service"
TAGS = {
    "Payment links": "Create, read, verify, revoke and list payment links.",
    "Payments": "Record that links were paid, and void what was recorded in error.",
    "Events": "What happened to links, when, and who did it.",
    "One-time passwords": "How customers prove that a mailbox is theirs.",
    "Organizations": "Who sends links, and how they present themselves.",
    "Operations": "Health, outgoing mail, and windows of scheduled links.",
}
SECURITY_SCHEMES = {"admin": "An admin's token.", "customer": "From PUT /payment-links/otp."}
_SWAGGER_UI = Path(str(files("litestar_offline_docs"))) / "static"
schema_assets_handler = serve_files(
    "/schema/assets",
    _SWAGGER_UI / "swagger-ui.css",
    _SWAGGER_UI / "swagger-ui-bundle.js",
    SHARED_ASSETS / "reference.js",
)


class OpenApiJsonPlugin(JsonRenderPlugin):
    """Serves ``/schema/openapi.json``."""

    def __init__(self, examples: Sequence[msgspec.Struct]) -> None:
        super().__init__()
        self._examples = examples
        self._rendered: bytes | None = None

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        if self._rendered is None:
            self._rendered = msgspec.json.encode(
                complete_description(openapi_schema, self._examples)
            )
        return self._rendered


class DocsPagePlugin(OpenAPIRenderPlugin):
    """Serves ``/schema``, a page with Swagger UI.

    Litestar's own plugin needs inline scripts, which our Content-Security-Policy forbids.
    """

    def __init__(self) -> None:
        super().__init__(path="/")

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        template = get_templates("service.http").get_template("schema.html")
        return template.render(root=context_of(request).base_path, title=TITLE).encode()


def openapi_config(
    examples: Sequence[msgspec.Struct], version: str, public_url: str
) -> OpenAPIConfig:
    """Describes the application's handlers, with ``examples`` of all request bodies and answers."""
    return OpenAPIConfig(
        title=TITLE,
        version=version,
        description="Creates, e-mails, verifies, gates, revokes and lists payment links."
        " Errors are RFC 9457 problems. For generators of clients:"
        f" [openapi.json]({public_url}/schema/openapi.json).",
        operation_id_creator=lambda handler, *_: handler.handler_name,
        servers=[Server(public_url)],
        use_handler_docstrings=True,
        tags=[Tag(name, description=text) for name, text in TAGS.items()],
        components=Components(
            security_schemes={
                name: SecurityScheme("http", scheme="bearer", bearer_format="JWT", description=text)
                for name, text in SECURITY_SCHEMES.items()
            }
        ),
        render_plugins=[DocsPagePlugin(), OpenApiJsonPlugin(examples)],
        openapi_router=Router(
            "/schema",
            route_handlers=[],
            include_in_schema=False,
            response_class=Response,
            response_headers=content_security_policy(),
            after_request=_refuse_unknown,
        ),
    )


def _refuse_unknown(response: Response[Any]) -> Response[Any]:
    """Answers unknown paths with a problem, like all others: Litestar answers with a page."""
    if response.status_code == 404:
        raise NotFoundException
    return response
