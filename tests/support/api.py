"""A client of the API with tokens and codes at hand, and assertions about answers."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from threading import Barrier
from typing import Any, TypeVar

import httpx
import redis
from litestar import Litestar
from litestar.testing import TestClient
from litestar.types import Receive, Scope, Send

from config.settings import Settings, load
from service.auth.tokens import Admin, CustomerTokens, Role, derive_key, issue_admin_token
from service.otps import store as otps
from service.otps.model import derive_code
from service.otps.store import Otp
from service.storage import keys
from service.storage.data_version import ensure_version
from service.values.email import canonical
from service.values.time import format_time
from tests.support.clock import Clock
from tests.support.redis_client import RedisClient, create_client
from tests.support.servers import RedisServer

T = TypeVar("T")
Headers = dict[str, str]

SECRET = "correct horse battery staple, 32 bytes"
PUBLIC_URL = "https://pay.example.com"
JSON = {"Content-Type": "application/json"}
PEER = "x-test-peer"
"""A request header that says from which address the request comes, as the socket would."""
JANE, JOHN = "jane@example.com", "john@example.com"
PROBLEM = "application/problem+json"


class FromPeer:
    """An application whose requests come from the address that ``PEER`` names."""

    def __init__(self, app: Litestar) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        for name, value in scope.get("headers", []):
            if name == PEER.encode():
                scope["client"] = (value.decode(), 50000)
        await self.app(scope, receive, send)


class Api:
    """A served application, with the tokens and codes that its callers hold."""

    def __init__(self, client: TestClient[Any], clock: Clock, redis_db: "redis.Redis") -> None:
        self.client = client
        self.clock = clock
        self.redis = redis_db

    @property
    def now(self) -> datetime:
        return self.clock()

    def internal(self) -> Headers:
        return self.admin_headers(Admin("root", Role.INTERNAL_ADMIN))

    def org(self, org_id: str = "acme") -> Headers:
        return self.admin_headers(Admin("ada", Role.ORG_ADMIN, org_id))

    def admin_headers(self, admin: Admin, lifetime: timedelta = timedelta(hours=1)) -> Headers:
        return bearer(issue_admin_token(SECRET.encode(), admin, now=self.now, lifetime=lifetime))

    def customer(self, email: str = JANE) -> Headers:
        return bearer(
            CustomerTokens(SECRET.encode()).issue(canonical(email), now=self.now, jti="a jti")
        )

    def post_link(self, headers: Headers | None = None, **fields: Any) -> httpx.Response:
        body = {"email": JANE, "org_id": "acme"} | fields
        return self.client.post("/payment-links", json=body, headers=headers or self.internal())

    def create(self, **fields: Any) -> dict[str, Any]:
        """A new link, as the API answers."""
        response = self.post_link(**fields)
        assert response.status_code == 201, response.text
        link: dict[str, Any] = response.json()
        return link

    def get(self, link_id: str, headers: Headers | None = None) -> httpx.Response:
        return self.client.get(f"/payment-links/{link_id}", headers=headers)

    def verify(self, link_id: str, headers: Headers | None = None) -> httpx.Response:
        return self.client.post("/payment-links/verify", json={"link_id": link_id}, headers=headers)

    def revoke(
        self, link_id: str | None = None, headers: Headers | None = None, **body: Any
    ) -> httpx.Response:
        path = "/payment-links" if link_id is None else f"/payment-links/{link_id}"
        return self.client.request(
            "DELETE", path, json=body or None, headers=headers or self.internal()
        )

    def patch(self, link_id: str, headers: Headers | None = None, /, **body: Any) -> httpx.Response:
        return self.client.patch(
            f"/payment-links/{link_id}", json=body, headers=self.internal() | (headers or {})
        )

    def list(
        self, headers: Headers | None = None, org_id: str = "acme", **params: Any
    ) -> httpx.Response:
        return self.client.get(
            f"/orgs/{org_id}/payment-links", params=params, headers=headers or self.internal()
        )

    def get_profile(self, headers: Headers | None = None, org_id: str = "acme") -> httpx.Response:
        return self.client.get(
            f"/orgs/{org_id}/profile", headers=self.org(org_id) if headers is None else headers
        )

    def put_profile(
        self, headers: Headers | None = None, /, org_id: str = "acme", **body: Any
    ) -> httpx.Response:
        headers = self.org(org_id) if headers is None else headers
        return self.client.put(f"/orgs/{org_id}/profile", json=body, headers=headers)

    def dispatch_window(self, headers: Headers | None = None, **body: Any) -> httpx.Response:
        return self.client.post(
            "/payment-links/scheduled", json=body, headers=headers or self.internal()
        )

    def send_otp(self, email: str = JANE, headers: Headers | None = None) -> httpx.Response:
        return self.client.post("/payment-links/otp", json={"email": email}, headers=headers)

    def submit_otp(
        self, otp: str, email: str = JANE, headers: Headers | None = None
    ) -> httpx.Response:
        return self.client.put(
            "/payment-links/otp", json={"email": email, "otp": otp}, headers=headers
        )

    def new_code(self, email: str = JANE) -> str:
        """A code that was just asked for, whether or not another was a moment before."""
        self.forget_limit("resend", email)
        response = self.send_otp(email)
        assert response.status_code == 202, response.text
        return self.code(email)

    def nonce(self, email: str = JANE) -> bytes:
        address = canonical(email)
        otp = RedisClient(self.redis).run(
            otps.load_claimed(keys.otp_partition(address), [address])
        )[0]
        assert isinstance(otp, Otp)
        return otp.nonce

    def code(self, email: str = JANE) -> str:
        """The code that the worker would mail."""
        return derive_code(derive_key(SECRET.encode(), "otp"), self.nonce(email), canonical(email))

    def forget_limit(self, limit: str, email: str = JANE) -> None:
        """Has the window of a limit be over: the store, not the clock, counts it."""
        self.redis.delete(keys.otp_limit(canonical(email), limit))


MakeApi = Callable[..., Api]
"""Starts an application with settings of its own."""


def settings_of(store: RedisServer, **environ: str) -> Settings:
    return load({"SECRET_KEY": SECRET, "REDIS_URL": store.url, "PUBLIC_URL": PUBLIC_URL} | environ)


@contextmanager
def empty(store: RedisServer) -> Iterator[redis.Redis]:
    """A connection to ``store``, which then holds nothing but the version of its data."""
    connection = create_client(store.url)
    assert isinstance(connection, redis.Redis)
    connection.flushall()
    ensure_version(RedisClient(connection))
    yield connection
    connection.close()


def bearer(token: str) -> Headers:
    return {"Authorization": f"Bearer {token}"}


def in_public(link: dict[str, Any]) -> dict[str, Any]:
    """``link``, as an admin sees it, as everybody else does."""
    delivery = {name: value for name, value in link["delivery"].items() if name != "error"}
    hidden = {"metadata", "payments", "reminders", "supersedes", "superseded_by"}
    return {name: value for name, value in link.items() if name not in hidden} | {
        "delivery": delivery
    }


def different_code(code: str) -> str:
    """A code that is not ``code``."""
    return f"{(int(code) + 1) % 10**6:06d}"


def stamp(moment: datetime) -> str:
    """``moment`` as the API writes it (RFC 3339, in UTC)."""
    return format_time(moment)


def raw_payment_amount(response: httpx.Response) -> str:
    """The amount as it stands in the answer, digit for digit."""
    match = re.search(r'"payment_amount":([^,}]+)', response.text)
    assert match is not None, response.text
    return match[1]


def assert_problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The answer is the problem ``code`` and has the shape that all have. Gives its body."""
    assert (response.status_code, response.headers["content-type"]) == (status, PROBLEM), (
        response.text
    )
    body: dict[str, Any] = response.json()
    assert body["code"] == code, body
    assert body["status"] == status
    assert isinstance(body["title"], str)
    assert body["title"]
    assert isinstance(body["detail"], str)
    assert body["detail"]
    return body


def assert_invalid(response: httpx.Response, field: str) -> None:
    """The answer says that ``field`` breaks a rule."""
    body = assert_problem(response, 422, "validation_failed")
    assert [error["field"] for error in body["errors"]] == [field]
    assert all(error["message"] for error in body["errors"])


def all_at_once(*calls: Callable[[], T]) -> list[T]:
    """What ``calls`` give when all start at the same moment."""
    barrier = Barrier(len(calls))

    def start(call: Callable[[], T]) -> T:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(start, calls))
