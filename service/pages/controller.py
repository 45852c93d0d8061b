"""A link's page, in the customer's language, and the forms on it."""

import secrets
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
from litestar import Controller, Response, get, post
from litestar.datastructures import CacheControlHeader
from litestar.exceptions import NotFoundException
from litestar.openapi.datastructures import ResponseSpec
from litestar.response import Redirect

from service.errors import Forbidden, LimitReached, OtpInvalid, OtpRequired
from service.events import operations as events
from service.http.openapi import ANYONE, extended_operation, problem_responses, text_media
from service.http.parameters import IGNORE_QUERY, PathLinkId
from service.http.problems import EXCEPTION_HANDLERS
from service.http.request import (
    PublicRequest,
    context_of,
    current_customer,
    header_values,
    is_head,
    is_prefetch,
)
from service.http.responses import JsonResponse
from service.http.static import SHARED_ASSETS, serve_files
from service.links import checkout
from service.links import operations as links
from service.links.guards import require_access
from service.links.link_body import LinkBody, link_body
from service.links.model import Link, page_path
from service.otps import operations as otps
from service.otps.model import derive_reference, read_code
from service.pages.link_page import render_ended, render_link
from service.pages.otp_form import (
    CODE_COOKIE,
    SentCode,
    has_expired,
    load_form,
    render_expired,
    render_form,
)
from service.pages.page_view import PageView, load_page_view
from service.pages.rendering import ASSETS_PATH, ERROR_PAGES, wants_page
from service.storage.event_log import Event, EventType
from service.values.email import mask

ASSETS_FOLDER = Path(__file__).parent / "assets"
MAX_FORM_FIELDS = 8
page_assets_handler = serve_files(
    ASSETS_PATH,
    SHARED_ASSETS / "base.css",
    ASSETS_FOLDER / "pay.css",
    ASSETS_FOLDER / "pay.js",
)


class PageController(Controller):
    path = page_path("{link_id:str}")
    include_in_schema = False
    opt = IGNORE_QUERY
    exception_handlers = ERROR_PAGES

    @get(
        include_in_schema=True,
        responses=problem_responses(400, 401, 403, 404, examples=[OtpRequired()])
        | {
            410: ResponseSpec(
                None,
                description="The page of a link that has ended: as JSON its answer is 200.",
                generate_examples=False,
            )
        },
        operation_class=extended_operation(
            200,
            400,
            404,
            410,
            503,
            first=text_media("text/html", "A page, for a browser.", "<!doctype html>…"),
        ),
        security=ANYONE,
        tags=("Payment links",),
        summary="Open a payment link",
        response_description="The link's page, or the link as JSON.",
    )
    async def pay(self, request: PublicRequest, link_id: PathLinkId) -> Response[LinkBody]:
        """The page to which a link's ``url`` leads; 410 if the link has ended.

        With ``application/json`` named in ``Accept``, the answer is the link as JSON.
        """
        return await _respond(request, link_id)

    @get("/checkout", status_code=200)
    async def start_checkout(self, request: PublicRequest, link_id: PathLinkId) -> Response[Any]:
        """Redirects to the checkout, and records when, if the visitor may pay the link.

        Otherwise it answers as the page does. HEAD requests and prefetches record nothing.
        """
        view = await load_page_view(request, link_id)
        if not view.is_active or not view.is_verified:
            return await _respond(request, link_id)
        template = view.checkout_template
        if template is None or is_prefetch(request):
            return _redirect_to_page(view)
        link: Link | None = view.link
        if not is_head(request):
            link = await checkout.start(view.context, view.link, current_customer())
        if link is None:
            return _redirect_to_page(view)
        return Redirect(checkout.fill_checkout_url(template, link), status_code=303)

    @post("/code", status_code=200)
    async def send_code(self, request: PublicRequest, link_id: PathLinkId) -> Response[Any]:
        """Sends the recipient a code, and redirects to ``check_cookie`` with a cookie for it."""
        _refuse_cross_site(request)
        view = await load_page_view(request, link_id)
        if view.is_verified or not view.is_active:
            return _redirect_to_page(view)
        try:
            nonce = await otps.send_code(
                view.context,
                view.link.recipient,
                view.client_network,
                locale=view.formats.tag,
                org_id=view.link.org_id,
            )
        except LimitReached as error:
            return await _render_send_limit(request, view, error.retry_after)
        sent = SentCode(view.now, derive_reference(view.context.otp_key, nonce))
        return Redirect(f"{view.path}/code", status_code=303, cookies=[sent.make_cookie(view)])

    @get("/code", status_code=200)
    async def check_cookie(self, request: PublicRequest, link_id: PathLinkId) -> Response[Any]:
        """Redirects to the page, which has the form, if the browser has kept the cookie."""
        view = await load_page_view(request, link_id)
        if view.is_verified or not view.is_active or SentCode.read(request):
            return _redirect_to_page(view)
        return _render_cookies_needed(view)

    @post("/token", status_code=200)
    async def submit_code(self, request: PublicRequest, link_id: PathLinkId) -> Response[Any]:
        """Redeems the code, and redirects to the page with the token in a cookie."""
        _refuse_cross_site(request)
        view = await load_page_view(request, link_id)
        if view.is_verified or not view.is_active:
            return _redirect_to_page(view)
        fields = await _read_form(request)
        sent, otp = SentCode.read(request), read_code(fields.get("otp", ""))
        if sent is None:
            is_expired = has_expired(view, fields.get("since", ""))
            return render_expired(view) if is_expired else _render_cookies_needed(view)
        if otp is None:
            message = view.formats.messages.gettext("Enter the six digits of the code.")
            return render_form(view, await load_form(view, sent), message)
        try:
            token = await otps.redeem_code(
                view.context, view.link.recipient, otp, view.client_network
            )
        except LimitReached as error:
            form = await load_form(view, sent)
            return render_form(view, msgspec.structs.replace(form, try_wait=error.retry_after))
        except OtpInvalid:
            return render_form(view, await load_form(view, sent), is_wrong=True)
        verified = Event(EventType.CODE_VERIFIED, current_customer())
        await events.log_event(view.context, view.link, verified)
        return _redirect_to_page(view, token)

    @get("/token")
    async def reopen_page(self, request: PublicRequest, link_id: PathLinkId) -> Redirect:
        """Redirects to the page: a restored tab opens the form's address."""
        return Redirect(context_of(request).base_path + page_path(link_id), status_code=303)

    @get(
        "/logo",
        cache_control=CacheControlHeader(private=True, max_age=300),
        exception_handlers=EXCEPTION_HANDLERS,
    )
    async def logo(self, request: PublicRequest, link_id: PathLinkId) -> Response[bytes]:
        """The logo of the link's organization, for visitors who may see the link."""
        logo = (await load_page_view(request, link_id)).profile.logo_file
        if logo is None:
            raise NotFoundException
        return Response(logo.content, media_type=f"image/{logo.subtype}")


def _refuse_cross_site(request: PublicRequest) -> None:
    """Refuses forms of other sites (Fetch Metadata, 2.4), which could log visitors in.

    Older browsers send an ``Origin`` only; it is ``null`` for our own forms too, because our pages
    send no referrer.
    """
    own = {
        "null",
        *header_values(request, b"host"),
        urlsplit(context_of(request).settings.public_url).netloc,
    }
    origins = {origin.partition("://")[2] or origin for origin in header_values(request, b"origin")}
    site = header_values(request, b"sec-fetch-site")
    if site in (["cross-site"], ["same-site"]) or not origins <= own:
        raise Forbidden("this form is not ours")


async def _read_form(request: PublicRequest) -> dict[str, str]:
    """The fields of a form (application/x-www-form-urlencoded); none if it is malformed."""
    try:
        return dict(parse_qsl((await request.body()).decode(), max_num_fields=MAX_FORM_FIELDS))
    except ValueError:
        return {}


def _redirect_to_page(view: PageView, token: str | None = None) -> Redirect:
    """Redirects to the page; with ``token``, its cookie replaces the code's."""
    redirect = Redirect(view.path, status_code=303)
    if token is not None:
        redirect.set_cookie(view.make_token_cookie(token))
        redirect.delete_cookie(CODE_COOKIE, view.path)
    return redirect


async def _respond(request: PublicRequest, link_id: str) -> Response[Any]:
    """The page of a link; the link as JSON, as the API has it, if the client names that."""
    if wants_page(request):
        return await _render_page(request, await load_page_view(request, link_id))
    context = context_of(request)
    link = await links.find(context, link_id)
    for_admin = await require_access(request, link)
    return JsonResponse(
        link_body(
            link,
            now=context.clock(),
            public_url=context.settings.public_url,
            for_admin=for_admin,
        )
    )


async def _render_page(request: PublicRequest, view: PageView) -> Response[Any]:
    if not view.is_active:
        return render_ended(view)
    if not view.is_verified:
        sent = SentCode.read(request)
        if sent:
            return render_form(view, await load_form(view, sent))
        return view.render("request_code", email=mask(view.link.email))
    return render_link(view)


async def _render_send_limit(
    request: PublicRequest, view: PageView, wait: timedelta
) -> Response[str]:
    """The form where another code cannot be sent for ``wait``."""
    sent = SentCode.read(request) or SentCode(None, secrets.token_hex(16))
    form = msgspec.structs.replace(await load_form(view, sent), send_wait=wait)
    text = view.formats.messages.gettext("Another code can be sent in %(span)s.")
    message = text % {"span": view.formats.format_wait(wait)}
    page = render_form(view, form, message, is_too_soon=True)
    page.set_cookie(sent.make_cookie(view))
    return page


def _render_cookies_needed(view: PageView) -> Response[str]:
    """The page for a browser that does not keep cookies."""
    gettext = view.formats.messages.gettext
    return view.render(
        "notice",
        headline=gettext("Cookies are needed"),
        explanation=gettext(
            "Your browser did not keep the cookie by which this page recognizes you."
            " No code was used up."
        ),
        advice=gettext("Allow cookies for this site, then try again."),
        can_retry=True,
    )
