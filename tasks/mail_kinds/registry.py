"""All kinds of e-mail. Workers, jobs and the scan work with whatever is registered here."""

from collections.abc import Callable
from typing import Any, NamedTuple

from config.settings import Settings
from service.auth.tokens import derive_key
from service.outbox.queues import LINK_QUEUE, OTP_QUEUE, MailQueue
from tasks.mail.profiles import ProfileCache
from tasks.mail_kinds.link_mails import LinkMailHandler
from tasks.mail_kinds.otp_mails import OtpMailHandler
from tasks.message import MailHandler


class MailKind(NamedTuple):
    """A kind of e-mail: where its messages wait, and what composes them.

    A new kind also needs templates in ``tasks/mail/templates`` and texts in the catalogs.
    """

    queue: MailQueue
    create_handler: Callable[[Settings, ProfileCache], MailHandler[Any]]


MAIL_KINDS = (
    MailKind(
        LINK_QUEUE,
        lambda settings, profiles: LinkMailHandler(
            settings.public_url, settings.mail_from, profiles, settings.retention
        ),
    ),
    MailKind(
        OTP_QUEUE,
        lambda settings, profiles: OtpMailHandler(
            derive_key(settings.secret_key, "otp"), settings.mail_from, profiles
        ),
    ),
)


def find_kind(queue_name: str) -> MailKind:
    """The kind whose messages wait in the queue.

    Raises:
        KeyError
    """
    return {kind.queue.name: kind for kind in MAIL_KINDS}[queue_name]
