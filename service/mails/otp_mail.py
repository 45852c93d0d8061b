"""The mail that brings a one-time password to its recipient."""

from datetime import datetime, timedelta

from service.i18n.formats import get_formats
from service.mails.rendering import (
    MailContent,
    avoid_no_break_spaces,
    describe_contact,
    render_content,
)
from service.orgs.model import Profile
from service.otps.store import Otp
from service.values.languages import choose_locale


def render_otp_mail(otp: Otp, code: str, *, profile: Profile, now: datetime) -> MailContent:
    """What the mail with ``code`` says, which is good until ``otp`` expires."""
    formats = get_formats(choose_locale(otp.locale, profile.locale))
    minutes = max(1, round((otp.expires_at - now).total_seconds() / 60))
    org = profile.display_name or otp.org_id
    values: dict[str, object] = {
        "org": org and formats.isolate(org),
        "code": code,
        "contact": otp.org_id and describe_contact(otp.org_id, profile, formats),
        "span": avoid_no_break_spaces(formats.format_duration(timedelta(minutes=minutes))),
    }
    return render_content(
        "otp",
        subject=formats.messages.gettext("%(code)s is your payment code") % values,
        values=values,
        formats=formats,
        profile=profile,
    )
