"""The service at work with secrets in every place where a caller may put them."""

import email
import email.policy
import os
import re
import subprocess
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import redis
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from service.auth.tokens import Role, derive_key
from service.otps.model import derive_code
from service.outbox.doorbell import DELIVERY_JOB, NAMESPACE, open_rq_queue
from service.outbox.queues import OTP_QUEUE
from service.storage import keys
from service.values.ids import partition_of
from service.values.time import format_time
from tests.support.admins import admin_token
from tests.support.api import bearer, different_code
from tests.support.servers import Mailbox, RedisServer, wait_until
from tests.support.service_processes import COMMAND, SECRET, Service

CHECKOUT = "https://shop.example/"
"""The beginning of the address to which links lead."""
USER, PASSWORD = "pay", "the mail server's pass+word/1"


JSON = {"Content-Type": "application/json"}


UNREADABLE = "line\nbreak@example.com"
"""Whose mail cannot be made."""


class LoginServer(Mailbox):
    """A mail server with a login, whose errors repeat its input. It sees codes and links."""

    failures = {"refused": "550 5.7.1", "deferred": "451 4.3.0", "closing": "421 4.3.2"}  # noqa: RUF012 - nobody changes it

    def __init__(self) -> None:
        super().__init__()
        self.reply = self.judge
        self.codes: dict[str, str] = {}
        self.link_ids: set[str] = set()
        self.lets_in = True

    def authenticate(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, given: Any
    ) -> AuthResult:
        assert isinstance(given, LoginPassword)
        return AuthResult(
            success=self.lets_in and given.password == PASSWORD.encode(), handled=False
        )

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if not self.lets_in:
            return f"535 5.7.8 {USER} with {PASSWORD} may not send from {address} any more"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    def judge(self, envelope: Envelope) -> str | None:
        """To recipients whose name begins with a failure, that, and all that the mail says."""
        assert isinstance(envelope.content, bytes)
        text, recipient = text_of(envelope.content), envelope.rcpt_tos[0].lower()
        self.link_ids |= set(re.findall(r"pl_[0-9A-Za-z]{24}", text))
        if code := re.search(r"Your code is ([0-9]{6})", text):
            self.codes[recipient] = code[1]
        failure = self.failures.get(recipient.partition("-")[0])
        return f"{failure} {text}"[:480] if failure else None


def text_of(content: bytes) -> str:
    body = email.message_from_bytes(content, policy=email.policy.default).get_body(("plain",))
    assert body is not None
    return " ".join(str(body.get_content()).split())


class Scenario:
    """All that happens to a service, right and wrong."""

    def __init__(
        self, services: list[Service], store: RedisServer, mail_server: LoginServer
    ) -> None:
        self.services = services
        self.store = store
        self.mail_server = mail_server
        self.codes: list[str] = []
        self.checked = Path(services[0].environ["DATA_DIR"]) / "check.log"
        self.admins = [admin_token(), admin_token(Role.ORG_ADMIN, "acme")]
        self.tokens = [*self.admins, admin_token(lifetime=timedelta(seconds=-60))]

    def work(self, customers: int) -> None:
        with ExitStack() as opened:
            self.webs = [
                opened.enter_context(httpx.Client(base_url=service.url, timeout=10))
                for service in self.services
            ]
            self.redis = opened.enter_context(
                redis.Redis.from_url(self.store.url, decode_responses=True)
            )
            names = [f"payer-{number}" for number in range(customers)]
            names += [
                f"{failure}-{number}"
                for failure in self.mail_server.failures
                for number in range(4)
            ]
            links = {
                name: self.ask_for(name, self.webs[number % 2]) for number, name in enumerate(names)
            }
            wait_until(
                lambda: len(self.mail_server.codes) == len(links),
                "every code to be mailed or refused",
                within=60,
            )
            for number, (name, link) in enumerate(links.items()):
                self.submit(name, link, self.webs[number % 2])
            for number, web in enumerate(self.webs):
                self.open_page(f"payer-{number}", links[f"payer-{number}"], web)
                self.change(links[f"payer-{number}"], web)
            for name, link in links.items():
                if name.startswith("payer-"):
                    self.pay(link, self.webs[0])
            for number, web in enumerate(self.webs):
                for secret in (
                    self.codes[number],
                    self.mail_server.codes[f"payer-{number}@example.com"],
                    self.tokens[-1],
                    *self.admins,
                ):
                    self.misplace(secret, next(iter(links.values())), web)
            self.break_records(next(iter(links.values())))
            self.break_mails()
            self.lock_out()
            self.make_store_unavailable(next(iter(links.values())))

    def ask_for(self, name: str, web: httpx.Client) -> dict[str, Any]:
        body = {"email": f"{name}@example.com", "org_id": "acme", "otp_required": True}
        link: dict[str, Any] = web.post(
            "/payment-links", json=body, headers=bearer(self.admins[1])
        ).json()
        assert (
            web.post(
                "/payment-links/otp", json={"email": f"{name.upper()}@example.com"}
            ).status_code
            == 202
        )
        return link

    def submit(self, name: str, link: dict[str, Any], web: httpx.Client) -> None:
        address, code = f"{name}@example.com", self.mail_server.codes[f"{name}@example.com"]
        self.codes.append(different_code(code))
        assert (
            web.put(
                "/payment-links/otp", json={"email": address, "otp": different_code(code)}
            ).status_code
            == 401
        )
        response = web.put("/payment-links/otp", json={"email": address, "otp": code})
        token = response.json()["token"]
        self.tokens.append(token)
        assert web.get(f"/payment-links/{link['id']}", headers=bearer(token)).status_code == 200
        body = {"email": address, "org_id": "acme", "otp": code, "notify": False}
        headers = bearer(self.admins[0]) | {"Idempotency-Key": token[-40:]}
        assert web.post("/payment-links", json=body, headers=headers).status_code == 201
        headers = bearer(self.admins[1]) | {"Idempotency-Key": token[-39:]}
        resent = web.post(f"/payment-links/{link['id']}/resend", headers=headers)
        assert resent.status_code in {202, 409}
        headers |= {"Idempotency-Key": token[-38:]}
        assert web.post("/orgs/acme/resend-failed", headers=headers).status_code == 202

    def open_page(self, name: str, link: dict[str, Any], web: httpx.Client) -> None:
        """A customer proves on the page that the mailbox is theirs, and goes to the checkout."""
        address, path = f"{name}@example.com", f"/pay/{link['id']}"
        earlier = self.mail_server.codes[address]
        self.codes.append(earlier)
        assert web.post(f"{path}/code").headers["location"] == f"{path}/code"
        wait_until(lambda: self.mail_server.codes[address] != earlier, "another code", within=60)
        code = self.mail_server.codes[address]
        assert web.post(f"{path}/token", data={"otp": different_code(code)}).status_code == 200
        self.codes.append(different_code(code))
        assert web.post(f"{path}/token", data={"otp": code}).status_code == 303
        self.tokens += [value for value in web.cookies.values() if value.startswith("ey")]
        assert web.get(f"{path}/checkout").headers["location"].startswith(CHECKOUT)
        web.cookies.clear()

    def change(self, link: dict[str, Any], web: httpx.Client) -> None:
        """The back end changes a link and supersedes others; the customer wants no reminders."""
        headers, org = bearer(self.admins[1]), "/orgs/acme/profile"
        order = {"email": "order@example.com", "org_id": "acme", "transaction_id": "order-1"}
        supersede = order | {"on_conflict": "supersede"}
        answers = [
            web.patch(f"/payment-links/{link['id']}", json={"description": "x"}, headers=headers),
            web.post(f"/pay/{link['id']}/reminders"),
            *(web.post("/payment-links", json=supersede, headers=headers) for _ in range(2)),
            web.put(org, json={"reply_to": "help@example.com"}, headers=headers),
            web.post(f"{org}/test", headers=headers),
        ]
        assert [answer.status_code for answer in answers] == [200, 200, 201, 201, 200, 202]

    def pay(self, link: dict[str, Any], web: httpx.Client) -> None:
        """The back end records a payment, repeats it, voids it, and reads what happened."""
        path, headers = f"/payment-links/{link['id']}", bearer(self.admins[1])
        payment = {"payment_id": "pay-1", "amount": 125, "currency": "USD"}
        keyed = headers | {"Idempotency-Key": link["id"][::-1]}
        answers = [web.post(f"{path}/payments", json=payment, headers=keyed) for _ in range(2)]
        answers.append(web.delete(f"{path}/payments/pay-1", headers=headers))
        answers += [web.get(f"{where}/events", headers=headers) for where in (path, "/orgs/acme")]
        assert {answer.status_code for answer in answers} <= {200, 201}

    def misplace(self, secret: str, link: dict[str, Any], web: httpx.Client) -> None:
        """Puts ``secret`` wherever callers put things by mistake."""
        links, one = "/payment-links", f"/payment-links/{link['id']}"
        answers = [
            *(
                web.get(f"{path}?token={secret}&otp={secret}")
                for path in (
                    one,
                    f"/pay/{secret}",
                    f"/pay/{link['id']}/checkout",
                    f"/{secret}",
                    f"{one}/{secret}",
                )
            ),
            *(
                web.get(f"{path}/events?cursor={secret[:100]}&type={secret}", headers=bearer(admin))
                for path in (one, f"/payment-links/{secret}", "/orgs/acme", f"/orgs/{secret}")
                for admin in (secret, self.admins[0])
            ),
            *(
                web.request(method, path, json=body, headers=bearer(admin) | {"If-Match": secret})
                for method, path in (("POST", f"{one}/payments"), ("PATCH", one))
                for body in ({secret: 1}, {"amount": secret, "paid_at": secret})
                for admin in (secret, self.admins[0])
            ),
            web.delete(f"{one}/payments/{secret}", headers=bearer(self.admins[0])),
            *(
                web.get("/orgs/acme/payment-links", headers={name: secret})
                for name in ("Authorization", "Cookie", "Accept")
            ),
            *(
                web.get(one, headers={"Authorization": f"{scheme} {secret}"})
                for scheme in ("Basic", "Bearer x", "Token")
            ),
            *(
                web.request(method, links, content=f'{{"otp": "{secret}"', headers=JSON)
                for method in ("POST", "PUT", "PATCH", "DELETE")
            ),
            *(
                web.put(f"{links}/otp", content=body, headers=JSON)
                for body in (f'{{"{secret}": 1}}', f'"{secret}"', secret)
            ),
            web.put(f"{links}/otp", content=secret, headers={"Content-Type": "text/plain"}),
            web.put(f"{links}/otp", json={"email": secret, "otp": secret}),
            web.post(f"{links}/verify", json={"link_id": secret}),
            *(
                web.post(path, json=body, headers=bearer(admin) | {"Idempotency-Key": secret})
                for path in (f"{one}/resend", "/orgs/acme/resend-failed", f"/orgs/{secret}/resend")
                for admin in (secret, self.admins[0])
                for body in ({secret: 1}, {"since": secret})
            ),
            web.post(
                links,
                json={"email": f"{secret}@", "org_id": secret},
                headers=bearer(self.admins[0]),
            ),
            web.get(
                f"/orgs/acme/payment-links?cursor={secret[:100]}", headers=bearer(self.admins[0])
            ),
            web.get(f"/orgs/{secret}/payment-links", headers=bearer(self.admins[0])),
        ]
        assert max(response.status_code for response in answers) < 500

    def break_records(self, link: dict[str, Any]) -> None:
        """The store holds what it should not: every script over it fails."""
        kept = self.redis.dump(keys.link(link["id"]))
        for key in (keys.link(link["id"]), keys.otp("broken@example.com")):
            self.redis.delete(key)
            self.redis.set(key, "no hash", px=60_000)
        for web in self.webs:
            submitted = web.put(
                "/payment-links/otp", json={"email": "broken@example.com", "otp": self.codes[0]}
            )
            read = [
                web.get(f"/payment-links/{link['id']}", headers=bearer(token))
                for token in self.tokens[-2:]
            ]
            revoked = web.delete(f"/payment-links/{link['id']}", headers=bearer(self.admins[1]))
            assert {response.status_code for response in (submitted, *read, revoked)} == {500}
        self.redis.delete(keys.link(link["id"]))
        self.redis.restore(keys.link(link["id"]), 0, kept)

    def break_mails(self) -> None:
        """A mail that cannot be composed, an unreadable code and outbox, and a failing job."""
        nonce = bytes(range(16))
        self.codes.append(derive_code(derive_key(SECRET.encode(), "otp"), nonce, UNREADABLE))
        for address, written in ((UNREADABLE, nonce.hex()), ("no-nonce@example.com", "no nonce")):
            ends = format_time(datetime.now(UTC) + timedelta(minutes=10))
            self.redis.hset(
                keys.otp(address),
                mapping={"nonce": written, "expires": ends, "tries": 0, "attempts": 0},
            )
            self.redis.zadd(keys.otp_outbox(partition_of(address)), {address: 0})
        for event in ("mail_not_composed", "record_unreadable"):
            wait_until(partial(self.has_logged, event), event, within=60)
        self.redis.delete(
            keys.otp("no-nonce@example.com"), keys.otp_outbox(partition_of("no-nonce@example.com"))
        )
        outbox = keys.otp_outbox(partition_of(UNREADABLE))
        self.redis.delete(outbox)
        self.redis.set(outbox, "no outbox")
        wait_until(lambda: "data_unreadable" in self.logs(), "the outbox to be named", within=60)
        self.redis.delete(outbox)
        wait_until(self._fail_job, "a job to fail", within=60)

    def _fail_job(self) -> bool:
        """A job finds a string in place of the set of partitions, unless a ring mends it first."""
        queue = open_rq_queue(OTP_QUEUE, self.redis)
        self.redis.set(f"{NAMESPACE}:pending:otps", "no set")
        queue.enqueue(DELIVERY_JOB, result_ttl=0, failure_ttl=3600)
        time.sleep(0.2)
        return bool(self.redis.zcard(f"rq:failed:{queue.name}"))

    def lock_out(self) -> None:
        """The mail server does not take our password any more."""
        self.mail_server.lets_in = False
        for number, web in enumerate(self.webs):
            self.ask_for(f"waiting-{number}", web)
        wait_until(lambda: "mail_paused" in self.logs(), "a queue to be paused", within=60)
        with self.checked.open("wb") as output:
            environ = {"PATH": os.environ["PATH"], **self.services[0].environ}
            subprocess.run(
                [COMMAND, "check"],
                env=environ,
                stdout=output,
                stderr=output,
                check=False,
                timeout=30,
            )
        self.mail_server.lets_in = True

    def make_store_unavailable(self, link: dict[str, Any]) -> None:
        self.store.kill()
        for web in self.webs:
            for token in self.tokens[-2:]:
                assert (
                    web.get(f"/payment-links/{link['id']}", headers=bearer(token)).status_code
                    == 503
                )
            submitted = web.put(
                "/payment-links/otp", json={"email": "payer-0@example.com", "otp": self.codes[0]}
            )
            created = self.ask_in_vain(web)
            assert {submitted.status_code, created.status_code} == {503}
        wait_until(lambda: "queue_unavailable" in self.logs(), "a worker to notice")
        self.store.start()
        for service in self.services:
            wait_until(service.ready, "all to be back", within=60)

    def ask_in_vain(self, web: httpx.Client) -> httpx.Response:
        body = {"email": "payer-0@example.com", "org_id": "acme", "otp": self.codes[0]}
        return web.post("/payment-links", json=body, headers=bearer(self.admins[0]))

    def has_logged(self, event: str) -> bool:
        return event in self.logs()

    def logs(self) -> str:
        return "".join(service.logs() for service in self.services)
