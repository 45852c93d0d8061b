"""Sends e-mails to an SMTP server (RFC 5321), by aiosmtplib."""

import asyncio
import ipaddress
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import aiosmtplib
from aiohappyeyeballs import start_connection
from aiosmtplib import (
    SMTPConnectError,
    SMTPException,
    SMTPHeloError,
    SMTPResponseException,
    SMTPServerDisconnected,
)
from aiosmtplib.protocol import PERIOD_REGEX, normalize_message_line_endings

from tasks.mail.mailer import (
    ConfirmLease,
    Deferred,
    MailerUnavailable,
    MailSession,
    Refused,
    SessionEnded,
    Unconfirmed,
    Unsendable,
    require_valid,
)
from tasks.mail.mime import Mail

QUIT_TIMEOUT_SECONDS = 2.0
"""Limits QUIT, on which no e-mail depends."""
NEXT_ADDRESS_DELAY_SECONDS = 0.25
"""How long an address of the server may take before the next is tried beside it (RFC 8305)."""
LEASE_CHECK_TTL_SECONDS = 1.0
"""How long a lease that was confirmed before MAIL counts as confirmed before DATA."""
SUCCESS_CODES = range(200, 300)
START_CONTENT_CODE = 354
CLOSING_CODE = 421
SIZE_CODES = {552, 523}
"""Replies to MAIL that concern the size of the e-mail (RFC 1870)."""
CONNECTION_ERRORS = (SMTPException, OSError, ValueError)
"""Errors of the connection; a ValueError if SMTP cannot encode a host name, for instance."""


class SmtpSession(MailSession):
    """A session with STARTTLS (RFC 3207) or implicit TLS (RFC 8314), and AUTH (RFC 4954)."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        implicit_tls: bool = False,
        use_tls: bool = True,
        require_tls: bool = False,
        user: str | None = None,
        password: str | None = None,
        token_file: Path | None = None,
        tls: ssl.SSLContext,
        helo: str,
        timeout: float,
    ) -> None:
        """``timeout`` (s) limits the reply to the final dot; a fifth of it limits other steps."""
        self._address = (host, port)
        self._is_private = not use_tls
        self._confirm_timeout = timeout
        self._smtp = aiosmtplib.SMTP(
            hostname=host,
            username=user,
            password=password,
            oauth_token_generator=partial(self._read_token, token_file) if token_file else None,
            local_hostname=helo,
            timeout=timeout / 5,
            use_tls=implicit_tls,
            start_tls=False if implicit_tls or not use_tls else require_tls or None,
            tls_context=tls,
        )
        self._user = user
        self._secrets = [user, password, f"\0{user}\0{password}"] if user and password else []
        self._socket: socket.socket | None = None
        self._is_ready = self._needs_reset = False
        self.is_proven = False

    @property
    def is_open(self) -> bool:
        return self._is_ready and self._smtp.is_connected

    async def open(self) -> None:
        self._is_ready = self._needs_reset = self.is_proven = False
        try:
            self._socket = await self._connect()
            await self._smtp.connect(sock=self._socket)
            if self._smtp.is_ehlo_or_helo_needed:
                await self._greet()
            self._is_ready = True
        except CONNECTION_ERRORS as error:
            self.abort()
            raise MailerUnavailable(self._redact(_describe(error))) from error
        except asyncio.CancelledError:
            self.abort()
            raise

    async def send(self, mail: Mail, confirm_lease: ConfirmLease) -> None:
        require_valid(mail)
        try:
            if self._needs_reset:
                await self._run(self._smtp.rset(), failing=_end)
            self._needs_reset = True
            await confirm_lease()
            confirmed_at = time.monotonic()
            await self._send_envelope(mail.sender, mail.recipient, len(mail.content))
            if time.monotonic() > confirmed_at + LEASE_CHECK_TTL_SECONDS:
                await confirm_lease()
            await self._run(self._start_content(), failing=_blame_mail, expected=range(0))
            await self._run(self._send_content(mail.content), failing=_blame_content)
            self._needs_reset = False
        except asyncio.CancelledError:
            self.abort()  # in the middle of this e-mail
            raise

    async def keep_open(self) -> None:
        if self.is_open:
            with suppress(*CONNECTION_ERRORS):
                await self._smtp.noop()
        if not self.is_open:
            await self.open()
        self.is_proven = True

    def abort(self) -> None:
        if self._socket is not None:
            with suppress(OSError):  # or TLS waits for the server to agree
                self._socket.shutdown(socket.SHUT_RDWR)
        self._smtp.close()

    async def close(self) -> None:
        with suppress(*CONNECTION_ERRORS):
            if self.is_open:
                await self._smtp.quit(timeout=QUIT_TIMEOUT_SECONDS)
        self.abort()

    async def probe(self, sender: str, recipient: str | None) -> bool:
        """Sends an envelope, and takes it back; returns whether the session is encrypted.

        Raises:
            MailerUnavailable
            Refused, Deferred: the server does not take e-mails to ``recipient``.
        """
        await self.open()
        try:
            is_encrypted = self._smtp.get_transport_info("sslcontext") is not None
            await self._send_envelope(sender, recipient)
        finally:
            await self.close()
        return is_encrypted

    async def _connect(self) -> socket.socket:
        """Connects to the address of the host that answers first."""
        host, port = self._address
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._smtp.timeout):
            addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            connected = await start_connection(
                addresses, happy_eyeballs_delay=NEXT_ADDRESS_DELAY_SECONDS
            )
        if self._is_private and not ipaddress.ip_address(connected.getpeername()[0]).is_private:
            connected.close()
            raise ValueError("?tls=off is for a server on a private network only")
        return connected

    async def _greet(self) -> None:
        try:
            await self._smtp.ehlo()
        except SMTPHeloError:
            if not self._smtp.is_connected:
                raise
            await self._smtp.helo()

    async def _send_envelope(self, sender: str, recipient: str | None, size: int = 0) -> None:
        limit = self._smtp.esmtp_extensions.get("size")
        if limit and limit.isdecimal() and 0 < int(limit) < size:
            raise Unsendable(f"the e-mail has {size} bytes, and its server takes {limit}")
        options = [] if limit is None else [f"SIZE={size}"]
        failing = _blame_session if self.is_proven else _blame_sender
        await self._run(self._smtp.mail(sender, options=options), failing=failing)
        self.is_proven = True
        if recipient is not None:
            await self._run(self._smtp.rcpt(recipient), failing=_blame_mail)

    async def _start_content(self) -> None:
        reply = await self._smtp.execute_command(b"DATA")
        if reply.code != START_CONTENT_CODE:
            raise SMTPResponseException(*reply)

    async def _send_content(self, content: bytes) -> None:
        """Does what ``SMTP.data`` does after DATA, which does not tell how far it has come."""
        if (protocol := self._smtp.protocol) is None:
            raise SMTPServerDisconnected("Connection lost")
        lines = normalize_message_line_endings(content)
        protocol.write(PERIOD_REGEX.sub(b"..", lines) + b".\r\n")
        reply = await protocol.read_response(timeout=self._confirm_timeout)
        if reply.code not in SUCCESS_CODES:
            raise SMTPResponseException(*reply)

    async def _run(
        self,
        command: Awaitable[object],
        *,
        failing: Callable[[int, str], Exception],
        expected: range = SUCCESS_CODES,
    ) -> None:
        """Raises what ``failing`` makes of an error, with its code (0 without a reply).

        Errors with ``expected`` codes are none.
        """
        try:
            await command
        except CONNECTION_ERRORS as error:
            code = error.code if isinstance(error, SMTPResponseException) else 0
            if code in expected:
                return
            failure = failing(max(0, code), self._redact(_describe(error)))
            is_reply = 400 <= code <= 599 and code != CLOSING_CODE
            if not is_reply or isinstance(failure, SessionEnded):
                self.abort()
            raise failure from error

    async def _read_token(self, file: Path) -> str:
        token = (await asyncio.to_thread(file.read_text)).strip()
        self._secrets = [self._user or "", token, f"user={self._user}\1auth=Bearer {token}\1\1"]
        return token

    def _redact(self, reason: str) -> str:
        """``reason`` without the user and the password or token, which some servers repeat."""
        encoded = [b64encode(secret.encode()).decode() for secret in self._secrets]
        for secret in sorted({*self._secrets, *encoded}, key=len, reverse=True):
            reason = reason.replace(secret, "•••") if len(secret) >= 4 else reason
        return reason


def _end(_code: int, reason: str) -> Exception:
    return SessionEnded(reason)


def _blame_session(code: int, reason: str) -> Exception:
    """MAIL failed in a session that has worked, which may have had enough."""
    return Refused(reason) if code in SIZE_CODES else SessionEnded(reason)


def _blame_sender(code: int, reason: str) -> Exception:
    """MAIL failed: our fault, or that of the connection, save where the size is at fault."""
    return Refused(reason) if code in SIZE_CODES else MailerUnavailable(reason)


def _blame_mail(code: int, reason: str) -> Exception:
    """RCPT or DATA failed, for all that is known the fault of this e-mail."""
    return Refused(reason) if 500 <= code <= 599 else Deferred(reason)


def _blame_content(code: int, reason: str) -> Exception:
    """The content failed: without a reply, the server may have taken the e-mail."""
    return _blame_mail(code, reason) if code else Unconfirmed(reason)


def _describe(error: Exception) -> str:
    """The server's reply, or the network's error."""
    if isinstance(error, SMTPResponseException):
        message = error.message.encode(errors="surrogateescape").decode(errors="replace").strip()
        return f"{error.code} {message}" if error.code > 0 else message
    if isinstance(error, SMTPConnectError) and isinstance(error.__cause__, OSError):
        return _describe(error.__cause__)  # aiosmtplib's words name a port None
    if type(error) is SMTPException:
        return str(error)  # what the server does not offer, in aiosmtplib's words
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
