"""What each endpoint costs where there are a million links, beside a thousand."""

import http.client
import itertools
import json
import secrets
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import redis

from service.auth.tokens import CustomerTokens, Role
from service.links import store as links
from service.links.model import Link
from service.otps import store as otps
from service.storage import keys
from service.storage.command import command
from service.values.ids import partition_of
from service.values.time import datetime_to_ms
from tests.bench.figures import Measure, Measured, Recorder, Row, Table
from tests.support.admins import admin_token
from tests.support.factories import id_in, make_link, store_links
from tests.support.procfs import cpu_clock, descendants
from tests.support.redis_client import RedisClient, create_client
from tests.support.servers import store, valkey_server
from tests.support.service_processes import SECRET, UNLIMITED
from tests.support.web import run_web

SMALL, LARGE = 1000, 1_000_000
AT_ONCE = 500
SAMPLE = 500
"""How many links, and recipients of codes, the requests name: the same number everywhere, so that
caches serve all endpoints alike."""
PAGE = 50
CONNECTIONS = 4
MOST = 1.15
ORG = "org_0"
COLUMNS = ("1,000", "1,000,000 of one", "1,000,000 of 10,000", "of one, ratio", "of 10,000, ratio")
NAMES = {
    "GET": 4000,
    "GET, gated": 4000,
    "verify": 3000,
    "create": 2000,
    "revoke one": 2000,
    "revoke by e-mail, org-admin": 1500,
    "revoke by e-mail, internal-admin": 200,
    "list, first page": 2000,
    "list, middle page": 2000,
    "list, last page": 2000,
    "list, active": 2000,
    "wrong code": 1500,
    "readyz": 3,
    "window, nothing due": 80,
}
"""Requests a round to each endpoint: those of about a second, but as many wrong codes as tries."""
LOOK = 1.1
"""Seconds between two requests to readyz, or one look at the store would answer both."""


class Request(NamedTuple):
    method: str
    path: str
    body: dict[str, Any] | None = None
    token: str = ""


class Place:
    """A web process on a store with so many links."""

    def __init__(self, port: int, processes: Sequence[int], url: str) -> None:
        self._port = port
        self._clocks = [*map(cpu_clock, processes)]
        self.client = RedisClient(create_client(url))
        self._redis = redis.Redis.from_url(url, decode_responses=True)
        self._numbers = itertools.count()
        now = datetime.now(UTC)
        self._found = [
            id_in(str(key))
            for key in itertools.islice(self._redis.scan_iter("*:link:*", 1000), SAMPLE)
        ]
        self._gated = store_links(
            self.client, [self._made(now, otp_required=True) for _ in range(SAMPLE)]
        )
        customers = CustomerTokens(SECRET.encode())
        self._tokens = {
            link.id: customers.issue(link.email, now=now, jti=secrets.token_urlsafe(16))
            for link in self._gated
        }
        self._org_admin = admin_token(Role.ORG_ADMIN, ORG)
        self._internal = admin_token()
        self._idle = 0.0

    def cost(self, name: str) -> float:
        """CPU µs of web process and store for one request."""
        began = datetime.now(UTC)
        requests = self._requests(name)
        cost = (
            sum(self._cost([one], LOOK) for one in requests)
            if name == "readyz"
            else self._cost(requests)
        )
        self._remove(began)
        return cost / len(requests)

    def _cost(self, requests: Sequence[Request], pause: float = 0.0) -> float:
        """CPU µs of all of them, without the store's own search for expired keys."""
        time.sleep(pause)
        before, began = self._cpu(), time.monotonic()
        with ThreadPoolExecutor(CONNECTIONS) as threads:
            for done in [
                threads.submit(ask, self._port, some)
                for some in parts(requests, CONNECTIONS)
                if some
            ]:
                done.result()
        return self._cpu() - before - (time.monotonic() - began) * self._idle

    def _cpu(self) -> float:
        return sum(map(time.clock_gettime_ns, self._clocks)) / 1000

    def rest(self) -> None:
        """Measures the CPU µs a second that are taken while nobody asks for anything."""
        before, began = self._cpu(), time.monotonic()
        time.sleep(2)
        self._idle = (self._cpu() - before) / (time.monotonic() - began)

    def _remove(self, since: datetime) -> None:
        """Removes the links that a measurement created, so that the next begins with as many."""
        made = self.client.run(
            command(list, "ZRANGEBYSCORE", keys.org(ORG), datetime_to_ms(since), "+inf")
        )
        for link in self.client.run_all(
            [links.get(link_id) for link_id in keys.full_ids(partition_of(ORG), made)]
        ):
            assert link is not None
            indexes = [keys.org(ORG), keys.active(ORG), keys.revoked(ORG)]
            gone = [keys.link(link.id), keys.email(keys.partition_of_link(link.id), link.recipient)]
            self.client.run_all(
                [command(int, "ZREM", index, keys.local_id(link.id)) for index in indexes]
                + [command(int, "DEL", key) for key in gone]
            )

    def close(self) -> None:
        self.client.close()
        self._redis.close()

    def _requests(self, name: str) -> list[Request]:
        count, admin = NAMES[name], self._org_admin
        if name in {
            "revoke one",
            "revoke by e-mail, org-admin",
            "revoke by e-mail, internal-admin",
        }:
            made = store_links(self.client, [self._made(datetime.now(UTC)) for _ in range(count)])
            if name == "revoke one":
                return [
                    Request("DELETE", f"/payment-links/{link.id}", None, admin) for link in made
                ]
            token = admin if "org" in name else self._internal
            return [
                Request("DELETE", "/payment-links", {"email": link.email}, token) for link in made
            ]
        if name.startswith("list"):
            query = {"list, first page": "", "list, active": "&status=active"}.get(name)
            query = f"&cursor={self._cursor(middle='middle' in name)}" if query is None else query
            return [
                Request("GET", f"/orgs/{ORG}/payment-links?limit={PAGE}{query}", None, admin)
            ] * count
        each: list[Request] = {
            "GET": lambda: [Request("GET", f"/payment-links/{link_id}") for link_id in self._found],
            "GET, gated": lambda: [
                Request("GET", f"/payment-links/{one.id}", None, self._tokens[one.id])
                for one in self._gated
            ],
            "verify": lambda: [
                Request("POST", "/payment-links/verify", {"link_id": link_id})
                for link_id in self._found
            ],
            "create": lambda: [
                Request("POST", "/payment-links", self._body(), admin) for _ in range(count)
            ],
            "wrong code": lambda: [
                Request("PUT", "/payment-links/otp", {"email": email, "otp": "000000"})
                for email in self._codes(datetime.now(UTC))
            ],
            "readyz": lambda: [Request("GET", "/readyz")],
            "window, nothing due": lambda: [
                Request("POST", "/payment-links/scheduled", {}, self._internal)
            ],
        }[name]()
        return list(itertools.islice(itertools.cycle(each), count))

    def _cursor(self, *, middle: bool) -> str:
        """Before a page in the middle, or the last."""
        index, size = keys.org(ORG), self.client.run(command(int, "ZCARD", keys.org(ORG)))
        before = size // 2 - PAGE // 2 if middle else size - PAGE
        [[local_id, score]] = self.client.run(
            command(list, "ZREVRANGE", index, before - 1, before - 1, "WITHSCORES")
        )
        return links.encode_cursor(str(int(score)), keys.full_id(partition_of(ORG), local_id))

    def _made(self, now: datetime, **fields: Any) -> Link:
        return make_link(now, org_id=ORG, email=self._body()["email"], notify=False, **fields)

    def _body(self) -> dict[str, Any]:
        return {"email": f"new{next(self._numbers)}@example.net", "org_id": ORG, "notify": False}

    def _codes(self, now: datetime) -> list[str]:
        """E-mails with a new code each, whose mail counts as sent: no worker would send it."""
        emails = [link.email for link in self._gated]
        self.client.run_all(
            [
                otps.create(email, secrets.token_bytes(16), now=now, ttl=timedelta(hours=1))
                for email in emails
            ]
        )
        self.client.run_all(
            [command(int, "DEL", keys.otp_outbox(partition)) for partition in keys.ALL_PARTITIONS]
        )
        return emails


@contextmanager
def prepared(home: Path, seconds: float) -> Iterator[dict[str, Measure]]:
    """Shorter measurements have fewer links: a million from 3 s on."""
    large = min(LARGE, int(LARGE * seconds / 3))
    with ExitStack() as stack:
        places = [
            stack.enter_context(_place(home / str(number), count, organizations))
            for number, (count, organizations) in enumerate(
                [(SMALL, 1), (large, 1), (large, large // 100)]
            )
        ]
        yield {name: partial(_compare, places, name) for name in NAMES}


def tables(recorder: Recorder) -> list[Table]:
    rows = []
    for name in NAMES:
        if found := recorder.of(name):
            reached = max(found[column].median for column in COLUMNS[3:]) <= MOST
            rows.append(Row(name, found, f"at most {MOST}", reached))
    return [Table("CPU us a request, of web process and store, with so many links", COLUMNS, rows)]


def _compare(places: Sequence[Place], name: str) -> Measured:
    small, one, many = (place.cost(name) for place in places)
    return dict(zip(COLUMNS, (small, one, many, one / small, many / small), strict=True))


@contextmanager
def _place(home: Path, count: int, organizations: int) -> Iterator[Place]:
    home.mkdir()
    with store(valkey_server()) as server:
        fill(server.url, count, organizations)
        with run_web(home, server.url, **UNLIMITED) as service:
            pid = service.web.process.pid
            place = Place(service.port, [pid, *descendants(pid), server.process.pid], server.url)
            for name in NAMES:
                place.cost(name)
            place.rest()
            yield place
            place.close()


def fill(url: str, count: int, organizations: int, later: timedelta | None = None) -> None:
    """Creates ``count`` links of the last hour in two processes, scheduled ``later`` if given."""
    half = count // 2
    with ProcessPoolExecutor(2, get_context("spawn")) as processes:
        for done in [
            processes.submit(_fill, url, part, count, organizations, later)
            for part in ((0, half), (half, count))
        ]:
            done.result()


def _fill(
    url: str, part: tuple[int, int], count: int, organizations: int, later: timedelta | None
) -> None:
    client, now = RedisClient(create_client(url)), datetime.now(UTC)
    for first in range(*part, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, part[1]))
        owed: dict[str, Any] = {"notify": False} if later is None else {"scheduled_at": now + later}
        store_links(
            client,
            [
                make_link(
                    now - timedelta(hours=1) * (1 - number / count),
                    org_id=f"org_{number % organizations}",
                    email=f"payer{number}@example.com",
                    transaction_id=f"INV-2026-{number:07}",
                    **owed,
                )
                for number in numbers
            ],
        )
    client.close()


def ask(port: int, requests: Sequence[Request]) -> list[float]:
    """Sends ``requests`` one after the other; gives the ms that each took."""
    connection, taken = http.client.HTTPConnection("127.0.0.1", port, timeout=60), []
    for method, path, body, token in requests:
        headers = {"Content-Type": "application/json"} | (
            {"Authorization": f"Bearer {token}"} if token else {}
        )
        began = time.perf_counter()
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        response.read()
        taken.append((time.perf_counter() - began) * 1000)
        if response.status >= 300 and "otp" not in path:
            raise RuntimeError(f"{method} {path}: {response.status}")
    connection.close()
    return taken


def parts(requests: Sequence[Request], count: int) -> list[Sequence[Request]]:
    return [requests[first::count] for first in range(count)]
