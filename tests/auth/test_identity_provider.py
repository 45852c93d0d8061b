"""Admin tokens of an identity provider with one key."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.api import Api, assert_problem, bearer
from tests.support.signing import (
    GONE,
    assert_believed,
    assert_not_believed,
    by_hand,
    claims,
    customer_claims,
    pem,
    private_key,
    signed,
)

MakeApi = Callable[..., Api]


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_the_identity_providers_key_is_believed(make_api: MakeApi, algorithm: str) -> None:
    api = make_api(ADMIN_JWT_PUBLIC_KEY=pem(algorithm))
    assert_believed(api, signed(claims(api), private_key(algorithm), algorithm))


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_our_own_admin_tokens_are_not_believed_beside_it(make_api: MakeApi, algorithm: str) -> None:
    api = make_api(ADMIN_JWT_PUBLIC_KEY=pem(algorithm))
    assert_not_believed(api, signed(claims(api)))


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_the_public_key_is_no_shared_secret(make_api: MakeApi, algorithm: str) -> None:
    """HS256 under the PEM's own bytes (RFC 8725, 2.1)."""
    api = make_api(ADMIN_JWT_PUBLIC_KEY=pem(algorithm))
    assert_not_believed(
        api, by_hand({"alg": "HS256", "typ": "JWT"}, claims(api), pem(algorithm).encode())
    )


@pytest.mark.parametrize(
    ("algorithm", "other"), [("RS256", "RS512"), ("RS256", "PS256"), ("RS256", "RS384")]
)
def test_the_key_is_used_with_its_algorithm_only(
    make_api: MakeApi, algorithm: str, other: str
) -> None:
    api = make_api(ADMIN_JWT_PUBLIC_KEY=pem(algorithm))
    assert_not_believed(api, signed(claims(api), private_key(algorithm), other))


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
def test_another_key_of_another_kind_is_not_believed(make_api: MakeApi, algorithm: str) -> None:
    api = make_api(ADMIN_JWT_PUBLIC_KEY=pem("RS256"))
    assert_not_believed(api, signed(claims(api), private_key(algorithm), algorithm))


def test_another_key_of_the_same_kind_is_not_believed(make_api: MakeApi) -> None:
    api = make_api(ADMIN_JWT_PUBLIC_KEY=pem("ES256"))
    assert_not_believed(api, signed(claims(api), ec.generate_private_key(ec.SECP256R1()), "ES256"))


def test_an_unsigned_token_is_not_believed_beside_a_key(make_api: MakeApi) -> None:
    api = make_api(ADMIN_JWT_PUBLIC_KEY=pem("ES256"))
    assert_not_believed(api, signed(claims(api), None, "none"))


def test_a_pem_may_be_written_in_one_line(make_api: MakeApi) -> None:
    api = make_api(ADMIN_JWT_PUBLIC_KEY=pem("EdDSA").replace("\n", "\\n"))
    assert_believed(api, signed(claims(api), private_key("EdDSA"), "EdDSA"))


@pytest.mark.parametrize(
    ("issuer", "believed"),
    [
        ("https://id.example.com", True),
        ("https://evil.example.com", False),
        (GONE, False),
        (["https://id.example.com"], False),
    ],
    ids=["ours", "another", "none", "list"],
)
def test_an_issuer_that_is_set_must_be_named(
    make_api: MakeApi, issuer: Any, *, believed: bool
) -> None:
    api = make_api(ADMIN_JWT_PUBLIC_KEY=pem("EdDSA"), ADMIN_JWT_ISSUER="https://id.example.com")
    token = by_hand_eddsa(claims(api, iss=issuer))
    (assert_believed if believed else assert_not_believed)(api, token)


def by_hand_eddsa(payload: dict[str, Any]) -> str:
    """A token with claims that PyJWT refuses to write, such as an ``iss`` that is a list."""
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
        for part in ({"alg": "EdDSA"}, payload)
    ]
    signature = base64.urlsafe_b64encode(private_key("EdDSA").sign(b".".join(parts))).rstrip(b"=")
    return b".".join([*parts, signature]).decode()


def test_customers_tokens_stay_ours(make_api: MakeApi) -> None:
    api = make_api(ADMIN_JWT_PUBLIC_KEY=pem("ES256"))
    token = api.submit_otp(api.new_code()).json()["token"]
    admin = bearer(signed(claims(api), private_key("ES256"), "ES256"))
    link = api.post_link(admin, otp_required=True).json()
    assert api.get(link["id"], bearer(token)).status_code == 200


def test_the_identity_provider_makes_no_customers_tokens(make_api: MakeApi) -> None:
    api = make_api(ADMIN_JWT_PUBLIC_KEY=pem("ES256"))
    link = api.post_link(
        bearer(signed(claims(api), private_key("ES256"), "ES256")), otp_required=True
    ).json()
    token = signed(customer_claims(api), private_key("ES256"), "ES256", typ="payment-link+jwt")
    assert_problem(api.get(link["id"], bearer(token)), 401, "token_invalid")
