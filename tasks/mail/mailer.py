"""What mailers have in common: how they take an e-mail, and how they report that they did not."""

from collections.abc import Callable
from typing import Self

from tasks.mail.headers import is_address
from tasks.mail.mime import BARE_LINE_BREAK, Mail

SEND_TIMEOUT_SECONDS = 10.0
"""The longest that one e-mail takes, from MAIL to the reply after its final dot."""


class Refused(Exception):
    """The server will never take this e-mail (5xx)."""


class Deferred(Exception):
    """The server did not take this e-mail now (4xx), or its reply got lost."""


class MailerUnavailable(Deferred):
    """No e-mail can be sent now: the server is down, for instance, or rejects the login."""


LeaseCheck = Callable[[], bool]
"""Waits for the store's reply, and returns whether the lease on an e-mail still holds."""


def skip_lease_check() -> LeaseCheck:
    """For an e-mail without a lease."""
    return lambda: True


def do_nothing() -> None:
    """For a caller without other work."""


class Mailer:
    """A session in which e-mails are sent one after the other."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the session."""

    @property
    def is_connected(self) -> bool:
        """Whether ``connect`` returns at once."""
        return True

    def connect(self) -> None:
        """Opens the session unless it is open.

        Raises:
            MailerUnavailable
        """

    def send(
        self,
        mail: Mail,
        *,
        timeout: float = SEND_TIMEOUT_SECONDS,
        start_lease_check: Callable[[], LeaseCheck] = skip_lease_check,
        while_waiting: Callable[[], object] = do_nothing,
    ) -> bool:
        """Sends ``mail`` within ``timeout`` seconds; returns False if its lease was lost before.

        ``start_lease_check`` only sends the question to the store: the reply is awaited after the
        server's. ``while_waiting`` runs while the server thinks about the content.

        Raises:
            Refused, Deferred, MailerUnavailable
        """
        raise NotImplementedError


def require_valid(mail: Mail) -> None:
    """Raises ``Refused`` if some programs would read more into the e-mail than we wrote."""
    if not (is_address(mail.sender) and is_address(mail.recipient)):
        raise Refused("the e-mail was not sent: its sender or recipient is not one address")
    if BARE_LINE_BREAK.search(mail.content.partition(b"\r\n\r\n")[0]):
        raise Refused("the e-mail was not sent: its head holds a bare CR, LF or NUL")
