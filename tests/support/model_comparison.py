"""Runs each operation on the application and on the model, and compares the results."""

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from email.message import EmailMessage
from typing import Any

import httpx
from msgspec.structs import replace

from service.auth.tokens import derive_key
from service.links import mail_store
from service.links import store as links
from service.outbox import store as outbox
from service.outbox.queues import LINK_QUEUE, OTP_QUEUE
from service.storage import keys
from service.values.ids import partition_of
from tasks.delivery.sessions import PoolSize
from tasks.mail.mailer import Deferred, Refused
from tasks.mail_kinds.link_mails import LinkMailHandler
from tasks.mail_kinds.otp_mails import OtpMailHandler
from tests.support.actors import (
    ANN,
    JANE,
    JOHN,
    ORGS,
    SPELLINGS,
    Caller,
    Pagination,
    decode,
    encode,
    may,
    written,
)
from tests.support.api import (
    PEER,
    PUBLIC_URL,
    SECRET,
    Api,
    Headers,
    assert_problem,
    bearer,
    in_public,
    stamp,
)
from tests.support.delivery_harness import SENDER, DeliveryHarness, text_of
from tests.support.factories import make_link
from tests.support.redis_client import RedisClient
from tests.support.reference_model import (
    DAY,
    DEFERRED,
    LEASE,
    LONGEST_BACKOFF,
    REFUSED,
    SEND_LIMITS,
    STATUSES,
    TOKEN_LIFE,
    ReferenceModel,
    backoff,
)
from tests.support.reference_records import RETENTION, Link, Payment
from tests.support.scripted_smtp import ScriptedMailer
from tests.support.store_audit import StoreAudit

SLACK = 20
"""Seconds by which ``Retry-After`` may differ, for the store's own clock counts them."""
CREATE_FAULTS = {
    "limit_reached": 429,
    "otp_not_verified": 422,
    "validation_failed": 422,
    "transaction_exists": 409,
    "link_paid": 409,
}
"""The status of each problem that a create may meet."""
INTERNAL, PUBLIC = Caller("internal-admin"), Caller("public")


class ModelComparison:
    def __init__(self, api: Api, url: str, happened: "Counter[str]") -> None:
        self.api = api
        self.url = url
        self.happened = happened
        self.model = ReferenceModel(api.now)
        self.store_audit = StoreAudit(api.redis, self.model)
        self.tokens: list[Caller] = []
        self.digits: dict[str, list[str]] = {email: [] for email in SPELLINGS.values()}
        """All codes that each e-mail was sent, the newest last."""
        self.claims: list[tuple[dict[str, int], datetime]] = []
        """Links that workers took who are not heard of since, with their sends, and until when."""
        self.paginations: list[Pagination] = []

    def headers(self, caller: Caller) -> Headers:
        if caller.role == "internal-admin":
            return self.api.internal()
        if caller.role == "org-admin":
            return self.api.org(caller.name)
        return bearer(caller.token) if caller.token else {}

    def advance_to(self, now: datetime) -> None:
        before = self.model.counts_of_all()
        self.api.clock.now = now
        self.model.advance_to(now)
        self.store_audit.age()
        self.claims = [(ids, deadline) for ids, deadline in self.claims if now < deadline + DAY]
        after = self.model.counts_of_all()
        self.happened["link expired"] += max(0, after["expired"] - before["expired"])
        self.happened["link gone"] += max(0, sum(before.values()) - sum(after.values()))

    def create(
        self,
        body: dict[str, Any],
        *,
        key: str | None = None,
        write: Callable[[datetime], str] = stamp,
        caller: Caller = INTERNAL,
    ) -> None:
        headers = (
            self.headers(caller)
            | {"Content-Type": "application/json"}
            | ({"Idempotency-Key": key} if key else {})
        )
        response = self.api.client.post(
            "/payment-links", content=encode(body, write), headers=headers
        )
        recipient = SPELLINGS[body["email"]]
        if caller.role == "org-admin" and caller.name != body["org_id"]:
            assert_problem(response, 403, "forbidden")
            self.happened["create: another organization's"] += 1
            return
        earlier = self.model.requests.get((body["org_id"], key or ""))
        if earlier is not None and not earlier.means(body, recipient):
            assert_problem(response, 409, "idempotency_conflict")
            self.happened["create: conflict"] += 1
        elif earlier is not None and earlier.link_id in self.model.links:
            assert (response.status_code, response.headers["idempotency-replayed"]) == (
                201,
                "true",
            ), response.text
            assert decode(response) == self.answer(self.model.links[earlier.link_id])
            self.happened["create: repeated"] += 1
            self.happened["create: repeated in other words"] += earlier.body != body
        elif fault := self.model.fault(body, recipient):
            problem = assert_problem(response, CREATE_FAULTS[fault], fault)
            if fault == "transaction_exists":
                [newest, *_] = self.model.others(body["org_id"], body["transaction_id"])
                assert problem["link_id"] == newest.id
            self.happened[f"create: {fault}"] += 1
        else:
            assert response.status_code == 201, response.text
            made = decode(response)
            assert "idempotency-replayed" not in response.headers
            link = self.model.create(made["id"], body, recipient, key)
            assert made == self.answer(link)
            assert response.headers["location"] == f"/payment-links/{link.id}"
            self.happened[f"create: {link.state}"] += 1
            self.happened["create: with a verified code"] += "otp" in body
            self.happened["create: in place of another"] += link.supersedes is not None

    def read(self, link_id: str, caller: Caller) -> None:
        """By GET and by verify."""
        read, verified = (
            self.api.get(link_id, self.headers(caller)),
            self.api.verify(link_id, self.headers(caller)),
        )
        link = self.model.links.get(link_id)
        if link is None:
            assert_problem(read, 404, "link_not_found")
            assert_problem(verified, 404, "link_not_found")
            self.happened["read: none"] += 1
            return
        status, problem = link.status(self.model.now), self._no_access(link, caller)
        shown = self.shown(link, caller) if problem is None else self.masked(link)
        assert decode(verified) == {"valid": status == "active", "status": status, "link": shown}
        if problem is None:
            assert (read.status_code, decode(read)) == (200, shown)
        else:
            assert_problem(read, *problem)
        self.happened[f"read: {status}" if problem is None else f"read: {problem[1]}"] += 1
        self.happened["read: by its customer"] += (
            link.otp_required and problem is None and caller.role == "customer"
        )

    def shown(self, link: Link, caller: Caller) -> dict[str, Any]:
        """The link as it is answered to ``caller``, who may read it."""
        is_admin = caller.role.endswith("admin") and may(caller, link.org_id)
        return self.answer(link) if is_admin else in_public(self.answer(link))

    def _no_access(self, link: Link, caller: Caller) -> tuple[int, str] | None:
        if not link.otp_required or caller.role == "internal-admin":
            return None
        if caller.role == "public":
            return 401, "otp_required"
        if caller.role == "forged" or (caller.until is not None and caller.until <= self.model.now):
            return 401, "token_invalid"
        return None if caller.name in {link.recipient, link.org_id} else (403, "forbidden")

    def revoke(self, link_id: str | None, email: str | None, caller: Caller) -> None:
        response = self.api.revoke(
            link_id, self.headers(caller), **({"email": email} if email else {})
        )
        link = self.model.links.get(link_id or "")
        if link_id is None and email is None:
            assert_problem(response, 422, "validation_failed")
        elif link_id is not None and link is None:
            assert_problem(response, 404, "link_not_found")
        elif link is not None and not may(caller, link.org_id):
            assert_problem(response, 403, "forbidden")
            self.happened["revoke: another organization's"] += 1
        elif link is not None and link.status(self.model.now) == "paid":
            assert_problem(response, 409, "link_paid")
            self.happened["revoke: paid"] += 1
        else:
            recipient = SPELLINGS[email] if email else None
            named = [
                each
                for each in self.model.links.values()
                if each.recipient == recipient and may(caller, each.org_id)
            ]
            newly = self.model.revoke([*named, *([link] if link is not None else [])])
            answer = decode(response)
            assert (response.status_code, set(answer["links"]), answer["revoked"]) == (
                200,
                newly,
                len(answer["links"]),
            )
            assert len(answer["links"]) == len(newly)
            self.happened["revoke: none"] += not newly
            self.happened["revoke: link"] += len(newly)
            self.happened["revoke: several at once"] += len(newly) > 1

    def pay(self, link_id: str, payment_id: str, amount: str, caller: Caller) -> None:
        """``amount``: what is ``due``, the ``whole`` or a ``unit`` of the currency."""
        link = self.model.links.get(link_id)
        whole = None if link is None else link.payment_amount
        named = {"due": None, "whole": whole, "unit": Decimal(1), "million": Decimal(10**6)}[amount]
        body = {"payment_id": payment_id} | ({} if named is None else {"amount": named})
        response = self.api.client.post(
            f"/payment-links/{link_id}/payments",
            content=encode(body, stamp),
            headers=self.headers(caller) | {"Content-Type": "application/json"},
        )
        if link is None:
            assert_problem(response, 404, "link_not_found")
        elif not may(caller, link.org_id):
            assert_problem(response, 403, "forbidden")
        elif (outcome := self.model.pay(link, payment_id, named)) in {"new", "repeated"}:
            assert response.status_code == (201 if outcome == "new" else 200), response.text
            answer = decode(response)
            assert answer.pop("link") == self.answer(link)
            assert answer in self.answer(link)["payments"]
            self.happened[f"pay: {outcome}"] += 1
            self.happened["pay: late"] += answer["late"]
            self.happened["pay: duplicate"] += answer["duplicate"]
            self.happened["pay: a part"] += link.settling is None
        else:
            status = 409 if outcome.startswith("payment_") else 422
            assert_problem(response, status, outcome)
            self.happened[f"pay: {outcome}"] += 1

    def void(self, link_id: str, payment_id: str, caller: Caller) -> None:
        response = self.api.client.delete(
            f"/payment-links/{link_id}/payments/{payment_id}", headers=self.headers(caller)
        )
        link = self.model.links.get(link_id)
        if link is None:
            assert_problem(response, 404, "link_not_found")
        elif not may(caller, link.org_id):
            assert_problem(response, 403, "forbidden")
        elif self.model.void(link, payment_id):
            assert (response.status_code, decode(response)) == (200, self.answer(link))
            self.happened[f"void: then {link.status(self.model.now)}"] += 1
        else:
            assert_problem(response, 404, "payment_not_found")

    def patch(self, link_id: str, changes: dict[str, Any], caller: Caller) -> None:
        response = self.api.client.patch(
            f"/payment-links/{link_id}",
            content=encode(changes, stamp),
            headers=self.headers(caller) | {"Content-Type": "application/json"},
        )
        link = self.model.links.get(link_id)
        if link is None:
            assert_problem(response, 404, "link_not_found")
            return
        if not may(caller, link.org_id):
            assert_problem(response, 403, "forbidden")
            return
        was, version = link.status(self.model.now), link.version
        recipient = SPELLINGS.get(changes.get("email", ""), "")
        if fault := self.model.patch(link, changes, recipient):
            assert_problem(response, 422 if fault == "validation_failed" else 409, fault)
            self.happened[f"patch: {fault}"] += 1
            return
        assert (response.status_code, decode(response)) == (200, self.answer(link)), response.text
        tag = f'"{link.version}-{link.status(self.model.now)}"'
        assert response.headers["etag"] == tag
        self.happened["patch: changed"] += link.version > version
        self.happened["patch: active again"] += was != link.status(self.model.now)

    def list(self, org_id: str, status: str | None, limit: int, caller: Caller = INTERNAL) -> None:
        """All pages, one after the other."""
        if not may(caller, org_id):
            assert_problem(self.api.list(self.headers(caller), org_id), 403, "forbidden")
            return
        pagination = self.pagination(org_id, status, limit)
        pages = 1
        while self.next_page(pagination, caller):
            pages += 1
        assert pagination.seen == pagination.wanted
        self.happened["list: of several pages"] += pages > 1
        self.happened["list: of several links"] += len(pagination.seen) > 1

    def pagination(self, org_id: str, status: str | None, limit: int) -> Pagination:
        return Pagination(
            org_id, status, limit, {link.id for link in self.model.of(org_id, status)}
        )

    def next_page(self, pagination: Pagination, caller: Caller = INTERNAL) -> bool:
        """The pagination's next page. False: it was the last."""
        asked = {
            "limit": pagination.limit,
            "status": pagination.status,
            "cursor": pagination.cursor,
        }
        response = self.api.list(
            self.headers(caller),
            pagination.org_id,
            **{name: value for name, value in asked.items() if value is not None},
        )
        assert response.status_code == 200, response.text
        page = decode(response)
        listed = {link.id: link for link in self.model.of(pagination.org_id, pagination.status)}
        found = self._check_listed(page["links"], pagination, listed)
        assert page["counts"] == self.model.counts(pagination.org_id)
        assert (
            page["total"] == sum(page["counts"].values()) == len(self.model.of(pagination.org_id))
        )
        assert len(found) == pagination.limit or (
            len(found) < pagination.limit and page["next_cursor"] is None
        )
        pagination.cursor = page["next_cursor"]
        if pagination.cursor is None:
            assert pagination.wanted & listed.keys() <= pagination.seen
        return pagination.cursor is not None

    def _check_listed(
        self, bodies: Sequence[dict[str, Any]], pagination: Pagination, listed: dict[str, Link]
    ) -> Sequence[Link]:
        """Each in its place, and none that was there before."""
        found = [listed[body["id"]] for body in bodies]
        assert bodies == [self.answer(link) for link in found]
        made = [link.created_at for link in found]
        assert made == sorted(made, reverse=True)
        places = [link.created_at if pagination.status is None else link.ended_at for link in found]
        assert pagination.last is None or max(places, default=pagination.last) <= pagination.last
        pagination.last = min(places, default=pagination.last)
        assert pagination.seen.isdisjoint(link.id for link in found)
        assert len(found) == len({link.id for link in found})
        pagination.seen |= {link.id for link in found}
        return found

    def stream(self, org_id: str, status: str | None) -> None:
        headers = self.api.internal() | {"Accept": "application/x-ndjson"}
        response = self.api.list(headers, org_id, **({"status": status} if status else {}))
        bodies = [json.loads(line, parse_float=Decimal) for line in response.text.splitlines()]
        listed = {link.id: link for link in self.model.of(org_id, status)}
        pagination = self.pagination(org_id, status, 1)
        self._check_listed(bodies, pagination, listed)
        assert pagination.seen == pagination.wanted
        self.happened["stream: of several links"] += len(bodies) > 1

    def ask(self, email: str, client: str) -> None:
        response = self.api.send_otp(email, {PEER: client})
        recipient = SPELLINGS[email]
        if wait := self.model.must_wait_to_ask(recipient, client):
            self._check_wait(response, wait)
            reached = [
                name
                for name, (most, _) in SEND_LIMITS.items()
                if self.model.reached((name, recipient), most)
            ]
            self.happened[f"ask: {' and '.join(reached) or 'client'} limit"] += 1
            return
        assert (response.status_code, decode(response)) == (
            202,
            {"expires_in": 600, "resend_after": 60},
        )
        self.happened["ask: a code voids another"] += recipient in self.model.codes
        self.model.ask(recipient, client, self.api.code(recipient))
        self.digits[recipient].append(self.model.codes[recipient].digits)
        self.happened["ask: a code"] += 1

    def submit(self, email: str, digits: str, client: str) -> None:
        response = self.api.submit_otp(digits, email, {PEER: client})
        recipient = SPELLINGS[email]
        outcome = self.model.submit(recipient, client, digits)
        if isinstance(outcome, timedelta):
            self._check_wait(response, outcome)
            self.happened["submit: limit"] += 1
        elif outcome:
            answer = decode(response)
            assert response.status_code == 200, response.text
            assert {**answer, "token": ""} == {
                "token": "",
                "token_type": "Bearer",
                "expires_in": 86400,
            }
            issued = self.model.now.replace(microsecond=0)
            self.tokens.append(Caller("customer", recipient, answer["token"], issued + TOKEN_LIFE))
            self.happened["submit: right"] += 1
        else:
            assert_problem(response, 401, "otp_invalid")
            known = self.digits[recipient]
            if digits in known:
                code = self.model.codes.get(recipient)
                live = code is not None and code.digits == digits
                self.happened[
                    "submit: tried too often" if live else "submit: used, expired or void"
                ] += 1
            self.happened["submit: wrong"] += digits not in known

    def _check_wait(self, response: httpx.Response, wait: timedelta) -> None:
        assert_problem(response, 429, "limit_reached")
        assert abs(int(response.headers["retry-after"]) - wait.total_seconds()) <= SLACK

    def dispatch_window(
        self, start: datetime | None, period: int, *, whole_day: bool = False
    ) -> None:
        asked: dict[str, Any] = {"period": period}
        if start is not None:
            asked["scheduled_at"] = f"{start:%Y-%m-%d}" if whole_day else stamp(start)
        begin = start or self.model.now
        if start is not None and whole_day:
            begin = start.replace(hour=0, minute=0, second=0, microsecond=0)
        end = begin + timedelta(hours=period)
        response = self.api.dispatch_window(**asked)
        due, queued = self.model.dispatch_window(begin, end)
        window = {"from": stamp(begin), "to": stamp(end), "due": due, "queued": queued}
        assert decode(response) == window | {"unreadable_partitions": [], "unavailable": []}
        self.happened["window: of some links"] += due > 0

    def resend(self, link_id: str, key: str | None, caller: Caller) -> None:
        response = self.api.client.post(
            f"/payment-links/{link_id}/resend",
            headers=self.headers(caller) | ({"Idempotency-Key": key} if key else {}),
        )
        link = self.model.links.get(link_id)
        if link is None:
            assert_problem(response, 404, "link_not_found")
            return
        if not may(caller, link.org_id):
            assert_problem(response, 403, "forbidden")
            return
        refusal = self.model.resend(link, key)
        if isinstance(refusal, timedelta):
            self._check_wait(response, refusal)
            self.happened["resend: limit"] += 1
        elif refusal in {None, "repeated"}:
            assert (response.status_code, response.json()["sends"]) == (202, link.sends)
            assert ("idempotency-replayed" in response.headers) == (refusal == "repeated")
            self.happened[f"resend: {refusal or 'queued'}"] += 1
        else:
            assert_problem(response, 409, refusal)
            self.happened[f"resend: {refusal}"] += 1

    def resend_failed(
        self, org_id: str, since: datetime | None, key: str | None, caller: Caller
    ) -> None:
        response = self.api.client.post(
            f"/orgs/{org_id}/resend-failed",
            json=None if since is None else {"since": stamp(since)},
            headers=self.headers(caller) | ({"Idempotency-Key": key} if key else {}),
        )
        if not may(caller, org_id):
            assert_problem(response, 403, "forbidden")
            return
        repeated = (org_id, key) in self.model.requests
        queued = self.model.resend_failed(org_id, since, key)
        if queued is None:
            assert_problem(response, 409, "idempotency_conflict")
            self.happened["resend failed: conflict"] += 1
            return
        assert (response.status_code, response.json()) == (202, {"queued": queued})
        assert ("idempotency-replayed" in response.headers) == repeated
        self.happened["resend failed: repeated" if repeated else "resend failed: new"] += 1
        self.happened["resend failed: some"] += queued > 0

    def deliver(self, answer: str) -> None:
        """A worker sends all that is due, to a server that answers so."""
        offered: list[str] = []

        def record(message: EmailMessage) -> None:
            offered.extend(
                re.findall(r"(?<=/pay/)pl_\w{24}|^\d{6}$", text_of(message), re.MULTILINE)
            )
            if answer != "taken":
                raise Refused(REFUSED) if answer == "refused" else Deferred(DEFERRED)

        harness = DeliveryHarness(
            self.url, RedisClient(self.api.redis), self.api.redis, self.api.clock
        )
        links = LinkMailHandler(PUBLIC_URL, SENDER, RETENTION)
        codes = OtpMailHandler(derive_key(SECRET.encode(), "otp"), SENDER)
        for queue, handler, names in (
            (LINK_QUEUE, links, ORGS),
            (OTP_QUEUE, codes, [JANE, JOHN, ANN]),
        ):
            worker = harness.worker(queue, handler, ScriptedMailer(record), PoolSize(0, 1))
            worker.run(sorted({partition_of(name) for name in names}))
        due = len(self.model.due())
        expected, digits = self.model.deliver(answer), self.model.deliver_codes(answer)
        assert sorted(offered) == sorted([*expected, *digits])
        self.happened[f"deliver: mails {answer}"] += len(offered)
        self.happened["deliver: too late"] += due - len(expected)

    def claim(self, *, opened: bool) -> None:
        """A worker takes what is due, and is not heard of for a while."""
        client, deadline = RedisClient(self.api.redis), self.model.now + LEASE
        for partition in {partition_of(org_id) for org_id in ORGS}:
            claim = outbox.claim(
                LINK_QUEUE, partition, now=self.model.now, lease_deadline=deadline, limit=1000
            )
            ids = keys.full_ids(partition, client.run(claim))
            if ids and opened:
                client.run(mail_store.load_claimed(partition, ids))
        claimed = {link.id: link.sends for link in self.model.claim(opened=opened)}
        self.claims.append((claimed, deadline))
        self.happened["claim: some"] += bool(claimed)

    def wake(self, claim: int, answer: str) -> None:
        """That worker is back, and says what became of its mails."""
        ids, deadline = self.claims.pop(claim)
        client = RedisClient(self.api.redis)
        for link_id, sends in ids.items():
            gone = replace(make_link(self.model.now), id=link_id)
            composed = client.run(links.get(link_id)) or gone
            composed = replace(composed, delivery=replace(composed.delivery, sends=sends))
            link = self.model.links.get(link_id)
            if answer == "taken":
                client.run(mail_store.mark_sent(composed, now=self.model.now, retention=RETENTION))
            elif answer == "refused":
                client.run(
                    mail_store.mark_failed(
                        composed,
                        error=REFUSED,
                        counts_as_attempt=True,
                        now=self.model.now,
                        retention=RETENTION,
                        lease_deadline=deadline,
                    )
                )
            else:
                at = self.model.now + (
                    timedelta(0)
                    if link is None
                    else backoff(link.attempts, link.expires_at - self.model.now)
                )
                client.run(
                    mail_store.retry_later(composed, error=DEFERRED, at=at, lease_deadline=deadline)
                )
            held = link is not None and (link.queue, link.look_at) == ("outbox", deadline)
            if link is not None and (held or (answer == "taken" and link.sends == sends)):
                self.model.settle(link, answer)
            self.happened["wake: resent meanwhile"] += link is not None and link.sends != sends
            self.happened["wake: lease held" if held else "wake: lease lost"] += 1

    def answer(self, link: Link) -> dict[str, Any]:
        """The link as the application answers."""
        shown = (
            "id",
            "org_id",
            "email",
            "transaction_id",
            "payment_amount",
            "currency",
            "otp_required",
            "locale",
            "description",
            "accept_partial",
            "amount_paid",
            "amount_due",
            "supersedes",
            "superseded_by",
            "version",
        )
        times = ("scheduled_at", "created_at", "expires_at", "revoked_at", "paid_at")
        return {
            "checkout_started_at": None,
            "metadata": {},
            "reminders": None,
            "payments": [self._payment(link, payment) for payment in link.payments],
            **{name: getattr(link, name) for name in shown},
            **{name: written(getattr(link, name)) for name in times},
            "url": f"{PUBLIC_URL}/pay/{link.id}",
            "status": link.status(self.model.now),
            "delivery": {
                "state": link.state,
                "attempts": link.attempts,
                "sends": link.sends,
                "sent_at": written(link.sent_at),
                "error": link.error,
            },
        }

    def _payment(self, link: Link, payment: Payment) -> dict[str, Any]:
        return {
            "payment_id": payment.id,
            "amount": payment.amount,
            "currency": link.currency,
            "paid_at": stamp(payment.paid_at),
            "recorded_at": stamp(payment.paid_at),
            "method": None,
            "late": payment.is_late,
            "duplicate": link.is_duplicate(payment),
            "voided_at": written(payment.voided_at),
        }

    def masked(self, link: Link) -> dict[str, Any]:
        return {
            "id": link.id,
            "status": link.status(self.model.now),
            "expires_at": stamp(link.expires_at),
            "otp_required": True,
            "email": f"{link.email[0]}***{link.email[link.email.index('@') :]}",
        }

    def check_all(self) -> None:
        """Reads everything in every way, once all leases are over and all e-mails out."""
        self.advance_to(self.model.now + LONGEST_BACKOFF)
        self.deliver("taken")
        for org_id in ORGS:
            for status in (None, *STATUSES):
                self.list(org_id, status, 3)
            self.stream(org_id, None)
        for link_id in [*self.model.links, *self.model.gone]:
            self.read(link_id, INTERNAL)
            self.read(link_id, PUBLIC)
        wrong = self.store_audit.audit() + self.store_audit.leftovers()
        assert not wrong, wrong
