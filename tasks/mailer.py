"""Handing mails over: to an SMTP server in one session, or to files where there is none."""

import os
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import getaddresses
from pathlib import Path
from typing import Protocol, Self

SEND_BUDGET = 10.0
"""Seconds that one mail may take, from MAIL to the reply after its final dot."""
SESSION_TIMEOUT = 10.0
"""Seconds that opening a session may take."""
COURTESY = 2.0
"""Seconds that RSET and QUIT may take, on which no mail depends."""
NOT_LET_IN = {530, 534, 535, 538}
"""Replies that are about our login, not about a mail (RFC 4954, 6)."""
BROKEN = (smtplib.SMTPException, OSError, UnicodeError)
"""What ends a session; a UnicodeError comes from a host name or a password that cannot be put on the wire."""


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

    def connect(self) -> None:
        """Readies the session, if it is not: a lease is looked at after this, and before a mail.

        Raises:
            NoSession
        """

    def send(self, message: EmailMessage, *, within: float = SEND_BUDGET) -> None:
        """Hands ``message`` over, ``within`` so many seconds or not. When this returns, whoever took it answers for it.

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
        self._smtp: _Session | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._smtp is not None and not any(exception):
            with suppress(smtplib.SMTPException, OSError), self._smtp.within(COURTESY):
                self._smtp.quit()
        self._drop()

    def connect(self) -> None:
        self._session()

    def send(self, message: EmailMessage, *, within: float = SEND_BUDGET) -> None:
        smtp = self._session()
        try:
            with smtp.within(min(within, SEND_BUDGET)):
                self._transact(smtp, message)
        except (Refused, Deferred):
            self._reset(smtp)
            raise
        except BROKEN as error:
            self._drop()
            raise Deferred(_reason(error)) from error

    def greet(self) -> bool:
        """Opens a session and leaves it again; gives whether it was secured.

        Raises:
            NoSession: the server is away, or does not let us in.
        """
        with self:
            return isinstance(self._session().sock, ssl.SSLSocket)

    def _session(self) -> "_Session":
        if self._smtp is None:
            self._smtp = self._opened()
        return self._smtp

    def _opened(self) -> "_Session":
        """A session, ready for its first mail."""
        deadline = time.monotonic() + SESSION_TIMEOUT
        try:
            smtp = _Session(*self._address)
        except BROKEN as error:
            raise NoSession(_reason(error)) from error
        try:
            with smtp.within(deadline - time.monotonic()):
                self._introduce(smtp)
        except BROKEN as error:
            smtp.close()
            raise NoSession(_reason(error)) from error
        return smtp

    def _introduce(self, smtp: "_Session") -> None:
        host, _ = self._address
        if self._implicit_tls:
            smtp.sock = self._tls.wrap_socket(smtp.sock, server_hostname=host)
        code, text = smtp.getreply()
        if code != 220:
            raise smtplib.SMTPConnectError(code, text)
        smtp.ehlo_or_helo_if_needed()
        if not self._implicit_tls:
            if smtp.has_extn("starttls"):
                smtp.starttls(context=self._tls)
                smtp.ehlo()
            elif self._require_tls:
                raise smtplib.SMTPNotSupportedError(f"{host} offers no STARTTLS, and the password is not sent without")
        if self._credentials is not None:
            smtp.login(*self._credentials)

    def _transact(self, smtp: "_Session", message: EmailMessage) -> None:
        """One mail. Its session stays good where the server merely declines it."""
        sender = getaddresses([message["From"]])[0][1]
        recipient = getaddresses([message["To"]])[0][1]
        content = message.as_bytes(policy=SMTP)
        self._step(lambda: smtp.mail(sender, [f"size={len(content)}"] if smtp.has_extn("size") else []), 250)
        self._step(lambda: smtp.rcpt(recipient), 250, 251)
        self._step(lambda: smtp.data(content), 250)

    @staticmethod
    def _step(command: Callable[[], tuple[int, bytes]], *expected: int) -> None:
        try:
            code, text = command()
        except smtplib.SMTPDataError as error:
            code, text = error.smtp_code, error.smtp_error if isinstance(error.smtp_error, bytes) else b""
        if code in expected:
            return
        reason = f"{code} {text.decode(errors='replace')}"
        if code == 421:
            raise smtplib.SMTPServerDisconnected(reason)
        if code in NOT_LET_IN:
            raise NoSession(reason)
        raise Refused(reason) if 500 <= code <= 599 else Deferred(reason)

    def _reset(self, smtp: "_Session") -> None:
        """Readies the session for the next mail; what the server said of this one stands."""
        try:
            with smtp.within(COURTESY):
                smtp.rset()
        except (smtplib.SMTPException, OSError):
            self._drop()

    def _drop(self) -> None:
        if self._smtp is not None:
            self._smtp.close()
            self._smtp = None


class _Session(smtplib.SMTP):
    """A connection whose steps can be given a time: the socket's own begins anew with every byte that trickles in."""

    sock: socket.socket

    def __init__(self, host: str, port: int) -> None:
        super().__init__(timeout=SESSION_TIMEOUT)
        self._host = host  # the name that certificates are checked for
        self.sock = _dial(host, port)
        self._line = self.sock.dup()  # of the same connection, whatever TLS makes of the other

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Ends the connection after ``seconds``."""
        timer = threading.Timer(seconds, self._hang_up)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def close(self) -> None:
        super().close()
        self._line.close()

    def _hang_up(self) -> None:
        with suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)


class FileMailer:
    """Writes each mail as an ``.eml`` file, whole or not at all."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def connect(self) -> None:
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise NoSession(f"cannot write to DATA_DIR: {error.strerror}") from error

    def send(self, message: EmailMessage, *, within: float = SEND_BUDGET) -> None:
        self.connect()
        name = f"{time.time_ns()}-{message['Message-ID'].strip('<>').partition('@')[0]}"
        partial = self._directory / f".{name}.partial"
        try:
            with open(partial, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
                file.write(message.as_bytes())
                file.flush()
                os.fsync(file.fileno())
            partial.rename(self._directory / f"{name}.eml")
        except OSError as error:
            raise NoSession(f"cannot write to DATA_DIR: {error.strerror}") from error


def _dial(host: str, port: int) -> socket.socket:
    """A connection to the first of the host's addresses that answers; all of them together have the time of one session."""
    addresses = [(str(address[0]), int(address[1])) for *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    deadline = time.monotonic() + SESSION_TIMEOUT
    while True:
        share = max(0.01, deadline - time.monotonic()) / len(addresses)
        try:
            dialled = socket.create_connection(addresses.pop(0), share)
        except OSError:
            if not addresses:
                raise
        else:
            dialled.settimeout(SESSION_TIMEOUT)
            return dialled


def _reason(error: Exception) -> str:
    """What the server, or the network, said."""
    if isinstance(error, smtplib.SMTPResponseException):
        text = error.smtp_error
        return f"{error.smtp_code} {text.decode(errors='replace') if isinstance(text, bytes) else text}"
    return f"{type(error).__name__}: {error}"
