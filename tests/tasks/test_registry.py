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
from service.mails.rendering import render_content
from service.notices.model import SampleNotice
from service.orgs.model import EMPTY_PROFILE, Profile
from service.otps.store import Otp
from service.outbox import store as outbox
from service.outbox.doorbell import take_pending
from service.outbox.queues import LINK_QUEUE, NOTICE_QUEUE, OTP_QUEUE, QUEUES, MailQueue
from service.storage.command import Command, command
from service.values.time import datetime_to_ms
from tasks.jobs import scan
from tasks.mail.compose import compose_mail
from tasks.mail.mime import Mail
from tasks.mail_kinds import registry
from tasks.mail_kinds.registry import MAIL_KINDS, MailKind, find_kind
from tasks.message import Outcome, Sent
from tasks.runtime import current_runtime, open_runtime
from tasks.worker import DoorbellWorker
from tests.support.delivery_harness import SENDER, DeliveryHarness, received
from tests.support.servers import RedisServer

JANE = "jane@example.com"
PARTITION = "3f"
RECEIPT_QUEUE = MailQueue("receipts", lambda partition: f"pl:{{{partition}}}:receipt_outbox")


class Receipt(NamedTuple):
    email: str
    expires_at: datetime
    org_id: str | None = None


class ReceiptMails:
    def load_claimed(
        self, partition: str, members: Sequence[str]
    ) -> Command[list[Receipt | ValueError | None]]:
        def decode(times: list[float]) -> list[Receipt | ValueError | None]:
            expires_at = datetime.fromtimestamp(times[0] / 1000).astimezone() + timedelta(hours=1)
            return [Receipt(member, expires_at) for member in members]

        return command(decode, "ZMSCORE", RECEIPT_QUEUE.outbox(partition), *members)

    def compose(self, payload: Receipt, profile: Profile, now: datetime) -> Mail:
        content = render_content(
            "receipt", subject="Thank you", values={}, formats=get_formats("en"), profile=profile
        )
        return compose_mail(
            content,
            recipient=payload.email,
            profile=profile,
            sender=SENDER,
            now=now,
            identity=payload.email,
        )

    def attempts(self, payload: Receipt) -> tuple[int, int]:
        return 0, 0

    def log_fields(self, partition: str, member: str) -> dict[str, str]:
        return {"kind": "receipt"}

    def settle(
        self,
        payload: Receipt,
        outcome: Outcome,
        *,
        profile: Profile,
        now: datetime,
        lease_deadline: datetime,
    ) -> Command[bool]:
        assert outcome == Sent()
        return command(bool, "ZREM", RECEIPT_QUEUE.outbox(PARTITION), payload.email)

    def requeue(self, payload: Receipt, at: datetime) -> Command[bool]:
        raise NotImplementedError


RECEIPTS = MailKind(RECEIPT_QUEUE, lambda _: ReceiptMails())


@pytest.fixture(autouse=True)
def receipts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry, and the templates."""
    monkeypatch.setattr(registry, "MAIL_KINDS", (*MAIL_KINDS, RECEIPTS))
    templates = get_templates("service.mails", "en")
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
    harness.redis.zadd(RECEIPT_QUEUE.outbox(PARTITION), {JANE: datetime_to_ms(harness.clock())})
    with open_runtime(settings, find_kind("receipts"), harness.clock) as runtime:
        current_runtime.set(runtime)
        scan()
        DoorbellWorker(runtime).work(burst=True, logging_level="CRITICAL")
        for queue in (LINK_QUEUE, OTP_QUEUE):
            assert take_pending(queue, runtime.rq_connection) == []
    [file] = (tmp_path / "outbox").glob("*.eml")
    message = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
    assert (message["To"], message["Subject"]) == (JANE, "Thank you")
    assert not harness.client.run(outbox.has_pending(PARTITION, [RECEIPT_QUEUE]))


def test_every_kind_is_from_the_sender_in_settings(harness: DeliveryHarness) -> None:
    settings = load(
        {
            "SECRET_KEY": "correct horse battery staple, 32 bytes",
            "REDIS_URL": "redis://localhost",
            "MAIL_FROM": '"Shop, Inc." <pay@shop.example>',
            "MAIL_BOUNCES_TO": "bounces@mail.example",
        }
    )
    otp = Otp(JANE, b"n" * 16, harness.clock() + timedelta(minutes=10), 0)
    sample = SampleNotice("acme", Profile(reply_to=JANE), harness.clock())
    payloads = {LINK_QUEUE: harness.add_link(), OTP_QUEUE: otp, NOTICE_QUEUE: sample}
    for kind in MAIL_KINDS:
        mail = kind.create_handler(settings).compose(
            payloads[kind.queue], EMPTY_PROFILE, harness.clock()
        )
        assert mail.sender == "bounces@mail.example"
        assert received(mail)["From"] == '"Shop, Inc." <pay@shop.example>'
        assert mail.message_id.endswith("@shop.example>")


def test_the_service_knows_the_queue_of_each_kind() -> None:
    """Readiness, ``GET /outbox`` and the command work with these."""
    assert [kind.queue for kind in MAIL_KINDS] == list(QUEUES)


def test_readiness_has_a_reason_for_the_worker_of_each_queue() -> None:
    assert {queue.worker_name for queue in QUEUES} <= REASONS_IF_AWAY.keys()
