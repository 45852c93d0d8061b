"""The page on which a customer stops the reminders of a link."""

from typing import Any

from litestar import Controller, Response, get, post

from service.http.parameters import IGNORE_QUERY, PathLinkId
from service.http.request import PublicRequest, current_customer
from service.links.model import reminders_path
from service.notices.operations import stop_reminders
from service.pages.page_view import PageView, load_page_view
from service.pages.rendering import ERROR_PAGES


class ReminderPageController(Controller):
    path = reminders_path("{link_id:str}")
    include_in_schema = False
    opt = IGNORE_QUERY
    exception_handlers = ERROR_PAGES

    @get()
    async def ask(self, request: PublicRequest, link_id: PathLinkId) -> Response[Any]:
        """Shows a button, because programs that scan mails open this address, too."""
        view = await load_page_view(request, link_id)
        if view.link.reminders_stopped_at is not None:
            return _render_stopped(view)
        return view.render("reminders")

    @post(status_code=200)
    async def stop(self, request: PublicRequest, link_id: PathLinkId) -> Response[Any]:
        """Stops the reminders. Mail programs post here, too, without a page of ours (RFC 8058)."""
        view = await load_page_view(request, link_id)
        await stop_reminders(view.context, link_id, current_customer())
        return _render_stopped(view)


def _render_stopped(view: PageView) -> Response[str]:
    gettext = view.formats.messages.gettext
    return view.render(
        "notice",
        headline=gettext("No more reminders"),
        explanation=gettext("We will not remind you of this payment again."),
        advice=gettext("The payment link itself does not change."),
    )
