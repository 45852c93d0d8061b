"""Renders the templates of a link's pages, and errors as pages."""

import secrets
from typing import Any

from litestar import Response
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap

from service.context import Context
from service.errors import LinkNotFound, PaymentLinkError
from service.http.accept import prefers_json
from service.http.problems import problem_of
from service.http.request import PublicRequest, context_of, header_values
from service.http.security_policy import content_security_policy
from service.i18n.formats import get_formats, get_templates
from service.links.model import PAGES_PATH, page_path
from service.orgs.model import EMPTY_PROFILE, Profile, text_color
from service.values.ids import is_link_id
from service.values.languages import choose_locale, language_of

ASSETS_PATH = f"{PAGES_PATH}/assets"
KEPT_HEADERS = {"Retry-After", "Connection"}
"""Headers of a problem that the page sent in its place keeps."""


def render(
    context: Context,
    locale: str,
    profile: Profile,
    template: str,
    values: dict[str, object],
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> Response[str]:
    """The page that ``template`` makes of ``values``, in the colors of ``profile``."""
    nonce, color = secrets.token_urlsafe(16), profile.brand_color
    policy = content_security_policy(style_src=f"'self' 'nonce-{nonce}'", form_action="'self'")
    common = {
        "formats": get_formats(locale),
        "root": context.base_path,
        "assets": context.base_path + ASSETS_PATH,
        "nonce": nonce,
        "brand_color": color,
        "text_color": text_color(color),
        "has_logo": profile.logo_file is not None,
        "zone": profile.zone,
    }
    return Response(
        get_templates("service.pages", language_of(locale))
        .get_template(f"{template}.html")
        .render(common | values),
        status_code=status,
        media_type="text/html",
        headers={
            **policy,
            "Content-Language": locale,
            "X-Robots-Tag": "noindex",
            "Vary": "Accept, Accept-Language, Cookie",
            **(headers or {}),
        },
    )


def wants_page(request: PublicRequest) -> bool:
    """Whether the answer is a page: it is, unless the client names JSON."""
    return not prefers_json(",".join(header_values(request, b"accept")))


def _render_error(request: PublicRequest, error: Exception) -> Response[Any]:
    """A page for browsers, and a problem for programs."""
    problem = problem_of(request, error)
    if not wants_page(request):
        return problem
    locale = choose_locale(*header_values(request, b"accept-language"))
    link_id = request.path_params.get("link_id")
    gettext = get_formats(locale).messages.gettext
    if isinstance(error, LinkNotFound):
        headline = gettext("There is no such link")
        explanation = gettext("Its address may be cut short, or the link is long gone.")
        advice = gettext("Open it from the e-mail again, or ask whoever sent it for a new one.")
    else:
        headline = gettext("We cannot show this link right now")
        explanation = gettext("Nothing is lost, and nothing was charged.")
        advice = gettext("Try again in a moment.")
    context = context_of(request)
    return render(
        context,
        locale,
        EMPTY_PROFILE,
        "notice",
        {
            "org": "",
            "page": context.base_path + page_path(str(link_id)),
            "headline": headline,
            "explanation": explanation,
            "advice": advice,
            "can_retry": is_link_id(str(link_id)) and not isinstance(error, LinkNotFound),
        },
        status=problem.status_code or 500,
        headers={name: value for name, value in problem.headers.items() if name in KEPT_HEADERS},
    )


ERROR_PAGES: ExceptionHandlersMap = dict.fromkeys(
    (PaymentLinkError, HTTPException, Exception), _render_error
)
"""Handlers of all three classes: Litestar prefers the nearest class's, even the application's."""
