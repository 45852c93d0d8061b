"""Sends e-mails to an SMTP server."""

import smtplib
import ssl
import time
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from tasks.mail.mailer import (
    SEND_TIMEOUT_SECONDS,
    Deferred,
    LeaseCheck,
    Mailer,
    MailerUnavailable,
    Refused,
    do_nothing,
    require_valid,
    skip_lease_check,
)
from tasks.mail.mime import Mail
from tasks.mail.smtp_session import SmtpSession

CONNECT_TIMEOUT_SECONDS = 10.0
"""Limits connecting, TLS and the login together."""
QUIT_TIMEOUT_SECONDS = 2.0
"""Limits RSET and QUIT, on which no e-mail depends."""
LEASE_CHECK_TTL_SECONDS = 0.1
"""How long the reply to a lease check is valid."""
START_INPUT_CODE = 354
"""The reply after which the server reads content, up to the final dot."""
AUTH_CODES = {530, 534, 535, 538}
"""Replies that concern the login, not the e-mail (RFC 4954, 6)."""
CONNECTION_ERRORS = (smtplib.SMTPException, OSError, UnicodeError)
"""Errors of the connection; a UnicodeError if SMTP cannot encode a host name or a password."""


class SmtpMailer(Mailer):
    """SMTP (RFC 5321) with STARTTLS (RFC 3207), implicit TLS (RFC 8314), AUTH and PIPELINING."""

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
        self._session: SmtpSession | None = None

    def __exit__(self, *exception: object) -> None:
        if self._session is not None and not any(exception):
            with suppress(smtplib.SMTPException, OSError):
                self._session.set_deadline(QUIT_TIMEOUT_SECONDS)
                self._session.quit()
        self._close()

    @property
    def is_connected(self) -> bool:
        return self._session is not None

    def connect(self) -> None:
        self._get_session()

    def send(
        self,
        mail: Mail,
        *,
        timeout: float = SEND_TIMEOUT_SECONDS,
        start_lease_check: Callable[[], LeaseCheck] = skip_lease_check,
        while_waiting: Callable[[], object] = do_nothing,
    ) -> bool:
        require_valid(mail)
        session = self._get_session()
        try:
            session.set_deadline(min(timeout, SEND_TIMEOUT_SECONDS))
            if not self._send_envelope(session, mail, start_lease_check):
                self._close()  # the only way to tell the server that no content follows
                return False
            session.send(_escape_dots(mail.content))
            while_waiting()
            _expect(session.getreply(), 250)
            return True
        except (Refused, Deferred):
            self._reset(session)
            raise
        except CONNECTION_ERRORS as error:
            self._close()
            raise Deferred(_describe(error)) from error
        except BaseException:
            self._close()  # in the middle of this e-mail
            raise

    def check_login_and_tls(self) -> bool:
        """Opens a session and closes it again; returns whether it is encrypted.

        Raises:
            MailerUnavailable
        """
        with self:
            return isinstance(self._get_session().sock, ssl.SSLSocket)

    def _get_session(self) -> SmtpSession:
        if self._session is None:
            self._session = self._open_session()
        return self._session

    def _open_session(self) -> SmtpSession:
        try:
            session = SmtpSession(*self._address, timeout=CONNECT_TIMEOUT_SECONDS)
        except CONNECTION_ERRORS as error:
            raise MailerUnavailable(_describe(error)) from error
        try:
            session.apply_deadline()
            self._log_in(session)
        except CONNECTION_ERRORS as error:
            session.close()
            raise MailerUnavailable(self._redact(_describe(error))) from error
        return session

    def _redact(self, reason: str) -> str:
        """``reason`` without the user and the password, which some servers repeat."""
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

    def _log_in(self, session: SmtpSession) -> None:
        """Reads the greeting, starts TLS, and authenticates."""
        host, _ = self._address
        if self._implicit_tls:
            session.sock = self._tls.wrap_socket(session.sock, server_hostname=host)
        code, text = session.getreply()
        if code != 220:
            raise smtplib.SMTPConnectError(code, text)
        session.ehlo_or_helo_if_needed()
        if not self._implicit_tls:
            if session.has_extn("starttls"):
                session.starttls(context=self._tls)
                session.ehlo()
            elif self._require_tls:
                raise smtplib.SMTPNotSupportedError(
                    f"{host} offers no STARTTLS, and the password is not sent without"
                )
        if self._credentials is not None:
            session.login(*self._credentials)

    def _send_envelope(
        self, session: SmtpSession, mail: Mail, start_lease_check: Callable[[], LeaseCheck]
    ) -> bool:
        """Sends MAIL, RCPT and DATA, and returns whether the lease still holds.

        The store is asked while the server thinks, and again if the server takes long.
        """
        started_at, is_leased = time.monotonic(), start_lease_check()
        size = f" SIZE={len(mail.content)}" if session.has_extn("size") else ""
        envelope = {
            f"MAIL FROM:<{mail.sender}>{size}": [250],
            f"RCPT TO:<{mail.recipient}>": [250, 251],
            "DATA": [START_INPUT_CODE],
        }
        try:
            _execute(session, envelope)
        finally:
            still_leased = is_leased()  # read in any case: it occupies a connection
        is_fresh = time.monotonic() - started_at < LEASE_CHECK_TTL_SECONDS
        return still_leased and (is_fresh or start_lease_check()())

    def _reset(self, session: SmtpSession) -> None:
        """Prepares the session for the next e-mail."""
        try:
            session.set_deadline(QUIT_TIMEOUT_SECONDS)
            if START_INPUT_CODE in session.read_pending_replies():
                self._close()
            else:
                _expect(session.rset(), 250)
        except (smtplib.SMTPException, OSError, Refused, Deferred):
            self._close()

    def _close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None


def _execute(session: SmtpSession, commands: Mapping[str, Sequence[int]]) -> None:
    """Sends commands, each with the codes that mean success; together if the server allows it."""
    groups = [list(commands)] if session.has_extn("pipelining") else [[each] for each in commands]
    for group in groups:
        session.send_commands(group)
        for command in group:
            _expect(session.getreply(), *commands[command])


def _expect(reply: tuple[int, bytes], *expected: int) -> None:
    code, text = reply
    if code in expected:
        return
    reason = f"{code} {text.decode(errors='replace')}"
    if code == 421:
        raise smtplib.SMTPServerDisconnected(reason)
    if code in AUTH_CODES:
        raise MailerUnavailable(reason)
    raise Refused(reason) if 500 <= code <= 599 else Deferred(reason)


def _escape_dots(content: bytes) -> bytes:
    """``content`` as DATA takes it: leading dots doubled, and a final dot (RFC 5321, 4.5.2)."""
    lines = [b"." + line if line.startswith(b".") else line for line in content.splitlines()]
    return b"\r\n".join([*lines, b".", b""])


def _describe(error: Exception) -> str:
    """The server's reply, or the network's error."""
    if isinstance(error, smtplib.SMTPResponseException):
        text = error.smtp_error
        words = text.decode(errors="replace") if isinstance(text, bytes) else text
        return f"{error.smtp_code} {words}"
    return f"{type(error).__name__}: {error}"
