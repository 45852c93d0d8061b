"""Good tokens of every kind, before and after they are signed."""

import base64
import json
from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any, NamedTuple

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from service.auth.tokens import derive_key
from tests.support.service_processes import SECRET

GONE = object()
"""Stands for a member that is left out."""
ADMIN_KEY, CUSTOMER_KEY = (
    derive_key(SECRET.encode(), purpose) for purpose in ("admin-jwt", "customer-jwt")
)
CUSTOMER_TYP = "payment-link+jwt"
BASE64URL = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


class Issuer(NamedTuple):
    """A trusted issuer: key, algorithm, ``kid``, extra claims, and the public key's notations."""

    key: Any
    algorithm: str
    kid: str | None
    claims: dict[str, Any]
    known: list[bytes]


class Draft(NamedTuple):
    """A good token that is not signed yet."""

    header: dict[str, Any]
    claims: dict[str, Any]
    key: Any

    def but(self, header: dict[str, Any] | None = None, **claims: Any) -> "Draft":
        """The same with other members, of which those that are ``GONE`` are left out."""
        return Draft(
            _without_gone(self.header | (header or {})),
            _without_gone(self.claims | claims),
            self.key,
        )

    def under(self, key: Any, algorithm: str | None = None) -> bytes:
        """Signed with ``key``, and with ``algorithm``, whichever the header names."""
        return compact(
            encoded(self.header), encoded(self.claims), key, algorithm or self.header["alg"]
        )

    def signed(self, algorithm: str | None = None) -> bytes:
        return self.under(self.key, algorithm)


class TokenFactory:
    """Good tokens of an org-admin, of internal admins, and of the customer with ``email``."""

    def __init__(
        self, issuers: list[Issuer], org_id: str, email: str, now: int, chance: Random
    ) -> None:
        self.issuers = issuers
        self.org_id = org_id
        self.email = email
        self.now = now
        self.chance = chance

    def admin(self) -> Draft:
        roles: list[dict[str, Any]] = [
            {"role": "internal-admin"},
            {"roles": ["user", "internal-admin"]},
            {"role": "org-admin", "org_id": self.org_id},
        ]
        return self.admin_with(self.chance.choice(roles))

    def internal_admin(self) -> Draft:
        return self.admin_with({"role": "internal-admin"})

    def admin_with(self, role: dict[str, Any]) -> Draft:
        issuer = self.chance.choice(self.issuers)
        header = {"alg": issuer.algorithm, "typ": "JWT"} | (
            {"kid": issuer.kid} if issuer.kid else {}
        )
        claims = {"sub": "root", "aud": "payment-links", "iat": self.now, "exp": self.now + 3600}
        return Draft(header, claims | role | issuer.claims, issuer.key)

    def customer(self) -> Draft:
        claims = {
            "type": "payment_link",
            "sub": self.email,
            "aud": "payment-links/customer",
            "jti": "an id",
        }
        times = {"iat": self.now, "exp": self.now + 3600}
        return Draft({"alg": "HS256", "typ": CUSTOMER_TYP}, claims | times, CUSTOMER_KEY)

    def any(self) -> Draft:
        return self.admin() if self.chance.random() < 0.7 else self.customer()

    def junk(self, length: int) -> bytes:
        return b64(self.chance.randbytes(length))


@cache
def attackers(algorithm: str) -> list[Any]:
    """Private keys that nobody believes."""
    make: dict[str, Callable[[], Any]] = {
        "RS256": lambda: rsa.generate_private_key(65537, 2048),
        "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate,
    }
    return [make[algorithm]() for _ in range(2)]


def compact(head: bytes, payload: bytes, key: Any, algorithm: str) -> bytes:
    """The serialization of three parts (RFC 7515, 7.1)."""
    return b".".join([head, payload, sign(head + b"." + payload, key, algorithm)])


def sign(content: bytes, key: Any, algorithm: str) -> bytes:
    return b64(jwt.get_algorithm_by_name(algorithm).sign(content, key))


def encoded(members: dict[str, Any]) -> bytes:
    return b64(json.dumps(members, separators=(",", ":")).encode())


def b64(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")


def unb64(text: bytes) -> bytes:
    return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))


def _without_gone(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not GONE}
