"""Composes e-mails: their content with a sender, a recipient and an identity."""

from datetime import datetime

import msgspec

from service.errors import Invalid
from service.mails.rendering import MailContent
from service.orgs.model import Profile
from service.values.email import to_ascii
from tasks.mail.headers import is_address
from tasks.mail.mime import Mail, Sender, build_mail


def compose_mail(
    content: MailContent,
    *,
    recipient: str,
    profile: Profile,
    sender: Sender,
    now: datetime,
    identity: str,
    unsubscribe_url: str | None = None,
) -> Mail:
    """An e-mail with ``content``, in the name of the profile's organization.

    ``identity`` distinguishes it from every other e-mail; it becomes the Message-ID. A POST to
    ``unsubscribe_url`` stops e-mails of its kind.
    """
    return build_mail(
        sender=msgspec.structs.replace(sender, name=profile.display_name or sender.name),
        reply_to=_reply_to(profile),
        recipient=to_ascii(recipient),
        subject=content.subject,
        language=content.language,
        date=now,
        identity=identity,
        kind=content.kind,
        text=content.text,
        html=content.html,
        logo=profile.logo_file,
        unsubscribe_url=unsubscribe_url,
    )


def _reply_to(profile: Profile) -> str | None:
    """The profile's address, unless a header cannot hold it."""
    try:
        address = to_ascii(profile.reply_to or "")
    except Invalid:
        return None
    return address if is_address(address) else None
