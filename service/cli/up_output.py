"""What ``payment-links up`` prints: where everything is, and every mail that becomes a file."""

import email
import email.policy
import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import httpx

from config.settings import Settings
from service.auth.tokens import DEFAULT_ADMIN_TOKEN_LIFETIME, Admin, Role, issue_admin_token
from service.links.model import page_path
from service.notices.model import NoticeKind
from service.values.email import mask
from service.values.ids import LINK_ID_PATTERN
from tasks.mail.mime import KIND_HEADER

DIGIT = re.compile(r"\d")
LINK_URL = re.compile(rf"^https?://\S+{page_path(LINK_ID_PATTERN)}$", re.MULTILINE)
"""Finds the link in the text of a mail, where it has a line of its own."""
KINDS_WITHOUT_CODE = {"link", *NoticeKind}
EXAMPLE = (
    '{"email": "jane@example.com", "org_id": "acme", '
    '"payment_amount": 125000.50, "currency": "NGN"}'
)


def print_welcome(settings: Settings) -> None:
    """Waits until ``web`` answers, then prints its addresses, a token and a request to paste."""
    url = settings.local_url
    while not _answers(f"{url}/healthz"):
        time.sleep(0.1)
    lines = [
        "",
        "Payment Link Service is up. Ctrl-C stops it.",
        f"  API      {url}",
        f"  Console  {url}/console",
        f"  Schema   {url}/schema",
        f"  Mails    {_mail_destination(settings)}",
    ]
    if not (settings.admin_jwt_public_key or settings.admin_jwks_url):
        lines += _token_and_curl_lines(settings, url)
    click.echo("\n".join([*lines, ""]))


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).is_success
    except httpx.TransportError:
        return False


def _mail_destination(settings: Settings) -> str:
    if settings.smtp is not None:
        return f"to {settings.smtp.host}:{settings.smtp.port}"
    return f"files in {settings.data_dir / 'outbox'} (SMTP_URL is not set)"


def _token_and_curl_lines(settings: Settings, url: str) -> list[str]:
    token = issue_admin_token(
        settings.secret_key,
        Admin("payment-links up", Role.INTERNAL_ADMIN),
        now=datetime.now(UTC),
        lifetime=DEFAULT_ADMIN_TOKEN_LIFETIME,
        issuer=settings.admin_jwt_issuer,
    )
    hours = DEFAULT_ADMIN_TOKEN_LIFETIME // timedelta(hours=1)
    headers = f"-H 'Authorization: Bearer {token}' -H 'Content-Type: application/json'"
    return [
        f"  Token    {token}",
        f"           (internal-admin, {hours} hours; `payment-links token` makes others)",
        "  Try",
        f"curl -s {url}/payment-links {headers} -d '{EXAMPLE}'",
    ]


def print_mails(outbox: Path) -> None:
    """Prints each mail that is written to ``outbox`` from now on."""
    printed = set(outbox.glob("*.eml"))
    while True:
        for path in sorted(set(outbox.glob("*.eml")) - printed):
            printed.add(path)
            click.echo(describe_mail(path))
        time.sleep(0.3)


def describe_mail(path: Path) -> str:
    """The masked recipient, the subject, the link if there is one, and the file, in one line."""
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    recipient, subject = mask(str(message["To"])), str(message["Subject"])
    if (
        message[KIND_HEADER] not in KINDS_WITHOUT_CODE
    ):  # any other may hold one: its digits stay hidden
        return f"mail to {recipient}: {DIGIT.sub('•', subject)} ({path})"
    body = message.get_body(("plain",))
    url = LINK_URL.search(body.get_content() if body else "")
    return f"mail to {recipient}: {subject}" + (f" - {url[0]}" if url else "") + f" ({path})"
