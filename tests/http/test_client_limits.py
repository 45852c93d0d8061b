"""Whose limits a request counts against: client addresses, behind proxies or not."""

from collections.abc import Callable

import pytest

from tests.support.api import JANE, PEER, Api, assert_problem

MakeApi = Callable[..., Api]
PROXY = "10.0.0.1"
HERE, THERE = "203.0.113.7", "198.51.100.9"


def headers(peer: str, *forwarded: str) -> list[tuple[str, str]]:
    return [(PEER, peer), *(("X-Forwarded-For", line) for line in forwarded)]


def send(api: Api, email: str, sent: list[tuple[str, str]]) -> int:
    return api.client.post("/payment-links/otp", json={"email": email}, headers=sent).status_code


def submit(api: Api, email: str, sent: list[tuple[str, str]]) -> int:
    return api.client.put(
        "/payment-links/otp", json={"email": email, "otp": "123456"}, headers=sent
    ).status_code


def test_the_31st_code_in_an_hour_for_one_address_is_refused(api: Api) -> None:
    statuses = [send(api, f"jane{number}@example.com", headers(HERE)) for number in range(31)]
    assert statuses == [202] * 30 + [429]


def test_the_101st_failed_try_in_an_hour_of_one_address_is_refused(api: Api) -> None:
    statuses = [submit(api, f"jane{number}@example.com", headers(HERE)) for number in range(101)]
    assert statuses == [401] * 100 + [429]


def test_an_address_is_told_how_long_to_wait(make_api: MakeApi) -> None:
    api = make_api(OTP_CLIENT_SENDS_PER_HOUR="1")
    send(api, JANE, headers(HERE))
    response = api.client.post(
        "/payment-links/otp", json={"email": "john@example.com"}, headers=headers(HERE)
    )
    assert_problem(response, 429, "limit_reached")
    assert 0 < int(response.headers["retry-after"]) <= 3600


def test_a_right_code_is_no_failed_try_of_its_address(make_api: MakeApi) -> None:
    api = make_api(OTP_CLIENT_FAILURES_PER_HOUR="1")
    for email in ("jane@example.com", "john@example.com", "ada@example.com"):
        assert api.submit_otp(api.new_code(email), email).status_code == 200


def test_a_right_code_is_refused_to_an_address_that_failed_too_often(make_api: MakeApi) -> None:
    api = make_api(OTP_CLIENT_FAILURES_PER_HOUR="1")
    api.submit_otp("123456", "john@example.com")
    assert_problem(api.submit_otp(api.new_code()), 429, "limit_reached")


SAME_CLIENT = [
    pytest.param("", (HERE,), (HERE,), id="the same address"),
    pytest.param("", (HERE, THERE), (HERE, PROXY), id="forged without a proxy"),
    pytest.param(PROXY, (HERE, "192.0.2.1"), (HERE, "192.0.2.2"), id="forged past the proxy"),
    pytest.param(PROXY, (PROXY, HERE), (PROXY, HERE), id="the same address behind the proxy"),
    pytest.param(
        PROXY,
        (PROXY, f"192.0.2.1, {HERE}"),
        (PROXY, f"192.0.2.2, {HERE}"),
        id="forged through the proxy",
    ),
    pytest.param(
        PROXY,
        (PROXY, "192.0.2.1", HERE),
        (PROXY, "192.0.2.2", HERE),
        id="forged in a line of its own",
    ),
    pytest.param(
        PROXY,
        (PROXY, f"{PROXY}, {HERE}"),
        (PROXY, f"{THERE}, {HERE}"),
        id="forged as if from the proxy",
    ),
    pytest.param(
        "10.0.0.0/8", (PROXY, f"{HERE}, 10.9.9.9"), ("10.0.0.2", HERE), id="one proxy or two"
    ),
    pytest.param(PROXY, (PROXY, "what"), (PROXY, "ever"), id="forwarded for nobody"),
    pytest.param(
        PROXY, (PROXY, f"192.0.2.1, what, {HERE}"), (PROXY, HERE), id="nonsense before the address"
    ),
    pytest.param(PROXY, (PROXY, HERE), (HERE,), id="through the proxy or not"),
    pytest.param("", ("2001:db8:1:2::1",), ("2001:db8:1:2:ffff::9",), id="one IPv6 network"),
    pytest.param("", (f"::ffff:{HERE}",), (HERE,), id="IPv4 in IPv6"),
    pytest.param(PROXY, (PROXY, "[2001:db8::1]"), (PROXY, "2001:db8::2"), id="in brackets or not"),
    pytest.param(
        PROXY, (PROXY, "[2001:db8::1]:5678"), (PROXY, "2001:db8::2"), id="with a port or not"
    ),
    pytest.param(PROXY, (f"::ffff:{PROXY}", HERE), (PROXY, HERE), id="the proxy as IPv4 in IPv6"),
]
OTHER_CLIENT = [
    pytest.param("", (HERE,), (THERE,), id="another address"),
    pytest.param(PROXY, (PROXY, HERE), (PROXY, THERE), id="another address behind the proxy"),
    pytest.param(
        "10.0.0.0/8, 2001:db8::/32",
        ("2001:db8::1", HERE),
        (PROXY, THERE),
        id="another behind another proxy",
    ),
    pytest.param(
        "10.0.0.0/8",
        (PROXY, f"{HERE}, 10.9.9.9"),
        (PROXY, f"{THERE}, 10.9.9.9"),
        id="another behind two proxies",
    ),
    pytest.param("", ("2001:db8:1:2::1",), ("2001:db8:1:3::1",), id="another IPv6 network"),
    pytest.param(
        PROXY,
        (PROXY, "[2001:db8:1:2::1]"),
        (PROXY, "[2001:db8:1:3::1]"),
        id="another IPv6 network in brackets",
    ),
]


@pytest.mark.parametrize(("proxies", "first", "second"), SAME_CLIENT)
def test_one_client_has_one_limit_of_codes(
    make_api: MakeApi, proxies: str, first: tuple[str, ...], second: tuple[str, ...]
) -> None:
    api = make_api(OTP_CLIENT_SENDS_PER_HOUR="1", TRUSTED_PROXIES=proxies)
    assert send(api, "jane@example.com", headers(*first)) == 202
    assert send(api, "john@example.com", headers(*second)) == 429


@pytest.mark.parametrize(("proxies", "first", "second"), SAME_CLIENT)
def test_one_client_has_one_limit_of_failures(
    make_api: MakeApi, proxies: str, first: tuple[str, ...], second: tuple[str, ...]
) -> None:
    api = make_api(OTP_CLIENT_FAILURES_PER_HOUR="1", TRUSTED_PROXIES=proxies)
    assert submit(api, "jane@example.com", headers(*first)) == 401
    assert submit(api, "john@example.com", headers(*second)) == 429


@pytest.mark.parametrize(("proxies", "first", "second"), OTHER_CLIENT)
def test_another_client_has_its_own_limit(
    make_api: MakeApi, proxies: str, first: tuple[str, ...], second: tuple[str, ...]
) -> None:
    api = make_api(OTP_CLIENT_SENDS_PER_HOUR="1", TRUSTED_PROXIES=proxies)
    assert send(api, "jane@example.com", headers(*first)) == 202
    assert send(api, "john@example.com", headers(*second)) == 202


NETWORKS = [
    pytest.param(lambda number: f"203.0.113.{number}", 10, id="an IPv4 /24"),
    pytest.param(lambda number: f"2001:db8:1:00{number:02x}::1", 5, id="an IPv6 /56"),
    pytest.param(lambda number: f"2001:db8:1:{number:02x}00::1", 20, id="an IPv6 /48"),
]


@pytest.mark.parametrize(("address", "clients"), NETWORKS)
def test_a_network_has_the_codes_of_a_few_clients(
    make_api: MakeApi, address: Callable[[int], str], clients: int
) -> None:
    api = make_api(OTP_CLIENT_SENDS_PER_HOUR="1")
    statuses = [
        send(api, f"jane{number}@example.com", headers(address(number)))
        for number in range(clients + 2)
    ]
    assert statuses == [202] * clients + [429] * 2


@pytest.mark.parametrize(("address", "clients"), NETWORKS)
def test_a_network_has_the_failures_of_a_few_clients(
    make_api: MakeApi, address: Callable[[int], str], clients: int
) -> None:
    api = make_api(OTP_CLIENT_FAILURES_PER_HOUR="1")
    statuses = [
        submit(api, f"jane{number}@example.com", headers(address(number)))
        for number in range(clients + 2)
    ]
    assert statuses == [401] * clients + [429] * 2


def test_what_a_network_is_refused_does_not_count_for_its_client(make_api: MakeApi) -> None:
    api = make_api(OTP_CLIENT_SENDS_PER_HOUR="1")
    for number in range(5):
        send(api, f"jane{number}@example.com", headers(f"2001:db8:1:{number}::1"))
    send(api, JANE, headers("2001:db8:1:5::1"))
    assert len([*api.redis.scan_iter("pl:*:client:*/64:*")]) == 5
