"""What customers will see of a profile that is being edited: a page and a mail, as samples.

The same functions and templates make them as for a link. Nothing is stored.
"""

import asyncio
import base64
from email.utils import parseaddr

import msgspec
from litestar import Controller, Response, get, post
from litestar.params import JSONBody

from service.auth.guards import require_admin, require_org
from service.http.body import JsonBodyDTO
from service.http.parameters import PathOrgId
from service.http.problems import READ_ONLY_OPT
from service.http.request import AdminRequest, context_of
from service.http.security_policy import content_security_policy
from service.i18n.formats import get_templates
from service.links import qr
from service.links.model import Link, page_path
from service.mails.link_mail import render_link_mail
from service.mails.rendering import LOGO_URL
from service.mails.sample import make_sample_link
from service.orgs.model import Profile
from service.orgs.schemas import PutProfile
from service.pages.link_page import render_link
from service.pages.page_view import PageView
from service.values.ids import parse_org_id

FRAME_POLICY_HEADER = content_security_policy(
    script_src="'none'",
    style_src="'self' 'unsafe-inline'",
    connect_src="'none'",
    frame_ancestors="'self'",
)
"""Mails have styles in their elements. No script runs in the frame, whatever its HTML holds."""


class Preview(msgspec.Struct, frozen=True):
    """HTML of the page and of the mail, whose pictures are in it, and the mail's head."""

    page: str
    mail: str
    mail_from: str
    mail_subject: str


class PreviewController(Controller):
    path = "/console/preview"
    include_in_schema = False

    @get()
    async def frame(self) -> Response[str]:
        """An empty document, into which the console puts a preview."""
        html = get_templates("service.console").get_template("preview.html").render()
        return Response(html, media_type="text/html", headers=FRAME_POLICY_HEADER)

    @post(
        "/{org_id:str}",
        status_code=200,
        opt={READ_ONLY_OPT: True},
        before_request=require_admin,
        dto=JsonBodyDTO[PutProfile],
    )
    async def preview(
        self, request: AdminRequest, org_id: PathOrgId, data: JSONBody[PutProfile]
    ) -> Preview:
        """The page and the mail of a sample link with the profile in the body."""
        require_org(request.user, parse_org_id(org_id))
        context = context_of(request)
        now = context.clock()
        profile = data.parse(now)
        link = msgspec.structs.replace(make_sample_link(org_id, now), locale=profile.locale)
        url = context.settings.public_url + page_path(link.id)
        sender, address = parseaddr(context.settings.mail_from)
        mail = render_link_mail(link, profile=profile, url=url)
        return Preview(
            page=await _render_page(request, link, profile, url),
            mail=_embed(mail.html, {LOGO_URL: profile.logo or ""}),
            mail_from=f"{profile.display_name or sender} <{address}>",
            mail_subject=mail.subject,
        )


async def _render_page(request: AdminRequest, link: Link, profile: Profile, url: str) -> str:
    view = PageView(request, link, profile)
    code = base64.b64encode(await asyncio.to_thread(qr.draw_svg, url)).decode()
    pictures = {
        f"{view.path}/logo": profile.logo or "",
        f"{view.context.base_path}/payment-links/{link.id}/qr": f"data:image/svg+xml;base64,{code}",
    }
    return _embed(render_link(view).content, pictures)


def _embed(html: str, pictures: dict[str, str]) -> str:
    """``html`` with ``data:`` URLs for pictures that nothing serves."""
    for url, data_url in pictures.items():
        html = html.replace(f'src="{url}"', f'src="{data_url}"')
    return html
