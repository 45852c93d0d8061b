"""The organization console: one page, whose script asks the API as any other caller does, with the admin's own token."""

from pathlib import Path
from typing import Any

from litestar import Response, get

from service.http.request import PublicRequest, context_of
from service.http.static import SHARED_ASSETS, serve_files
from service.i18n.language import get_language, get_templates
from service.values.ids import ORG_ID_PATTERN
from service.values.locale import LANGUAGES
from service.values.money import currencies

ASSETS = "/console/assets"
MODULES = (
    "console",
    "api",
    "browse",
    "check",
    "create",
    "detail",
    "dialogs",
    "dom",
    "mail",
    "orgs",
    "revoke",
    "route",
)
OWN_ASSETS = Path(__file__).parent / "assets"
FILES = {
    name: OWN_ASSETS / name for name in ("console.css", *(f"{module}.js" for module in MODULES))
}
FILES["base.css"] = SHARED_ASSETS / "base.css"
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Trusted types: a browser that knows them takes no text for HTML, so a script that did so would fail instead."""
PATTERN = ORG_ID_PATTERN.replace(":-]", r":\-]")
"""As HTML reads patterns (the v flag), where no class ends in a bare dash."""


@get("/console", include_in_schema=False)
async def console(request: PublicRequest) -> Response[str]:
    """The page. It holds nothing of anybody's: its script asks for that."""
    languages = {tag: get_language(tag).display_name for tag in LANGUAGES}
    values = {
        "root": context_of(request).root,
        "languages": languages,
        "org_id_pattern": PATTERN,
        "currencies": " ".join(
            f"{code}{decimals}" for code, decimals in sorted(currencies().items())
        ),
    }
    return Response(
        get_templates("service.console", LANGUAGES[0]).get_template("console.html").render(values),
        media_type="text/html",
        headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY},
    )


HANDLERS: list[Any] = [console, serve_files(ASSETS, FILES)]
