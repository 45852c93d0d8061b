"""Handing mails over: to an SMTP server in one session, or to files where there is none."""

import os
import smtplib
import ssl
import time
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol, Self

from tasks.mail.mime import Mail, fault_of
from tasks.mail.smtp import Session

SEND_BUDGET = 10.0
"""Seconds that one mail may take, from MAIL to the reply after its final dot."""
SESSION_TIMEOUT = 10.0
"""Seconds that opening a session may take."""
FRESH = 0.1
"""Seconds for which it counts that a mail is still owed."""
COURTESY = 2.0
"""Seconds that RSET and QUIT may take, on which no mail depends."""
CONTENT_NEXT = 354
"""The reply after which all that a server hears is the mail's content, up to its final dot."""
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


Verdict = Callable[[], bool]
"""Waits for the answer to whether a mail is still owed, and gives it."""


def nothing() -> None:
    """What is done meanwhile where there is nothing to do."""


def always() -> Verdict:
    """What asks about a mail that nobody takes back."""
    return lambda: True


class Mailer(Protocol):
    """A session in which mails are handed over, one after the other."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    @property
    def ready(self) -> bool:
        """Whether ``connect`` takes no time."""

    def connect(self) -> None:
        """Readies the session, if it is not: a lease is looked at after this, and before a mail.

        Raises:
            NoSession
        """

    def send(
        self,
        mail: Mail,
        *,
        within: float = SEND_BUDGET,
        owed: Callable[[], Verdict] = always,
        meanwhile: Callable[[], object] = nothing,
    ) -> bool:
        """Hands ``mail`` over, ``within`` so many seconds or not, unless it is not ``owed`` when its content is due.

        When this returns True, whoever took it answers for it. ``owed`` only asks; ``meanwhile`` is done where there is time until
        that is known.

        Raises:
            Refused, Deferred, NoSession
        """


class SmtpMailer:
    """Speaks SMTP (RFC 5321) with STARTTLS (RFC 3207), implicit TLS (RFC 8314), AUTH (RFC 4954) and PIPELINING (RFC 2920)."""

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
        self._smtp: Session | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._smtp is not None and not any(exception):
            with suppress(smtplib.SMTPException, OSError):
                self._smtp.end_after(COURTESY)
                self._smtp.quit()
        self._drop()

    @property
    def ready(self) -> bool:
        return self._smtp is not None

    def connect(self) -> None:
        self._session()

    def send(
        self,
        mail: Mail,
        *,
        within: float = SEND_BUDGET,
        owed: Callable[[], Verdict] = always,
        meanwhile: Callable[[], object] = nothing,
    ) -> bool:
        _require_sound(mail)
        smtp = self._session()
        try:
            smtp.end_after(min(within, SEND_BUDGET))
            if not self._is_wanted(smtp, mail, owed):
                self._drop()  # the server waits for the content, and cannot be told otherwise that none comes
                return False
            self._send_content(smtp, mail, meanwhile)
            return True
        except (Refused, Deferred):
            self._reset(smtp)
            raise
        except BROKEN as error:
            self._drop()
            raise Deferred(_reason(error)) from error
        except BaseException:
            self._drop()  # in the middle of this mail
            raise

    def greet(self) -> bool:
        """Opens a session and leaves it again; gives whether it was secured.

        Raises:
            NoSession: the server is away, or does not let us in.
        """
        with self:
            return isinstance(self._session().sock, ssl.SSLSocket)

    def _session(self) -> Session:
        if self._smtp is None:
            self._smtp = self._opened()
        return self._smtp

    def _opened(self) -> Session:
        """A session, ready for its first mail."""
        deadline = time.monotonic() + SESSION_TIMEOUT
        try:
            smtp = Session(*self._address, within=SESSION_TIMEOUT)
        except BROKEN as error:
            raise NoSession(_reason(error)) from error
        try:
            smtp.end_after(deadline - time.monotonic())
            self._introduce(smtp)
        except BROKEN as error:
            smtp.close()
            raise NoSession(self._redacted(_reason(error))) from error
        return smtp

    def _redacted(self, reason: str) -> str:
        """``reason`` without the user and the password, which some servers repeat as they got them."""
        if self._credentials is None:
            return reason
        user, password = (secret.encode() for secret in self._credentials)
        encoded = [
            b64encode(secret).decode()
            for secret in (user, password, b"\0" + user + b"\0" + password)
        ]
        for secret in sorted({*self._credentials, *encoded}, key=len, reverse=True):
            reason = reason.replace(secret, "•••") if len(secret) >= 4 else reason
        return reason

    def _introduce(self, smtp: Session) -> None:
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
                raise smtplib.SMTPNotSupportedError(
                    f"{host} offers no STARTTLS, and the password is not sent without"
                )
        if self._credentials is not None:
            smtp.login(*self._credentials)

    def _is_wanted(self, smtp: Session, mail: Mail, owed: Callable[[], Verdict]) -> bool:
        """By the server, which then waits for the content, and still by us.

        That is asked while the server thinks, and again where it thought for long.
        """
        began, answer = time.monotonic(), owed()
        try:
            size = f" SIZE={len(mail.content)}" if smtp.has_extn("size") else ""
            self._say(
                smtp,
                {
                    f"MAIL FROM:<{mail.sender}>{size}": [250],
                    f"RCPT TO:<{mail.recipient}>": [250, 251],
                    "DATA": [CONTENT_NEXT],
                },
            )
        finally:
            is_owed = answer()
        return is_owed and (time.monotonic() - began < FRESH or owed()())

    def _say(self, smtp: Session, commands: Mapping[str, Sequence[int]]) -> None:
        """Says commands, each with the codes to expect: all in one go where the server takes that (RFC 2920)."""
        groups = (
            [list(commands)] if smtp.has_extn("pipelining") else [[command] for command in commands]
        )
        for group in groups:
            smtp.put(group)
            for command in group:
                self._expect(smtp.getreply(), *commands[command])

    def _send_content(self, smtp: Session, mail: Mail, meanwhile: Callable[[], object]) -> None:
        smtp.send(_on_the_wire(mail.content))
        meanwhile()
        self._expect(smtp.getreply(), 250)

    @staticmethod
    def _expect(reply: tuple[int, bytes], *expected: int) -> None:
        code, text = reply
        if code in expected:
            return
        reason = f"{code} {text.decode(errors='replace')}"
        if code == 421:
            raise smtplib.SMTPServerDisconnected(reason)
        if code in NOT_LET_IN:
            raise NoSession(reason)
        raise Refused(reason) if 500 <= code <= 599 else Deferred(reason)

    def _reset(self, smtp: Session) -> None:
        """Readies the session for the next mail; what the server said of this one stands."""
        try:
            smtp.end_after(COURTESY)
            if CONTENT_NEXT in smtp.hear_out():
                self._drop()
            else:
                self._expect(smtp.rset(), 250)
        except (smtplib.SMTPException, OSError, Refused, Deferred):
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
        return self

    def __exit__(self, *_: object) -> None:
        pass

    @property
    def ready(self) -> bool:
        return True

    def connect(self) -> None:
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise NoSession(f"cannot write to DATA_DIR: {error.strerror}") from error

    def send(
        self,
        mail: Mail,
        *,
        within: float = SEND_BUDGET,
        owed: Callable[[], Verdict] = always,
        meanwhile: Callable[[], object] = nothing,
    ) -> bool:
        _require_sound(mail)
        self.connect()
        if not owed()():
            return False
        name = f"{time.time_ns()}-{mail.message_id.strip('<>').partition('@')[0]}"
        partial = self._directory / f".{name}.partial"
        try:
            with open(
                partial, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)
            ) as file:
                file.write(mail.content.replace(b"\r\n", b"\n"))
                file.flush()
                os.fsync(file.fileno())
            partial.rename(self._directory / f"{name}.eml")
        except OSError as error:
            raise NoSession(f"cannot write to DATA_DIR: {error.strerror}") from error
        return True


def _require_sound(mail: Mail) -> None:
    if (fault := fault_of(mail)) is not None:
        raise Refused(f"the e-mail was not sent: {fault}")


def _on_the_wire(content: bytes) -> bytes:
    """The content's lines, whatever ends them, with dots doubled where they begin one, and the final dot (RFC 5321, 4.5.2)."""
    lines = [b"." + line if line.startswith(b".") else line for line in content.splitlines()]
    return b"\r\n".join([*lines, b".", b""])


def _reason(error: Exception) -> str:
    """What the server, or the network, said."""
    if isinstance(error, smtplib.SMTPResponseException):
        text = error.smtp_error
        return f"{error.smtp_code} {text.decode(errors='replace') if isinstance(text, bytes) else text}"
    return f"{type(error).__name__}: {error}"
