"""The service answers as a dictionary model of its contract does, and stores what the model says.

The application runs in this process, for its clock must be given; the store is the real one.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from service.app import create_app
from service.storage.connect import OPTIONS
from tests.faults.model_requests import (
    admins,
    answers,
    any_link,
    bodies,
    clients,
    emails,
    keys,
    orgs,
    spans,
    statuses,
)
from tests.support.actors import ORGS, SPELLINGS, WRITTEN, Caller
from tests.support.api import Api, different_code, settings_of
from tests.support.clock import Clock
from tests.support.factories import UNKNOWN_LINK_ID
from tests.support.in_process import InProcessApp
from tests.support.model_comparison import INTERNAL, PUBLIC, ModelComparison
from tests.support.redis_client import create_client
from tests.support.reference_model import (
    CLIENT_FAILURES_PER_HOUR,
    CLIENT_SENDS_PER_HOUR,
    UNVERIFIED_PER_HOUR,
)
from tests.support.reference_records import Request
from tests.support.servers import RedisServer

LIMITS = {
    "OTP_CLIENT_SENDS_PER_HOUR": str(CLIENT_SENDS_PER_HOUR),
    "OTP_CLIENT_FAILURES_PER_HOUR": str(CLIENT_FAILURES_PER_HOUR),
    "OTP_UNVERIFIED_PER_HOUR": str(UNVERIFIED_PER_HOUR),
}

OFTEN = [
    "create: queued",
    "create: scheduled",
    "create: repeated",
    "link expired",
    "link gone",
    "revoke: link",
    "list: of several links",
    "submit: right",
    "submit: limit",
    "deliver: mails taken",
    "resend: queued",
    "resend: limit",
    "resend failed: some",
    "wake: resent meanwhile",
    "create: in place of another",
    "pay: new",
    "patch: changed",
]
"""What must have happened even in a few runs, or they prove little."""


class Machine(RuleBasedStateMachine):
    """What clients, customers, workers and time do to the service."""

    def __init__(self, comparison: ModelComparison) -> None:
        super().__init__()
        self.comparison = comparison
        self.steps = 0

    @initialize(made=st.lists(bodies(), min_size=4, max_size=10))
    def create_some(self, made: "list[dict[str, Any]]") -> None:
        for body in made:
            self.comparison.create(self.in_time(body))

    @rule(body=bodies(), key=keys, write=st.sampled_from(WRITTEN), caller=admins)
    def create(
        self,
        body: dict[str, Any],
        key: str | None,
        write: Callable[[datetime], str],
        caller: Caller,
    ) -> None:
        self.comparison.create(self.in_time(body), key=key, write=write, caller=caller)

    @rule(org_id=orgs, key=keys)
    def create_with_key(self, org_id: str, key: str | None) -> None:
        self.comparison.create(
            {"org_id": org_id, "email": "jane@example.com"}, key=key or "order-3"
        )

    @rule(which=any_link, on_conflict=st.sampled_from(["error", "supersede"]), key=keys)
    def create_another(self, which: int, on_conflict: str, key: str | None) -> None:
        """Another link of a transaction."""
        model = self.comparison.model
        known = [link for link in model.links.values() if link.transaction_id]
        if known:
            link = known[which % len(known)]
            body = {"email": link.email, "org_id": link.org_id, "on_conflict": on_conflict}
            body["transaction_id"] = str(link.transaction_id)
            self.comparison.create(body, key=key)

    @rule(which=st.integers(0, 5), change=st.booleans(), respell=st.booleans())
    def repeat(self, which: int, change: bool, respell: bool) -> None:
        """The same request again, perhaps in other words, or another with its key."""
        if not self.repeatable():
            self.create_with_key("acme", None)
        (_, key), earlier = self.repeatable()[which % len(self.repeatable())]
        spelling = next(
            email for email in reversed(SPELLINGS) if SPELLINGS[email] == earlier.recipient
        )
        said = (
            {"notify": True, "locale": None} | earlier.body | {"email": spelling}
            if respell
            else earlier.body
        )
        self.comparison.create(said | ({"transaction_id": "another"} if change else {}), key=key)

    @precondition(lambda self: self.comparison.tokens)
    @rule(org_id=orgs, customer=st.integers(0, 2), which=st.integers(0, 5))
    def create_for_who_verified(self, org_id: str, customer: int, which: int) -> None:
        """With a code that was verified in the last day, or with another."""
        email = self.comparison.tokens[-1 - customer % len(self.comparison.tokens)].name
        verified = [digits for digits, _ in self.comparison.model.verified[email]]
        sent = verified * 2 + self.comparison.digits[email]
        self.comparison.create({"email": email, "org_id": org_id, "otp": sent[which % len(sent)]})

    @rule(link=any_link, caller=st.integers(0, 20))
    def read(self, link: int, caller: int) -> None:
        self.comparison.read(self.link_id(link), self.anybody(caller))

    @precondition(lambda self: self.comparison.tokens)
    @rule(link=any_link, token=st.integers(0, 20))
    def read_gated(self, link: int, token: int) -> None:
        """By a customer, who may be another or come late."""
        caller = self.comparison.tokens[-1 - token % len(self.comparison.tokens)]
        gated = [each for each in self.comparison.model.links.values() if each.otp_required]
        theirs = [each for each in gated if each.recipient == caller.name]
        if chosen := theirs if theirs and link % 3 else gated:
            self.comparison.read(chosen[link % len(chosen)].id, caller)

    @rule(link=st.none() | any_link, email=st.none() | emails, caller=admins)
    def revoke(self, link: int | None, email: str | None, caller: Caller) -> None:
        self.comparison.revoke(None if link is None else self.link_id(link), email, caller)

    @rule(
        which=any_link,
        paid=st.sampled_from([("ch_1", "due"), ("ch_1", "unit"), ("ch_2", "whole")]),
        caller=admins,
    )
    def pay(self, which: int, paid: tuple[str, str], caller: Caller) -> None:
        self.comparison.pay(self.link_id(which), *paid, caller)

    @rule(which=any_link, amounts=st.lists(st.sampled_from(["due", "unit", "million"]), max_size=4))
    def pay_in_parts(self, which: int, amounts: "list[str]") -> None:
        """A link that accepts them, and may have ended."""
        partial = [each for each in self.comparison.model.links.values() if each.accept_partial]
        if partial:
            link = partial[which % len(partial)]
            for number, amount in enumerate(amounts):
                self.comparison.pay(link.id, f"part-{number}", amount, INTERNAL)

    @rule(which=any_link, payment=st.integers(0, 9), caller=admins)
    def void(self, which: int, payment: int, caller: Caller) -> None:
        """A payment of a link that has some, or one that never was."""
        paid = [each for each in self.comparison.model.links.values() if each.payments]
        if paid:
            link = paid[which % len(paid)]
            ids = [each.id for each in link.payments] * 3 + ["unknown"]
            self.comparison.void(link.id, ids[payment % len(ids)], caller)

    @rule(
        which=any_link,
        changes=st.fixed_dictionaries(
            {},
            optional={
                "description": st.sampled_from(["Tea", "Käse", None]),
                "live": spans("299999 ms", "5 m", "1 h", "30 d", "365 d"),
                "email": emails,
                "payment_amount": st.sampled_from([Decimal(1), Decimal(25000)]),
            },
        ),
        caller=admins,
    )
    def patch(self, which: int, changes: dict[str, Any], caller: Caller) -> None:
        live = changes.pop("live", None)
        times = {} if live is None else {"expires_at": self.comparison.model.now + live}
        self.comparison.patch(self.link_id(which), changes | times, caller)

    @rule(which=any_link, live=spans("5 m", "30 d"))
    def reactivate(self, which: int, live: timedelta) -> None:
        """An expired link gets a later end."""
        model = self.comparison.model
        expired = [link for link in model.links.values() if link.status(model.now) == "expired"]
        if expired:
            changes = {"expires_at": model.now + live}
            self.comparison.patch(expired[which % len(expired)].id, changes, INTERNAL)

    @rule(which=any_link, early=spans("1 ms", "0 s", "-1 ms"))
    def change_what_a_worker_holds(self, which: int, early: timedelta) -> None:
        """A mail is claimed, or waits for its next try, while its link gets another amount."""
        owed = [each for each in self.comparison.model.links.values() if each.queue == "outbox"]
        if owed:
            link = owed[which % len(owed)]
            changes = {"payment_amount": Decimal(which + 1)}
            self.comparison.patch(link.id, changes, INTERNAL)
            assert link.look_at is not None
            at = max(self.comparison.model.now, link.look_at - early)
            self.comparison.advance_to(at)
            self.comparison.patch(link.id, changes, INTERNAL)

    @rule(link=any_link, key=keys, caller=admins)
    def resend(self, link: int, key: str | None, caller: Caller) -> None:
        self.comparison.resend(self.link_id(link), key, caller)

    @rule(which=any_link, key=keys, times=st.integers(1, 7), wait=spans("1 ms", "61 s"))
    def resend_what_is_out(self, which: int, key: str | None, times: int, wait: timedelta) -> None:
        """A link whose mail was sent or failed is sent again, and that mail is delivered."""
        states = {"sent", "failed"}
        out = [link for link in self.comparison.model.links.values() if link.state in states]
        if out:
            for _ in range(times):
                self.comparison.resend(out[which % len(out)].id, key, INTERNAL)
                self.comparison.deliver("taken")
                self.comparison.advance_to(self.comparison.model.now + wait)

    @rule(
        org_id=orgs,
        since=st.none() | spans("-30 d", "-1 h", "0 s"),
        key=keys,
        caller=admins,
    )
    def resend_failed(
        self, org_id: str, since: timedelta | None, key: str | None, caller: Caller
    ) -> None:
        at = None if since is None else self.comparison.model.now + since
        self.comparison.resend_failed(org_id, at, key, caller)

    @rule(org_id=orgs, answer=answers)
    def report_late(self, org_id: str, answer: str) -> None:
        """A worker lost its lease on a mail that another tried, and that was asked for again."""
        self.comparison.create({"org_id": org_id, "email": "jane@example.com"})
        self.comparison.claim(opened=True)
        links, _ = self.comparison.claims[-1]
        self.comparison.advance_to(self.comparison.model.now + timedelta(seconds=21))
        self.comparison.deliver(answer)
        for link_id in links:
            self.comparison.resend(link_id, None, INTERNAL)
        self.comparison.wake(len(self.comparison.claims) - 1, "taken")

    @rule(org_id=orgs, key=keys, late=spans("-1 ms", "0 s", "1 ms"), which=any_link)
    def resend_after_failures(
        self, org_id: str, key: str | None, late: timedelta, which: int
    ) -> None:
        """All mails fail; those that fail at a moment, or just beside it, are sent again, twice."""
        self.comparison.create({"org_id": org_id, "email": "jane@example.com"})
        self.comparison.deliver("refused")
        failed = [link.failed_at for link in self.comparison.model.of(org_id) if link.failed_at]
        if failed:
            since = failed[which % len(failed)] + late
            for _ in range(2):
                self.comparison.resend_failed(org_id, since, key, INTERNAL)

    @rule(org_id=orgs, status=statuses, limit=st.integers(1, 5), caller=admins)
    def list(self, org_id: str, status: str | None, limit: int, caller: Caller) -> None:
        self.comparison.list(org_id, status, limit, caller)

    @rule(org_id=orgs, status=statuses)
    def stream(self, org_id: str, status: str | None) -> None:
        self.comparison.stream(org_id, status)

    @rule(org_id=orgs, status=statuses, limit=st.integers(1, 2))
    def begin_pagination(self, org_id: str, status: str | None, limit: int) -> None:
        pagination = self.comparison.pagination(org_id, status, limit)
        if self.comparison.next_page(pagination):
            self.comparison.paginations.append(pagination)

    @precondition(lambda self: self.comparison.paginations)
    @rule()
    def next_page(self) -> None:
        pagination = self.comparison.paginations[0]
        self.comparison.happened["list: went on later"] += 1
        if not self.comparison.next_page(pagination):
            self.comparison.paginations.remove(pagination)

    @rule(email=emails, client=clients)
    def ask(self, email: str, client: str) -> None:
        self.comparison.ask(email, client)

    @rule(email=emails, client=clients, misses=st.sampled_from([0, 0, 1, 4, 5]))
    def prove_mailbox(self, email: str, client: str, misses: int) -> None:
        """A code is asked for, mistyped some times, and submitted as it came."""
        self.comparison.ask(email, client)
        self.guess(email, client, misses)
        self.submit(email, client, 0)

    @rule(email=emails, client=clients, which=st.integers(0, 2))
    def submit(self, email: str, client: str, which: int) -> None:
        """The newest code that was sent, or one before it."""
        if sent := self.comparison.digits[SPELLINGS[email]]:
            self.comparison.submit(email, sent[-1 - which % len(sent)], client)

    @rule(email=emails, client=clients, times=st.integers(1, 6))
    def guess(self, email: str, client: str, times: int) -> None:
        for guessed in range(times):
            self.comparison.submit(
                email,
                different_code(
                    (self.comparison.digits[SPELLINGS[email]] or [f"{guessed:06d}"])[-1]
                ),
                client,
            )

    @rule(answer=answers)
    def deliver(self, answer: str) -> None:
        self.comparison.deliver(answer)

    @rule(opened=st.booleans())
    def claim(self, opened: bool) -> None:
        self.comparison.claim(opened=opened)

    @precondition(lambda self: self.comparison.claims)
    @rule(which=st.integers(0, 5), answer=answers)
    def wake(self, which: int, answer: str) -> None:
        self.comparison.wake(which % len(self.comparison.claims), answer)

    @rule(
        start=st.none() | spans("-30 d", "-1 h", "0 s", "3 h", "40 d"),
        period=st.sampled_from([1, 24, 720]),
        day=st.booleans(),
    )
    def dispatch(self, start: timedelta | None, period: int, day: bool) -> None:
        self.comparison.dispatch_window(
            None if start is None else self.comparison.model.now + start, period, whole_day=day
        )

    @rule(which=any_link, early=spans("0 s", "1 h"), late=spans("-1 ms", "0 s", "1 ms"))
    def dispatch_beside(self, which: int, early: timedelta, late: timedelta) -> None:
        """A window whose beginning or end is at a scheduled link, or just beside it."""
        if waiting := [
            link.due_at
            for link in self.comparison.model.links.values()
            if link.queue == "scheduled"
        ]:
            self.comparison.dispatch_window(waiting[which % len(waiting)] - early + late, 1)

    @rule(span=spans("1 ms", "21 s", "61 s", "10 m", "1 h", "1 d", "30 d"))
    def wait(self, span: timedelta) -> None:
        self.comparison.advance_to(self.comparison.model.now + span)

    @rule(which=st.integers(0, 5), late=spans("-1 ms", "0 s", "1 ms"))
    def wait_for_something(self, which: int, late: timedelta) -> None:
        """Until just before, at, or just after a moment at which something ends or is due."""
        if moments := self.comparison.model.moments():
            self.comparison.advance_to(
                max(self.comparison.model.now, moments[which % len(moments)] + late)
            )

    @rule()
    def wait_until_links_go(self) -> None:
        if self.comparison.model.links:
            self.comparison.advance_to(
                min(link.gone_at for link in self.comparison.model.links.values())
            )

    @invariant()
    def store_agrees(self) -> None:
        assert self.comparison.store_audit.audit() == []

    @invariant()
    def totals_agree(self) -> None:
        """Of one organization after the other, so that none is always looked at in time."""
        self.steps += 1
        self.comparison.list(ORGS[self.steps % len(ORGS)], None, 1000)

    def teardown(self) -> None:
        self.comparison.check_all()

    def repeatable(self) -> Sequence[tuple[tuple[str, str], Request]]:
        """The creates that may be repeated, by organization and key."""
        requests = self.comparison.model.requests
        return [(name, request) for name, request in requests.items() if request.recipient]

    def in_time(self, body: dict[str, Any]) -> dict[str, Any]:
        """``body`` with the times that its spans mean now."""
        now, times = self.comparison.model.now, {}
        if "send_in" in body:
            times["scheduled_at"] = now + body["send_in"]
        if "life" in body:
            times["expires_at"] = max(now, times.get("scheduled_at", now)) + body["life"]
        return {
            name: value for name, value in body.items() if name not in {"send_in", "life"}
        } | times

    def link_id(self, which: int) -> str:
        """A link that can be read, as a rule; else one that is gone, or never was."""
        readable, others = (
            [*self.comparison.model.links],
            [*sorted(self.comparison.model.gone), UNKNOWN_LINK_ID],
        )
        return (
            others[which % len(others)]
            if which % 10 == 9 or not readable
            else readable[which % len(readable)]
        )

    def anybody(self, which: int) -> Caller:
        known = [
            PUBLIC,
            INTERNAL,
            *(Caller("org-admin", org_id) for org_id in ORGS),
            Caller("forged", token="x.y.z"),
        ]
        known += self.comparison.tokens[-6:] * 2
        return known[which % len(known)]


@pytest.fixture
def api(valkey: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """The application, which rings in a database of its own and logs nothing.

    It waits long for the store, as the machine may be busy; other tests check its time-out.
    """
    monkeypatch.setattr("service.storage.pipeline.REDIS_TIMEOUT_SECONDS", 60.0)
    monkeypatch.setitem(OPTIONS, "socket_timeout", 60.0)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    clock, store = Clock(), create_client(valkey.url)
    app = create_app(settings_of(valkey, QUEUE_REDIS_URL=f"{valkey.url}?db=1", **LIMITS), clock)
    with InProcessApp(app) as client:
        yield Api(client, clock, store)  # type: ignore[arg-type]
    store.close()
    structlog.reset_defaults()


@pytest.mark.timeout(600)  # 40 s on an idle machine
def test_the_service_and_a_model_of_its_contract_never_differ(
    api: Api, valkey: RedisServer, run_length: Callable[[int, int], int]
) -> None:
    """Full: 1,000 runs of 40 steps."""
    happened: Counter[str] = Counter()
    tomorrow = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) + timedelta(
        days=1
    )

    class FreshMachine(Machine):
        """On an empty store, at noon tomorrow."""

        def __init__(self) -> None:
            api.redis.flushdb()
            api.clock.now = tomorrow
            super().__init__(ModelComparison(api, valkey.url, happened))

    limits = settings(
        max_examples=run_length(25, 1000),
        stateful_step_count=40,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(FreshMachine, settings=limits)
    for name, times in sorted(happened.items()):
        print(f"{times:7} {name}")
    assert [name for name in OFTEN if happened[name] < run_length(1, 100)] == []
    assert [name for name in happened if happened[name] < run_length(0, 10)] == []
