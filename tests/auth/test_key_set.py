"""Admin tokens of an identity provider with a key set (JWKS)."""

import base64
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from service.auth.tokens import CustomerTokens
from tests.auth.test_identity_provider import MakeApi
from tests.support.api import JANE, SECRET, Api, all_at_once, assert_problem, bearer
from tests.support.key_server import KeyServer, served
from tests.support.servers import wait_until
from tests.support.signing import (
    assert_believed,
    assert_not_believed,
    claims,
    private_key,
    signed,
)


@pytest.fixture
def key_server() -> Iterator[KeyServer]:
    with served(KeyServer()) as server:
        yield server


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The clock of the key set, set by hand."""
    hand = SimpleNamespace(now=1000.0)
    monkeypatch.setattr("service.auth.jwks.time", SimpleNamespace(monotonic=lambda: hand.now))
    return hand


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_a_key_of_the_set_is_believed(
    make_api: MakeApi, key_server: KeyServer, algorithm: str
) -> None:
    for kid in ("RS256", "ES256", "EdDSA"):
        key_server.add(kid, kid)
    api = make_api(ADMIN_JWKS_URL=key_server.url)
    assert_believed(api, signed(claims(api), private_key(algorithm), algorithm, kid=algorithm))


def test_the_set_is_fetched_once_for_many_tokens(make_api: MakeApi, key_server: KeyServer) -> None:
    key_server.add("ES256", "one")
    api = make_api(ADMIN_JWKS_URL=key_server.url)
    for number in range(10):
        assert_believed(
            api, signed(claims(api, sub=f"ada {number}"), private_key("ES256"), "ES256", kid="one")
        )
    assert key_server.fetches == 1


def test_the_set_is_not_fetched_before_a_token_comes(
    make_api: MakeApi, key_server: KeyServer
) -> None:
    api = make_api(ADMIN_JWKS_URL=key_server.url)
    api.client.get("/healthz")
    assert_problem(api.client.get("/orgs/acme/payment-links"), 401, "token_required")
    assert key_server.fetches == 0


def test_an_unknown_key_is_not_believed(make_api: MakeApi, key_server: KeyServer) -> None:
    key_server.add("ES256", "one")
    api = make_api(ADMIN_JWKS_URL=key_server.url)
    assert_not_believed(api, signed(claims(api), private_key("ES256"), "ES256", kid="two"))


def test_unknown_keys_do_not_have_the_set_fetched_each_time(
    make_api: MakeApi, key_server: KeyServer
) -> None:
    key_server.add("ES256", "one")
    api = make_api(ADMIN_JWKS_URL=key_server.url)
    for number in range(30):
        assert_not_believed(
            api, signed(claims(api), private_key("ES256"), "ES256", kid=f"key {number}")
        )
    assert key_server.fetches == 1


def test_a_new_key_is_found_after_a_while(
    make_api: MakeApi, key_server: KeyServer, seconds: SimpleNamespace
) -> None:
    key_server.add("RS256", "old")
    api = make_api(ADMIN_JWKS_URL=key_server.url)
    token = signed(claims(api), private_key("ES256"), "ES256", kid="new")
    assert_not_believed(api, token)
    key_server.add("ES256", "new")
    seconds.now += 11
    assert_believed(api, token)


def test_a_key_that_left_the_set_is_not_believed_after_a_while(
    make_api: MakeApi, key_server: KeyServer, seconds: SimpleNamespace
) -> None:
    key_server.add("ES256", "one")
    api = make_api(ADMIN_JWKS_URL=key_server.url)
    token = signed(claims(api), private_key("ES256"), "ES256", kid="one")
    assert_believed(api, token)
    key_server.keys = []
    key_server.add("RS256", "two")
    seconds.now += 301
    assert_believed(api, token)  # the set is fetched again in the background
    wait_until(
        lambda: api.list(bearer(token)).status_code == 401, "the key not to be believed any more"
    )
    assert_not_believed(api, token)


def test_a_key_is_not_taken_for_another(make_api: MakeApi, key_server: KeyServer) -> None:
    key_server.add("ES256", "one")
    key_server.add("RS256", "two")
    api = make_api(ADMIN_JWKS_URL=key_server.url)
    assert_not_believed(api, signed(claims(api), private_key("ES256"), "ES256", kid="two"))


def test_a_token_without_kid_is_believed_where_the_set_has_one_key(
    make_api: MakeApi, key_server: KeyServer
) -> None:
    key_server.add("ES256", "one")
    api = make_api(ADMIN_JWKS_URL=key_server.url)
    assert_believed(api, signed(claims(api), private_key("ES256"), "ES256"))


def test_a_token_without_kid_is_not_believed_where_the_set_has_two(
    make_api: MakeApi, key_server: KeyServer
) -> None:
    key_server.add("ES256", "one")
    key_server.add("RS256", "two")
    api = make_api(ADMIN_JWKS_URL=key_server.url)
    assert_not_believed(api, signed(claims(api), private_key("ES256"), "ES256"))


def test_a_shared_secret_in_the_set_is_not_believed(
    make_api: MakeApi, key_server: KeyServer
) -> None:
    secret = b"x" * 32
    key_server.add("ES256", "one")
    key_server.keys.append(
        {
            "kty": "oct",
            "kid": "two",
            "alg": "HS256",
            "k": base64.urlsafe_b64encode(secret).decode().rstrip("="),
        }
    )
    api = make_api(ADMIN_JWKS_URL=key_server.url)
    assert_not_believed(api, signed(claims(api), secret, "HS256", kid="two"))


def test_a_key_for_encryption_is_not_believed(make_api: MakeApi, key_server: KeyServer) -> None:
    """RFC 7517, 4.2."""
    key_server.add("RS256", "one", use="sig")
    key_server.add("ES256", "two", use="enc")
    api = make_api(ADMIN_JWKS_URL=key_server.url)
    assert_not_believed(api, signed(claims(api), private_key("ES256"), "ES256", kid="two"))


def test_our_own_admin_tokens_are_not_believed_beside_the_set(
    make_api: MakeApi, key_server: KeyServer
) -> None:
    key_server.add("ES256", "one")
    api = make_api(ADMIN_JWKS_URL=key_server.url)
    assert_not_believed(api, signed(claims(api)))


@pytest.mark.parametrize("header", ["jku", "x5u"])
def test_an_address_that_the_token_names_is_not_fetched(
    make_api: MakeApi, key_server: KeyServer, header: str
) -> None:
    key_server.add("RS256", "one")
    with served(KeyServer()) as elsewhere:
        elsewhere.add("ES256", "two")
        api = make_api(ADMIN_JWKS_URL=key_server.url)
        assert_not_believed(
            api,
            signed(
                claims(api), private_key("ES256"), "ES256", kid="two", **{header: elsewhere.url}
            ),
        )
        assert elsewhere.fetches == 0


def test_an_identity_provider_that_is_away_is_no_fault_of_the_token(
    make_api: MakeApi, key_server: KeyServer
) -> None:
    key_server.status = 500
    api = make_api(ADMIN_JWKS_URL=key_server.url)
    response = api.list(bearer(signed(claims(api), private_key("ES256"), "ES256", kid="one")))
    assert_problem(response, 503, "unavailable")
    assert int(response.headers["retry-after"]) >= 1


def test_while_the_identity_provider_is_away_every_answer_says_so(
    make_api: MakeApi, key_server: KeyServer
) -> None:
    """Without a key set, the token can be neither accepted nor refused."""
    key_server.status = 500
    api = make_api(ADMIN_JWKS_URL=key_server.url)
    token = signed(claims(api), private_key("ES256"), "ES256", kid="one")
    assert [api.list(bearer(token)).status_code for _ in range(3)] == [503, 503, 503]


def test_an_identity_provider_that_is_away_is_not_asked_each_time(
    make_api: MakeApi, key_server: KeyServer
) -> None:
    key_server.status = 500
    api = make_api(ADMIN_JWKS_URL=key_server.url)
    for _ in range(10):
        api.list(bearer(signed(claims(api), private_key("ES256"), "ES256", kid="one")))
    assert key_server.fetches == 1


def test_known_keys_are_believed_while_the_identity_provider_is_away(
    make_api: MakeApi, key_server: KeyServer, seconds: SimpleNamespace
) -> None:
    key_server.add("ES256", "one")
    api = make_api(ADMIN_JWKS_URL=key_server.url)
    token = signed(claims(api), private_key("ES256"), "ES256", kid="one")
    assert_believed(api, token)
    key_server.status = 500
    seconds.now += 301
    assert_believed(api, token)


def test_customers_do_not_need_the_identity_provider(
    make_api: MakeApi, api: Api, key_server: KeyServer
) -> None:
    key_server.status = 500
    link = api.create(otp_required=True)
    behind = make_api(ADMIN_JWKS_URL=key_server.url)
    token = CustomerTokens(SECRET.encode()).issue(JANE, now=api.now, jti="x")
    assert behind.get(link["id"], bearer(token)).status_code == 200
    assert key_server.fetches == 0


DEEP = b"[" * 200_000


@pytest.mark.parametrize("part", ["headers and all", "body"])
def test_a_key_set_that_drips_is_given_up_within_five_seconds(
    make_api: MakeApi, key_server: KeyServer, part: str
) -> None:
    key_server.drip = 1 if part == "headers and all" else 0.001
    key_server.body = b" " * 100_000
    api = make_api(ADMIN_JWKS_URL=key_server.url)
    token = signed(claims(api), private_key("ES256"), "ES256", kid="one")
    began = time.monotonic()
    answers = all_at_once(*[lambda: api.list(bearer(token)).status_code] * 5)
    assert time.monotonic() - began < 5
    assert answers == [503] * 5


@pytest.mark.parametrize(
    "answer",
    [
        {"body": DEEP},
        {"body": b'{"keys": ' + DEEP},
        {"body": b"not JSON"},
        {"body": b"\xff"},
        {"body": b"{}"},
        {"body": b"[]"},
        {"body": b'{"keys": {}}'},
        {"body": b'{"keys": []}'},
        {"body": b'{"keys": ["RSA", null, {}, {"kty": "RSA", "kid": "one"}, {"kty": ["RSA"]}]}'},
        {"body": b" " * 300_000},
        {"body": b"\x1f\x8b", "headers": {"Content-Encoding": "gzip"}},
        {"status": 302, "headers": {"Location": "/elsewhere"}},
        {"status": 404},
        {"status": 500},
    ],
    ids=lambda answer: str(answer)[:60],
)
@pytest.mark.parametrize("cold", [True, False], ids=["cold", "warm"])
def test_a_key_set_that_cannot_be_had_is_no_fault_of_the_token(
    make_api: MakeApi,
    key_server: KeyServer,
    seconds: SimpleNamespace,
    answer: dict[str, Any],
    *,
    cold: bool,
) -> None:
    """The last key set that was fetched is used for an hour."""
    key_server.add("ES256", "one")
    api = make_api(ADMIN_JWKS_URL=key_server.url)
    token = signed(
        claims(api, exp=int(api.now.timestamp()) + 9000), private_key("ES256"), "ES256", kid="one"
    )
    if not cold:
        assert_believed(api, token)
        seconds.now += 301
    for name, value in answer.items():
        setattr(key_server, name, value)
    if cold:
        assert_problem(api.list(bearer(token)), 503, "unavailable")
        return
    assert_believed(api, token)
    wait_until(lambda: key_server.fetches == 2, "another try")
    seconds.now += 3000
    assert_believed(api, token)
    seconds.now += 400
    assert_problem(api.list(bearer(token)), 503, "unavailable")


def test_members_that_are_no_keys_hide_none_that_is(
    make_api: MakeApi, key_server: KeyServer
) -> None:
    key_server.add("ES256", "one")
    key_server.keys[:0] = [
        "RSA",
        None,
        {},
        {"kty": "RSA", "kid": "two"},
        {"kty": "EC", "crv": ["P-256"], "kid": 3},
    ]
    api = make_api(ADMIN_JWKS_URL=key_server.url)
    assert_believed(api, signed(claims(api), private_key("ES256"), "ES256", kid="one"))
