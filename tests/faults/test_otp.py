"""Limits of one-time passwords in a race: 200 requests at once, at two processes on one store."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from random import Random

import pytest
import redis

from service.auth.tokens import derive_key
from service.otps.model import derive_code
from service.storage import keys
from service.values.email import canonical
from tests.support.api import different_code
from tests.support.raw_http import RawResponse, all_at_once, with_json
from tests.support.run_length import RunLength
from tests.support.servers import RedisServer, free_port
from tests.support.service_processes import SECRET
from tests.support.web import run_webs

pytestmark = pytest.mark.usefixtures("redis_db")
AT_ONCE = 200
SPELLINGS = [
    "jane@bücher.example.com",
    "JANE@BÜCHER.EXAMPLE.COM",
    "jane@bu\u0308cher.example.com",
    "jAnE@xn--bcher-kva.example.com",
    "jane@XN--BCHER-KVA.Example.com",
    "jane@\uff42\u00fccher\uff0e\uff45xample\u3002com",
]
JANE = "jane@xn--bcher-kva.example.com"
CLIENT, NETWORK = "203.0.113.7", "2001:db8:1:2"
TRUSTED = "127.0.0.1, 10.0.0.0/8, 2001:db8:ffff::/48"
FORGED: list[Callable[[int], list[str]]] = [
    lambda _: [CLIENT],
    lambda number: [f"192.0.2.{number}, {CLIENT}"],
    lambda number: [f"192.0.2.{number}", CLIENT],
    lambda number: [f"2001:db8::{number:x},{CLIENT}"],
    lambda number: [f"10.0.0.{number}, {CLIENT}"],
    lambda number: [f"127.0.0.1, 10.0.0.{number}", f"127.0.0.1, {CLIENT}"],
    lambda number: [f"192.0.2.{number}, {CLIENT}, 10.9.9.{number}"],
    lambda number: [f"192.0.2.{number}, {CLIENT}, 10.9.9.9:{number}, 2001:db8:ffff::{number:x}"],
    lambda number: [f"{CLIENT}:{10_000 + number}"],
    lambda number: [f"192.0.2.{number}, ::ffff:{CLIENT}"],
    lambda number: [f"::ffff:10.0.0.{number}, ::FFFF:CB00:7107"],
    lambda number: [f"[::ffff:{CLIENT}]:{number}, 127.0.0.1"],
    lambda number: [f"192.0.2.{number}, [::ffff:{CLIENT}]"],
    lambda number: [f"unknown, _hidden{number}, , {CLIENT}"],
    lambda number: [f"192.0.2.{number} {CLIENT}", f"\t {CLIENT} \t"],
    lambda number: ["1.1.1.1, " * number + CLIENT],
]
"""What a trusted proxy may forward for a client: what the client wrote, then its address."""
FORGED_IN_A_NETWORK: list[Callable[[int], list[str]]] = [
    lambda number: [f"{NETWORK}::{number:x}"],
    lambda number: [f"{NETWORK}:{number:x}:ffff:{number:x}:1"],
    lambda number: [f"[{NETWORK}::{number:x}]:{10_000 + number}"],
    lambda number: [f"[{NETWORK}::{number:x}]"],
    lambda number: [f"2001:0DB8:0001:0002:{number:04X}::"],
    lambda number: [f"{NETWORK}::1%eth{number}"],
    lambda number: [f"[{NETWORK}::1%{number}]:{number}"],
    lambda number: [f"2001:db8:{number:x}::1, {NETWORK}::{number:x}, 10.0.0.1"],
]
ELSEWHERE = [
    "Forwarded",
    "X-Real-IP",
    "X-Client-IP",
    "True-Client-IP",
    "CF-Connecting-IP",
    "X-Cluster-Client-IP",
    "Client-IP",
]
"""Headers in which others say whom they forward for."""


@pytest.fixture(scope="module")
def behind_proxies(
    own_store: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[int]]:
    with two_webs(own_store, tmp_path_factory, TRUSTED_PROXIES=TRUSTED) as ports:
        yield ports


@pytest.fixture(scope="module")
def exposed(
    own_store: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[int]]:
    with two_webs(own_store, tmp_path_factory) as ports:
        yield ports


@contextmanager
def two_webs(
    store: RedisServer, directories: pytest.TempPathFactory, **settings: str
) -> Iterator[list[int]]:
    """Two processes with limits as they come."""
    ports = [free_port(), free_port()]
    with run_webs(
        directories.mktemp("webs"),
        store.url,
        *ports,
        OTP_CLIENT_FAILURES_PER_HOUR="100",
        **settings,
    ):
        yield ports


def forwarded(*lines: str) -> list[str]:
    return [f"X-Forwarded-For: {line}" for line in lines]


def send(email: str, headers: Sequence[str] = ()) -> bytes:
    return with_json("POST /payment-links/otp HTTP/1.1", {"email": email}, *headers)


def submit(email: str, otp: str, headers: Sequence[str] = ()) -> bytes:
    return with_json("PUT /payment-links/otp HTTP/1.1", {"email": email, "otp": otp}, *headers)


def another_client(number: int) -> list[str]:
    """So that no client's limit is reached."""
    return forwarded(f"198.51.{number // 256}.{number % 256}")


def statuses(answers: Sequence[RawResponse]) -> Counter[int]:
    assert {response.json()["code"] for response in answers if response.status == 429} <= {
        "limit_reached"
    }
    assert all(
        0 < int(response.headers["retry-after"]) <= 86400
        for response in answers
        if response.status == 429
    )
    return Counter(response.status for response in answers)


def code_of(email: str, redis_db: "redis.Redis") -> str:
    """The code that the worker would mail."""
    nonce = redis_db.hget(keys.otp(canonical(email)), "nonce")
    assert isinstance(nonce, str)
    return derive_code(derive_key(SECRET.encode(), "otp"), bytes.fromhex(nonce), canonical(email))


def new_codes(emails: Sequence[str], ports: list[int], redis_db: "redis.Redis") -> list[str]:
    sent = all_at_once(
        ports, [send(email, another_client(number)) for number, email in enumerate(emails)]
    )
    assert statuses(sent) == {202: len(emails)}
    return [code_of(email, redis_db) for email in emails]


@contextmanager
def forgetting(redis_db: "redis.Redis", *limits: str) -> Iterator[None]:
    """Deletes the windows of Jane's ``limits`` all the time: the store's clock cannot be turned."""
    done = threading.Event()

    def forget() -> None:
        while not done.is_set():
            redis_db.delete(*(keys.otp_limit(JANE, limit) for limit in limits))

    thread = threading.Thread(target=forget)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def sends_in_any_spelling(ports: list[int]) -> Counter[int]:
    spelled = [
        send(SPELLINGS[number % len(SPELLINGS)], another_client(number))
        for number in range(AT_ONCE)
    ]
    return statuses(all_at_once(ports, spelled))


def test_one_code_a_minute_is_sent_to_an_email_however_it_is_spelled(
    behind_proxies: list[int],
) -> None:
    assert sends_in_any_spelling(behind_proxies) == {202: 1, 429: AT_ONCE - 1}


def test_one_code_a_minute_is_sent_to_a_mailbox_however_it_is_tagged(
    behind_proxies: list[int],
) -> None:
    tagged = [
        send(f"jane+{number}@example.com", another_client(number)) for number in range(AT_ONCE)
    ]
    assert statuses(all_at_once(behind_proxies, tagged)) == {202: 1, 429: AT_ONCE - 1}


@pytest.mark.parametrize(
    ("forgotten", "most"),
    [(["resend"], 5), (["resend", "sends_hour"], 10)],
    ids=["an hour", "a day"],
)
def test_no_more_codes_are_sent_to_an_email(
    behind_proxies: list[int], redis_db: "redis.Redis", forgotten: list[str], most: int
) -> None:
    with forgetting(redis_db, *forgotten):
        sent = sum((sends_in_any_spelling(behind_proxies) for _ in range(4)), Counter[int]())
    assert sent == {202: most, 429: 4 * AT_ONCE - most}


def test_ten_codes_a_day_are_tried_in_vain_for_an_email(
    behind_proxies: list[int], redis_db: "redis.Redis"
) -> None:
    """Over all its codes, of which another is made every time that a wave of tries is through."""
    failed = Counter[int]()
    with forgetting(redis_db, "resend"):
        for _ in range(3):
            [code] = new_codes([JANE], behind_proxies, redis_db)
            tries = [
                submit(
                    SPELLINGS[number % len(SPELLINGS)], different_code(code), another_client(number)
                )
                for number in range(AT_ONCE)
            ]
            failed += statuses(all_at_once(behind_proxies, tries))
        [code] = new_codes([JANE], behind_proxies, redis_db)
    assert failed == {401: 10, 429: 3 * AT_ONCE - 10}
    assert statuses(all_at_once(behind_proxies, [submit(JANE, code)])) == {429: 1}


def test_one_network_leaves_half_of_the_tries_to_others(
    behind_proxies: list[int], redis_db: "redis.Redis"
) -> None:
    with forgetting(redis_db, "resend"):
        for number in range(3):
            [code] = new_codes([JANE], behind_proxies, redis_db)
            tries = [
                submit(JANE, different_code(code), forwarded(f"2001:db8:1:{number:x}::1"))
                for number in range(AT_ONCE)
            ]
            assert statuses(all_at_once(behind_proxies, tries)) == (
                {429: AT_ONCE} if number else {401: AT_ONCE}
            )
    assert statuses(
        all_at_once(behind_proxies, [submit(JANE, code, forwarded("2001:db8:2::1"))])
    ) == {200: 1}


@pytest.mark.parametrize(("tries", "status"), [(4, 200), (5, 401)])
def test_five_wrong_tries_at_once_use_a_code_up_and_four_do_not(
    behind_proxies: list[int], redis_db: "redis.Redis", tries: int, status: int
) -> None:
    emails = [f"payer{number}@example.com" for number in range(AT_ONCE // tries)]
    codes = new_codes(emails, behind_proxies, redis_db)
    headers = [another_client(number) for number in range(AT_ONCE)]
    failing = [
        submit(emails[number // tries], different_code(codes[number // tries]), headers[number])
        for number in range(AT_ONCE)
    ]
    assert statuses(all_at_once(behind_proxies, failing)) == {401: AT_ONCE}
    right = [
        submit(email, code, header)
        for email, code, header in zip(emails, codes, headers, strict=False)
    ]
    assert statuses(all_at_once(behind_proxies, right)) == {status: len(emails)}


def test_a_right_code_among_four_wrong_ones_gives_one_token(
    behind_proxies: list[int], redis_db: "redis.Redis"
) -> None:
    """Forty e-mails at once, with five tries each."""
    emails = [f"payer{number}@example.com" for number in range(AT_ONCE // 5)]
    codes = new_codes(emails, behind_proxies, redis_db)
    tries = [
        submit(email, different_code(code) if number else code, another_client(number))
        for email, code in zip(emails, codes, strict=True)
        for number in range(5)
    ]
    Random(1138).shuffle(tries)
    assert statuses(all_at_once(behind_proxies, tries)) == {200: len(emails), 401: 4 * len(emails)}


def test_a_right_code_submitted_200_times_at_once_gives_one_token(
    behind_proxies: list[int], redis_db: "redis.Redis", run_length: RunLength
) -> None:
    """Full: for 20 e-mails, one after the other."""
    emails = [f"payer{number}@example.com" for number in range(run_length(3, 20))]
    for email, code in zip(emails, new_codes(emails, behind_proxies, redis_db), strict=True):
        tries = [
            submit(email.upper() if number % 2 else email, code, another_client(number))
            for number in range(AT_ONCE)
        ]
        answered = statuses(all_at_once(behind_proxies, tries))
        assert answered[200] == 1
        assert answered.keys() <= {200, 401, 429}


@pytest.mark.parametrize(
    "forged", [FORGED, FORGED_IN_A_NETWORK], ids=["an address", "an IPv6 network"]
)
def test_a_client_behind_proxies_has_its_limits_whatever_it_forges(
    behind_proxies: list[int], forged: list[Callable[[int], list[str]]]
) -> None:
    headers = [forwarded(*forged[number % len(forged)](number)) for number in range(AT_ONCE)]
    assert_limited(behind_proxies, headers)


def test_a_client_without_a_proxy_has_its_limits_whatever_it_forges(exposed: list[int]) -> None:
    forged: list[Callable[[int], list[str]]] = [
        *FORGED,
        *FORGED_IN_A_NETWORK,
        lambda number: [f"198.51.100.{number}"],
    ]
    headers = [forwarded(*forged[number % len(forged)](number)) for number in range(AT_ONCE)]
    assert_limited(exposed, headers)


@pytest.mark.parametrize(
    ("address", "asked", "most"),
    [("2001:db8:1:00{:02x}::1", AT_ONCE, 150), ("203.0.113.{}", 2 * AT_ONCE, 300)],
    ids=["an IPv6 /56", "an IPv4 /24"],
)
def test_a_network_has_its_limit_whoever_in_it_asks(
    behind_proxies: list[int], address: str, asked: int, most: int
) -> None:
    sent = [
        send(f"payer{number}@example.com", forwarded(address.format(number % AT_ONCE)))
        for number in range(asked)
    ]
    assert statuses(all_at_once(behind_proxies, sent)) == {202: most, 429: asked - most}


def test_all_codes_together_have_their_ceiling(
    own_store: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with two_webs(
        own_store, tmp_path_factory, TRUSTED_PROXIES=TRUSTED, OTP_SENDS_PER_MINUTE="50"
    ) as ports:
        sent = [
            send(f"payer{number}@example.com", another_client(number)) for number in range(AT_ONCE)
        ]
        assert statuses(all_at_once(ports, sent)) == {202: 50, 429: AT_ONCE - 50}


@pytest.mark.parametrize("ports", ["exposed", "behind_proxies"])
def test_no_other_header_makes_another_client(ports: str, request: pytest.FixtureRequest) -> None:
    headers: list[list[str]] = [
        [f"{name}: 198.51.100.{number}" for name in ELSEWHERE] for number in range(AT_ONCE)
    ]
    assert_limited(request.getfixturevalue(ports), headers)


def assert_limited(ports: list[int], headers: list[list[str]]) -> None:
    """``headers`` come from one client, which gets 30 codes and may fail 100 times."""
    sent = [send(f"payer{number}@example.com", header) for number, header in enumerate(headers)]
    failed = [
        submit(f"other{number}@example.com", "123456", header)
        for number, header in enumerate(headers)
    ]
    assert statuses(all_at_once(ports, sent)) == {202: 30, 429: AT_ONCE - 30}
    assert statuses(all_at_once(ports, failed)) == {401: 100, 429: AT_ONCE - 100}
