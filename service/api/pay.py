"""Where a link's ``url`` leads: a page for its customer, in the customer's language; as JSON where that is asked for by name."""

from datetime import datetime, timedelta
from math import ceil
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
from litestar import Response, get, post
from litestar.datastructures import CacheControlHeader, Cookie
from litestar.exceptions import NotFoundException
from litestar.openapi.datastructures import ResponseSpec
from litestar.response import Redirect

from service.api.clients import client_of
from service.api.context import Context, PublicRequest, context_of, header_values
from service.api.files import OWN, serve_files
from service.api.links import PathId, find_link, get_link
from service.api.otp import ask_for_code, redeem_code
from service.api.parameters import PAGE
from service.api.problems import responses
from service.api.responses import JsonResponse
from service.api.schemas import LinkBody
from service.api.visit import ERRORS, Visit, cookie_of, wants_page
from service.domain.email import canonical, mask
from service.domain.errors import Forbidden, LimitReached, OtpInvalid, Unreadable
from service.domain.link import Status
from service.domain.otp import read_code
from service.domain.tokens import CUSTOMER_LIFE
from service.store import profiles

ASSETS = "/pay/assets"
FILES = {name: OWN / name for name in ("base.css", "pay.css", "pay.js")}
LONGEST_NUMBER = 12
GONE = ResponseSpec(None, description="The page of a link that has ended: as JSON its answer is 200.", generate_examples=False)


class Sent(msgspec.Struct, frozen=True):
    """What a page knows of the code it asks for, times in seconds since 1970.

    The page itself counts and carries this, for the API does not tell a wrong code from a used one.
    """

    until: int
    again: int
    """When another can be sent."""
    failed: int = 0


class View(msgspec.Struct, frozen=True):
    """A link as its page shows it."""

    amount: str
    reference: str | None
    expires_at: datetime
    left: timedelta


@get(
    "/pay/{link_id:str}",
    responses=responses(400, 401, 403, 404) | {410: GONE},
    security=[{}, {"customer": []}, {"admin": []}],
    exception_handlers=ERRORS,
    tags=["Payment links"],
    summary="Open a payment link",
    response_description="The link's page, or the link as JSON.",
    opt=PAGE,
)
async def pay(request: PublicRequest, link_id: PathId) -> Response[LinkBody]:
    """Where a link's ``url`` leads: to its page. With ``application/json`` named in ``Accept``, the answer is the link as JSON.

    The page of a link that ended is answered with 410.
    """
    if not wants_page(request):
        return JsonResponse(await get_link.fn(request, link_id))
    return _page(await _visit(request, link_id))  # type: ignore[return-value]


@post("/pay/{link_id:str}/code", status_code=200, include_in_schema=False, exception_handlers=ERRORS)
async def send_code(request: PublicRequest, link_id: PathId) -> Response[Any]:
    """Sends the link's recipient a code, and asks for it."""
    _refuse_foreign_forms(request)
    visit = await _visit(request, link_id)
    if visit.has_proved or not visit.is_open:
        return _to_page(visit)
    now, email, client, language = visit.now.timestamp(), canonical(visit.link.email), client_of(request), visit.language
    try:
        sent = await ask_for_code(visit.context, email, client, locale=language.tag, org_id=visit.link.org_id)
    except LimitReached as error:
        said = language.texts.gettext("Another code can be sent in %(span)s.") % {"span": language.wait(error.retry_after)}
        before = msgspec.structs.replace(_sent(await _form(request)), again=ceil(now + error.retry_after.total_seconds()))
        return _code_page(visit, before, said, too_soon=True)
    return _code_page(visit, Sent(ceil(now + sent.expires_in), ceil(now + sent.resend_after)))


@get(["/pay/{link_id:str}/code", "/pay/{link_id:str}/token"], include_in_schema=False)
async def go_back(request: PublicRequest, link_id: PathId) -> Redirect:
    """Leads a browser that opens a form's address anew, as with a restored tab, to the link's page."""
    return Redirect(_path(context_of(request), link_id), status_code=303)


@post("/pay/{link_id:str}/token", status_code=200, include_in_schema=False, exception_handlers=ERRORS)
async def submit_code(request: PublicRequest, link_id: PathId) -> Response[Any]:
    """Takes the code, and leads back to the link's page with a token in a cookie that no script can read."""
    _refuse_foreign_forms(request)
    visit = await _visit(request, link_id)
    if visit.has_proved or not visit.is_open:
        return _to_page(visit)
    form, texts, language = await _form(request), visit.language.texts, visit.language
    otp, sent = read_code(form.get("otp", "")), _sent(form)
    if otp is None:
        return _code_page(visit, sent, texts.gettext("Enter the six digits of the code."))
    try:
        token = await redeem_code(visit.context, canonical(visit.link.email), otp, client_of(request))
    except LimitReached as error:
        said = texts.gettext("Too many wrong codes. You can try again in %(span)s.") % {"span": language.wait(error.retry_after)}
        return _code_page(visit, sent, said)
    except OtpInvalid:
        failed = msgspec.structs.replace(sent, failed=sent.failed + 1)
        return _code_page(visit, failed, _what_is_wrong(visit, failed))
    return _to_page(visit, token)


@get("/pay/{link_id:str}/logo", include_in_schema=False, cache_control=CacheControlHeader(private=True, max_age=300))
async def logo(request: PublicRequest, link_id: PathId) -> Response[bytes]:
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
    ours = {"null", *header_values(request, b"host"), urlsplit(context_of(request).public_url).netloc}
    origins = {origin.partition("://")[2] or origin for origin in header_values(request, b"origin")}
    if header_values(request, b"sec-fetch-site") in (["cross-site"], ["same-site"]) or not origins <= ours:
        raise Forbidden("this form is not ours")


async def _visit(request: PublicRequest, link_id: str) -> Visit:
    context = context_of(request)
    link = await find_link(context, link_id)
    try:
        profile = await context.lane.run(profiles.get(link.org_id))
    except Unreadable:  # of which the log tells: a link is paid without its organization's colors
        profile = profiles.NOTHING
    return Visit(request, link, profile)


def _page(visit: Visit) -> Response[str]:
    link = visit.link
    if not visit.is_open:
        return _closed_page(visit)
    if not visit.has_proved:
        return visit.page("ask", email=mask(link.email))
    checkout, has_image = visit.context.checkout_url, visit.profile.logo_file is not None and not link.otp_required
    return visit.page(
        "link",
        link=_view(visit),
        checkout=checkout and checkout.replace("{link_id}", link.id),
        preview_image=f"{visit.context.public_url}/pay/{link.id}/logo" if has_image else None,
    )


def _view(visit: Visit) -> View:
    link = visit.link
    amount = visit.language.amount(link.payment_amount, link.currency)
    return View(amount, link.transaction_id, link.expires_at, link.expires_at - visit.now)


def _closed_page(visit: Visit) -> Response[str]:
    """The page of a link that has ended."""
    status, gettext = visit.link.status(visit.now), visit.language.texts.gettext
    headline, explanation = gettext("This link has expired"), gettext("It was good until %(moment)s.")
    advice = gettext("If you still want to pay, ask whoever sent it for a new link.")
    if status is Status.REVOKED:
        headline, explanation = gettext("This link was withdrawn"), gettext("Nothing was charged.")
    if visit.org:
        advice = gettext("If you still want to pay, ask %(org)s for a new link.")
    if visit.org and status is Status.REVOKED:
        explanation = gettext("%(org)s has taken it back. Nothing was charged.")
    said = {"headline": headline, "explanation": explanation, "advice": advice % {"org": visit.language.isolate(visit.org)}}
    reply_to = visit.profile.reply_to
    return visit.page("ended", status=410, **said, until=visit.link.expires_at, reply_to=reply_to, again=False)


def _code_page(visit: Visit, sent: Sent, error: str = "", *, too_soon: bool = False) -> Response[str]:
    """Asks for the code; ``error`` says what is wrong with it, or that it is ``too_soon`` for another."""
    left, wait = (timedelta(seconds=max(0, moment - int(visit.now.timestamp()))) for moment in (sent.until, sent.again))
    return visit.page("code", sent=sent, left=left, wait=wait, email=mask(visit.link.email), error=error, too_soon=too_soon)


def _what_is_wrong(visit: Visit, sent: Sent) -> str:
    texts = visit.language.texts
    tries = visit.context.otp_policy.max_tries - sent.failed
    if not sent.until:
        return texts.gettext("That is not the code, or it has expired.")
    if sent.until <= visit.now.timestamp():
        return texts.gettext("This code has expired. Ask for another.")
    if tries <= 0:
        return texts.gettext("This code was tried too often. Ask for another.")
    text = texts.ngettext(
        "That is not the code. You have %(number)s try left.", "That is not the code. You have %(number)s tries left.", tries
    )
    return text % {"number": visit.language.number(tries)}


def _to_page(visit: Visit, token: str | None = None) -> Redirect:
    url = urlsplit(visit.context.public_url)
    cookie = Cookie(
        key=cookie_of(visit.link),
        value=token,
        path=f"{visit.context.root}/pay",
        max_age=int(CUSTOMER_LIFE.total_seconds()),
        secure=url.scheme == "https",
        httponly=True,
        samesite="lax",  # or whoever comes from the e-mail again would be asked again
    )
    return Redirect(_path(visit.context, visit.link.id), status_code=303, cookies=[cookie] if token else None)


def _path(context: Context, link_id: str) -> str:
    return f"{context.root}/pay/{link_id}"


async def _form(request: PublicRequest) -> dict[str, str]:
    """The fields of a form (application/x-www-form-urlencoded); none where it is none of ours."""
    try:
        return dict(parse_qsl((await request.body()).decode(), max_num_fields=8))
    except ValueError:
        return {}


def _sent(form: dict[str, str]) -> Sent:
    return Sent(_number(form, "until"), _number(form, "again"), _number(form, "failed"))


def _number(form: dict[str, str], name: str) -> int:
    """What a page counted; whoever alters it misleads nobody else."""
    text = form.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < LONGEST_NUMBER else 0


HANDLERS: list[Any] = [pay, send_code, submit_code, go_back, logo, serve_files(ASSETS, FILES)]
