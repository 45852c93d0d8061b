"""Handing mails over: to an SMTP server in one session, or to files where there is none."""

import os
import smtplib
import ssl
import time
from collections.abc import Callable
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import getaddresses
from pathlib import Path
from typing import Protocol, Self

SEND_BUDGET = 10.0
"""Seconds that one mail may take, from MAIL to the reply after its final dot."""
SESSION_TIMEOUT = 10.0
"""Seconds for each step of opening a session."""


class Refused(Exception):
    """The server will not take this mail, ever (5xx)."""


class Deferred(Exception):
    """The server did not take this mail now (4xx), or it is unknown whether it did."""


class NoSession(Deferred):
    """No mail can be handed over now: the server is away, or does not let us in."""


class Mailer(Protocol):
    """A session in which mails are handed over, one after the other."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def send(self, message: EmailMessage) -> None:
        """Hands ``message`` over. When this returns, whoever took it answers for it.

        Raises:
            Refused, Deferred, NoSession
        """


class SmtpMailer:
    """Speaks SMTP (RFC 5321) with STARTTLS (RFC 3207), implicit TLS (RFC 8314) and AUTH (RFC 4954)."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        implicit_tls: bool,
        require_tls: bool,
        user: str | None = None,
        password: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._address = (host, port)
        self._implicit_tls = implicit_tls
        self._require_tls = require_tls
        self._credentials = (user, password) if user and password else None
        self._tls = tls or ssl.create_default_context()
        self._smtp: smtplib.SMTP | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._smtp is not None:
            try:
                self._smtp.quit()
            except (smtplib.SMTPException, OSError):
                self._smtp.close()
            self._smtp = None

    def send(self, message: EmailMessage) -> None:
        smtp = self._smtp or self._open()
        try:
            self._transact(smtp, message, time.monotonic() + SEND_BUDGET)
        except (Refused, Deferred):
            self._reset(smtp)
            raise
        except (smtplib.SMTPException, OSError) as error:
            self._drop()
            raise Deferred(_reason(error)) from error

    def greet(self) -> bool:
        """Opens a session and leaves it again; gives whether it was secured.

        Raises:
            NoSession: the server is away, or does not let us in.
        """
        with self:
            return isinstance(self._open().sock, ssl.SSLSocket)

    def _open(self) -> smtplib.SMTP:
        """A session, ready for its first mail."""
        host, port = self._address
        try:
            if self._implicit_tls:
                smtp: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=SESSION_TIMEOUT, context=self._tls)
            else:
                smtp = smtplib.SMTP(host, port, timeout=SESSION_TIMEOUT)
        except (smtplib.SMTPException, OSError) as error:
            raise NoSession(_reason(error)) from error
        self._smtp = smtp
        try:
            self._introduce(smtp, host)
        except (smtplib.SMTPException, OSError) as error:
            self._drop()
            raise NoSession(_reason(error)) from error
        return smtp

    def _introduce(self, smtp: smtplib.SMTP, host: str) -> None:
        smtp.ehlo_or_helo_if_needed()
        if not self._implicit_tls:
            if smtp.has_extn("starttls"):
                smtp.starttls(context=self._tls)
                smtp.ehlo()
            elif self._require_tls:
                raise smtplib.SMTPNotSupportedError(f"{host} offers no STARTTLS, and the password is not sent without")
        if self._credentials is not None:
            smtp.login(*self._credentials)

    def _transact(self, smtp: smtplib.SMTP, message: EmailMessage, deadline: float) -> None:
        """One mail. Its session stays good where the server merely declines it."""
        sender = getaddresses([message["From"]])[0][1]
        recipient = getaddresses([message["To"]])[0][1]
        content = message.as_bytes(policy=SMTP)
        self._step(smtp, deadline, lambda: smtp.mail(sender, [f"size={len(content)}"] if smtp.has_extn("size") else []), 250)
        self._step(smtp, deadline, lambda: smtp.rcpt(recipient), 250, 251)
        self._step(smtp, deadline, lambda: smtp.data(content), 250)

    @staticmethod
    def _step(smtp: smtplib.SMTP, deadline: float, command: Callable[[], tuple[int, bytes]], *expected: int) -> None:
        if smtp.sock is None:
            raise smtplib.SMTPServerDisconnected("the server closed the connection")
        smtp.sock.settimeout(max(0.1, deadline - time.monotonic()))
        try:
            code, text = command()
        except smtplib.SMTPDataError as error:
            code, text = error.smtp_code, error.smtp_error if isinstance(error.smtp_error, bytes) else b""
        if code in expected:
            return
        reason = f"{code} {text.decode(errors='replace')}"
        if code == 421:
            raise smtplib.SMTPServerDisconnected(reason)
        raise Refused(reason) if 500 <= code <= 599 else Deferred(reason)

    def _reset(self, smtp: smtplib.SMTP) -> None:
        """Readies the session for the next mail; what the server said of this one stands."""
        try:
            smtp.rset()
        except (smtplib.SMTPException, OSError):
            self._drop()

    def _drop(self) -> None:
        if self._smtp is not None:
            self._smtp.close()
            self._smtp = None


class FileMailer:
    """Writes each mail as an ``.eml`` file, whole or not at all."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __enter__(self) -> Self:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def send(self, message: EmailMessage) -> None:
        name = f"{time.time_ns()}-{message['Message-ID'].strip('<>').partition('@')[0]}"
        partial = self._directory / f".{name}.partial"
        try:
            with open(partial, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
                file.write(message.as_bytes())
                file.flush()
                os.fsync(file.fileno())
            partial.rename(self._directory / f"{name}.eml")
        except OSError as error:
            raise NoSession(f"cannot write to {self._directory}: {error.strerror}") from error


def _reason(error: Exception) -> str:
    """What the server, or the network, said."""
    if isinstance(error, smtplib.SMTPResponseException):
        text = error.smtp_error
        return f"{error.smtp_code} {text.decode(errors='replace') if isinstance(text, bytes) else text}"
    return f"{type(error).__name__}: {error}"
