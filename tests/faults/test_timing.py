"""What the time of an answer tells: nothing of whether an e-mail is known."""

import gc
import sys
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from math import sqrt
from random import Random
from typing import NamedTuple

import pytest

from service.auth.tokens import derive_key
from service.otps import store as otps
from service.otps.model import derive_code
from tests.support.api import different_code
from tests.support.factories import make_link, store_link
from tests.support.procfs import cpu_clock, descendants
from tests.support.raw_http import RawConnection, with_json
from tests.support.redis_client import RedisClient, create_client
from tests.support.run_length import RunLength
from tests.support.servers import RedisServer
from tests.support.service_processes import SECRET, UNLIMITED, Service
from tests.support.web import run_web

pytestmark = pytest.mark.alone

NONCE = bytes(16)
TOLERANCE = 50e-6
"""Seconds that no network shows: a script writes one field more if there is a code."""
ROUNDS = 5
Meter = Callable[[], float]


class Kind(NamedTuple):
    """E-mails of one kind: how the store comes to know them, and what is asked about each."""

    name: str
    prepare: Callable[[RedisClient, str], None]
    ask: Callable[[str], bytes]


def nobody(_client: RedisClient, _email: str) -> None:
    """The store never hears of an unknown e-mail."""


def with_link(client: RedisClient, email: str) -> None:
    store_link(client, make_link(datetime.now(UTC), email=email, otp_required=True, notify=False))


def with_code(client: RedisClient, email: str) -> None:
    client.run(otps.create(email, NONCE, now=datetime.now(UTC), ttl=timedelta(minutes=10)))


def sending(email: str) -> bytes:
    return with_json("POST /payment-links/otp HTTP/1.1", {"email": email}, lasting=True)


def submitting(email: str) -> bytes:
    """A code that is wrong where there is one."""
    otp = different_code(derive_code(derive_key(SECRET.encode(), "otp"), NONCE, email))
    return with_json("PUT /payment-links/otp HTTP/1.1", {"email": email, "otp": otp}, lasting=True)


UNKNOWN, ALSO_UNKNOWN = "unknown", "also unknown"
SENDS = [
    Kind(UNKNOWN, nobody, sending),
    Kind(ALSO_UNKNOWN, nobody, sending),
    Kind("with a link", with_link, sending),
]
SUBMISSIONS = [
    Kind(UNKNOWN, nobody, submitting),
    Kind(ALSO_UNKNOWN, nobody, submitting),
    Kind("with a link", with_link, submitting),
    Kind("with a code", with_code, submitting),
]


@pytest.fixture(scope="module")
def service(own_store: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with run_web(tmp_path_factory.mktemp("web"), own_store.url, **UNLIMITED) as running:
        yield running


class Measured(NamedTuple):
    """How long each answer took by each meter, and what answers there were."""

    times: dict[str, dict[str, list[float]]]
    answers: set[tuple[int, bytes, frozenset[str]]]


@pytest.mark.usefixtures("redis_db")
@pytest.mark.parametrize("kinds", [SENDS, SUBMISSIONS], ids=["asked for a code", "given a code"])
def test_known_and_unknown_emails_are_answered_alike_and_as_fast(
    service: Service, own_store: RedisServer, run_length: RunLength, kinds: list[Kind]
) -> None:
    """By the wall clock, as an attacker measures, and by CPU time, which is less disturbed.

    Full: 2,000 e-mails of each kind, which shows a difference of 200 us; short: of 1 ms. More
    are asked while the machine is too busy for that. The kinds take turns at random, so that a
    difference by chance is as rare as 5 standard errors.
    """
    meters, client = meters_of(service, own_store), RedisClient(create_client(own_store.url))
    measured = Measured({kind.name: {meter: [] for meter in meters} for kind in kinds}, set())
    for number in range(ROUNDS):
        measure(service, client, kinds, meters, run_length(150, 2000), measured, number)
        by = {
            meter: {kind.name: measured.times[kind.name][meter] for kind in kinds}
            for meter in meters
        }
        least = by[next(iter(meters))]
        if seen(
            [taken + run_length(1000, 200) * 1e-6 for taken in least[UNKNOWN]], least[ALSO_UNKNOWN]
        ):
            break
    else:
        pytest.fail("the machine is too busy to tell anything")
    client.close()
    assert len(measured.answers) == 1
    for meter, times in by.items():
        for name, taken in times.items():
            found = (
                f"{meter}, {name}: {len(taken)} e-mails, AUC {advantage(taken, times[UNKNOWN]):.3f}"
            )
            print(found)
            assert not seen(taken, times[UNKNOWN]), found
            assert not seen(times[UNKNOWN], taken), found


def seen(slower: list[float], faster: list[float]) -> bool:
    """Whether ``slower`` took longer by more than the tolerance, at a level of one in a million."""
    count = len(slower)
    return advantage([taken - TOLERANCE for taken in slower], faster) > 0.5 + max(
        0.05, 5 / sqrt(6 * count)
    )


def advantage(slower: list[float], faster: list[float]) -> float:
    """How often ``slower`` takes longer than ``faster`` (Mann-Whitney); 0.5 if they are equal."""
    ordered = sorted(faster)
    longer = sum(bisect_left(ordered, taken) + bisect_right(ordered, taken) for taken in slower)
    return longer / 2 / len(slower) / len(faster)


def measure(
    service: Service,
    client: RedisClient,
    kinds: list[Kind],
    meters: Mapping[str, Meter],
    count: int,
    measured: Measured,
    round_: int,
) -> None:
    asked = []
    for position, kind in enumerate(kinds):
        for number in range(count):
            email = f"{round_}{position}{number:05}@example.com"
            kind.prepare(client, email)
            asked.append((kind, kind.ask(email)))
    Random(round_).shuffle(asked)
    with RawConnection(service.port) as wire, no_collection():
        for number in range(50):
            wire.ask(kinds[0].ask(f"warm{round_}{number}@example.com"))
        for kind, piece in asked:
            began = {meter: read() for meter, read in meters.items()}
            response = wire.ask(piece)
            for meter, read in meters.items():
                measured.times[kind.name][meter].append(read() - began[meter])
            measured.answers.add((response.status, response.body, frozenset(response.headers)))


def meters_of(service: Service, store: RedisServer) -> dict[str, Meter]:
    """CPU time of web and store (on Linux) and the wall clock, the least disturbed first."""
    if sys.platform != "linux":
        return {"wall": time.perf_counter}
    web = service.web.process.pid
    clocks = [cpu_clock(process) for process in (web, *descendants(web), store.process.pid)]
    return {"cpu": lambda: sum(map(time.clock_gettime, clocks)), "wall": time.perf_counter}


@contextmanager
def no_collection() -> Iterator[None]:
    """Without pauses of our own."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
