"""A link's page as one visitor sees it."""

import hashlib
from functools import cached_property
from urllib.parse import urlsplit

from litestar import Response
from litestar.datastructures import Cookie

from service.auth.tokens import CUSTOMER_TOKEN_LIFETIME
from service.errors import TokenInvalid, Unreadable
from service.http.client_ip import client_network_of
from service.http.request import AnyRequest, PublicRequest, context_of, cookie_value, header_values
from service.i18n.formats import get_formats
from service.links import operations as links
from service.links.model import PAGES_PATH, Link, Status, page_path
from service.orgs import store as orgs
from service.orgs.model import EMPTY_PROFILE, Profile
from service.pages.rendering import render
from service.values.languages import choose_locale


class PageView:
    """A link, its visitor, and what the visitor may see.

    Before the visitor is verified, the organization and its profile are empty.
    """

    def __init__(self, request: AnyRequest, link: Link, profile: Profile) -> None:
        self.context = context_of(request)
        self.now = self.context.clock()
        self.link = link
        accepted = header_values(request, b"accept-language")
        self.formats = get_formats(choose_locale(link.locale, *accepted, profile.locale))
        self.client_network = client_network_of(request)
        self._token = cookie_value(request, self._token_cookie_name)
        self.profile = profile if self.is_verified else EMPTY_PROFILE
        self.org = (profile.display_name or link.org_id) if self.is_verified else ""
        self.path = self.context.base_path + page_path(link.id)

    @property
    def is_active(self) -> bool:
        return self.link.status(self.now) is Status.ACTIVE

    @property
    def checkout_template(self) -> str | None:
        """The URL to which the link leads, with placeholders; None where there is none."""
        return self.profile.checkout_url or self.context.settings.checkout_url

    @cached_property
    def is_verified(self) -> bool:
        """Whether the link is not gated, or a cookie proves that its mailbox is the visitor's."""
        if not self.link.otp_required:
            return True
        if not self._token:
            return False
        try:
            email = self.context.customer_tokens.verify(self._token, now=self.now)
        except TokenInvalid:
            return False
        return email == self.link.recipient

    def render(self, template: str, *, status: int = 200, **values: object) -> Response[str]:
        values |= {"org": self.org, "page": self.path}
        locale = self.formats.tag
        return render(self.context, locale, self.profile, template, values, status=status)

    def make_token_cookie(self, token: str) -> Cookie:
        """A cookie with the customer token, for all links to its mailbox."""
        path = self.context.base_path + PAGES_PATH
        lifetime = int(CUSTOMER_TOKEN_LIFETIME.total_seconds())
        return self.make_cookie(self._token_cookie_name, token, path=path, max_age=lifetime)

    def make_cookie(self, name: str, value: str, *, path: str, max_age: int) -> Cookie:
        """A cookie that scripts cannot read. Browsers also send it for links in e-mails (Lax)."""
        return Cookie(
            key=name,
            value=value,
            path=path,
            max_age=max_age,
            secure=urlsplit(self.context.settings.public_url).scheme == "https",
            httponly=True,
            samesite="lax",
        )

    @property
    def _token_cookie_name(self) -> str:
        """One for each mailbox, so that a visitor with several mailboxes keeps all tokens."""
        digest = hashlib.sha256(self.link.recipient.encode()).hexdigest()
        return f"payment_link_token_{digest[:16]}"


async def load_page_view(request: PublicRequest, link_id: str) -> PageView:
    """The page view of the link ``link_id``.

    Raises:
        LinkNotFound: there is no such link.
    """
    context = context_of(request)
    link = await links.find(context, link_id)
    try:
        profile = await context.pipeline.run(orgs.get_profile(link.org_id))
    except Unreadable:  # and logged: a link is paid without its organization's colors too
        profile = EMPTY_PROFILE
    return PageView(request, link, profile)
