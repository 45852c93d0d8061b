"""Keys of identity providers: which are accepted, and for which algorithm."""

import json
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from service.auth.tokens import (
    JwtKey,
    issue_admin_token,
    load_public_key,
    verification_key,
    verify_admin,
)
from service.errors import TokenInvalid
from tests.auth.forged_tokens import ADMIN_CLAIMS, INTERNAL, NOW, SECRET, forge


def pem(key: Any) -> str:
    return str(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


@cache
def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def p256_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


class TestIdentityProviderKeys:
    @pytest.mark.parametrize(
        ("make", "algorithm"),
        [
            (lambda: rsa_key(2048), "RS256"),
            (p256_key, "ES256"),
            (ed25519.Ed25519PrivateKey.generate, "EdDSA"),
        ],
        ids=["RSA-2048", "P-256", "Ed25519"],
    )
    def test_a_key_verifies_tokens_of_its_one_algorithm(
        self, make: Callable[[], Any], algorithm: str
    ) -> None:
        private = make()
        key = load_public_key(pem(private.public_key()))
        assert key.algorithm == algorithm
        assert verify_admin(jwt.encode(ADMIN_CLAIMS, private, algorithm), key, now=NOW) == INTERNAL

    @pytest.mark.parametrize(
        "make",
        [
            lambda: rsa_key(1024).public_key(),
            lambda: ec.generate_private_key(ec.SECP384R1()).public_key(),
            lambda: ec.generate_private_key(ec.SECP256K1()).public_key(),
            lambda: ed448.Ed448PrivateKey.generate().public_key(),
            p256_key,
            lambda: b"a secret of some thirty-two bytes",
        ],
        ids=["RSA-1024", "P-384", "secp256k1", "Ed448", "private key", "secret"],
    )
    def test_another_kind_of_key_is_refused(self, make: Callable[[], object]) -> None:
        with pytest.raises(ValueError, match="must be an RSA key"):
            verification_key(make())

    @pytest.mark.parametrize("bits", [1024, 2047])
    def test_an_rsa_key_below_2048_bits_is_refused_as_pem_too(self, bits: int) -> None:
        with pytest.raises(ValueError, match="2048 bits"):
            load_public_key(pem(rsa_key(bits).public_key()))

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "x",
            "-----BEGIN PUBLIC KEY-----",
            "-----BEGIN PUBLIC KEY-----\nZm9v\n-----END PUBLIC KEY-----",
            "\u00e9",
        ],
        ids=["empty", "no PEM", "beginning only", "garbage inside", "no ASCII"],
    )
    def test_a_pem_that_cannot_be_read_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match=r".+"):
            load_public_key(text)

    @pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256"])
    def test_an_rsa_key_takes_no_other_algorithm(self, algorithm: str) -> None:
        token = jwt.encode(ADMIN_CLAIMS, rsa_key(2048), algorithm)
        with pytest.raises(TokenInvalid):
            verify_admin(token, verification_key(rsa_key(2048).public_key()), now=NOW)

    def test_a_public_key_is_no_secret_to_sign_with(self) -> None:
        """The attack of RFC 8725, 2.1: HS256 with the provider's public key as its secret."""
        public = rsa_key(2048).public_key()
        with pytest.raises(TokenInvalid):
            verify_admin(
                forge(ADMIN_CLAIMS, key=pem(public).encode()), verification_key(public), now=NOW
            )

    def test_our_own_tokens_are_refused_where_the_provider_issues_them(self) -> None:
        own = issue_admin_token(SECRET, INTERNAL, now=NOW, lifetime=timedelta(hours=1))
        with pytest.raises(TokenInvalid):
            verify_admin(own, verification_key(rsa_key(2048).public_key()), now=NOW)

    def test_another_provider_s_token_is_refused(self) -> None:
        token = jwt.encode(ADMIN_CLAIMS, p256_key(), "ES256")
        ours: JwtKey = verification_key(p256_key().public_key())
        with pytest.raises(TokenInvalid):
            verify_admin(token, ours, now=NOW)

    @pytest.mark.parametrize("name", ["jku", "jwk", "x5u", "x5c"])
    def test_a_key_that_the_token_brings_itself_is_not_looked_at(self, name: str) -> None:
        mine = p256_key()
        brought: Any = {
            "jku": "https://evil.example/keys",
            "x5u": "https://evil.example/cert",
            "x5c": ["MIIB"],
        }
        header = {
            name: brought.get(name)
            or json.loads(jwt.algorithms.ECAlgorithm.to_jwk(mine.public_key()))
        }
        token = jwt.encode(ADMIN_CLAIMS, mine, "ES256", headers=header)
        with pytest.raises(TokenInvalid):
            verify_admin(token, verification_key(p256_key().public_key()), now=NOW)
