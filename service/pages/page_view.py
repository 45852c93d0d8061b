"""Somebody who looks at a link: how its pages are written for them."""

import hashlib
import secrets
from typing import Any

from litestar import Response
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap

from service.context import Context
from service.errors import LinkNotFound, PaymentLinkError, TokenInvalid
from service.http.accept import prefers_json
from service.http.client_ip import client_of
from service.http.headers import cookie_value, header_values
from service.http.problems import problem_of
from service.http.request import PublicRequest, context_of
from service.i18n.language import get_language, get_templates
from service.links.model import Link, Status
from service.orgs.model import EMPTY_PROFILE, Profile, text_color
from service.values.email import canonical
from service.values.ids import is_link_id
from service.values.locale import choose_locale

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


class PageView:
    """What a visitor asks of ``link``, whose organization presents itself by ``profile``: to whoever may know of it."""

    def __init__(self, request: PublicRequest, link: Link, profile: Profile) -> None:
        self.context = context_of(request)
        self.now = self.context.clock()
        self.link = link
        self.language = get_language(choose_locale(link.locale, _accepted(request), profile.locale))
        self.client = client_of(request)
        self._token = cookie_value(request, cookie_of(link))
        self.profile = profile if self.is_verified else EMPTY_PROFILE
        self.org = (profile.display_name or link.org_id) if self.is_verified else ""

    @property
    def is_open(self) -> bool:
        """Whether the link is to be paid now."""
        return self.link.status(self.now) is Status.ACTIVE

    @property
    def is_verified(self) -> bool:
        """Whether the link needs no proof, or a cookie says that its mailbox is the visitor's."""
        if not self.link.otp_required:
            return True
        try:
            email = self._token and self.context.customer_tokens.verify(self._token, now=self.now)
        except TokenInvalid:
            return False
        return email == canonical(self.link.email)

    def page(self, template: str, *, status: int = 200, **values: object) -> Response[str]:
        """The page that ``template`` makes of ``values``."""
        values |= {"org": self.org, "link_id": self.link.id}
        return _render(self.context, self.language.tag, self.profile, template, values, status)


def cookie_of(link: Link) -> str:
    """The cookie that holds the token for the link's mailbox. Who has several is asked for a code of each only once."""
    return f"payment_link_token_{hashlib.sha256(canonical(link.email).encode()).hexdigest()[:16]}"


def wants_page(request: PublicRequest) -> bool:
    """Whether the answer is a page: it is, unless JSON is asked for by name."""
    return not prefers_json(",".join(header_values(request, b"accept")))


def error_page(request: PublicRequest, error: Exception) -> Response[Any]:
    """Says in words what programs get as a problem."""
    problem = problem_of(request, error)
    if not wants_page(request):
        return problem
    locale = choose_locale(_accepted(request))
    gettext = get_language(locale).messages.gettext
    if isinstance(error, LinkNotFound):
        headline, explanation = (
            gettext("There is no such link"),
            gettext("Its address may be cut short, or the link is long gone."),
        )
        advice = gettext("Open it from the e-mail again, or ask whoever sent it for a new one.")
    else:
        headline, explanation = (
            gettext("We cannot show this link right now"),
            gettext("Nothing is lost, and nothing was charged."),
        )
        advice = gettext("Try again in a moment.")
    link_id = str(request.path_params.get("link_id", ""))
    values: dict[str, Any] = {
        "org": "",
        "link_id": link_id,
        "headline": headline,
        "explanation": explanation,
        "advice": advice,
        "until": None,
        "reply_to": None,
        "again": is_link_id(link_id) and not isinstance(error, LinkNotFound),
    }
    headers = {
        name: value
        for name, value in problem.headers.items()
        if name in {"Retry-After", "Connection"}
    }
    return _render(
        context_of(request),
        locale,
        EMPTY_PROFILE,
        "ended",
        values,
        problem.status_code or 500,
        headers,
    )


def _render(
    context: Context,
    locale: str,
    profile: Profile,
    template: str,
    values: dict[str, Any],
    status: int,
    headers: dict[str, str] | None = None,
) -> Response[str]:
    nonce, colour = secrets.token_urlsafe(16), profile.brand_color
    common = {
        "root": context.root,
        "nonce": nonce,
        "colour": colour,
        "ink": text_color(colour),
        "logo": profile.logo_file is not None,
        "zone": profile.zone,
    }
    return Response(
        get_templates("service.pages", locale)
        .get_template(f"{template}.html")
        .render(common | values),
        status_code=status,
        media_type="text/html",
        headers={
            "Content-Security-Policy": CONTENT_SECURITY_POLICY.format(nonce=nonce),
            "Content-Language": locale,
            "X-Robots-Tag": "noindex",
            "Vary": "Accept, Accept-Language, Cookie",
            **(headers or {}),
        },
    )


def _accepted(request: PublicRequest) -> str:
    return ",".join(header_values(request, b"accept-language"))


ERRORS: ExceptionHandlersMap = dict.fromkeys(
    (PaymentLinkError, HTTPException, Exception), error_page
)
"""All three, or those of the application would be nearer to an error's kind."""
