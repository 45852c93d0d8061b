"""A kind of mail is added by its entry in the registry and its templates, and by nothing else."""

import email
import email.policy
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from jinja2 import ChoiceLoader, DictLoader

from config.settings import load
from service.health.model import REASONS_IF_AWAY
from service.i18n.formats import get_formats, get_templates
from service.orgs.model import EMPTY_PROFILE
from service.outbox import store as outbox
from service.outbox.doorbell import take_pending
from service.outbox.queues import LINK_QUEUE, OTP_QUEUE, QUEUES, MailQueue
from service.storage.command import Command, command
from service.values.time import datetime_to_ms
from tasks.jobs import scan
from tasks.mail.mime import Mail
from tasks.mail.render import render_mail
from tasks.mail_kinds import registry
from tasks.mail_kinds.registry import MAIL_KINDS, MailKind, find_kind
from tasks.message import Outcome, Sent
from tasks.runtime import create_runtime, current_runtime
from tasks.worker import DoorbellWorker
from tests.support.delivery_harness import DeliveryHarness
from tests.support.servers import RedisServer

JANE = "jane@example.com"
RECEIPT_QUEUE = MailQueue("receipts", lambda partition: f"pl:{{{partition}}}:receipt_outbox")


class Receipt(NamedTuple):
    email: str
    expires_at: datetime


class ReceiptMails:
    def __init__(self, sender: str) -> None:
        self._sender = sender

    def load_claimed(
        self, partition: str, members: Sequence[str]
    ) -> Command[list[Receipt | ValueError | None]]:
        def decode(times: list[float]) -> list[Receipt | ValueError | None]:
            expires_at = datetime.fromtimestamp(times[0] / 1000).astimezone() + timedelta(hours=1)
            return [Receipt(member, expires_at) for member in members]

        return command(decode, "ZMSCORE", RECEIPT_QUEUE.outbox(partition), *members)

    def compose(self, payload: Receipt, now: datetime) -> Mail:
        return render_mail(
            "receipt",
            recipient=payload.email,
            subject="Thank you",
            values={},
            formats=get_formats("en"),
            profile=EMPTY_PROFILE,
            sender=self._sender,
            now=now,
            identity=payload.email,
        )

    def attempts(self, payload: Receipt) -> int:
        return 0

    def log_fields(self, partition: str, member: str) -> dict[str, str]:
        return {"kind": "receipt"}

    def settle(
        self,
        partition: str,
        member: str,
        outcome: Outcome,
        *,
        now: datetime,
        lease_deadline: datetime,
    ) -> Command[bool]:
        assert outcome == Sent()
        return command(bool, "ZREM", RECEIPT_QUEUE.outbox(partition), member)


RECEIPTS = MailKind(RECEIPT_QUEUE, lambda settings, _: ReceiptMails(settings.mail_from))


@pytest.fixture(autouse=True)
def receipts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry, and the templates."""
    monkeypatch.setattr(registry, "MAIL_KINDS", (*MAIL_KINDS, RECEIPTS))
    templates = get_templates("tasks.mail", "en")
    files = {"receipt.txt": "We got it.", "receipt.html": "<p>We got it.</p>"}
    assert templates.loader is not None
    monkeypatch.setattr(templates, "loader", ChoiceLoader([DictLoader(files), templates.loader]))


def test_the_scan_finds_a_new_kind_and_its_worker_sends_it(
    harness: DeliveryHarness, valkey: RedisServer, tmp_path: Path
) -> None:
    settings = load(
        {
            "SECRET_KEY": "correct horse battery staple, 32 bytes",
            "REDIS_URL": valkey.url,
            "PUBLIC_URL": "https://pay.example",
            "DATA_DIR": str(tmp_path),
        }
    )
    harness.redis.zadd(RECEIPT_QUEUE.outbox("3f"), {JANE: datetime_to_ms(harness.clock())})
    runtime = create_runtime(settings, find_kind("receipts"), harness.clock)
    current_runtime.set(runtime)
    scan()
    DoorbellWorker(runtime).work(burst=True, logging_level="CRITICAL")
    [file] = (tmp_path / "outbox").glob("*.eml")
    message = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
    assert (message["To"], message["Subject"]) == (JANE, "Thank you")
    assert not harness.client.run(outbox.has_pending("3f", [RECEIPT_QUEUE]))
    for queue in (LINK_QUEUE, OTP_QUEUE):
        assert take_pending(queue, runtime.rq_connection) == []
    runtime.client.close()
    runtime.rq_connection.close()


def test_the_service_knows_the_queue_of_each_kind() -> None:
    """Readiness, ``GET /outbox`` and the command work with these."""
    assert [kind.queue for kind in MAIL_KINDS] == list(QUEUES)


def test_readiness_has_a_reason_for_the_worker_of_each_queue() -> None:
    assert {queue.worker_name for queue in QUEUES} <= REASONS_IF_AWAY.keys()
