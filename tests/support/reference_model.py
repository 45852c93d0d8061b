"""A model of the service's contract in plain dictionaries, to compare the service with.

It does not know the implementation. Its values change only by answers, mails and the clock.
"""

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.support.reference_records import RETENTION, Code, Link, Payment, Request, Window

LINK_TTL = timedelta(hours=72)
LEASE, LONGEST_BACKOFF = timedelta(seconds=20), timedelta(minutes=15)
HOUR, DAY, YEAR = timedelta(hours=1), timedelta(days=1), timedelta(days=365)
CODE_TTL, CODE_TRIES = timedelta(minutes=10), 5
VERIFIED_FOR = TOKEN_LIFE = REPEATABLE_FOR = DAY
FAILURES_PER_DAY = 10
CLIENT_SENDS_PER_HOUR, CLIENT_FAILURES_PER_HOUR, UNVERIFIED_PER_HOUR = 12, 8, 2
"""Lower than the service's defaults, so that they are reached."""
SENDS_PER_MINUTE = 600
SEND_LIMITS = {
    "resend": (1, timedelta(seconds=60)),
    "sends_hour": (5, HOUR),
    "sends_day": (10, DAY),
}
RESEND_LIMITS = {
    "mail_resend": (1, timedelta(seconds=60)),
    "mail_resends_day": (5, DAY),
}
"""Of a link's mail."""
STATUSES = ("active", "expired", "revoked", "paid")
LOGGED_STATES = {"sent": "sent", "failed": "delivery_failed"}
"""The event of an e-mail that reaches a state."""
REFUSED, DEFERRED = "550 no such mailbox", "451 come back later"

Counted = tuple[str, str]
"""A limit and who it is of."""
CEILING: Counted = ("ceiling", "all")


@dataclass
class ReferenceModel:
    now: datetime
    links: dict[str, Link] = field(default_factory=dict)
    """Those that can be read, oldest first."""
    gone: set[str] = field(default_factory=set)
    requests: dict[tuple[str, str], Request] = field(default_factory=dict)
    """By organization and idempotency key: those that may be repeated."""
    codes: dict[str, Code] = field(default_factory=dict)
    verified: dict[str, list[tuple[str, datetime]]] = field(default_factory=dict)
    windows: dict[Counted, Window] = field(default_factory=dict)
    longest: datetime | None = None
    """When the last link that ever was would have gone."""
    org_ends: dict[str, datetime] = field(default_factory=dict)
    """When the last link that each organization ever made would end."""
    events: list[tuple[datetime, str, str, str]] = field(default_factory=list)
    """All that were ever logged: when, the type, the organization and the link."""

    def log(self, kind: str, link: Link) -> None:
        self.events.append((self.now, kind, link.org_id, link.id))

    def advance_to(self, now: datetime) -> None:
        self.now = now
        self.gone |= {link_id for link_id, link in self.links.items() if link.gone_at <= now}
        self.links = {link_id: link for link_id, link in self.links.items() if link.gone_at > now}
        self.requests = {
            key: request for key, request in self.requests.items() if request.until > now
        }
        self.codes = {email: code for email, code in self.codes.items() if code.expires_at > now}
        self.windows = {
            name: window for name, window in self.windows.items() if window.ends_at > now
        }
        self.verified = {
            email: [(digits, until) for digits, until in kept if until > now]
            for email, kept in self.verified.items()
        }

    def moments(self) -> list[datetime]:
        """When something changes by itself, soonest first."""
        found = [window.ends_at for window in self.windows.values()] + [
            code.expires_at for code in self.codes.values()
        ]
        for link in self.links.values():
            found += [
                moment
                for moment in (link.look_at, link.expires_at, link.gone_at)
                if moment is not None
            ]
        found += [until for kept in self.verified.values() for _, until in kept]
        found += [request.until for request in self.requests.values()]
        return sorted({moment for moment in found if moment > self.now})

    def of(self, org_id: str, status: str | None = None) -> list[Link]:
        return [
            link
            for link in self.links.values()
            if link.org_id == org_id
            and status in {None, link.status(self.now)}
            and self.is_listed(link)
        ]

    def is_listed(self, link: Link) -> bool:
        return link.ended_at > self.now - RETENTION

    def counts(self, org_id: str) -> dict[str, int]:
        return {status: len(self.of(org_id, status)) for status in STATUSES}

    def counts_of_all(self) -> dict[str, int]:
        return {
            status: sum(link.status(self.now) == status for link in self.links.values())
            for status in STATUSES
        }

    def fault(self, body: dict[str, Any], recipient: str) -> str | None:
        """The ``code`` of the problem that a new link of this ``body`` has."""
        scheduled_at, expires_at, otp = (
            body.get("scheduled_at"),
            body.get("expires_at"),
            body.get("otp"),
        )
        send_at = max(scheduled_at or self.now, self.now)
        if scheduled_at and not self.now - timedelta(seconds=60) <= scheduled_at <= self.now + YEAR:
            return "validation_failed"
        if expires_at and not send_at + timedelta(minutes=5) <= expires_at <= send_at + YEAR:
            return "validation_failed"
        if otp and (fault := self._fault_of_otp(otp, recipient, body["org_id"])):
            return fault
        return self._conflict(body)

    def _conflict(self, body: dict[str, Any]) -> str | None:
        """The problem that other links of its transaction are to a new link of this ``body``."""
        others = self.others(body["org_id"], body.get("transaction_id"))
        match body.get("on_conflict"):
            case "error":
                return "transaction_exists" if others else None
            case "supersede" if any(link.valid_payments for link in others):
                return "link_paid"
        return None

    def others(self, org_id: str, transaction_id: str | None) -> list[Link]:
        """The links of the transaction that are active or paid, newest first."""
        found = [
            link
            for link in self.links.values()
            if link.status(self.now) in {"active", "paid"}
            and (link.org_id, link.transaction_id) == (org_id, transaction_id)
            and transaction_id is not None
        ]
        return sorted(found, key=lambda link: (link.created_at, link.id), reverse=True)

    def _fault_of_otp(self, otp: str, recipient: str, org_id: str) -> str | None:
        unverified = "unverified", f"{recipient}:{org_id}"
        if self.reached(unverified, UNVERIFIED_PER_HOUR):
            return "limit_reached"
        if otp in [digits for digits, _ in self.verified.get(recipient, [])]:
            return None
        self._count(unverified, HOUR)
        return "otp_not_verified"

    def create(self, link_id: str, body: dict[str, Any], recipient: str, key: str | None) -> Link:
        assert link_id not in self.links.keys() | self.gone
        scheduled_at = body.get("scheduled_at")
        expires_at = body.get("expires_at") or max(scheduled_at or self.now, self.now) + LINK_TTL
        link = Link(
            id=link_id,
            org_id=body["org_id"],
            email=body["email"],
            recipient=recipient,
            created_at=self.now,
            expires_at=expires_at,
            gone_at=expires_at + RETENTION,
            transaction_id=body.get("transaction_id"),
            payment_amount=body.get("payment_amount"),
            currency=body["currency"].upper() if "currency" in body else None,
            otp_required=body.get("otp_required", False) or "otp" in body,
            locale=body.get("locale"),
            scheduled_at=scheduled_at,
            accept_partial=body.get("accept_partial", False),
        )
        if body.get("on_conflict") == "supersede":
            self._supersede(link)
        if body.get("notify", True):
            link.state, link.sends = "scheduled" if scheduled_at else "queued", 1
            link.owe("scheduled" if scheduled_at else "outbox", link.due_at)
        if key is not None:
            self.requests[link.org_id, key] = Request(
                body, recipient, link_id, self.now + REPEATABLE_FOR, self.now
            )
        self.links[link_id] = link
        self._note_end(link, link.expires_at)
        return link

    def _note_end(self, link: Link, ends_at: datetime) -> None:
        self.longest = max(self.longest or link.gone_at, link.gone_at)
        self.org_ends[link.org_id] = max(self.org_ends.get(link.org_id, ends_at), ends_at)

    def _supersede(self, link: Link) -> None:
        for other in self.others(link.org_id, link.transaction_id):
            self._end(other)
            other.superseded_by, link.supersedes = link.id, link.supersedes or other.id
            self.log("superseded", other)

    def revoke(self, links: list[Link]) -> set[str]:
        """Ids of those that were active until now."""
        newly = [link for link in links if link.status(self.now) == "active"]
        for link in newly:
            self._end(link)
            self.log("revoked", link)
        return {link.id for link in newly}

    def _end(self, link: Link) -> None:
        link.revoked_at, link.gone_at = self.now, self.now + RETENTION
        self._take_mail_back(link)

    def _take_mail_back(self, link: Link) -> None:
        if link.state in {"scheduled", "queued"}:
            link.state = "none"
        link.owe(None)

    def pay(self, link: Link, payment_id: str, amount: Decimal | None) -> str:
        """``new``, ``repeated``, or the ``code`` of the problem."""
        if earlier := next((each for each in link.payments if each.id == payment_id), None):
            if earlier.voided_at:
                return "payment_voided"
            return "repeated" if amount in {None, earlier.amount} else "payment_conflict"
        received = amount or link.amount_due or link.payment_amount
        if received is None:
            return "validation_failed"
        ends_at, was_paid = link.revoked_at or link.expires_at, link.settling is not None
        payment = Payment(payment_id, received, self.now, self.now >= ends_at)
        link.payments.append(payment)
        if link.settling is None and not link.accept_partial:
            link.payments.remove(payment)
            return "partial_not_accepted"
        self.log("payment_recorded", link)
        if link.settling is not None:
            self.log("duplicate_payment" if was_paid else "paid", link)
            self._take_mail_back(link)
        self._change(link)
        return "new"

    def void(self, link: Link, payment_id: str) -> bool:
        """Whether there is such a payment."""
        payment = next((each for each in link.payments if each.id == payment_id), None)
        if payment is not None and payment.voided_at is None:
            payment.voided_at = self.now
            self.log("payment_voided", link)
            self._change(link)
        return payment is not None

    def patch(self, link: Link, changes: dict[str, Any], recipient: str) -> str | None:
        """The ``code`` of the problem; None: the link is as ``changes`` say."""
        if changes and link.status(self.now) in {"revoked", "paid"}:
            return "link_ended"
        changed = {name: new for name, new in changes.items() if new != getattr(link, name)}
        is_in_mail = not changed.keys().isdisjoint({"email", "payment_amount"})
        if link.sent_at is not None and is_in_mail:
            return "link_sent"
        if "payment_amount" in changed and link.valid_payments:
            return "link_paid"
        scheduled_at = None if link.sent_at else link.scheduled_at
        send_at = max(scheduled_at or self.now, self.now)
        expires_at = changed.get("expires_at")
        if expires_at and not send_at + timedelta(minutes=5) <= expires_at <= send_at + YEAR:
            return "validation_failed"
        if is_in_mail and link.is_held:
            return "mail_pending"
        for name, value in changed.items():
            setattr(link, name, value)
        if changed:
            link.recipient = recipient if "email" in changed else link.recipient
            link.version += 1
            self.log("updated", link)
            self._change(link)
        return None

    def _change(self, link: Link) -> None:
        link.gone_at = link.ended_at + RETENTION
        self._note_end(link, link.ended_at)

    def resend(self, link: Link, key: str | None) -> str | timedelta | None:
        """The ``code`` of the problem or how long to wait; None: its mail is owed again."""
        body = {"resend": link.id}
        if earlier := self.requests.get((link.org_id, key or "")):
            return "repeated" if earlier.means(body, "") else "idempotency_conflict"
        if link.status(self.now) != "active":
            return "link_ended"
        counted = {(name, link.id): limit for name, limit in RESEND_LIMITS.items()}
        waits = [self.reached(name, most) for name, (most, _) in counted.items()]
        if wait := max((wait for wait in waits if wait is not None), default=None):
            return wait
        if link.queue is not None:
            return "mail_pending"
        for name, (_, span) in counted.items():
            self._count(name, span)
        link.send_again(self.now)
        self.log("resent", link)
        if key is not None:
            self.requests[link.org_id, key] = Request(
                body, "", link.id, self.now + REPEATABLE_FOR, self.now
            )
        return None

    def resend_failed(self, org_id: str, since: datetime | None, key: str | None) -> int | None:
        """How many mails the request has queued, also before; None: the key is another's."""
        body = {"resend_failed": org_id, "since": since}
        earlier = self.requests.get((org_id, key or ""))
        if earlier is not None and not earlier.means(body, ""):
            return None
        request = earlier or Request(body, "", "", self.now + REPEATABLE_FOR, self.now)
        for link in self.of(org_id, "active"):
            if (
                link.state == "failed"
                and link.failed_at is not None
                and (since is None or since <= link.failed_at)
                and self.now - RETENTION < link.failed_at <= request.asked_at
            ):
                link.send_again(self.now)
                self.log("resent", link)
                request.queued += 1
        if key is not None:
            self.requests[org_id, key] = request
        return request.queued

    def due(self) -> list[Link]:
        """Links whose e-mail a worker takes now."""
        return [
            link
            for link in self.links.values()
            if link.look_at is not None and link.look_at <= self.now
        ]

    def claim(self, *, opened: bool) -> list[Link]:
        claimed = self.due()
        for link in claimed:
            link.claimed_since = link.claimed_since or link.look_at
            link.owe("outbox", self.now + LEASE)
            if opened:
                link.state = "queued"
        return claimed

    def deliver(self, answer: str) -> set[str]:
        """Ids of links whose e-mail is handed to a server that answers so."""
        claimed = self.claim(opened=True)
        for link in claimed:
            if link.status(self.now) == "active":
                self.settle(link, answer)
            else:
                link.fail("the link expired before it could be sent", self.now)
                link.owe(None)
                self.log("delivery_failed", link)
        return {link.id for link in claimed if link.status(self.now) == "active"}

    def settle(self, link: Link, answer: str) -> None:
        """What became of an e-mail that was tried."""
        retry_at = self.now + backoff(link.attempts, link.expires_at - self.now)
        link.attempts += 1
        before = link.state
        if answer == "taken":
            link.state, link.sent_at, link.error = "sent", self.now, None
            link.owe(None)
        elif answer == "refused":
            link.fail(REFUSED, self.now)
            link.owe(None)
        else:
            link.state, link.error = "queued", DEFERRED
            link.owe("outbox", retry_at)
            link.retry_at = retry_at
        if link.state != before and link.state in LOGGED_STATES:
            self.log(LOGGED_STATES[link.state], link)

    def deliver_codes(self, answer: str) -> set[str]:
        """The codes that are handed to a server that answers so."""
        due = [
            code
            for code in self.codes.values()
            if code.mail_at is not None and code.mail_at <= self.now
        ]
        for code in due:
            code.mail_at = (
                self.now + backoff(code.mails, code.expires_at - self.now)
                if answer == "deferred"
                else None
            )
            code.mails += 1
        return {code.digits for code in due}

    def dispatch_window(self, start: datetime, end: datetime) -> tuple[int, int]:
        found = [
            link
            for link in self.links.values()
            if link.queue == "scheduled" and start <= link.due_at < end
        ]
        for link in found:
            link.state = "queued"
            link.owe("outbox", min(self.now, link.due_at))
        return len(found), sum(link.status(self.now) == "active" for link in found)

    def must_wait_to_ask(self, email: str, client: str) -> timedelta | None:
        """How long no code is sent; None: one is."""
        if wait := self._client_must_wait("otp_sends", client, CLIENT_SENDS_PER_HOUR):
            return wait
        waits = [self.reached((name, email), most) for name, (most, _) in SEND_LIMITS.items()]
        return max(
            (wait for wait in waits if wait is not None),
            default=self.reached(CEILING, SENDS_PER_MINUTE),
        )

    def ask(self, email: str, client: str, digits: str) -> None:
        for network in networks_of(client):
            self._count(("otp_sends", network), HOUR)
        self._count(CEILING, timedelta(minutes=1))
        for name, (_, span) in SEND_LIMITS.items():
            self._count((name, email), span)
        self.codes[email] = Code(digits, self.now + CODE_TTL, self.now)

    def reached(self, name: Counted, most: int) -> timedelta | None:
        window = self.windows.get(name)
        return window.ends_at - self.now if window is not None and window.count >= most else None

    def submit(self, email: str, client: str, digits: str) -> bool | timedelta:
        """Whether the code is right, or how long none is looked at."""
        if wait := self._client_must_wait("otp_failures", client, CLIENT_FAILURES_PER_HOUR):
            return wait
        failures = [("otp_failures", network) for network in networks_of(client)]
        for name in failures:
            self._count(name, HOUR)
        tries = [("failures_day", email), ("failures_day", f"{email}:{client}")]
        if wait := self.reached(tries[0], FAILURES_PER_DAY):
            return wait
        code, wait = self.codes.get(email), self.reached(tries[1], FAILURES_PER_DAY // 2)
        if wait:
            return False if code is not None and code.tries >= CODE_TRIES else wait
        if code is None:
            return False
        for name in tries:
            self._count(name, DAY)
        code.tries += 1
        if code.tries > CODE_TRIES or code.digits != digits:
            return False
        del self.codes[email]
        for name in (*failures, *tries):
            self._take_back(name)
        self.verified.setdefault(email, []).append((digits, self.now + VERIFIED_FOR))
        return True

    def _client_must_wait(self, limit: str, client: str, most: int) -> timedelta | None:
        waits = [
            self.reached((limit, network), times * most)
            for network, times in networks_of(client).items()
        ]
        return max((wait for wait in waits if wait is not None), default=None)

    def _count(self, name: Counted, span: timedelta) -> None:
        self.windows.setdefault(name, Window(self.now + span)).count += 1

    def _take_back(self, name: Counted) -> None:
        self.windows[name].count -= 1
        if not self.windows[name].count:
            del self.windows[name]


def networks_of(client: str) -> dict[str, int]:
    """An IPv4 address and the /24 that it is in, and how many times a client's limit each has."""
    return {client: 1, f"{client.rpartition('.')[0]}.0/24": 10}


def backoff(tries: int, life: timedelta) -> timedelta:
    """How long until the next try of an e-mail that is of use for so long."""
    return min(timedelta(seconds=5 * math.pow(3, min(tries, 10))), LONGEST_BACKOFF, life / 4)
