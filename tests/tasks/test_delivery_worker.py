"""Delivery on a real store: each e-mail is sent once, even if workers die or servers are down."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from email.message import EmailMessage
from typing import Any

import pytest
from redis import Redis
from structlog.testing import CapturingLogger

from service.errors import Unavailable
from service.links.model import DeliveryState, Link, Status
from service.orgs import store as orgs
from service.orgs.model import Profile
from service.storage import keys
from service.storage.client import RedisClient
from service.storage.connect import create_client
from service.values.ids import partition_of
from tasks import delivery_worker
from tasks.delivery_worker import (
    LEASE_DURATION,
    MAX_BACKOFF,
    MAX_BACKOFF_WITHOUT_SERVER,
    backoff,
    redact_reply,
)
from tasks.mail.mailer import SEND_TIMEOUT_SECONDS, Deferred, MailerUnavailable, Refused
from tasks.mail.mime import Mail
from tasks.mail.smtp import SmtpMailer
from tasks.mail_kinds.link_mails import LinkMailHandler
from tests.support.clock import Clock
from tests.support.delivery_harness import ORG, PARTITION, DeliveryHarness
from tests.support.scripted_smtp import Answer, ScriptedMailer, ScriptedServer, refusing
from tests.support.servers import RedisServer, store, valkey_server

MILLISECOND = timedelta(milliseconds=1)


def nth(number: int, act: Callable[[], object]) -> Answer:
    """Calls ``act`` while mail ``number`` (from 1) is being sent."""
    count = Counter[str]()

    def answer(_: EmailMessage) -> None:
        count["mails"] += 1
        if count["mails"] == number:
            act()

    return answer


class TestSending:
    def test_a_link_is_mailed_and_marked(self, harness: DeliveryHarness) -> None:
        link, mailer = harness.add_link(), ScriptedMailer()
        harness.clock.advance(seconds=1)
        assert harness.link_worker(mailer).run([PARTITION]) == []
        assert mailer.recipients == ["jane@example.com"]
        found = harness.link(link).delivery
        assert (found.state, found.attempts, found.sent_at, found.error) == (
            DeliveryState.SENT,
            1,
            harness.clock(),
            None,
        )

    def test_a_mail_that_was_sent_leaves_the_outbox(self, harness: DeliveryHarness) -> None:
        link, mailer = harness.add_link(), ScriptedMailer()
        harness.link_worker(mailer).run([PARTITION])
        assert harness.lease_of(link) is None
        assert harness.unsent() == 0

    def test_a_link_is_mailed_once_however_often_it_is_rung_for(
        self, harness: DeliveryHarness
    ) -> None:
        harness.add_link()
        mailer = ScriptedMailer()
        for _ in range(3):
            harness.link_worker(mailer).run([PARTITION, PARTITION])
            harness.clock.advance(minutes=5)
        assert len(mailer.sent) == 1

    @pytest.mark.parametrize(
        ("early", "mails"),
        [(MILLISECOND, 0), (timedelta(0), 1)],
        ids=["a millisecond before", "at that moment"],
    )
    def test_a_scheduled_link_is_mailed_at_the_very_millisecond(
        self, harness: DeliveryHarness, early: timedelta, mails: int
    ) -> None:
        due = harness.clock() + timedelta(hours=1)
        harness.add_link(scheduled_at=due)
        harness.clock.now = due - early
        mailer = ScriptedMailer()
        harness.link_worker(mailer).run([PARTITION])
        assert len(mailer.sent) == mails

    def test_a_link_created_with_notify_false_is_not_mailed(self, harness: DeliveryHarness) -> None:
        harness.add_link(notify=False)
        mailer = ScriptedMailer()
        harness.link_worker(mailer).run([PARTITION])
        assert mailer.sent == []

    def test_only_the_given_partitions_are_claimed(self, harness: DeliveryHarness) -> None:
        harness.add_link(org_id="acme")
        harness.add_link(org_id="globex")
        mailer = ScriptedMailer()
        harness.link_worker(mailer).run([partition_of("globex")])
        assert [str(message["Subject"]) for message in mailer.sent] == ["Payment link from globex"]

    def test_all_mails_of_a_job_take_one_session(self, harness: DeliveryHarness) -> None:
        harness.add_links(5, org_id="acme")
        harness.add_links(5, org_id="globex")
        mailer = ScriptedMailer()
        harness.link_worker(mailer).run([partition_of("acme"), partition_of("globex")])
        assert (len(mailer.sent), mailer.sessions, mailer.open) == (10, 1, False)

    def test_more_mails_than_a_batch_all_go_out(
        self, harness: DeliveryHarness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(delivery_worker, "BATCH_SIZE", 2)
        harness.add_links(5)
        mailer = ScriptedMailer()
        harness.link_worker(mailer).run([PARTITION])
        assert mailer.recipients == [f"jane+{number}@example.com" for number in range(5)]

    def test_partitions_take_turns(
        self, harness: DeliveryHarness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Many e-mails of one organization do not delay another's."""
        monkeypatch.setattr(delivery_worker, "BATCH_SIZE", 2)
        harness.add_links(6, org_id="acme")
        harness.add_links(1, org_id="globex")
        mailer = ScriptedMailer()
        harness.link_worker(mailer).run([partition_of("acme"), partition_of("globex")])
        assert "globex" in str(mailer.sent[2]["Subject"])
        assert len(mailer.sent) == 7

    def test_many_partitions_are_claimed_in_one_round_trip_and_opened_in_another(
        self, harness: DeliveryHarness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        organizations = [f"org{number}" for number in range(delivery_worker.PARTITIONS_PER_ROUND)]
        for org_id in organizations:
            harness.add_link(org_id=org_id)
        run_each, trips = harness.client.run_each, list[str]()

        def count(calls: Any) -> Any:
            trips.extend(
                {call.script.name for call in calls if call.script}
                & {"outbox/claim", "links/load_claimed"}
            )
            return run_each(calls)

        monkeypatch.setattr(harness.client, "run_each", count)
        mailer = ScriptedMailer()
        harness.link_worker(mailer).run([partition_of(org_id) for org_id in organizations])
        assert len(mailer.sent) == len(organizations)
        assert trips == ["outbox/claim", "links/load_claimed", "outbox/claim"]

    def test_partitions_without_a_turn_are_released_and_come_next(
        self, harness: DeliveryHarness
    ) -> None:
        """The partition before them is slow, and has more to send."""
        for org_id in ("acme", "acme", "globex", "initech"):
            harness.add_link(org_id=org_id)
        mailer = ScriptedMailer(lambda _: harness.clock.advance(seconds=1.001))
        harness.link_worker(mailer).run(
            [partition_of(org_id) for org_id in ("acme", "globex", "initech")]
        )
        assert [str(message["Subject"]).split()[-1] for message in mailer.sent] == [
            "acme",
            "globex",
            "initech",
            "acme",
        ]

    def test_a_job_ends_in_time_and_returns_the_remaining_partitions(
        self, harness: DeliveryHarness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(delivery_worker, "JOB_BUDGET_SECONDS", 0.0)
        harness.add_link()
        mailer = ScriptedMailer()
        assert harness.link_worker(mailer).run([PARTITION, "ff"]) == [PARTITION, "ff"]
        assert mailer.sent == []

    def test_workers_that_race_send_each_mail_once(
        self, harness: DeliveryHarness, valkey: RedisServer
    ) -> None:
        harness.add_links(60)
        mailers = [ScriptedMailer() for _ in range(6)]
        start = threading.Barrier(len(mailers))

        def work(mailer: ScriptedMailer) -> None:
            client = RedisClient(create_client(valkey.url))
            start.wait()
            DeliveryHarness(client, harness.redis, harness.clock).link_worker(mailer).run(
                [PARTITION]
            )
            client.close()

        threads = [threading.Thread(target=work, args=(mailer,)) for mailer in mailers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        recipients = [recipient for mailer in mailers for recipient in mailer.recipients]
        assert sorted(recipients) == sorted(f"jane+{number}@example.com" for number in range(60))

    def test_its_log_contains_no_address_and_no_whole_link_id(
        self, harness: DeliveryHarness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        link, log = harness.add_link(), CapturingLogger()
        monkeypatch.setattr(delivery_worker, "log", log)
        harness.link_worker(ScriptedMailer()).run([PARTITION])
        assert [call.args for call in log.calls] == [("mail_sent",)]
        assert "jane" not in str(log.calls)
        assert link.id not in str(log.calls)
        assert link.id[:11] in str(log.calls)


class TestRefusal:
    def test_a_refused_mail_fails_with_the_server_s_reason(self, harness: DeliveryHarness) -> None:
        link = harness.add_link()
        mailer = ScriptedMailer(refusing(error=Refused("550 5.1.1 no such user")))
        harness.link_worker(mailer).run([PARTITION])
        found = harness.link(link).delivery
        assert (found.state, found.attempts, found.sent_at) == (DeliveryState.FAILED, 1, None)
        assert found.error == "550 5.1.1 no such user"

    def test_a_refused_mail_is_not_tried_again(self, harness: DeliveryHarness) -> None:
        link = harness.add_link()
        harness.link_worker(ScriptedMailer(refusing(error=Refused("550 no")))).run([PARTITION])
        harness.clock.advance(hours=24)
        mailer = ScriptedMailer()
        harness.link_worker(mailer).run([PARTITION])
        assert mailer.sent == []
        assert (harness.lease_of(link), harness.unsent()) == (None, 0)

    def test_the_others_go_out(self, harness: DeliveryHarness) -> None:
        harness.add_links(3)
        mailer = ScriptedMailer(refusing("jane+1@example.com", error=Refused("550 no")))
        harness.link_worker(mailer).run([PARTITION])
        assert mailer.recipients == ["jane+0@example.com", "jane+2@example.com"]

    def test_a_link_whose_mail_failed_is_good_all_the_same(self, harness: DeliveryHarness) -> None:
        link = harness.add_link()
        harness.link_worker(ScriptedMailer(refusing(error=Refused("550 no")))).run([PARTITION])
        assert harness.link(link).status(harness.clock()) is Status.ACTIVE


class TestDeferral:
    def test_a_deferred_mail_waits_with_its_reason(self, harness: DeliveryHarness) -> None:
        link = harness.add_link()
        harness.link_worker(ScriptedMailer(refusing(error=Deferred("450 later")))).run([PARTITION])
        found = harness.link(link).delivery
        assert (found.state, found.attempts, found.error) == (DeliveryState.QUEUED, 1, "450 later")
        assert harness.lease_of(link) == harness.clock() + timedelta(seconds=5)

    def test_it_is_tried_again_after_a_while_and_not_before(self, harness: DeliveryHarness) -> None:
        link = harness.add_link()
        harness.link_worker(ScriptedMailer(refusing(error=Deferred("450 later")))).run([PARTITION])
        mailer = ScriptedMailer()
        harness.clock.advance(seconds=4.999)
        harness.link_worker(mailer).run([PARTITION])
        assert mailer.sent == []
        harness.clock.advance(milliseconds=1)
        harness.link_worker(mailer).run([PARTITION])
        assert len(mailer.sent) == 1
        found = harness.link(link).delivery
        assert (found.state, found.attempts, found.error) == (DeliveryState.SENT, 2, None)

    def test_it_waits_longer_every_time(self, harness: DeliveryHarness) -> None:
        link, waits = harness.add_link(), []
        for _ in range(7):
            harness.link_worker(ScriptedMailer(refusing(error=Deferred("450 later")))).run(
                [PARTITION]
            )
            lease = harness.lease_of(link)
            assert lease is not None
            waits.append((lease - harness.clock()).total_seconds())
            harness.clock.now = lease
        assert waits == [5, 15, 45, 135, 405, 900, 900]

    def test_the_others_go_out(self, harness: DeliveryHarness) -> None:
        harness.add_links(3)
        mailer = ScriptedMailer(refusing("jane+0@example.com", error=Deferred("450 later")))
        harness.link_worker(mailer).run([PARTITION])
        assert mailer.recipients == ["jane+1@example.com", "jane+2@example.com"]

    def test_every_try_carries_the_same_message_id(self, harness: DeliveryHarness) -> None:
        """If only the reply to a mail got lost, its recipient still sees one mail."""
        harness.add_link()
        tried: list[str] = []

        def answer(message: EmailMessage) -> None:
            tried.append(message["Message-ID"])
            raise Deferred("450 later")

        for _ in range(3):
            harness.link_worker(ScriptedMailer(answer)).run([PARTITION])
            harness.clock.advance(hours=1)
        assert len(tried) == 3
        assert len(set(tried)) == 1

    @pytest.mark.parametrize(
        ("attempts", "seconds"),
        [(0, 5), (1, 15), (2, 45), (3, 135), (4, 405), (5, 900), (50, 900), (10**6, 900)],
    )
    def test_the_wait_triples_up_to_the_longest(self, attempts: int, seconds: int) -> None:
        assert backoff(attempts, MAX_BACKOFF) == timedelta(seconds=seconds)
        assert backoff(attempts, MAX_BACKOFF_WITHOUT_SERVER) == timedelta(seconds=min(seconds, 60))


class TestServerAway:
    def test_nothing_more_is_tried_and_all_is_put_off(self, harness: DeliveryHarness) -> None:
        made, tried = harness.add_links(5), Counter[str]()

        def answer(message: EmailMessage) -> None:
            tried[str(message["To"])] += 1
            raise MailerUnavailable("nobody listens")

        harness.link_worker(ScriptedMailer(answer)).run([PARTITION])
        assert tried == {"jane+0@example.com": 1}
        assert {harness.lease_of(link) for link in made} == {harness.clock() + timedelta(seconds=5)}
        assert {harness.link(link).delivery.error for link in made} == {"nobody listens"}

    def test_the_words_of_a_rejected_login_are_not_stored_with_the_link(
        self, harness: DeliveryHarness
    ) -> None:
        [link] = harness.add_links(1)
        refused = MailerUnavailable("535 5.7.8 no such user pay@acme.example")
        harness.link_worker(ScriptedMailer(refusing("jane+0@example.com", error=refused))).run(
            [PARTITION]
        )
        assert harness.link(link).delivery.error == "535 5.7.8"

    def test_what_was_sent_before_stays_sent(self, harness: DeliveryHarness) -> None:
        made = harness.add_links(3)
        harness.link_worker(
            ScriptedMailer(refusing("jane+1@example.com", error=MailerUnavailable("gone")))
        ).run([PARTITION])
        assert [harness.state(link) for link in made] == [
            DeliveryState.SENT,
            DeliveryState.QUEUED,
            DeliveryState.QUEUED,
        ]

    def test_all_goes_out_when_it_is_back(self, harness: DeliveryHarness) -> None:
        made = harness.add_links(3)
        harness.link_worker(ScriptedMailer(refusing(error=MailerUnavailable("gone")))).run(
            [PARTITION]
        )
        harness.clock.advance(seconds=5)
        mailer = ScriptedMailer()
        harness.link_worker(mailer).run([PARTITION])
        assert sorted(mailer.recipients) == [link.email for link in made]
        assert {harness.state(link) for link in made} == {DeliveryState.SENT}

    def test_it_is_tried_every_minute_at_least(self, harness: DeliveryHarness) -> None:
        link = harness.add_link()
        for _ in range(8):
            harness.link_worker(ScriptedMailer(refusing(error=MailerUnavailable("gone")))).run(
                [PARTITION]
            )
            lease = harness.lease_of(link)
            assert lease is not None
            assert lease - harness.clock() <= timedelta(minutes=1)
            harness.clock.now = lease


@pytest.mark.parametrize(
    ("reason", "logged"),
    [
        ("550 5.1.1 <jane@example.com>: no such mailbox", "550 5.1.1"),
        ("451-4.7.1 jane@example.com is greylisted", "451-4.7.1"),
        ("421 closing", "421"),
        ("SMTPServerDisconnected: jane@example.com timed out", "SMTPServerDisconnected"),
    ],
    ids=["refused", "greylisted", "plain", "broken"],
)
def test_a_servers_words_are_not_logged(reason: str, logged: str) -> None:
    """They name the recipient."""
    assert redact_reply(reason) == logged


class TestDropped:
    def test_a_link_revoked_before_its_turn_is_not_mailed(self, harness: DeliveryHarness) -> None:
        made = harness.add_links(2)
        mailer = ScriptedMailer()
        harness.revoke(made[0])
        harness.link_worker(mailer).run([PARTITION])
        assert mailer.recipients == ["jane+1@example.com"]
        assert harness.state(made[0]) is DeliveryState.NONE

    def test_a_link_revoked_after_it_was_claimed_is_not_mailed(
        self, harness: DeliveryHarness
    ) -> None:
        """Each link is checked just before its own mail."""
        made = harness.add_links(3)
        mailer = ScriptedMailer(nth(1, lambda: harness.revoke(made[2])))
        harness.link_worker(mailer).run([PARTITION])
        assert mailer.recipients == ["jane+0@example.com", "jane+1@example.com"]
        assert harness.state(made[2]) is DeliveryState.NONE

    def test_a_link_revoked_by_the_time_it_is_claimed_again_is_not_mailed(
        self, harness: DeliveryHarness
    ) -> None:
        link = harness.add_link()
        harness.link_worker(ScriptedMailer(refusing(error=Deferred("450 later")))).run([PARTITION])
        harness.revoke(link)
        harness.clock.advance(hours=1)
        mailer = ScriptedMailer()
        harness.link_worker(mailer).run([PARTITION])
        assert mailer.sent == []

    def test_a_scheduled_link_that_was_revoked_is_not_mailed(
        self, harness: DeliveryHarness
    ) -> None:
        link = harness.add_link(scheduled_at=harness.clock() + timedelta(hours=1))
        harness.revoke(link)
        harness.clock.advance(hours=2)
        mailer = ScriptedMailer()
        harness.link_worker(mailer).run([PARTITION])
        assert mailer.sent == []

    def test_a_link_revoked_between_claim_and_reading_is_not_mailed(
        self, harness: DeliveryHarness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        link = harness.add_link()
        mailer = ScriptedMailer()
        load = LinkMailHandler.load_claimed

        def revoke_first(handler: LinkMailHandler, partition: str, members: list[str]) -> Any:
            harness.revoke(link)
            return load(handler, partition, members)

        monkeypatch.setattr(LinkMailHandler, "load_claimed", revoke_first)
        harness.link_worker(mailer).run([PARTITION])
        assert mailer.sent == []
        assert harness.state(link) is DeliveryState.NONE

    def test_a_link_revoked_while_its_mail_goes_out_is_marked_sent(
        self, harness: DeliveryHarness
    ) -> None:
        link = harness.add_link()
        harness.link_worker(ScriptedMailer(lambda _: harness.revoke(link))).run([PARTITION])
        found = harness.link(link)
        assert (found.delivery.state, found.status(harness.clock())) == (
            DeliveryState.SENT,
            Status.REVOKED,
        )
        assert harness.lease_of(link) is None

    def test_a_link_that_expired_meanwhile_fails_with_that_reason(
        self, harness: DeliveryHarness
    ) -> None:
        link = harness.add_link(ttl=timedelta(hours=1))
        harness.clock.advance(hours=1)
        mailer = ScriptedMailer()
        harness.link_worker(mailer).run([PARTITION])
        assert mailer.sent == []
        found = harness.link(link).delivery
        assert (found.state, found.attempts) == (DeliveryState.FAILED, 0)
        assert found.error == "the link expired before it could be sent"
        assert harness.lease_of(link) is None

    def test_a_deleted_link_leaves_the_outbox(self, harness: DeliveryHarness) -> None:
        link = harness.add_link()
        harness.redis.delete(keys.link(link.id))
        mailer = ScriptedMailer()
        harness.link_worker(mailer).run([PARTITION])
        assert mailer.sent == []
        assert (harness.lease_of(link), harness.unsent()) == (None, 0)

    def test_an_unreadable_link_stays_in_the_outbox_and_delays_no_other(
        self, harness: DeliveryHarness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log = CapturingLogger()
        monkeypatch.setattr(delivery_worker, "log", log)
        broken, other = (
            harness.add_link("jane@example.com"),
            harness.add_link("john@example.com", org_id="umbrella"),
        )
        harness.redis.set(keys.link(broken.id), "no record")
        mailer = ScriptedMailer()
        harness.link_worker(mailer).run([PARTITION, partition_of("umbrella")])
        assert mailer.recipients == ["john@example.com"]
        assert harness.state(other) is DeliveryState.SENT
        assert (harness.lease_of(broken), harness.unsent()) == (harness.clock() + LEASE_DURATION, 1)
        assert [call.args for call in log.calls if call.method_name == "error"] == [
            ("record_unreadable",)
        ]

    def test_an_unreadable_code_delays_no_other(self, harness: DeliveryHarness) -> None:
        harness.add_code("jane@example.com")
        harness.add_code("john@example.com")
        harness.redis.hset(keys.otp("jane@example.com"), "nonce", "no nonce")
        mailer = ScriptedMailer()
        harness.code_worker(mailer).run(
            [partition_of("jane@example.com"), partition_of("john@example.com")]
        )
        assert mailer.recipients == ["john@example.com"]
        assert harness.code_lease_of("jane@example.com") == harness.clock() + LEASE_DURATION

    @pytest.mark.parametrize(
        "email",
        ["nobody", "=?utf-8?q?jane?=@example.com", "jäne@example.com", "jane@☃.example"],
        ids=["no address", "encoded word", "mailbox outside ASCII", "no IDN"],
    )
    def test_a_mail_that_cannot_be_made_fails_alone(
        self, harness: DeliveryHarness, email: str
    ) -> None:
        made = [
            harness.add_link(
                f"jane+{number}@example.com", payment_amount=Decimal(5), currency="USD"
            )
            for number in range(3)
        ]
        harness.redis.hset(keys.link(made[1].id), "email", email)
        mailer = ScriptedMailer()
        harness.link_worker(mailer).run([PARTITION])
        assert sorted(mailer.recipients) == ["jane+0@example.com", "jane+2@example.com"]
        found = harness.link(made[1]).delivery
        assert found.state is DeliveryState.FAILED
        assert str(found.error).startswith("the e-mail cannot be made: ")

    @pytest.mark.parametrize(
        "fields",
        [
            {"currency": "ZZZ"},
            {"locale": "tlh"},
            {"email": "jane@münchen.local"},
            {"reference": "a\u202eb"},
        ],
        ids=str,
    )
    def test_a_link_that_is_older_than_a_rule_which_it_breaks_is_mailed(
        self, harness: DeliveryHarness, fields: dict[Any, Any]
    ) -> None:
        link = harness.add_link(payment_amount=Decimal(5), currency="USD")
        harness.redis.hset(keys.link(link.id), mapping=fields)
        harness.link_worker(ScriptedMailer()).run([PARTITION])
        assert harness.state(link) is DeliveryState.SENT

    @pytest.mark.parametrize(
        "profile",
        [
            Profile(colour="red"),
            Profile(logo="data:image/svg+xml;base64,PHN2Zz4="),
            Profile(reply_to="nobody"),
            Profile(reply_to="=?utf-8?q?help?=@acme.example"),
            Profile(locale="tlh"),
            Profile(display_name="a\r\nBcc: evil@example.com"),
        ],
        ids=str,
    )
    def test_so_is_one_whose_organization_s_profile_is(
        self, harness: DeliveryHarness, profile: Profile
    ) -> None:
        harness.client.run(orgs.put_profile(ORG, profile))
        link = harness.add_link()
        mailer = ScriptedMailer()
        harness.link_worker(mailer).run([PARTITION])
        assert harness.state(link) is DeliveryState.SENT
        assert not {"Reply-To", "Bcc"} & set(mailer.sent[0].keys())


class TestLeases:
    def test_what_a_worker_died_with_goes_out_when_its_lease_lapses(
        self, harness: DeliveryHarness
    ) -> None:
        link = harness.add_link()
        harness.claim()
        mailer = ScriptedMailer()
        harness.clock.advance(seconds=19.999)
        harness.link_worker(mailer).run([PARTITION])
        assert mailer.sent == []
        harness.clock.advance(milliseconds=1)
        harness.link_worker(mailer).run([PARTITION])
        assert len(mailer.sent) == 1
        assert harness.state(link) is DeliveryState.SENT

    def test_while_one_worker_sends_another_finds_nothing(self, harness: DeliveryHarness) -> None:
        harness.add_links(3)
        other = ScriptedMailer()
        mailer = ScriptedMailer(lambda _: harness.link_worker(other).run([PARTITION]))
        harness.link_worker(mailer).run([PARTITION])
        assert (len(mailer.sent), other.sent) == (3, [])

    def test_what_a_slow_batch_does_not_begin_is_anothers_and_none_is_sent_twice(
        self, harness: DeliveryHarness
    ) -> None:
        harness.add_links(8)
        other = ScriptedMailer()

        def slowly(_: EmailMessage) -> None:
            harness.clock.advance(seconds=9)
            harness.link_worker(other).run([PARTITION])

        mailer = ScriptedMailer(slowly)
        harness.link_worker(mailer).run([PARTITION])
        assert sorted(mailer.recipients + other.recipients) == [
            f"jane+{number}@example.com" for number in range(8)
        ]

    def test_a_worker_that_lost_its_lease_leaves_the_rest_to_the_next_one(
        self, harness: DeliveryHarness
    ) -> None:
        harness.add_links(3)
        other = ScriptedMailer()

        def stall() -> None:
            harness.clock.advance(seconds=25)
            harness.link_worker(other).run([PARTITION])

        mailer = ScriptedMailer(nth(1, stall))
        harness.link_worker(mailer).run([PARTITION])
        assert mailer.recipients == ["jane+0@example.com"]
        assert sorted(other.recipients) == [f"jane+{number}@example.com" for number in range(3)]

    @pytest.mark.parametrize(
        "error", [MailerUnavailable("gone"), Deferred("450 later")], ids=["server away", "deferred"]
    )
    def test_a_worker_that_lost_its_lease_does_not_put_off_what_another_holds(
        self, harness: DeliveryHarness, error: Exception
    ) -> None:
        """Otherwise a third worker would claim it in 5 s, while the second one sends it."""
        made = harness.add_links(2)
        taken = []

        def stall() -> None:
            harness.clock.advance(seconds=25)
            taken.append(harness.claim())
            raise error

        harness.link_worker(ScriptedMailer(nth(1, stall))).run([PARTITION])
        assert [harness.lease_of(link) for link in made] == [taken[0], taken[0]]

    def test_no_mail_is_sent_if_its_lease_lapsed_while_the_session_opened(
        self, harness: DeliveryHarness
    ) -> None:
        """Each of a session's six steps may take 10 s: together they may outlast a lease."""
        harness.add_link()
        other = ScriptedMailer()

        def slow_ehlo() -> str:
            harness.clock.advance(seconds=25)
            harness.link_worker(other).run([PARTITION])
            return "250 here, at last"

        with ScriptedServer(EHLO=slow_ehlo) as server:
            host, port = server.address
            harness.link_worker(
                lambda: SmtpMailer(host, port, implicit_tls=False, require_tls=False)
            ).run([PARTITION])
            assert len(other.sent) + server.verbs().count(".") == 1


class TestOneAtATime:
    def test_a_mail_is_marked_before_the_next_is_sent(self, harness: DeliveryHarness) -> None:
        """A worker that dies leaves at most one e-mail that was sent and is not marked."""
        made, seen = harness.add_links(3), []
        mailer = ScriptedMailer(lambda _: seen.append([harness.state(link) for link in made]))
        harness.link_worker(mailer).run([PARTITION])
        sent, queued = DeliveryState.SENT, DeliveryState.QUEUED
        assert seen == [[queued, queued, queued], [sent, queued, queued], [sent, sent, queued]]

    def test_a_mail_that_was_made_ahead_and_expired_is_not_sent(
        self, harness: DeliveryHarness
    ) -> None:
        made = harness.add_links(2)
        short = harness.add_link("joe@example.com", ttl=timedelta(seconds=5))
        mailer = ScriptedMailer(nth(2, lambda: harness.clock.advance(milliseconds=900)))
        harness.clock.now = short.expires_at - timedelta(milliseconds=800)
        harness.link_worker(mailer).run([PARTITION])
        assert mailer.recipients == [link.email for link in made]
        assert harness.link(short).delivery.error == "the link expired before it could be sent"

    def test_a_mail_that_breaks_its_maker_does_not_break_the_one_before(
        self, harness: DeliveryHarness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Otherwise that one would be sent again and again."""
        made, mailer = harness.add_links(2), ScriptedMailer()
        worker = harness.link_worker(mailer)
        compose = LinkMailHandler.compose

        def compose_first(handler: LinkMailHandler, link: Link, now: datetime) -> Mail:
            if link.id != made[0].id:
                raise TypeError("nobody thought of this")
            return compose(handler, link, now)

        monkeypatch.setattr(LinkMailHandler, "compose", compose_first)
        with pytest.raises(TypeError):
            worker.run([PARTITION])
        worker.run([])
        assert harness.state(made[0]) is DeliveryState.SENT


class TestStopping:
    def test_the_rest_is_released_at_once(self, harness: DeliveryHarness) -> None:
        harness.add_links(4)
        stopping = threading.Event()
        mailer, other = ScriptedMailer(nth(2, stopping.set)), ScriptedMailer()
        assert harness.link_worker(mailer, stopping.is_set).run([PARTITION]) == [PARTITION]
        harness.link_worker(other).run([PARTITION])
        assert mailer.recipients == ["jane+0@example.com", "jane+1@example.com"]
        assert sorted(other.recipients) == ["jane+2@example.com", "jane+3@example.com"]

    def test_the_mail_that_is_going_out_is_marked(self, harness: DeliveryHarness) -> None:
        made = harness.add_links(2)
        stopping = threading.Event()
        harness.link_worker(ScriptedMailer(nth(1, stopping.set)), stopping.is_set).run([PARTITION])
        assert [harness.state(link) for link in made] == [DeliveryState.SENT, DeliveryState.QUEUED]

    def test_a_release_is_no_attempt(self, harness: DeliveryHarness) -> None:
        made = harness.add_links(2)
        stopping = threading.Event()
        harness.link_worker(ScriptedMailer(nth(1, stopping.set)), stopping.is_set).run([PARTITION])
        assert harness.link(made[1]).delivery.attempts == 0

    def test_what_another_worker_claimed_meanwhile_is_not_released(
        self, harness: DeliveryHarness
    ) -> None:
        made = harness.add_links(2)
        stopping, taken = threading.Event(), []

        def stall_and_stop() -> None:
            harness.clock.advance(seconds=25)
            taken.append(harness.claim())
            stopping.set()

        harness.link_worker(ScriptedMailer(nth(1, stall_and_stop)), stopping.is_set).run(
            [PARTITION]
        )
        assert harness.lease_of(made[1]) == taken[0]

    def test_a_stopping_worker_claims_nothing(self, harness: DeliveryHarness) -> None:
        link, mailer = harness.add_link(), ScriptedMailer()
        assert harness.link_worker(mailer, lambda: True).run([PARTITION]) == [PARTITION]
        assert mailer.sent == []
        assert harness.lease_of(link) == harness.link(link).due_at


@pytest.fixture
def own_store() -> Iterator[RedisServer]:
    """A store that tests may kill."""
    with store(valkey_server(), durable=True) as server:
        yield server


@pytest.fixture
def own_harness(own_store: RedisServer, clock: Clock) -> Iterator[DeliveryHarness]:
    client = RedisClient(create_client(own_store.url))
    with Redis(unix_socket_path=str(own_store.socket), decode_responses=True) as redis:
        yield DeliveryHarness(client, redis, clock)
    client.close()


class TestRedisAway:
    def test_a_mail_sent_meanwhile_is_marked_and_not_sent_again(
        self, own_harness: DeliveryHarness, own_store: RedisServer
    ) -> None:
        made = own_harness.add_links(2)
        mailer = ScriptedMailer(nth(1, own_store.kill))
        worker = own_harness.link_worker(mailer)
        with pytest.raises(Unavailable):
            worker.run([PARTITION])
        own_store.start()
        own_harness.clock.advance(seconds=25)
        worker.run([PARTITION])
        assert mailer.recipients == [link.email for link in made]
        assert {own_harness.state(link) for link in made} == {DeliveryState.SENT}

    def test_it_is_marked_even_if_no_partition_is_pending(
        self, own_harness: DeliveryHarness, own_store: RedisServer
    ) -> None:
        link = own_harness.add_link()
        worker = own_harness.link_worker(ScriptedMailer(nth(1, own_store.kill)))
        with pytest.raises(Unavailable):
            worker.run([PARTITION])
        own_store.start()
        worker.run([])
        assert own_harness.state(link) is DeliveryState.SENT

    def test_it_is_remembered_through_several_tries(
        self, own_harness: DeliveryHarness, own_store: RedisServer
    ) -> None:
        link = own_harness.add_link()
        mailer = ScriptedMailer(nth(1, own_store.kill))
        worker = own_harness.link_worker(mailer)
        for _ in range(3):
            with pytest.raises(Unavailable):
                worker.run([PARTITION])
        own_store.start()
        own_harness.clock.advance(seconds=25)
        worker.run([PARTITION])
        assert (len(mailer.sent), own_harness.state(link)) == (1, DeliveryState.SENT)

    def test_a_code_sent_meanwhile_is_not_sent_again(
        self, own_harness: DeliveryHarness, own_store: RedisServer
    ) -> None:
        own_harness.add_code()
        mailer = ScriptedMailer(nth(1, own_store.kill))
        worker = own_harness.code_worker(mailer)
        partition = partition_of("jane@example.com")
        with pytest.raises(Unavailable):
            worker.run([partition])
        own_store.start()
        own_harness.clock.advance(seconds=25)
        worker.run([partition])
        assert len(mailer.sent) == 1

    def test_nothing_is_sent_that_could_not_be_claimed(
        self, own_harness: DeliveryHarness, own_store: RedisServer
    ) -> None:
        own_harness.add_link()
        own_store.kill()
        mailer = ScriptedMailer()
        with pytest.raises(Unavailable):
            own_harness.link_worker(mailer).run([PARTITION])
        assert (mailer.sent, mailer.open) == ([], False)
        own_store.start()


def test_a_lease_is_longer_than_a_mail_may_take() -> None:
    assert timedelta(seconds=SEND_TIMEOUT_SECONDS) < LEASE_DURATION
