"""What mail sessions have in common: how they take e-mails, and report that they do not."""

from collections.abc import Awaitable, Callable

from tasks.mail.headers import is_address
from tasks.mail.mime import BARE_LINE_BREAK, Mail


class Refused(Exception):
    """The server will never take this e-mail (5xx at RCPT or later)."""


class Unsendable(Exception):
    """No server can take this e-mail, or this server cannot: it is not offered."""


class Deferred(Exception):
    """The server did not take this e-mail now (4xx, or it hung up, at RCPT or later)."""


class Unconfirmed(Deferred):
    """The server has the whole e-mail, and its reply got lost: it may have taken it."""


class MailerUnavailable(Exception):
    """No e-mail can be sent: the server is down, for instance, or rejects the login or sender."""


class SessionEnded(MailerUnavailable):
    """The server has had enough of this session, which has worked: another session may do."""


ConfirmLease = Callable[[], Awaitable[None]]
"""Makes sure that the e-mail is still ours to send; raises if it is not."""


class MailSession:
    """Sends e-mails one after the other."""

    is_proven = True
    """Whether it has worked since it was opened: what fails now may be the session's fault."""

    @property
    def is_open(self) -> bool:
        return True

    async def open(self) -> None:
        """Opens the session, or opens it again.

        Raises:
            MailerUnavailable
        """

    async def send(self, mail: Mail, confirm_lease: ConfirmLease) -> None:
        """Sends ``mail``. ``confirm_lease`` is awaited before MAIL, and before a late DATA.

        Raises:
            Unsendable, Refused, Deferred, Unconfirmed, MailerUnavailable
        """
        raise NotImplementedError

    async def keep_open(self) -> None:
        """Makes sure that an idle session is open, and opens it again if it is not.

        Raises:
            MailerUnavailable
        """

    def abort(self) -> None:
        """Drops the connection: what is under way fails at once."""

    async def close(self) -> None:
        """Ends the session politely, if it is open."""


def require_valid(mail: Mail) -> None:
    """Raises ``Unsendable`` if some programs would read more into the e-mail than we wrote."""
    if not (is_address(mail.sender) and is_address(mail.recipient)):
        raise Unsendable("the e-mail was not sent: its sender or recipient is not one address")
    if BARE_LINE_BREAK.search(mail.content.partition(b"\r\n\r\n")[0]):
        raise Unsendable("the e-mail was not sent: its head holds a bare CR, LF or NUL")
