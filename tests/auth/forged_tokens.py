"""Tokens that tests sign by hand, with any claims and header."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

from service.auth.tokens import (
    ADMIN_AUDIENCE,
    CUSTOMER_AUDIENCE,
    CUSTOMER_JWT_TYP,
    CUSTOMER_TYPE,
    Admin,
    CustomerTokens,
    Role,
    derive_key,
    own_admin_key,
    verify_admin,
)

SECRET = b"correct horse battery staple, 32 bytes"


NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


SECONDS = int(NOW.timestamp())


ADMIN_CLAIMS = {
    "sub": "ann",
    "role": "internal-admin",
    "aud": ADMIN_AUDIENCE,
    "exp": SECONDS + 3600,
}


CUSTOMER_CLAIMS = {
    "sub": "jane@example.com",
    "type": CUSTOMER_TYPE,
    "aud": CUSTOMER_AUDIENCE,
    "iat": SECONDS,
    "exp": SECONDS + 3600,
    "jti": "1",
}


CUSTOMER_HEADER = {"alg": "HS256", "typ": CUSTOMER_JWT_TYP}


INTERNAL = Admin("ann", Role.INTERNAL_ADMIN)


ACME = Admin("bob", Role.ORG_ADMIN, "acme")


def encode(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def forge(claims: Any, *, header: Any = None, key: bytes | None = None) -> str:
    """A token signed with HMAC-SHA-256, with any header and claims; these may be JSON text."""
    head = encode(
        json.dumps(header if header is not None else {"alg": "HS256", "typ": "JWT"}).encode()
    )
    body = encode((claims if isinstance(claims, str) else json.dumps(claims)).encode())
    signature = hmac.digest(
        key or derive_key(SECRET, "admin-jwt"), f"{head}.{body}".encode(), hashlib.sha256
    )
    return f"{head}.{body}.{encode(signature)}"


def forge_customer(claims: Any, *, header: Any = None) -> str:
    return forge(claims, header=header or CUSTOMER_HEADER, key=derive_key(SECRET, "customer-jwt"))


def admin_of(token: str, *, issuer: str | None = None) -> Admin:
    return verify_admin(token, own_admin_key(SECRET), now=NOW, issuer=issuer)


def email_of(token: str) -> str:
    return CustomerTokens(SECRET).verify(token, now=NOW)


def without(claims: dict[str, Any], name: str) -> dict[str, Any]:
    return {claim: value for claim, value in claims.items() if claim != name}
