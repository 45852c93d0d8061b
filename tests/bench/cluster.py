"""What requests and mails cost on a cluster of three primaries, beside one, and beside a server."""

import itertools
import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import httpx
import redis

from service.links.model import Link
from service.outbox import store as outbox
from service.storage import keys
from service.storage.client import RedisClient, open_client
from service.storage.command import command
from tests.bench.figures import Measure, Measured, Recorder, Row, Table, ratio
from tests.bench.mails import LinkOutbox, Worker
from tests.bench.node_costs import Cost, Meter, Node
from tests.bench.relay import Distance, Relay, run_relay
from tests.bench.wrk import CONNECTIONS, http, load
from tests.support.admins import admin_of, as_admin
from tests.support.factories import make_link, store_links
from tests.support.paced_load import org_in
from tests.support.procfs import cpu_clock, descendants
from tests.support.redis_cluster import free_ports, redis_cluster
from tests.support.servers import DURABLE, store, valkey_server
from tests.support.service_processes import UNLIMITED, Service
from tests.support.web import run_web

SINGLE, ONE, THREE = "a server", "1 primary", "3 primaries"
LINKS = 2560
"""Links that are read: as many of each partition."""
MAILS_PER_SECOND, WINDOWS_PER_SECOND, SCANS_PER_SECOND = 1000, 40, 60
SESSIONS = 16
READYZ_COUNT, READYZ_PAUSE = 5, 1.1
"""Requests to readyz, and the seconds before each, or one look at the store would answer two."""
MAX_SHARE = 0.40
"""The work of the busiest of three nodes by that of the only one: at most this."""
MAX_CLIENT_RATIO = 1.15
"""The client's CPU with three primaries by that with one: at most this."""
MANY = 128
LOADS = (f"{CONNECTIONS} connections", f"{MANY} connections", "one connection")
CREATE, CREATE_MANY, CREATE_ALONE = (f"POST /payment-links, {each}" for each in LOADS)
READ, READ_MANY, READ_ALONE = (f"GET /payment-links/{{id}}, {each}" for each in LOADS)
"""On one connection, each command is sent alone, as where there are many nodes."""
MAIL = "a mail"
READYZ, WINDOW, SCAN = "GET /readyz", "POST /payment-links/scheduled", "the scan"
SCALED = (CREATE, CREATE_MANY, READ, READ_MANY, MAIL)
"""What must scale with the nodes."""
FIELDS = {
    "email": "payer########@example.com",
    "transaction_id": "INV-########",
    "payment_amount": 125000.5,
    "currency": "NGN",
}
CLIENT_RATIO, SHARE = "client, 3 by 1", "busiest by the only"
NODES = ("node 1 of 3", "node 2 of 3", "node 3 of 3")
ONLY, BUSIEST = f"node, {ONE}", "busiest of 3"
COSTS = (
    *(f"client, {place}" for place in (SINGLE, ONE, THREE)),
    CLIENT_RATIO,
    f"node, {SINGLE}",
    ONLY,
    BUSIEST,
    "all 3",
    SHARE,
)
TRAFFIC = ("reads, the only", "reads, each of 3", "KB, the only", "KB, each of 3")


class Place:
    """A ``web`` on a server or a cluster, with links of an organization in each partition."""

    def __init__(
        self, home: Path, url: str, nodes: Sequence[Node], service: Service, client: RedisClient
    ) -> None:
        self.home = home
        self.url = url
        self.nodes = nodes
        self.service = service
        self.client = client
        self._orgs = [*map(org_in, keys.ALL_PARTITIONS)]
        links = store_links(client, self.make_links(LINKS, notify=False))
        self.reads = [http("GET", f"/payment-links/{link.id}") for link in links]
        self.creates = [
            http("POST", "/payment-links", as_admin(), json.dumps({"org_id": org, **FIELDS}))
            for org in self._orgs
        ]
        pid = service.web.process.pid
        self._clocks = [*map(cpu_clock, [pid, *descendants(pid)])]
        self.web = Meter(nodes, self._web_cpu)
        self.scan = Meter(nodes, lambda: time.process_time() * 1e6)

    def make_links(self, count: int, **fields: Any) -> list[Link]:
        """Links that are not stored, as many in each partition."""
        now = datetime.now(UTC)
        return [
            make_link(now, org_id=org, email=f"payer{number}@example.com", **fields)
            for number, org in zip(range(count), itertools.cycle(self._orgs), strict=False)
        ]

    def clear_outbox(self) -> None:
        """Forgets the mails that are owed."""
        self.client.run_all(
            [command(int, "DEL", keys.outbox(each)) for each in keys.ALL_PARTITIONS]
        )

    def _web_cpu(self) -> float:
        return sum(map(time.clock_gettime_ns, self._clocks)) / 1000


@contextmanager
def prepared(home: Path, seconds: float) -> Iterator[dict[str, Measure]]:
    with ExitStack() as opened:
        queue = opened.enter_context(store(valkey_server()))
        relay = opened.enter_context(run_relay(home, Distance()))
        places = {
            SINGLE: opened.enter_context(_single(home / "single", queue.url)),
            ONE: opened.enter_context(_cluster(home / "one", 1, queue.url)),
            THREE: opened.enter_context(_cluster(home / "three", 3, queue.url)),
        }
        measures: dict[str, Callable[[Place], Cost]] = {
            CREATE: partial(_create, seconds=seconds),
            CREATE_MANY: partial(_create, seconds=seconds, connections=MANY),
            CREATE_ALONE: partial(_create, seconds=seconds, connections=1),
            READ: partial(_read, seconds=seconds),
            READ_MANY: partial(_read, seconds=seconds, connections=MANY),
            READ_ALONE: partial(_read, seconds=seconds, connections=1),
            MAIL: partial(
                _mail, queue_url=queue.url, relay=relay, count=int(MAILS_PER_SECOND * seconds)
            ),
            READYZ: _ask_readyz,
            WINDOW: partial(_queue_window, count=int(WINDOWS_PER_SECOND * seconds)),
            SCAN: partial(_scan, count=int(SCANS_PER_SECOND * seconds)),
        }
        for place in places.values():
            for measure in (_create, _read):
                measure(place, seconds=1)
        yield {
            name: partial(_compare_without_nodes if name == READYZ else _compare, places, measure)
            for name, measure in measures.items()
        }


def tables(recorder: Recorder) -> list[Table]:
    costs, traffic = [], []
    for name in (*SCALED, CREATE_ALONE, READ_ALONE, READYZ, WINDOW, SCAN):
        if not (figures := dict(recorder.of(name))):
            continue
        if NODES[0] in figures:
            busiest = max((figures[node] for node in NODES), key=lambda figure: figure.median)
            figures[BUSIEST] = busiest
            figures[SHARE] = ratio(busiest, figures[ONLY])
        row = Row(name, figures)
        if name in SCALED:
            row.target = f"{SHARE} {MAX_SHARE:.2f}, {CLIENT_RATIO} {MAX_CLIENT_RATIO}"
            row.reached = (
                figures[SHARE].median <= MAX_SHARE
                and figures[CLIENT_RATIO].median <= MAX_CLIENT_RATIO
            )
        costs.append(row)
        traffic.append(Row(name, figures))
    return [
        Table("CPU us of the client (web, worker or scan) and of the nodes", COSTS, costs),
        Table("What a node reads from its clients: at most 16 KB a read", TRAFFIC, traffic),
    ]


def _compare(places: Mapping[str, Place], measure: Callable[[Place], Cost]) -> Measured:
    order = random.sample([*places], len(places))
    costs = {name: measure(places[name]) for name in order}
    [single], [only], nodes = (costs[place].nodes for place in (SINGLE, ONE, THREE))
    return {
        **{f"client, {name}": cost.client for name, cost in costs.items()},
        CLIENT_RATIO: costs[THREE].client / costs[ONE].client,
        f"node, {SINGLE}": single.cpu,
        ONLY: only.cpu,
        **{name: node.cpu for name, node in zip(NODES, nodes, strict=True)},
        "all 3": sum(node.cpu for node in nodes),
        "reads, the only": only.reads,
        "reads, each of 3": max(node.reads for node in nodes),
        "KB, the only": only.bytes / 1000,
        "KB, each of 3": max(node.bytes for node in nodes) / 1000,
    }


def _compare_without_nodes(
    places: Mapping[str, Place], measure: Callable[[Place], Cost]
) -> Measured:
    """Leaves out the nodes' CPU, most of which is not for what is measured."""
    return {
        name: figure
        for name, figure in _compare(places, measure).items()
        if name not in {f"node, {SINGLE}", ONLY, *NODES, "all 3"}
    }


@contextmanager
def _single(home: Path, queue_url: str) -> Iterator[Place]:
    [port] = free_ports(1)
    options = ("--port", str(port), "--bind", "127.0.0.1")
    with (
        store(valkey_server(), *options, durable=True) as server,
        redis.Redis.from_url(server.url) as admin,
        _place(
            home, f"redis://127.0.0.1:{port}", [Node(admin, server.process.pid)], queue_url
        ) as place,
    ):
        yield place


@contextmanager
def _cluster(home: Path, primaries: int, queue_url: str) -> Iterator[Place]:
    with redis_cluster(primaries, replicas=0, options=DURABLE) as cluster:
        nodes = [Node(node.redis, node.server.process.pid) for node in cluster.nodes]
        with _place(home, cluster.url, nodes, queue_url) as place:
            yield place


@contextmanager
def _place(home: Path, url: str, nodes: Sequence[Node], queue_url: str) -> Iterator[Place]:
    home.mkdir()
    with (
        open_client(url) as client,
        run_web(home, url, QUEUE_REDIS_URL=queue_url, **UNLIMITED) as service,
    ):
        yield Place(home, url, nodes, service, client)


def _create(place: Place, seconds: float, connections: int = CONNECTIONS) -> Cost:
    """Links whose mail is owed."""
    return place.web.cost(partial(_load, place, place.creates, seconds, connections))


def _read(place: Place, seconds: float, connections: int = CONNECTIONS) -> Cost:
    return place.web.cost(partial(_load, place, place.reads, seconds, connections))


def _load(place: Place, requests: Sequence[str], seconds: float, connections: int) -> int:
    measure = load(place.service.port, requests, place.home, seconds, connections=connections)
    return int(measure()["requests"])


def _mail(place: Place, queue_url: str, relay: Relay, count: int) -> Cost:
    place.clear_outbox()
    home = Path(mkdtemp(dir=place.home))
    owed = LinkOutbox(place.client, queue_url)
    worker = Worker(home, place.url, owed, relay, SESSIONS, QUEUE_REDIS_URL=queue_url)

    def send() -> int:
        worker.send_owed(made)
        return count

    with worker.running():
        worker.send(place.make_links(10 * SESSIONS))
        made = place.make_links(count)
        owed.add(made)
        return Meter(place.nodes, lambda: worker.cpu() * 1e6).cost(send)


def _ask_readyz(place: Place) -> Cost:
    def ask() -> int:
        for _ in range(READYZ_COUNT):
            time.sleep(READYZ_PAUSE)
            httpx.get(f"{place.service.url}/readyz")
        return READYZ_COUNT

    return place.web.cost(ask)


def _queue_window(place: Place, count: int) -> Cost:
    """A window in which nothing is due."""

    def ask() -> int:
        with admin_of(place.service.url) as admin:
            for _ in range(count):
                admin.post("/payment-links/scheduled", json={}).raise_for_status()
        return count

    return place.web.cost(ask)


def _scan(place: Place, count: int) -> Cost:
    """Asks all partitions what is due, where nothing is."""

    def ask() -> int:
        for _ in range(count):
            place.client.run_each([outbox.has_pending(each) for each in keys.ALL_PARTITIONS])
        return count

    return place.scan.cost(ask)
