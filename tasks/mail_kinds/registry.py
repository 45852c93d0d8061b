"""All kinds of e-mail. Workers, jobs and the scan work with whatever is registered here."""

from collections.abc import Callable
from email.utils import parseaddr
from typing import Any, NamedTuple

from config.settings import Settings
from service.auth.tokens import derive_key
from service.outbox.queues import LINK_QUEUE, NOTICE_QUEUE, OTP_QUEUE, MailQueue
from tasks.delivery.sessions import PoolSize
from tasks.mail.mime import Sender
from tasks.mail_kinds.link_mails import LinkMailHandler
from tasks.mail_kinds.notice_mails import NoticeMailHandler
from tasks.mail_kinds.otp_mails import OtpMailHandler
from tasks.message import MailHandler

MAX_NOTICE_SESSIONS = 4
"""Sessions for notices, which nobody waits for."""


class MailKind(NamedTuple):
    """A kind of e-mail: where its messages wait, and what composes them.

    A new kind also needs templates in ``service/mails/templates`` and texts in the catalogs.
    """

    queue: MailQueue
    create_handler: Callable[[Settings], MailHandler[Any]]
    pool_size: Callable[[Settings], PoolSize] = lambda settings: PoolSize(0, settings.smtp_sessions)


def _sender(settings: Settings) -> Sender:
    name, address = parseaddr(settings.mail_from)
    return Sender(name, address, settings.mail_bounces_to)


MAIL_KINDS = (
    MailKind(
        LINK_QUEUE,
        lambda settings: LinkMailHandler(
            settings.public_url, _sender(settings), settings.retention
        ),
    ),
    MailKind(
        OTP_QUEUE,
        lambda settings: OtpMailHandler(derive_key(settings.secret_key, "otp"), _sender(settings)),
        lambda _: PoolSize(kept_open=4, maximum=32),
    ),
    MailKind(
        NOTICE_QUEUE,
        lambda settings: NoticeMailHandler(
            settings.public_url, _sender(settings), settings.retention
        ),
        lambda settings: PoolSize(0, min(MAX_NOTICE_SESSIONS, settings.smtp_sessions)),
    ),
)


def find_kind(queue_name: str) -> MailKind:
    """The kind whose messages wait in the queue.

    Raises:
        KeyError
    """
    return {kind.queue.name: kind for kind in MAIL_KINDS}[queue_name]
