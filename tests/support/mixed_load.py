"""Everything that clients of the service do, for as long as it is asked for."""

import asyncio
import random
import re
import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage

import httpx
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.support.aborting_clients import AbortingClients
from tests.support.admins import as_admin
from tests.support.servers import Mailbox

ORGS = 20
Step = Callable[[], Awaitable[None]]


class LatestCodeMailbox(Mailbox):
    """Counts mails, and keeps of each address no more than its last code."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.codes: dict[str, str] = {}

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        response = await super().handle_DATA(server, session, envelope)
        for message in self.messages:
            self._note(message)
        self.messages.clear()
        self.envelopes.clear()
        return response

    def _note(self, message: EmailMessage) -> None:
        self.count += 1
        if message["Subject"].endswith(" is your payment code"):
            body = message.get_body(("plain",))
            found = re.search(r"\b\d{6}\b", body.get_content() if body else "")
            assert found is not None
            self.codes[str(message["To"])] = found[0]


class SimulatedClient:
    """One client, with an e-mail of its own for codes, and new ones for links."""

    def __init__(self, url: str, number: int, latest_codes: LatestCodeMailbox) -> None:
        self.requests = 0
        self._address = f"customer{number}@example.com"
        self._latest_codes = latest_codes
        self._chance = random.Random(number)
        self._admin = httpx.AsyncClient(
            base_url=url, headers=as_admin(lifetime=timedelta(hours=3)), timeout=30
        )
        self._public = httpx.AsyncClient(base_url=url, timeout=30)
        self._aborting_clients = AbortingClients(int(url.rpartition(":")[2]))

    async def live(self, until: asyncio.Event) -> None:
        steps: list[Step] = [
            self._send,
            self._schedule,
            self._repeat,
            self._gate,
            self._list,
            self._revoke,
            self._err,
            self._send_aborted_requests,
        ]
        async with self._admin, self._public:
            while not until.is_set():
                await self._chance.choice(steps)()
                await asyncio.sleep(self._chance.uniform(0, 0.3))

    async def _send(self) -> None:
        link = await self._create()
        await self._expect(200, self._public.get(f"/payment-links/{link}"))
        await self._expect(200, self._public.get(f"/pay/{link}"))
        await self._expect(200, self._public.post("/payment-links/verify", json={"link_id": link}))

    async def _schedule(self) -> None:
        await self._create(
            scheduled_at=(
                datetime.now(UTC) + timedelta(seconds=self._chance.choice([2, 4]))
            ).isoformat()
        )
        if self._chance.random() < 0.2:
            await self._expect(
                200, self._admin.post("/payment-links/scheduled", json={"period": 1})
            )

    async def _repeat(self) -> None:
        body, key = self._body(), {"Idempotency-Key": secrets.token_hex(8)}
        made = [
            (
                await self._expect(201, self._admin.post("/payment-links", json=body, headers=key))
            ).json()["id"]
            for _ in "12"
        ]
        assert made[0] == made[1]

    async def _gate(self) -> None:
        link = await self._create(email=self._address, otp_required=True, notify=False)
        self._latest_codes.codes.pop(self._address, None)
        if (
            await self._send_request(
                self._public.post("/payment-links/otp", json={"email": self._address})
            )
        ).status_code == 429:
            return  # the last was asked for a moment ago
        async with asyncio.timeout(30):
            while self._address not in self._latest_codes.codes:  # noqa: ASYNC110 - SMTP's thread says nothing
                await asyncio.sleep(0.05)
        wrong = {"email": self._address, "otp": "x" * 6}
        await self._expect(422, self._public.put("/payment-links/otp", json=wrong))
        right = {"email": self._address, "otp": self._latest_codes.codes[self._address]}
        token = (
            await self._expect(200, self._public.put("/payment-links/otp", json=right))
        ).json()["token"]
        await self._expect(401, self._public.put("/payment-links/otp", json=right))
        await self._expect(401, self._public.get(f"/payment-links/{link}"))
        await self._expect(
            200,
            self._public.get(
                f"/payment-links/{link}", headers={"Authorization": f"Bearer {token}"}
            ),
        )

    async def _list(self) -> None:
        path = f"/orgs/org-{self._chance.randrange(ORGS)}/payment-links"
        await self._expect(200, self._admin.get(path, params={"limit": 50, "status": "active"}))
        await self._expect(200, self._admin.get(path, headers={"Accept": "application/x-ndjson"}))

    async def _revoke(self) -> None:
        address = f"gone{secrets.token_hex(8)}@example.com"
        one, _ = await self._create(email=address), await self._create(email=address)
        await self._expect(200, self._admin.delete(f"/payment-links/{one}"))
        await self._expect(
            200, self._admin.request("DELETE", "/payment-links", json={"email": address})
        )

    async def _err(self) -> None:
        for path in ("/healthz", "/readyz", "/schema/openapi.json"):
            await self._expect(200, self._public.get(path))
        await self._expect(404, self._public.get(f"/nowhere/{secrets.token_hex(8)}"))
        await self._expect(405, self._public.put("/healthz"))
        await self._expect(401, self._public.post("/payment-links", json={}))
        await self._expect(
            422,
            self._admin.post(
                "/payment-links", json={"email": secrets.token_hex(8), "org_id": "acme"}
            ),
        )
        await self._expect(
            400,
            self._admin.post(
                "/payment-links", content=b"{", headers={"Content-Type": "application/json"}
            ),
        )

    async def _send_aborted_requests(self) -> None:
        await self._aborting_clients.ask(3, at_once=1)

    async def _create(self, **fields: object) -> str:
        response = await self._expect(
            201, self._admin.post("/payment-links", json=self._body() | fields)
        )
        return str(response.json()["id"])

    def _body(self) -> dict[str, object]:
        org_id = f"org-{self._chance.randrange(ORGS)}"
        return {
            "email": f"payer{secrets.token_hex(8)}@example.com",
            "org_id": org_id,
            "payment_amount": 12.5,
            "currency": "EUR",
        }

    async def _expect(self, status: int, asked: Awaitable[httpx.Response]) -> httpx.Response:
        response = await self._send_request(asked)
        assert response.status_code == status, (
            f"{response.request.method} {response.request.url}: "
            f"{response.status_code} {response.text}"
        )
        return response

    async def _send_request(self, asked: Awaitable[httpx.Response]) -> httpx.Response:
        self.requests += 1
        return await asked
