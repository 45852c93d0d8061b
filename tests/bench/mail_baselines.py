"""What else sends mails: a bare ``smtplib`` loop, and processes as Celery's prefork pool has them.

Both send the same links with the same templates.
"""

import multiprocessing
import smtplib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formataddr, formatdate, make_msgid
from typing import Any
from unittest.mock import patch

import redis

from service.links import store as links
from service.links.model import Link, page_path
from service.orgs.model import Profile
from tasks.mail import compose
from tasks.mail.mime import Mail, Sender
from tasks.mail_kinds.link_mails import compose_link_mail
from tests.support.redis_client import RedisClient, create_client

PROCESSES = 4
JOBS = "jobs"
SENDER = Sender("Acme Pay", "pay@acme.example", "pay@acme.example")


def send_one_by_one(made: Sequence[Link], port: int) -> None:
    """Composes and sends a mail for each link in one session."""
    with smtplib.SMTP("127.0.0.1", port) as smtp:
        for link in made:
            mail = _compose(link)
            smtp.sendmail(mail.sender, mail.recipient, mail.content)


@contextmanager
def prefork_pool(store_url: str, port: int) -> Iterator[list[int]]:
    """Processes that take ids of links from the list ``JOBS``. Gives their pids."""
    spawn = multiprocessing.get_context("spawn")
    pool = [spawn.Process(target=_work, args=(store_url, port)) for _ in range(PROCESSES)]
    for process in pool:
        process.start()
    try:
        yield [process.pid for process in pool if process.pid is not None]
    finally:
        for process in pool:
            process.kill()
            process.join()


def _work(store_url: str, port: int) -> None:
    """Does as a task does that calls Django's ``EmailMultiAlternatives.send``: a session a mail."""
    client = RedisClient(create_client(store_url))
    with redis.Redis.from_url(store_url, decode_responses=True, socket_timeout=None) as jobs:
        while True:
            _, link_id = jobs.blpop([JOBS])
            link = client.run(links.get(link_id))
            assert link is not None
            with patch.object(compose, "build_mail", _build_email_message):
                mail = _compose(link)
            with smtplib.SMTP("127.0.0.1", port) as smtp:
                smtp.sendmail(mail.sender, mail.recipient, mail.content)


def _compose(link: Link) -> Mail:
    return compose_link_mail(
        link,
        profile=Profile(),
        url=f"https://pay.example{page_path(link.id)}",
        sender=SENDER,
        now=datetime.now(UTC),
    )


def _build_email_message(
    *, sender: Sender, recipient: str, subject: str, text: str, html: str, **_: Any
) -> Mail:
    """The usual way to build it."""
    message = EmailMessage()
    message["From"] = formataddr((sender.name, sender.address))
    message["To"] = recipient
    message["Subject"] = subject
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid(domain="acme.example")
    message.set_content(text)
    message.add_alternative(html, subtype="html")
    return Mail(sender.address, recipient, message["Message-ID"], message.as_bytes(policy=SMTP))
