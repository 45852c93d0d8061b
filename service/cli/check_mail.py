"""What ``payment-links check`` checks of the mail server: whether it takes mail from us."""

import asyncio
import re

from config.settings import Settings
from config.urls import SmtpSettings
from service.cli.check_result import CheckResult, failure, ok, warning
from service.values.email import to_ascii
from tasks.mail.mailer import Deferred, MailerUnavailable, Refused
from tasks.runtime import smtp_session_factory

WITHOUT_TLS = "a relay on a private network can do without TLS: SMTP_URL=smtp://…?tls=off"
HINTS = {
    "(Hostname|IP address) mismatch": "SMTP_URL must name the host as its certificate does",
    "CERTIFICATE_VERIFY_FAILED": f"if the authority is your own, set SMTP_CA_FILE; {WITHOUT_TLS}",
    "WRONG_VERSION_NUMBER": "smtps:// needs a port that begins with TLS; smtp:// uses STARTTLS",
    "STARTTLS extension not supported": WITHOUT_TLS,
}
"""What to do about a reason that matches a pattern. The first match counts."""


def check_mail(settings: Settings, recipient: str | None) -> CheckResult:
    """Sends an envelope as far as MAIL FROM, or RCPT TO if there is a ``recipient``; no mail."""
    if settings.smtp is None:
        outbox = settings.data_dir / "outbox"
        return warning("mail", f"SMTP_URL is not set: mails become files in {outbox}")
    server = f"{settings.smtp.host}:{settings.smtp.port}"
    sender = f"mail from {settings.mail_bounces_to}"
    envelope = f"{sender} to {recipient}" if recipient else sender
    try:
        is_encrypted = _probe(settings, settings.smtp, recipient)
    except MailerUnavailable as error:
        return failure("mail", f"{server} takes no {sender}: {_explain(error)}")
    except Refused as error:
        return failure("mail", f"{server} takes no {envelope}: {_explain(error)}")
    except Deferred as error:
        return warning("mail", f"{server} takes no {envelope} for now: {_explain(error)}")
    if is_encrypted:
        return ok("mail", f"{server} takes {envelope} (TLS)")
    return warning("mail", f"{server} takes {envelope} (without TLS)")


def _probe(settings: Settings, smtp: SmtpSettings, recipient: str | None) -> bool:
    session = smtp_session_factory(settings, smtp)()
    address = to_ascii(recipient) if recipient else None
    return asyncio.run(session.probe(settings.mail_bounces_to, address))


def _explain(error: Exception) -> str:
    """The reason in one line, and what to do about it if that is known."""
    reason = " ".join(str(error).split())
    hints = [hint for pattern, hint in HINTS.items() if re.search(pattern, reason)]
    return "; ".join([reason, *hints[:1]])
