"""Tokens that tests sign themselves: as they should be, or not quite."""

import base64
import hashlib
import hmac
import json
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from service.auth.tokens import derive_key
from tests.support.api import JANE, SECRET, Api, assert_problem, bearer

OWN_KEY = derive_key(SECRET.encode(), "admin-jwt")
CUSTOMER_KEY = derive_key(SECRET.encode(), "customer-jwt")
GONE = object()
"""Stands for a claim that is left out."""


@cache
def private_key(algorithm: str) -> Any:
    """The identity provider's key, made once a session."""
    if algorithm == "RS256":
        return rsa.generate_private_key(65537, 2048)
    return (
        ec.generate_private_key(ec.SECP256R1())
        if algorithm == "ES256"
        else ed25519.Ed25519PrivateKey.generate()
    )


def pem(algorithm: str) -> str:
    key = private_key(algorithm).public_key()
    return str(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def claims(api: Api, **changed: Any) -> dict[str, Any]:
    """An internal admin's claims, good for an hour, with some changed or ``GONE``."""
    now = int(api.now.timestamp())
    found = {
        "sub": "root",
        "role": "internal-admin",
        "aud": "payment-links",
        "iat": now,
        "exp": now + 3600,
    } | changed
    return {name: value for name, value in found.items() if value is not GONE}


def signed(
    payload: dict[str, Any], key: Any = OWN_KEY, algorithm: str | None = "HS256", **header: Any
) -> str:
    return jwt.encode(payload, key, algorithm, headers=header or None)


def by_hand(header: dict[str, Any], payload: dict[str, Any], key: bytes) -> str:
    """A token signed with HMAC-SHA-256 under any bytes, which PyJWT refuses to do with a PEM."""
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
        for part in (header, payload)
    ]
    signature = base64.urlsafe_b64encode(hmac.digest(key, b".".join(parts), hashlib.sha256)).rstrip(
        b"="
    )
    return b".".join([*parts, signature]).decode()


def assert_believed(api: Api, token: str) -> None:
    response = api.list(bearer(token))
    assert response.status_code == 200, response.text


def assert_not_believed(api: Api, token: str) -> None:
    response = api.list(bearer(token))
    assert_problem(response, 401, "token_invalid")
    assert response.headers["www-authenticate"] == 'Bearer error="invalid_token"'


def customer_claims(api: Api, **changed: Any) -> dict[str, Any]:
    now = int(api.now.timestamp())
    found = {
        "type": "payment_link",
        "sub": JANE,
        "aud": "payment-links/customer",
        "iat": now,
        "exp": now + 3600,
        "jti": "x",
    }
    return {name: value for name, value in (found | changed).items() if value is not GONE}
