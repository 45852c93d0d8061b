"""Servers, mailers and e-mails for tests of SMTP."""

import email
import email.policy
from email.message import EmailMessage
from email.utils import make_msgid
from typing import Any, Self

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tasks.mail.mime import Mail
from tasks.mail.smtp import SmtpMailer
from tests.support.scripted_smtp import ScriptedServer
from tests.support.servers import MailServer

USER, PASSWORD = "ann", "pass word+1"


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


def mailer_for(server: MailServer | ScriptedServer | tuple[str, int], **options: Any) -> SmtpMailer:
    host, port = (
        server
        if isinstance(server, tuple)
        else server.address
        if isinstance(server, ScriptedServer)
        else address_of(server)
    )
    return SmtpMailer(host, port, **{"implicit_tls": False, "require_tls": False, **options})


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
