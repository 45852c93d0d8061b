"""Delivery on a real store: each e-mail is sent once, even if workers die or servers are down."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from email.message import EmailMessage
from typing import Any

import pytest
from redis import Redis
from structlog.testing import CapturingLogger

from service.links.model import DeliveryState, Link, Status
from service.orgs import store as orgs
from service.orgs.model import Profile
from service.outbox import store as outbox
from service.storage import keys
from service.values.ids import partition_of
from service.values.mail_replies import reply_code
from tasks.delivery import claims, queue_runner
from tasks.delivery.pause import MAX_PAUSE, backoff
from tasks.delivery.queue_runner import MAX_BACKOFF
from tasks.mail.mailer import Deferred, MailerUnavailable, Refused
from tasks.mail.mime import Mail
from tasks.mail_kinds.link_mails import LinkMailHandler
from tasks.message import LEASE_DURATION
from tests.support.clock import Clock
from tests.support.delivery_harness import ORG, PARTITION, DeliveryHarness
from tests.support.redis_client import RedisClient, create_client
from tests.support.scripted_smtp import Answer, ScriptedMailer, ScriptedServer, refusing
from tests.support.servers import RedisServer, store, valkey_server, wait_until
from tests.support.smtp_setup import session_with

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
        harness.link_worker(mailer).run([PARTITION])
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
        assert (len(mailer.sent), mailer.opened, mailer.open_sessions) == (10, 1, set())

    def test_partitions_take_turns(self, harness: DeliveryHarness) -> None:
        """Many e-mails of one organization do not delay another's."""
        harness.add_links(6, org_id="acme")
        harness.add_links(1, org_id="globex")
        mailer = ScriptedMailer()
        harness.link_worker(mailer).run([partition_of("acme"), partition_of("globex")])
        assert "globex" in str(mailer.sent[1]["Subject"])
        assert len(mailer.sent) == 7

    def test_workers_that_race_send_each_mail_once(
        self, harness: DeliveryHarness, valkey: RedisServer
    ) -> None:
        harness.add_links(60)
        mailers = [ScriptedMailer() for _ in range(6)]
        start = threading.Barrier(len(mailers))

        def work(mailer: ScriptedMailer) -> None:
            client = RedisClient(create_client(valkey.url))
            start.wait()
            DeliveryHarness(valkey.url, client, harness.redis, harness.clock).link_worker(
                mailer
            ).run([PARTITION])
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
        monkeypatch.setattr(queue_runner, "log", log)
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
        assert backoff(attempts, MAX_PAUSE) == timedelta(seconds=min(seconds, 300))


class TestServerAway:
    def test_nothing_more_is_tried_and_all_is_put_off(self, harness: DeliveryHarness) -> None:
        made, tried = harness.add_links(5), Counter[str]()

        def answer(message: EmailMessage) -> None:
            tried[str(message["To"])] += 1
            raise MailerUnavailable("nobody listens")

        harness.link_worker(ScriptedMailer(answer)).run([PARTITION])
        assert tried == {"jane+0@example.com": 1}
        assert harness.lease_of(made[0]) == harness.clock() + timedelta(seconds=5)
        assert harness.link(made[0]).delivery.error == "nobody listens"
        assert harness.lease_of(made[1]) == harness.clock()
        assert {harness.state(link) for link in made} == {DeliveryState.QUEUED}

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
    assert reply_code(reason) == logged


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
        monkeypatch.setattr(claims, "log", log)
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
        harness.link_worker(mailer, sessions=2).run([PARTITION])
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
            harness.link_worker(lambda: session_with(server)).run([PARTITION])
            assert len(other.sent) + server.verbs().count(".") == 1

    def test_a_worker_does_not_claim_again_what_it_is_sending(
        self, harness: DeliveryHarness
    ) -> None:
        """Its lease may lapse in an outage of Redis, or in a stall."""
        harness.add_link()
        mailer = ScriptedMailer()
        worker = harness.link_worker(mailer, sessions=2)

        async def lapse(_: EmailMessage) -> None:
            harness.clock.advance(seconds=25)
            worker.runner.wake([PARTITION])
            await asyncio.sleep(0.3)

        mailer.answer = lapse
        worker.run([PARTITION])
        assert len(mailer.sent) == 1

    def test_a_key_of_a_wrong_type_ends_no_runner(
        self, harness: DeliveryHarness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(claims, "RENEWAL_SECONDS", 0.02)
        harness.add_link()
        other = harness.add_link("john@example.com", org_id="globex")
        mailer = ScriptedMailer()

        async def break_outbox(message: EmailMessage) -> None:
            if message["To"] == "jane@example.com":
                harness.redis.set(keys.outbox(PARTITION), "boom")
                await asyncio.sleep(0.2)

        mailer.answer = break_outbox
        with harness.link_worker(mailer).started() as thread:
            thread.wake([PARTITION])
            wait_until(lambda: mailer.sent, "the first was taken")
            thread.wake([partition_of("globex")])
            wait_until(lambda: harness.state(other) is DeliveryState.SENT, "the other was sent")
            thread.raise_if_ended()

    def test_a_link_is_not_behind_all_that_were_scheduled(self, harness: DeliveryHarness) -> None:
        at = harness.clock() + timedelta(minutes=1)
        for number in range(100):
            harness.add_link(f"jane+{number}@example.com", scheduled_at=at)
        harness.clock.advance(minutes=2)
        mailer = ScriptedMailer(nth(20, lambda: harness.add_link("john@example.com")))
        worker = harness.link_worker(mailer)
        take = mailer.answer

        def take_and_tick(message: EmailMessage) -> object:
            harness.clock.advance(milliseconds=7)
            return take(message)

        mailer.answer = take_and_tick
        worker.run([PARTITION])
        assert mailer.recipients.index("john@example.com") < 40


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

    def test_a_mail_that_breaks_its_maker_stays_claimed_and_delays_no_other(
        self, harness: DeliveryHarness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made, mailer = harness.add_links(3), ScriptedMailer()
        compose = LinkMailHandler.compose

        def compose_others(
            handler: LinkMailHandler, link: Link, profile: Profile, now: datetime
        ) -> Mail:
            if link.id == made[1].id:
                raise TypeError("nobody thought of this")
            return compose(handler, link, profile, now)

        monkeypatch.setattr(LinkMailHandler, "compose", compose_others)
        harness.link_worker(mailer).run([PARTITION])
        assert [harness.state(link) for link in made] == [
            DeliveryState.SENT,
            DeliveryState.QUEUED,
            DeliveryState.SENT,
        ]
        assert harness.lease_of(made[1]) == harness.clock() + LEASE_DURATION


class TestStopping:
    def test_the_rest_is_released_at_once(self, harness: DeliveryHarness) -> None:
        harness.add_links(4)
        mailer, other = ScriptedMailer(), ScriptedMailer()
        worker = harness.link_worker(mailer)
        mailer.answer = nth(2, worker.stop)
        worker.run([PARTITION])
        harness.link_worker(other).run([PARTITION])
        assert mailer.recipients == ["jane+0@example.com", "jane+1@example.com"]
        assert sorted(other.recipients) == ["jane+2@example.com", "jane+3@example.com"]

    def test_the_mail_that_is_going_out_is_marked(self, harness: DeliveryHarness) -> None:
        made, mailer = harness.add_links(2), ScriptedMailer()
        worker = harness.link_worker(mailer)
        mailer.answer = nth(1, worker.stop)
        worker.run([PARTITION])
        assert [harness.state(link) for link in made] == [DeliveryState.SENT, DeliveryState.QUEUED]
        assert harness.link(made[1]).delivery.attempts == 0

    def test_what_another_worker_claimed_meanwhile_is_not_released(
        self, harness: DeliveryHarness
    ) -> None:
        made, taken, mailer = harness.add_links(2), [], ScriptedMailer()
        worker = harness.link_worker(mailer)

        def stall_and_stop() -> None:
            harness.clock.advance(seconds=25)
            taken.append(harness.claim())
            worker.stop()

        mailer.answer = nth(1, stall_and_stop)
        worker.run([PARTITION])
        assert harness.lease_of(made[1]) == taken[0]

    def test_a_session_that_is_being_opened_is_given_up_at_once(
        self, harness: DeliveryHarness
    ) -> None:
        link = harness.add_link()
        worker = harness.link_worker(lambda: session_with(server))
        with ScriptedServer() as server:
            server.replies["greeting"] = server.never
            with worker.started() as thread:
                thread.wake([PARTITION])
                wait_until(lambda: server.connections, "the session is being opened")
                stopped_at = time.monotonic()
            assert time.monotonic() - stopped_at < 3
        assert harness.lease_of(link) == harness.clock()
        assert harness.link(link).delivery.attempts == 0

    def test_a_mail_whose_server_thinks_on_is_given_up_as_unconfirmed(
        self, harness: DeliveryHarness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(queue_runner, "STOP_SECONDS", 0.2)
        link = harness.add_link()
        worker = harness.link_worker(lambda: session_with(server))
        with ScriptedServer() as server:

            def stop_and_think() -> str | None:
                worker.stop()
                return server.never()

            server.replies["."] = stop_and_think
            worker.run([PARTITION])
        found = harness.link(link).delivery
        assert (found.state, found.unconfirmed) == (DeliveryState.QUEUED, 1)
        assert harness.lease_of(link) == harness.clock() + timedelta(seconds=5)


@pytest.fixture
def own_store() -> Iterator[RedisServer]:
    """A store that tests may kill."""
    with store(valkey_server(), durable=True) as server:
        yield server


@pytest.fixture
def own_harness(own_store: RedisServer, clock: Clock) -> Iterator[DeliveryHarness]:
    client = RedisClient(create_client(own_store.url))
    with Redis(unix_socket_path=str(own_store.socket), decode_responses=True) as redis:
        yield DeliveryHarness(own_store.url, client, redis, clock)
    client.close()


class TestRedisAway:
    @pytest.mark.parametrize("kind", ["link", "code"])
    def test_what_was_sent_meanwhile_is_marked_when_it_is_back_and_not_sent_again(
        self, own_harness: DeliveryHarness, own_store: RedisServer, kind: str
    ) -> None:
        mailer = ScriptedMailer(nth(1, own_store.kill))
        if kind == "link":
            own_harness.add_link()
            worker, partition = own_harness.link_worker(mailer), PARTITION
        else:
            own_harness.add_code()
            worker = own_harness.code_worker(mailer)
            partition = partition_of("jane@example.com")
        with worker.started() as thread:
            thread.wake([partition])
            assert not thread.wait_until_dry(2.0)
            own_store.start()
            assert thread.wait_until_dry(10.0)
            own_harness.clock.advance(seconds=25)
            thread.wake([partition])
            assert thread.wait_until_dry(10.0)
        assert len(mailer.sent) == 1
        assert own_harness.client.run(outbox.has_pending(partition)) is False

    def test_nothing_is_sent_that_could_not_be_claimed_until_it_is_back(
        self, own_harness: DeliveryHarness, own_store: RedisServer
    ) -> None:
        own_harness.add_link()
        own_store.kill()
        mailer = ScriptedMailer()
        with own_harness.link_worker(mailer).started() as thread:
            thread.wake([PARTITION])
            assert thread.wait_until_dry(1.5)
            assert mailer.sent == []
            own_store.start()
            wait_until(lambda: mailer.sent, "the partition to be tried again")
            assert thread.wait_until_dry(10.0)
        assert len(mailer.sent) == 1
