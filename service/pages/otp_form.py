"""The form for a code on the page of a gated link."""

import hmac
import re
from datetime import datetime, timedelta

import msgspec
from litestar import Response
from litestar.datastructures import Cookie

from service.http.request import PublicRequest, cookie_value
from service.otps import operations
from service.otps import store as otps
from service.otps.model import derive_reference
from service.pages.page_view import PageView
from service.values.email import mask
from service.values.time import datetime_from_ms, datetime_to_ms

CODE_COOKIE = "payment_link_code"
COOKIE_GRACE = timedelta(hours=1)
"""How long after the code's expiry the form still explains why the code fails."""
_COOKIE_VALUE = re.compile(r"([0-9]{1,13})\.([0-9a-f]{32})")
_MILLISECONDS = re.compile("[0-9]{1,13}")


class SentCode(msgspec.Struct, frozen=True):
    """The code that a browser asked for, as a cookie remembers it.

    Nobody else can guess ``reference``, so only this browser sees the code's tries and times.
    ``sent_at`` is None if a limit prevented the sending; ``reference`` is then random.
    """

    sent_at: datetime | None
    reference: str

    @classmethod
    def read(cls, request: PublicRequest) -> "SentCode | None":
        match = _COOKIE_VALUE.fullmatch(cookie_value(request, CODE_COOKIE) or "")
        if match is None:
            return None
        milliseconds = int(match[1])
        return cls(datetime_from_ms(milliseconds) if milliseconds else None, match[2])

    def make_cookie(self, view: PageView) -> Cookie:
        milliseconds = datetime_to_ms(self.sent_at) if self.sent_at else 0
        lifetime = view.context.settings.otp.ttl + COOKIE_GRACE
        return view.make_cookie(
            CODE_COOKIE,
            f"{milliseconds}.{self.reference}",
            path=view.path,
            max_age=int(lifetime.total_seconds()),
        )


class OtpForm(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the form. Tries and times are those of the browser's own code.

    ``lifetime`` is how long it remains valid, in whole minutes; ``send_wait`` how long until
    another can be sent, and ``try_wait`` until one can be tried.
    """

    sent_at: datetime | None
    lifetime: timedelta = timedelta(0)
    tries_left: int | None = None
    send_wait: timedelta = timedelta(0)
    try_wait: timedelta = timedelta(0)


async def load_form(view: PageView, sent: SentCode) -> OtpForm:
    """The state of the form for the code ``sent``."""
    context, email = view.context, view.link.recipient
    code = await context.pipeline.run(otps.outstanding(email, now=view.now))
    if code is None or not hmac.compare_digest(
        sent.reference, derive_reference(context.otp_key, code.nonce)
    ):
        return OtpForm(sent_at=sent.sent_at)
    send_wait, try_wait = await operations.waiting_times(context, email, view.client_network)
    minutes = round((code.expires_at - view.now).total_seconds() / 60)
    return OtpForm(
        sent_at=sent.sent_at,
        lifetime=timedelta(minutes=max(1, minutes)),
        tries_left=max(0, context.settings.otp.max_tries - code.tries),
        send_wait=send_wait,
        try_wait=try_wait,
    )


def has_expired(view: PageView, since: str) -> bool:
    """Whether the code of a form with the hidden field ``since`` has expired.

    Its cookie may have expired as well.
    """
    return bool(_MILLISECONDS.fullmatch(since)) and _is_over(view, datetime_from_ms(int(since)))


def render_expired(view: PageView) -> Response[str]:
    """The form after its code, and everything about it, has expired."""
    message = view.formats.messages.gettext("This code has expired. Ask for another.")
    return render_form(view, OtpForm(sent_at=None), message)


def render_form(
    view: PageView,
    form: OtpForm,
    error: str = "",
    *,
    is_wrong: bool = False,
    is_too_soon: bool = False,
) -> Response[str]:
    """The form, with ``error`` or what is wrong with the code itself.

    ``is_wrong``: a wrong code was entered. ``is_too_soon``: another code cannot be sent yet.
    """
    if form.try_wait:
        message = view.formats.messages.gettext(
            "Too many wrong codes. You can try again in %(span)s."
        )
        error = message % {"span": view.formats.format_wait(form.try_wait)}
    error = error or _explain_code_failure(view, form, is_wrong=is_wrong)
    tries = form.tries_left
    has_failed = tries is not None and tries < view.context.settings.otp.max_tries
    return view.render(
        "enter_code",
        form=form,
        since=datetime_to_ms(form.sent_at or view.now),
        email=mask(view.link.email),
        error=error,
        tries=_format_tries(view, tries or 0) if has_failed and not error else "",
        is_too_soon=is_too_soon and not form.try_wait,
    )


def _explain_code_failure(view: PageView, form: OtpForm, *, is_wrong: bool) -> str:
    """Why the code cannot open the link; "" if it still can."""
    gettext, tries = view.formats.messages.gettext, form.tries_left
    if tries == 0:
        return gettext("This code was tried too often. Ask for another.")
    if tries is not None:
        wrong = gettext("That is not the code.")
        return f"{wrong} {_format_tries(view, tries)}" if is_wrong else ""
    if form.sent_at is not None and _is_over(view, form.sent_at):
        return gettext("This code has expired. Ask for another.")
    if is_wrong:
        return gettext("That is not the code, or it has expired.")
    if form.sent_at is not None:
        return gettext("This code is no longer good: it was used, or a newer one was sent.")
    return ""


def _format_tries(view: PageView, tries: int) -> str:
    text = view.formats.messages.ngettext(
        "You have %(number)s try left.", "You have %(number)s tries left.", tries
    )
    return text % {"number": view.formats.format_number(tries)}


def _is_over(view: PageView, sent_at: datetime) -> bool:
    return sent_at + view.context.settings.otp.ttl <= view.now
