"""JSON Web Tokens (RFC 7519, RFC 8725): admins' and customers', of which neither is ever taken for the other."""

import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from service.errors import TokenInvalid
from service.values.ids import ORG_ID_PATTERN

ADMIN_AUDIENCE = "payment-links"
CUSTOMER_AUDIENCE = "payment-links/customer"
CUSTOMER_TYPE = "payment_link"
CUSTOMER_HEADER_TYPE = "payment-link+jwt"
CUSTOMER_TOKEN_LIFETIME = timedelta(hours=24)
MAX_ADMIN_TOKEN_LIFETIME = timedelta(days=366)
LEEWAY = 60
"""Seconds by which clocks may differ."""
MAX_TOKEN_BYTES = 8192
VERIFIED_CUSTOMERS, VERIFIED_ADMINS = 4096, 1024
"""How many tokens are remembered whose signature was verified; their times are looked at each time.

Ours, for customers, are shorter than 1 KB; an identity provider's may be as long as ``MAX_TOKEN_BYTES``.
"""
LATEST_TIME = 2**53
"""Seconds since 1970 beyond which no number is a time (RFC 7519, 2: NumericDate)."""
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
"""Three parts without padding (RFC 7515, 2 and 7.1): PyJWT takes ``=`` too, and then one token can be written in several ways."""
_ORG_ID = re.compile(ORG_ID_PATTERN)


class Role(StrEnum):
    INTERNAL_ADMIN = "internal-admin"
    ORG_ADMIN = "org-admin"


class Admin(msgspec.Struct, frozen=True):
    """Who calls for an organization (``org-admin``, with its ``org_id``), or for all (``internal-admin``)."""

    subject: str
    role: Role
    org_id: str | None = None

    def may_act_for(self, org_id: str) -> bool:
        return self.role is Role.INTERNAL_ADMIN or self.org_id == org_id


class VerificationKey(msgspec.Struct, frozen=True, eq=False):
    """A key and the only algorithm it may be used with. No two are the same, were they made of the same."""

    key: Any
    algorithm: str


def derive_key(secret: bytes, purpose: str) -> bytes:
    """32 bytes of their own for each ``purpose``, from ``SECRET_KEY``."""
    return hmac.digest(secret, f"payment-links/{purpose}".encode(), "sha256")


def verification_key(key: Any) -> VerificationKey:
    """``key`` with its algorithm: RS256 for RSA from 2048 bits, ES256 for P-256, EdDSA for Ed25519.

    Raises:
        ValueError: it is another kind of key.
    """
    if isinstance(key, RSAPublicKey) and key.key_size >= 2048:
        return VerificationKey(key, "RS256")
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return VerificationKey(key, "ES256")
    if isinstance(key, Ed25519PublicKey):
        return VerificationKey(key, "EdDSA")
    raise ValueError("must be an RSA key of 2048 bits or more, a P-256 key or an Ed25519 key")


def load_public_key(pem: str) -> VerificationKey:
    """The key in ``pem``.

    Raises:
        ValueError: it cannot be read, or is of another kind.
    """
    return verification_key(load_pem_public_key(pem.encode()))


class CustomerTokens:
    """Tokens that prove control of a mailbox: HS256 under a key of their own, 24 hours."""

    def __init__(self, secret: bytes) -> None:
        self._key = VerificationKey(derive_key(secret, "customer-jwt"), "HS256")

    def issue(self, email: str, *, now: datetime, jti: str) -> str:
        """A token for the canonical ``email``."""
        claims = {
            "type": CUSTOMER_TYPE,
            "sub": email,
            "aud": CUSTOMER_AUDIENCE,
            "iat": int(now.timestamp()),
            "exp": int((now + CUSTOMER_TOKEN_LIFETIME).timestamp()),
            "jti": jti,
        }
        return jwt.encode(
            claims, self._key.key, self._key.algorithm, headers={"typ": CUSTOMER_HEADER_TYPE}
        )

    def email(self, token: str, *, now: datetime) -> str:
        """The canonical e-mail whose mailbox the holder controls.

        Raises:
            TokenInvalid: it is no such token, or has expired.
        """
        email, period = _customer(token, self._key)
        period.check(now, CUSTOMER_TOKEN_LIFETIME)
        return email


def is_customer_token(token: str) -> bool:
    """Whether ``token`` says that it is a customer's; it may lie."""
    try:
        return jwt.get_unverified_header(token).get("typ") == CUSTOMER_HEADER_TYPE
    except (jwt.PyJWTError, ValueError, RecursionError):
        return False


def verify_admin(
    token: str, key: VerificationKey, *, now: datetime, issuer: str | None = None
) -> Admin:
    """Who holds an admin token that ``key`` must have signed, and ``issuer`` made where it is given.

    Raises:
        TokenInvalid: it is no such token, or has expired.
    """
    admin, period = _admin(token, key, issuer)
    period.check(now, MAX_ADMIN_TOKEN_LIFETIME)
    if admin is None:
        raise TokenInvalid("the token names no role, or no organization for it")
    return admin


def own_admin_key(secret: bytes) -> VerificationKey:
    """The key of admin tokens that ``payment-links token`` makes."""
    return VerificationKey(derive_key(secret, "admin-jwt"), "HS256")


def issue_admin_token(
    secret: bytes, admin: Admin, *, now: datetime, life: timedelta, issuer: str | None = None
) -> str:
    """An admin token of our own."""
    own = own_admin_key(secret)
    claims: dict[str, Any] = {
        "sub": admin.subject,
        "role": admin.role.value,
        "aud": ADMIN_AUDIENCE,
        "iat": int(now.timestamp()),
        "exp": int((now + life).timestamp()),
    }
    if admin.org_id is not None:
        claims["org_id"] = admin.org_id
    if issuer is not None:
        claims["iss"] = issuer
    return jwt.encode(claims, own.key, own.algorithm)


class _Period(NamedTuple):
    """When a token is good: not before ``start``, and until ``end``, in seconds since 1970."""

    start: float
    end: float

    def check(self, now: datetime, longest_life: timedelta) -> None:
        """Lets pass what is good at ``now``.

        Raises:
            TokenInvalid: ``now`` lies outside, or ``end`` too far ahead.
        """
        seconds = now.timestamp()
        if seconds + LEEWAY < self.start:
            raise TokenInvalid("the token is not valid yet")
        if not seconds < self.end <= seconds + longest_life.total_seconds() + LEEWAY:
            raise TokenInvalid("the token has expired")


@lru_cache(maxsize=VERIFIED_CUSTOMERS)
def _customer(token: str, key: VerificationKey) -> tuple[str, _Period]:
    """The canonical e-mail in ``token``, and when that is good."""
    header, claims = _decode(
        token, key, CUSTOMER_AUDIENCE, ("exp", "iat", "sub", "aud", "jti", "type")
    )
    if header.get("typ") != CUSTOMER_HEADER_TYPE or claims["type"] != CUSTOMER_TYPE:
        raise TokenInvalid
    return claims["sub"], _period_of(claims)


@lru_cache(maxsize=VERIFIED_ADMINS)
def _admin(token: str, key: VerificationKey, issuer: str | None) -> tuple[Admin | None, _Period]:
    """The admin whom ``token`` names, and when it is good.

    None where it names no role, or no organization for it: whether it has expired is said first.
    """
    required = ("exp", "sub", "aud", "iss") if issuer else ("exp", "sub", "aud")
    header, claims = _decode(token, key, ADMIN_AUDIENCE, required, issuer)
    if header.get("typ") == CUSTOMER_HEADER_TYPE or claims.get("type") == CUSTOMER_TYPE:
        raise TokenInvalid
    return _admin_in(claims), _period_of(claims)


def _decode(
    token: str,
    key: VerificationKey,
    audience: str,
    required: Sequence[str],
    issuer: str | None = None,
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Header and claims of ``token``, its signature and audience verified."""
    if len(token) > MAX_TOKEN_BYTES or not _COMPACT.fullmatch(token):
        raise TokenInvalid
    options = {
        "require": list(required),
        "verify_exp": False,
        "verify_iat": False,
        "verify_nbf": False,
        "strict_aud": False,
    }
    try:
        decoded = jwt.decode_complete(
            token,
            key.key,
            algorithms=[key.algorithm],
            audience=audience,
            issuer=issuer,
            options=options,  # type: ignore[arg-type]
        )
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise TokenInvalid from None
    header, claims = decoded["header"], decoded["payload"]
    if "crit" in header or not isinstance(claims.get("sub"), str) or not claims["sub"]:
        raise TokenInvalid
    return header, claims


def _period_of(claims: Mapping[str, Any]) -> _Period:
    """From ``iat`` and ``nbf``, where they are there, to ``exp``."""
    times = [claims.get(claim, 0) for claim in ("exp", "iat", "nbf")]
    for value in times:
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not 0 <= value <= LATEST_TIME
        ):
            raise TokenInvalid
    end, issued, not_before = times
    return _Period(max(issued, not_before), end)


def _admin_in(claims: Mapping[str, Any]) -> Admin | None:
    roles = claims.get("roles", [])
    named = {claims.get("role")} if isinstance(claims.get("role"), str) else set()
    if isinstance(roles, list):
        named |= {role for role in roles if isinstance(role, str)}
    if Role.INTERNAL_ADMIN in named:
        return Admin(claims["sub"], Role.INTERNAL_ADMIN)
    org_id = claims.get("org_id")
    if Role.ORG_ADMIN in named and isinstance(org_id, str) and _ORG_ID.fullmatch(org_id):
        return Admin(claims["sub"], Role.ORG_ADMIN, org_id)
    return None
