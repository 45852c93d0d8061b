"""The organization console: one page, whose script calls the API with the admin's token."""

from pathlib import Path

from litestar import Controller, Response, get

from service.http.request import PublicRequest, context_of
from service.http.security_policy import content_security_policy
from service.http.static import SHARED_ASSETS, serve_files
from service.i18n.formats import get_formats, get_templates
from service.orgs.model import DEFAULT_COLOR, MAX_LOGO_BYTES
from service.values.ids import ORG_ID_PATTERN
from service.values.languages import LANGUAGES
from service.values.money import minor_units_by_currency

ASSETS_PATH = "/console/assets"
FILES = [*(Path(__file__).parent / "assets").iterdir(), SHARED_ASSETS / "base.css"]
console_assets_handler = serve_files(ASSETS_PATH, *FILES)
# With trusted types, a browser refuses to parse text as HTML, so a faulty script cannot inject any.
POLICY_HEADER = content_security_policy(
    **{
        "frame-src": "'self'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
)
HTML_ORG_ID_PATTERN = ORG_ID_PATTERN.replace(":-]", r":\-]")
"""Browsers compile patterns with the v flag, where a class must not end in a bare dash."""


class ConsoleController(Controller):
    path = "/console"
    include_in_schema = False

    @get()
    async def console(self, request: PublicRequest) -> Response[str]:
        """The page. It holds no data: its script fetches them."""
        decimals = sorted(minor_units_by_currency().items())
        template = get_templates("service.console").get_template("console.html")
        return Response(
            template.render(
                root=context_of(request).base_path,
                languages={tag: get_formats(tag).display_name for tag in LANGUAGES},
                org_id_pattern=HTML_ORG_ID_PATTERN,
                default_color=DEFAULT_COLOR,
                max_logo_bytes=MAX_LOGO_BYTES,
                currencies=" ".join(f"{code}{digits}" for code, digits in decimals),
            ),
            media_type="text/html",
            headers=POLICY_HEADER,
        )
