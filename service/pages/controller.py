"""Where a link's ``url`` leads: a page for its customer, in the customer's language; as JSON where that is asked for by name."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
from litestar import Response, get, post
from litestar.datastructures import CacheControlHeader
from litestar.exceptions import NotFoundException
from litestar.openapi.datastructures import ResponseSpec
from litestar.response import Redirect

from service.auth.tokens import CUSTOMER_TOKEN_LIFETIME
from service.errors import Forbidden, LimitReached, OtpInvalid, OtpRequired, Unreadable
from service.http.client_ip import client_of
from service.http.headers import header_values
from service.http.openapi import extended_operation, problem_responses, text_media
from service.http.parameters import PAGE, PathLinkId
from service.http.request import PublicRequest, context_of
from service.http.responses import JsonResponse
from service.http.static import SHARED_ASSETS, serve_files
from service.links import operations as links
from service.links.guards import require_access
from service.links.model import Status
from service.links.schemas import LinkBody, link_body
from service.orgs import store as orgs
from service.orgs.model import EMPTY_PROFILE
from service.otps import operations as otps
from service.otps.model import read_code
from service.pages.otp_form import (
    COOKIE,
    SentCode,
    expired_page,
    is_outdated,
    look_at_code,
    otp_page,
    path_of,
    read_cookie,
)
from service.pages.page_view import ERRORS, PageView, cookie_of, wants_page
from service.values.email import canonical, mask

ASSETS = "/pay/assets"
OWN_ASSETS = Path(__file__).parent / "assets"
FILES = {"base.css": SHARED_ASSETS / "base.css"} | {
    name: OWN_ASSETS / name for name in ("pay.css", "pay.js")
}
GONE = ResponseSpec(
    None,
    description="The page of a link that has ended: as JSON its answer is 200.",
    generate_examples=False,
)


class View(msgspec.Struct, frozen=True):
    """A link as its page shows it."""

    amount: str
    reference: str | None
    expires_at: datetime
    left: timedelta


@get(
    "/pay/{link_id:str}",
    responses=problem_responses(400, 401, 403, 404, examples=[OtpRequired()]) | {410: GONE},
    operation_class=extended_operation(
        200,
        400,
        404,
        410,
        503,
        first=text_media("text/html", "A page, for a browser.", "<!doctype html>…"),
    ),
    security=[{}, {"customer": []}, {"admin": []}],
    exception_handlers=ERRORS,
    tags=["Payment links"],
    summary="Open a payment link",
    response_description="The link's page, or the link as JSON.",
    opt=PAGE,
)
async def pay(request: PublicRequest, link_id: PathLinkId) -> Response[LinkBody]:
    """Where a link's ``url`` leads: to its page. With ``application/json`` named in ``Accept``, the answer is the link as JSON.

    The page of a link that ended is answered with 410.
    """
    if not wants_page(request):
        context = context_of(request)
        link = await links.find(context, link_id)
        for_admin = await require_access(request, link)
        public_url = context.settings.public_url
        return JsonResponse(
            link_body(link, now=context.clock(), public_url=public_url, for_admin=for_admin)
        )
    page: Response[Any] = await _page(request, await _visit(request, link_id))
    return page


@post(
    "/pay/{link_id:str}/code", status_code=200, include_in_schema=False, exception_handlers=ERRORS
)
async def send_code(request: PublicRequest, link_id: PathLinkId) -> Response[Any]:
    """Sends the link's recipient a code, and leads to where it is asked for, with a cookie by which that is known again."""
    _refuse_foreign_forms(request)
    visit = await _visit(request, link_id)
    if visit.is_verified or not visit.is_open:
        return _to_page(visit)
    email, client, language = canonical(visit.link.email), client_of(request), visit.language
    try:
        nonce = await otps.send_code(
            visit.context, email, client, locale=language.tag, org_id=visit.link.org_id
        )
    except LimitReached as error:
        said = language.messages.gettext("Another code can be sent in %(span)s.") % {
            "span": language.format_wait(error.retry_after)
        }
        sent = read_cookie(request) or SentCode.of_none()
        form = msgspec.structs.replace(await look_at_code(visit, sent), send_wait=error.retry_after)
        page = otp_page(visit, form, said, is_too_soon=True)
        page.set_cookie(sent.cookie(visit))
        return page
    return Redirect(
        f"{path_of(visit)}/code", status_code=303, cookies=[SentCode.of(visit, nonce).cookie(visit)]
    )


@get("/pay/{link_id:str}/code", status_code=200, include_in_schema=False, exception_handlers=ERRORS)
async def check_cookie(request: PublicRequest, link_id: PathLinkId) -> Response[Any]:
    """Leads to the link's page, where the code is asked for, if the browser has kept the cookie; else says that it is needed."""
    visit = await _visit(request, link_id)
    if visit.is_verified or not visit.is_open or read_cookie(request):
        return _to_page(visit)
    return _cookies_page(visit)


@get("/pay/{link_id:str}/token", include_in_schema=False)
async def go_back(request: PublicRequest, link_id: PathLinkId) -> Redirect:
    """Leads a browser that opens the form's address anew, as with a restored tab, to the link's page."""
    return Redirect(f"{context_of(request).root}/pay/{link_id}", status_code=303)


@post(
    "/pay/{link_id:str}/token", status_code=200, include_in_schema=False, exception_handlers=ERRORS
)
async def submit_code(request: PublicRequest, link_id: PathLinkId) -> Response[Any]:
    """Takes the code, and leads back to the link's page with a token in a cookie that no script can read."""
    _refuse_foreign_forms(request)
    visit = await _visit(request, link_id)
    if visit.is_verified or not visit.is_open:
        return _to_page(visit)
    form = await _form(request)
    sent, otp = read_cookie(request), read_code(form.get("otp", ""))
    if sent is None:
        return (
            expired_page(visit)
            if is_outdated(visit, form.get("since", ""))
            else _cookies_page(visit)
        )
    if otp is None:
        said = visit.language.messages.gettext("Enter the six digits of the code.")
        return otp_page(visit, await look_at_code(visit, sent), said)
    try:
        token = await otps.redeem_code(
            visit.context, canonical(visit.link.email), otp, client_of(request)
        )
    except LimitReached as error:
        return otp_page(
            visit,
            msgspec.structs.replace(await look_at_code(visit, sent), try_wait=error.retry_after),
        )
    except OtpInvalid:
        return otp_page(visit, await look_at_code(visit, sent), is_wrong=True)
    return _to_page(visit, token)


@get(
    "/pay/{link_id:str}/logo",
    include_in_schema=False,
    cache_control=CacheControlHeader(private=True, max_age=300),
)
async def logo(request: PublicRequest, link_id: PathLinkId) -> Response[bytes]:
    """The logo of the organization whose link it is, for whoever may see the link."""
    visit = await _visit(request, link_id)
    if visit.profile.logo_file is None:
        raise NotFoundException
    kind, file = visit.profile.logo_file
    return Response(file, media_type=f"image/{kind}")


def _refuse_foreign_forms(request: PublicRequest) -> None:
    """Another site's page must not have its visitors ask for codes, nor sign them in (Fetch Metadata, 2.4).

    Older browsers name the origin alone, which is ``null`` on our own forms too: their pages tell nobody where they come from.
    """
    ours = {
        "null",
        *header_values(request, b"host"),
        urlsplit(context_of(request).settings.public_url).netloc,
    }
    origins = {origin.partition("://")[2] or origin for origin in header_values(request, b"origin")}
    if (
        header_values(request, b"sec-fetch-site") in (["cross-site"], ["same-site"])
        or not origins <= ours
    ):
        raise Forbidden("this form is not ours")


async def _visit(request: PublicRequest, link_id: str) -> PageView:
    context = context_of(request)
    link = await links.find(context, link_id)
    try:
        profile = await context.pipeline.run(orgs.get_profile(link.org_id))
    except Unreadable:  # of which the log tells: a link is paid without its organization's colors
        profile = EMPTY_PROFILE
    return PageView(request, link, profile)


async def _page(request: PublicRequest, visit: PageView) -> Response[str]:
    link = visit.link
    if not visit.is_open:
        return _closed_page(visit)
    if not visit.is_verified and (sent := read_cookie(request)):
        return otp_page(visit, await look_at_code(visit, sent))
    if not visit.is_verified:
        return visit.page("ask", email=mask(link.email))
    checkout, has_image = (
        visit.context.settings.checkout_url,
        visit.profile.logo_file is not None and not link.otp_required,
    )
    return visit.page(
        "link",
        link=_view(visit),
        checkout=checkout and checkout.replace("{link_id}", link.id),
        preview_image=f"{visit.context.settings.public_url}/pay/{link.id}/logo"
        if has_image
        else None,
    )


def _view(visit: PageView) -> View:
    link = visit.link
    amount = visit.language.format_amount(link.payment_amount, link.currency)
    return View(amount, link.transaction_id, link.expires_at, link.expires_at - visit.now)


def _closed_page(visit: PageView) -> Response[str]:
    """The page of a link that has ended."""
    status, gettext = visit.link.status(visit.now), visit.language.messages.gettext
    headline, explanation = (
        gettext("This link has expired"),
        gettext("It was good until %(moment)s."),
    )
    advice = gettext("If you still want to pay, ask whoever sent it for a new link.")
    if status is Status.REVOKED:
        headline, explanation = gettext("This link was withdrawn"), gettext("Nothing was charged.")
    if visit.org:
        advice = gettext("If you still want to pay, ask %(org)s for a new link.")
    if visit.org and status is Status.REVOKED:
        explanation = gettext("%(org)s has taken it back. Nothing was charged.")
    said = {
        "headline": headline,
        "explanation": explanation,
        "advice": advice % {"org": visit.language.isolate(visit.org)},
    }
    reply_to = visit.profile.reply_to
    return visit.page(
        "ended", status=410, **said, until=visit.link.expires_at, reply_to=reply_to, again=False
    )


def _cookies_page(visit: PageView) -> Response[str]:
    """Says that nothing can be done without cookies."""
    gettext = visit.language.messages.gettext
    return visit.page(
        "ended",
        headline=gettext("Cookies are needed"),
        explanation=gettext(
            "Your browser did not keep the cookie by which this page recognizes you. No code was used up."
        ),
        advice=gettext("Allow cookies for this site, then try again."),
        until=None,
        reply_to=None,
        again=True,
    )


def _to_page(visit: PageView, token: str | None = None) -> Redirect:
    """Leads to the link's page; the cookie of a code that gave ``token`` has done its work."""
    page = Redirect(path_of(visit), status_code=303)
    if token is not None:
        page.set_cookie(
            key=cookie_of(visit.link),
            value=token,
            path=f"{visit.context.root}/pay",
            max_age=int(CUSTOMER_TOKEN_LIFETIME.total_seconds()),
            secure=urlsplit(visit.context.settings.public_url).scheme == "https",
            httponly=True,
            samesite="lax",  # or whoever comes from the e-mail again would be asked again
        )
        page.delete_cookie(COOKIE, path_of(visit))
    return page


async def _form(request: PublicRequest) -> dict[str, str]:
    """The fields of a form (application/x-www-form-urlencoded); none where it is none of ours."""
    try:
        return dict(parse_qsl((await request.body()).decode(), max_num_fields=8))
    except ValueError:
        return {}


HANDLERS: list[Any] = [
    pay,
    send_code,
    submit_code,
    check_cookie,
    go_back,
    logo,
    serve_files(ASSETS, FILES),
]
