"""The form for a code on the page of a gated link: what its browser knows of the code it asked for, and what the store does."""

import hmac
import re
import secrets
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import msgspec
from litestar import Response
from litestar.datastructures import Cookie

from service.http.headers import cookie_value
from service.http.request import PublicRequest
from service.otps import operations
from service.otps import store as otps
from service.otps.model import derive_reference
from service.pages.page_view import PageView
from service.values.email import canonical, mask

COOKIE = "payment_link_code"
COOKIE_GRACE = timedelta(hours=1)
"""For how long after the end of its code somebody is still told what became of it."""
_COOKIE_VALUE = re.compile(r"([0-9]{1,13})\.([0-9a-f]{32})")


class SentCode(msgspec.Struct, frozen=True):
    """What a browser keeps of the code it asked for, in a cookie that brings it back to the form.

    The reference cannot be guessed: only who holds it is told what the store knows of that code. Without ``sent_at`` no code was
    sent, because a limit was reached, and the reference is of none.
    """

    sent_at: datetime | None
    reference: str

    @classmethod
    def of(cls, visit: PageView, nonce: bytes) -> "SentCode":
        """That a code was just sent."""
        return cls(visit.now, derive_reference(visit.context.otp_key, nonce))

    @classmethod
    def of_none(cls) -> "SentCode":
        """That none was."""
        return cls(None, secrets.token_hex(16))

    def cookie(self, visit: PageView) -> Cookie:
        """The cookie, for this link's pages alone."""
        life = visit.context.settings.otp.ttl + COOKIE_GRACE
        return Cookie(
            key=COOKIE,
            value=f"{int(self.sent_at.timestamp() * 1000) if self.sent_at else 0}.{self.reference}",
            path=path_of(visit),
            max_age=int(life.total_seconds()),
            secure=urlsplit(visit.context.settings.public_url).scheme == "https",
            httponly=True,
            samesite="lax",  # or it would not come along from the e-mail
        )


class OtpForm(msgspec.Struct, frozen=True, kw_only=True):
    """How the form stands. Of tries and times only those are known that are the visitor's to know."""

    sent_at: datetime | None
    left: timedelta = timedelta(0)
    """For how many minutes the code is still good."""
    tries_left: int | None = None
    send_wait: timedelta = timedelta(0)
    """After which another code can be sent."""
    try_wait: timedelta = timedelta(0)
    """After which a code can be tried."""


def read_cookie(request: PublicRequest) -> SentCode | None:
    """What the browser knows of a code; None where it does not send our cookie."""
    match = _COOKIE_VALUE.fullmatch(cookie_value(request, COOKIE) or "")
    if match is None:
        return None
    milliseconds = int(match[1])
    return SentCode(
        datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else None, match[2]
    )


def path_of(visit: PageView) -> str:
    """The path of the link's page."""
    return f"{visit.context.root}/pay/{visit.link.id}"


async def look_at_code(visit: PageView, sent: SentCode) -> OtpForm:
    """How the form for ``sent`` stands."""
    context, email = visit.context, canonical(visit.link.email)
    code = await context.pipeline.run(otps.outstanding(email, now=visit.now))
    if code is None or not hmac.compare_digest(
        sent.reference, derive_reference(context.otp_key, code.nonce)
    ):
        return OtpForm(sent_at=sent.sent_at)
    send_wait, try_wait = await operations.waiting_times(context, email, visit.client)
    return OtpForm(
        sent_at=sent.sent_at,
        left=timedelta(minutes=max(1, round((code.expires_at - visit.now).total_seconds() / 60))),
        tries_left=max(0, context.settings.otp.max_tries - code.tries),
        send_wait=send_wait,
        try_wait=try_wait,
    )


def is_outdated(visit: PageView, since: str) -> bool:
    """Whether a form is so old that its code has expired, and by now its cookie may have, too. ``since``: its hidden field."""
    if not re.fullmatch("[0-9]{1,13}", since):
        return False
    return (
        datetime.fromtimestamp(int(since) / 1000, UTC) + visit.context.settings.otp.ttl <= visit.now
    )


def expired_page(visit: PageView) -> Response[str]:
    """Asks for a code again where one came too late, and nothing else is known of it."""
    return otp_page(
        visit,
        OtpForm(sent_at=None),
        visit.language.messages.gettext("This code has expired. Ask for another."),
    )


def otp_page(
    visit: PageView,
    form: OtpForm,
    error: str = "",
    *,
    is_wrong: bool = False,
    is_too_soon: bool = False,
) -> Response[str]:
    """Asks for the code. ``error`` says what stands in the way, if not what became of the code does.

    ``is_wrong``: it was compared with ours. ``is_too_soon``: to send another.
    """
    language, gettext = visit.language, visit.language.messages.gettext
    if form.try_wait:
        error = gettext("Too many wrong codes. You can try again in %(span)s.") % {
            "span": language.format_wait(form.try_wait)
        }
    error = error or _what_became_of_it(visit, form, is_wrong=is_wrong)
    tries = form.tries_left
    has_failed = tries is not None and tries < visit.context.settings.otp.max_tries
    return visit.page(
        "code",
        form=form,
        since=int((form.sent_at or visit.now).timestamp() * 1000),
        email=mask(visit.link.email),
        error=error,
        tries=_say_tries(visit, tries or 0) if has_failed and not error else "",
        is_too_soon=is_too_soon and not form.try_wait,
    )


def _what_became_of_it(visit: PageView, form: OtpForm, *, is_wrong: bool) -> str:
    """Why the code does not open the link, if it does not."""
    gettext, tries = visit.language.messages.gettext, form.tries_left
    if tries == 0:
        return gettext("This code was tried too often. Ask for another.")
    if tries is not None:
        return _say_wrong(visit, tries) if is_wrong else ""
    if form.sent_at is not None and form.sent_at + visit.context.settings.otp.ttl <= visit.now:
        return gettext("This code has expired. Ask for another.")
    if is_wrong:
        return gettext("That is not the code, or it has expired.")
    return (
        gettext("This code is no longer good: it was used, or a newer one was sent.")
        if form.sent_at is not None
        else ""
    )


def _say_wrong(visit: PageView, tries: int) -> str:
    wrong = visit.language.messages.gettext("That is not the code.")
    return f"{wrong} {_say_tries(visit, tries)}"


def _say_tries(visit: PageView, tries: int) -> str:
    language = visit.language
    text = language.messages.ngettext(
        "You have %(number)s try left.", "You have %(number)s tries left.", tries
    )
    return text % {"number": language.format_number(tries)}
