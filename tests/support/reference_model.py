"""A model of the service's contract in plain dictionaries, to compare the service with.

It does not know the implementation. Its values change only by answers, mails and the clock.
"""

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

LINK_TTL, RETENTION = timedelta(hours=72), timedelta(days=90)
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
STATUSES = ("active", "expired", "revoked")
REFUSED, DEFERRED = "550 no such mailbox", "451 come back later"

Counted = tuple[str, str]
"""A limit and who it is of."""
CEILING: Counted = ("ceiling", "all")


@dataclass
class Link:
    id: str
    org_id: str
    email: str
    recipient: str
    created_at: datetime
    expires_at: datetime
    transaction_id: str | None
    payment_amount: Decimal | None
    currency: str | None
    otp_required: bool
    locale: str | None
    scheduled_at: datetime | None
    revoked_at: datetime | None = None
    state: str = "none"
    attempts: int = 0
    sent_at: datetime | None = None
    error: str | None = None
    failed_at: datetime | None = None
    queue: str | None = None
    """``scheduled`` or ``outbox`` while its e-mail is owed."""
    look_at: datetime | None = None
    """When its e-mail is to be looked at (again)."""
    claimed_since: datetime | None = None
    """Since when the e-mail is owed that a worker has claimed."""

    @property
    def due_at(self) -> datetime:
        return self.scheduled_at or self.created_at

    @property
    def ended_at(self) -> datetime:
        return self.revoked_at or self.expires_at

    @property
    def gone_at(self) -> datetime:
        return self.ended_at + RETENTION

    def status(self, now: datetime) -> str:
        if self.revoked_at is not None:
            return "revoked"
        return "active" if now < self.expires_at else "expired"

    def fail(self, error: str, now: datetime) -> None:
        self.state, self.error, self.failed_at = "failed", error, min(now, self.expires_at)

    def owe(self, queue: str | None, look_at: datetime | None = None) -> None:
        self.queue, self.look_at = queue, look_at
        if queue is None:
            self.claimed_since = None


@dataclass
class Window:
    ends_at: datetime
    count: int = 0


@dataclass
class Code:
    digits: str
    expires_at: datetime
    mail_at: datetime | None
    """When its e-mail is to be looked at; None once it is out or given up."""
    tries: int = 0
    mails: int = 0


@dataclass
class Request:
    body: dict[str, Any]
    recipient: str
    link_id: str
    until: datetime

    def means(self, body: dict[str, Any], recipient: str) -> bool:
        """Whether ``body`` asks for the same."""
        return meaning(body, recipient) == meaning(self.body, self.recipient)


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
            if link.org_id == org_id and status in {None, link.status(self.now)}
        ]

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
        return self._fault_of_otp(otp, recipient, body["org_id"]) if otp else None

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
        link = Link(
            id=link_id,
            org_id=body["org_id"],
            email=body["email"],
            recipient=recipient,
            created_at=self.now,
            expires_at=body.get("expires_at") or max(scheduled_at or self.now, self.now) + LINK_TTL,
            transaction_id=body.get("transaction_id"),
            payment_amount=body.get("payment_amount"),
            currency=body["currency"].upper() if "currency" in body else None,
            otp_required=body.get("otp_required", False) or "otp" in body,
            locale=body.get("locale"),
            scheduled_at=scheduled_at,
        )
        if body.get("notify", True):
            link.state = "scheduled" if scheduled_at else "queued"
            link.owe("scheduled" if scheduled_at else "outbox", link.due_at)
        if key is not None:
            self.requests[link.org_id, key] = Request(
                body, recipient, link_id, self.now + REPEATABLE_FOR
            )
        self.links[link_id] = link
        self.longest = max(self.longest or link.gone_at, link.gone_at)
        self.org_ends[link.org_id] = max(
            self.org_ends.get(link.org_id, link.expires_at), link.expires_at
        )
        return link

    def revoke(self, links: list[Link]) -> set[str]:
        """Ids of those that were active until now."""
        newly = [link for link in links if link.status(self.now) == "active"]
        for link in newly:
            link.revoked_at = self.now
            if link.state in {"scheduled", "queued"}:
                link.state = "none"
            link.owe(None)
        return {link.id for link in newly}

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
        return {link.id for link in claimed if link.status(self.now) == "active"}

    def settle(self, link: Link, answer: str) -> None:
        """What became of an e-mail that was tried."""
        retry_at = self.now + backoff(link.attempts)
        link.attempts += 1
        if answer == "taken":
            link.state, link.sent_at, link.error = "sent", self.now, None
            link.owe(None)
        elif answer == "refused":
            link.fail(REFUSED, self.now)
            link.owe(None)
        else:
            link.state, link.error = "queued", DEFERRED
            link.owe("outbox", retry_at)

    def deliver_codes(self, answer: str) -> set[str]:
        """The codes that are handed to a server that answers so."""
        due = [
            code
            for code in self.codes.values()
            if code.mail_at is not None and code.mail_at <= self.now
        ]
        for code in due:
            code.mail_at = self.now + backoff(code.mails) if answer == "deferred" else None
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


def meaning(body: dict[str, Any], recipient: str) -> dict[str, Any]:
    """What a new link's ``body`` asks for, however it is written."""
    said = {"notify": True, "otp_required": "otp" in body} | body | {"email": recipient}
    return {
        name: value.upper() if name == "currency" else value
        for name, value in said.items()
        if value is not None
    }


def backoff(tries: int) -> timedelta:
    return min(timedelta(seconds=5 * math.pow(3, min(tries, 10))), LONGEST_BACKOFF)
