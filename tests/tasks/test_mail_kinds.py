"""The two kinds of e-mail: links, and one-time passwords, which are never stored."""

import re
from datetime import timedelta
from email.message import EmailMessage

import msgspec
import pytest
from structlog.testing import CapturingLogger

from service.links.model import Delivery as MailState
from service.links.model import DeliveryState
from service.orgs.model import EMPTY_PROFILE
from service.otps import store as otps
from service.otps.model import derive_code
from service.outbox import store as outbox
from service.outbox.queues import OTP_QUEUE
from service.storage import keys
from service.values.ids import partition_of
from tasks.delivery import queue_runner
from tasks.mail.mailer import Deferred, MailerUnavailable, Refused
from tasks.mail_kinds.link_mails import LinkMailHandler
from tasks.mail_kinds.otp_mails import OtpMailHandler
from tasks.message import SkipMessage
from tests.support.delivery_harness import (
    OTP_KEY,
    PARTITION,
    RETENTION,
    SENDER,
    DeliveryHarness,
    received,
    text_of,
)
from tests.support.scripted_smtp import ScriptedMailer, refusing

JANE = "jane@example.com"
JANES = partition_of(JANE)


def code_in(message: EmailMessage) -> str:
    [code] = re.findall(r"\b[0-9]{6}\b", text_of(message))
    return str(code)


class TestLinkMail:
    def test_it_leads_to_the_public_url(self, harness: DeliveryHarness) -> None:
        link = harness.add_link()
        message = LinkMailHandler("https://shop.example/links", SENDER, RETENTION).compose(
            link, EMPTY_PROFILE, harness.clock()
        )
        assert f"https://shop.example/links/pay/{link.id}" in text_of(received(message))

    @pytest.mark.parametrize(
        "state", [DeliveryState.SENT, DeliveryState.FAILED, DeliveryState.NONE], ids=str
    )
    def test_it_is_skipped_in_every_other_delivery_state(
        self, harness: DeliveryHarness, state: DeliveryState
    ) -> None:
        link = msgspec.structs.replace(harness.add_link(), delivery=MailState(state))
        with pytest.raises(SkipMessage, match=state.value):
            LinkMailHandler("https://pay.example", SENDER, RETENTION).compose(
                link, EMPTY_PROFILE, harness.clock()
            )

    @pytest.mark.parametrize("state", [DeliveryState.QUEUED, DeliveryState.SCHEDULED], ids=str)
    def test_it_is_composed_while_its_delivery_is_pending(
        self, harness: DeliveryHarness, state: DeliveryState
    ) -> None:
        link = msgspec.structs.replace(harness.add_link(), delivery=MailState(state))
        assert (
            LinkMailHandler("https://pay.example", SENDER, RETENTION)
            .compose(link, EMPTY_PROFILE, harness.clock())
            .recipient
            == JANE
        )

    def test_a_revoked_link_has_no_mail(self, harness: DeliveryHarness) -> None:
        link = msgspec.structs.replace(harness.add_link(), revoked_at=harness.clock())
        with pytest.raises(SkipMessage, match="revoked"):
            LinkMailHandler("https://pay.example", SENDER, RETENTION).compose(
                link, EMPTY_PROFILE, harness.clock()
            )

    def test_a_log_names_a_link_by_its_beginning(self, harness: DeliveryHarness) -> None:
        link = harness.add_link()
        about = LinkMailHandler("https://pay.example", SENDER, RETENTION).log_fields(
            PARTITION, keys.local_id(link.id)
        )
        assert about == {"kind": "link", "link": f"{link.id[:11]}…"}

    def test_a_scheduled_link_counts_as_queued_once_it_is_claimed(
        self, harness: DeliveryHarness
    ) -> None:
        link = harness.add_link(scheduled_at=harness.clock() + timedelta(hours=1))
        harness.clock.advance(hours=1)
        seen = []
        harness.link_worker(ScriptedMailer(lambda _: seen.append(harness.state(link)))).run(
            [PARTITION]
        )
        assert seen == [DeliveryState.QUEUED]


class TestOtpMail:
    def test_a_code_is_mailed_once(self, harness: DeliveryHarness) -> None:
        nonce = harness.add_code()
        mailer = ScriptedMailer()
        for _ in range(2):
            harness.code_worker(mailer).run([JANES])
            harness.clock.advance(seconds=30)
        assert mailer.recipients == [JANE]
        assert code_in(mailer.sent[0]) == derive_code(OTP_KEY, nonce, JANE)
        assert harness.code_lease_of(JANE) is None

    def test_a_code_that_is_out_can_be_submitted(self, harness: DeliveryHarness) -> None:
        nonce = harness.add_code()
        harness.code_worker(ScriptedMailer()).run([JANES])
        assert (
            harness.client.run(
                otps.start_attempt(
                    JANE, "192.0.2.1", now=harness.clock(), max_tries=5, failures_per_day=10
                )
            )
            == nonce
        )

    def test_the_code_is_not_in_redis(self, harness: DeliveryHarness) -> None:
        nonce = harness.add_code()
        harness.code_worker(ScriptedMailer()).run([JANES])
        code = derive_code(OTP_KEY, nonce, JANE)
        values = [
            value
            for key in harness.redis.scan_iter(_type="hash")
            for value in harness.redis.hgetall(key).values()
        ]
        assert values
        assert code not in values

    def test_its_log_contains_neither_code_nor_address(
        self, harness: DeliveryHarness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        nonce, log = harness.add_code(), CapturingLogger()
        monkeypatch.setattr(queue_runner, "log", log)
        harness.code_worker(ScriptedMailer()).run([JANES])
        assert [call.args for call in log.calls] == [("mail_sent",)]
        assert JANE not in str(log.calls)
        assert derive_code(OTP_KEY, nonce, JANE) not in str(log.calls)
        assert nonce.hex() not in str(log.calls)

    def test_a_log_names_an_address_by_its_mask(self, harness: DeliveryHarness) -> None:
        assert OtpMailHandler(OTP_KEY, SENDER).log_fields(JANES, JANE) == {
            "kind": "otp",
            "email": "j***@example.com",
        }

    def test_an_expired_code_is_not_mailed(self, harness: DeliveryHarness) -> None:
        harness.add_code()
        harness.clock.advance(minutes=10)
        mailer = ScriptedMailer()
        harness.code_worker(mailer).run([JANES])
        assert mailer.sent == []
        assert harness.code_lease_of(JANE) is None

    def test_a_code_is_mailed_until_the_millisecond_it_expires(
        self, harness: DeliveryHarness
    ) -> None:
        harness.add_code()
        harness.clock.advance(minutes=9, seconds=59, milliseconds=999)
        mailer = ScriptedMailer()
        harness.code_worker(mailer).run([JANES])
        assert len(mailer.sent) == 1

    def test_a_deleted_code_leaves_the_outbox(self, harness: DeliveryHarness) -> None:
        harness.add_code()
        harness.redis.delete(keys.otp(JANE))
        mailer = ScriptedMailer()
        harness.code_worker(mailer).run([JANES])
        assert mailer.sent == []
        assert harness.code_lease_of(JANE) is None

    def test_a_code_that_was_used_is_not_mailed_again(self, harness: DeliveryHarness) -> None:
        nonce = harness.add_code()
        harness.code_worker(ScriptedMailer(refusing(error=Deferred("450 later")))).run([JANES])
        assert harness.client.run(
            otps.redeem(
                JANE, "192.0.2.1", nonce, now=harness.clock(), verified_for=timedelta(hours=24)
            )
        )
        harness.clock.advance(minutes=1)
        mailer = ScriptedMailer()
        harness.code_worker(mailer).run([JANES])
        assert mailer.sent == []

    def test_a_deferred_code_is_tried_again_and_is_the_same(self, harness: DeliveryHarness) -> None:
        nonce = harness.add_code()
        for wait in (5, 15, 45):
            harness.code_worker(ScriptedMailer(refusing(error=Deferred("450 later")))).run([JANES])
            assert harness.code_lease_of(JANE) == harness.clock() + timedelta(seconds=wait)
            harness.clock.advance(seconds=wait)
        mailer = ScriptedMailer()
        harness.code_worker(mailer).run([JANES])
        assert [code_in(message) for message in mailer.sent] == [derive_code(OTP_KEY, nonce, JANE)]

    def test_a_refused_code_is_given_up(self, harness: DeliveryHarness) -> None:
        harness.add_code()
        harness.code_worker(ScriptedMailer(refusing(error=Refused("550 no such user")))).run(
            [JANES]
        )
        assert harness.code_lease_of(JANE) is None

    def test_codes_are_put_off_while_the_server_is_away(self, harness: DeliveryHarness) -> None:
        harness.add_code()
        harness.code_worker(ScriptedMailer(refusing(error=MailerUnavailable("gone")))).run([JANES])
        assert harness.code_lease_of(JANE) == harness.clock() + timedelta(seconds=5)

    def test_what_a_worker_died_with_goes_out_when_its_lease_lapses(
        self, harness: DeliveryHarness
    ) -> None:
        harness.add_code()
        now = harness.clock()
        assert harness.client.run(
            outbox.claim(
                OTP_QUEUE, JANES, now=now, lease_deadline=now + timedelta(seconds=20), limit=10
            )
        ) == [JANE]
        mailer = ScriptedMailer()
        harness.code_worker(mailer).run([JANES])
        assert mailer.sent == []
        harness.clock.advance(seconds=20)
        harness.code_worker(mailer).run([JANES])
        assert mailer.recipients == [JANE]

    @pytest.mark.parametrize(
        "outcome",
        [None, Refused("550 no"), Deferred("450 later")],
        ids=["sent", "refused", "deferred"],
    )
    def test_a_code_asked_for_meanwhile_is_mailed_too(
        self, harness: DeliveryHarness, outcome: Exception | None
    ) -> None:
        """The outcome of the first code's mail does not settle the second's."""
        nonces = [harness.add_code()]

        def ask_again(_: EmailMessage) -> None:
            if len(nonces) == 1:
                nonces.append(harness.add_code())
                worker.runner.wake([JANES])
                if outcome is not None:
                    raise outcome

        mailer = ScriptedMailer(ask_again)
        worker = harness.code_worker(mailer)
        worker.run([JANES])
        assert code_in(mailer.sent[-1]) == derive_code(OTP_KEY, nonces[1], JANE)
        assert harness.code_lease_of(JANE) is None
