"""Servers, sessions and e-mails for tests of SMTP."""

import asyncio
import email
import email.policy
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from email.utils import make_msgid
from typing import Any, Self

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tasks.mail.mailer import ConfirmLease
from tasks.mail.mime import Mail
from tasks.mail.smtp import SmtpSession
from tasks.message import LeaseLost
from tests.support.scripted_smtp import ScriptedServer
from tests.support.servers import MailServer

USER, PASSWORD = "ann", "pass word+1"
SHORT_TIMEOUT = 1.5
"""Seconds for the reply to the final dot; 0.3 s for that to other steps."""


class CountingServer(MailServer):
    """A mail server that counts its connections, and records logins."""

    def __init__(self, **options: Any) -> None:
        self.connections = 0
        self.logins: list[tuple[str, bytes, bytes]] = []
        super().__init__(**options)

    def __enter__(self) -> Self:
        super().__enter__()
        self.connections = 0  # the controller's own, which only looks whether it runs
        return self

    def factory(self) -> SMTP:
        self.connections += 1
        served: SMTP = super().factory()  # type: ignore[no-untyped-call]
        return served

    def authenticate(
        self, _server: SMTP, _session: Session, _envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append((mechanism, data.login, data.password))
        return AuthResult(success=data.password == PASSWORD.encode(), handled=False)


def login_server(**options: Any) -> CountingServer:
    """A server that requires a login."""
    server = CountingServer(**options)
    server.SMTP_kwargs["authenticator"] = server.authenticate
    return server


async def lease_is_held() -> None:
    """A lease check that passes."""


async def lease_is_lost() -> None:
    """A lease check that fails."""
    raise LeaseLost


class BlockingSession:
    """Waits for what a session does, and opens it where it is not open, as workers do."""

    def __init__(self, session: SmtpSession, runner: asyncio.Runner) -> None:
        self._session = session
        self._runner = runner

    @property
    def is_open(self) -> bool:
        return self._session.is_open

    @property
    def is_proven(self) -> bool:
        return self._session.is_proven

    def open(self) -> None:
        self._runner.run(self._session.open())

    def send(self, mail: Mail, confirm_lease: ConfirmLease = lease_is_held) -> None:
        if not self.is_open:
            self.open()
        self._runner.run(self._session.send(mail, confirm_lease))

    def keep_open(self) -> None:
        self._runner.run(self._session.keep_open())


Server = MailServer | ScriptedServer | tuple[str, int]


@contextmanager
def blocking_session(server: Server, **options: Any) -> Iterator[BlockingSession]:
    """A session that is closed at the end."""
    session = session_with(server, **options)
    with asyncio.Runner() as runner:
        try:
            yield BlockingSession(session, runner)
        finally:
            runner.run(session.close())


def probe(server: Server, recipient: str | None = "jane@example.com", **options: Any) -> bool:
    return asyncio.run(session_with(server, **options).probe("pay@shop.example", recipient))


def session_with(server: Server, **options: Any) -> SmtpSession:
    host, port = (
        server
        if isinstance(server, tuple)
        else server.address
        if isinstance(server, ScriptedServer)
        else address_of(server)
    )
    defaults = {"tls": ssl.create_default_context(), "helo": "pay.example", "timeout": 50.0}
    return SmtpSession(host, port, **{**defaults, **options})


def address_of(server: MailServer) -> tuple[str, int]:
    return server.hostname, server.port


def mail_to(recipient: str = "jane@example.com", *, text: str = "Hello\n") -> Mail:
    message = EmailMessage()
    message["From"] = "Shop <pay@shop.example>"
    message["To"] = recipient
    message["Subject"] = "A link"
    message["Message-ID"] = make_msgid(domain="shop.example")
    message.set_content(text, cte="quoted-printable")
    return Mail(
        "pay@shop.example",
        recipient,
        message["Message-ID"],
        message.as_bytes(policy=email.policy.SMTP),
    )
