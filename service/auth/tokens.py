"""JSON Web Tokens (RFC 7519, RFC 8725) of admins and of customers; neither passes for the other."""

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
from service.values.ids import is_org_id

ADMIN_AUDIENCE = "payment-links"
CUSTOMER_AUDIENCE = "payment-links/customer"
CUSTOMER_TYPE = "payment_link"
CUSTOMER_JWT_TYP = "payment-link+jwt"
CUSTOMER_TOKEN_LIFETIME = timedelta(hours=24)
DEFAULT_ADMIN_TOKEN_LIFETIME = timedelta(hours=24)
MAX_ADMIN_TOKEN_LIFETIME = timedelta(days=366)
LEEWAY_SECONDS = 60
"""How far clocks may differ."""
MAX_TOKEN_BYTES = 8192
CUSTOMER_CACHE_SIZE, ADMIN_CACHE_SIZE = 4096, 1024
"""Tokens whose verified claims are cached; their times are checked on each use.

Customer tokens, which are ours, are shorter than 1 KB; an identity provider's may be as long as
``MAX_TOKEN_BYTES``.
"""
MAX_NUMERIC_DATE = 2**53
"""Seconds since 1970 (RFC 7519, 2: NumericDate) that a float still counts one by one."""
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
"""Three parts without padding (RFC 7515, 2 and 7.1), which PyJWT would take."""


class Role(StrEnum):
    INTERNAL_ADMIN = "internal-admin"
    ORG_ADMIN = "org-admin"


class Admin(msgspec.Struct, frozen=True):
    """An admin of one organization (``org-admin``, with its ``org_id``) or of all."""

    subject: str
    role: Role
    org_id: str | None = None

    def may_act_for(self, org_id: str) -> bool:
        return self.role is Role.INTERNAL_ADMIN or self.org_id == org_id


class JwtKey(msgspec.Struct, frozen=True, eq=False):
    """A key and the only algorithm it may be used with. Compared by identity, to be a cache key."""

    key: Any
    algorithm: str


class CustomerTokens:
    """Tokens that prove control of a mailbox: HS256 under a key of their own, good for 24 hours."""

    def __init__(self, secret: bytes) -> None:
        self._key = JwtKey(derive_key(secret, "customer-jwt"), "HS256")

    def issue(self, email: str, *, now: datetime, jti: str) -> str:
        claims = {
            "type": CUSTOMER_TYPE,
            "sub": email,
            "aud": CUSTOMER_AUDIENCE,
            "iat": int(now.timestamp()),
            "exp": int((now + CUSTOMER_TOKEN_LIFETIME).timestamp()),
            "jti": jti,
        }
        return jwt.encode(
            claims, self._key.key, self._key.algorithm, headers={"typ": CUSTOMER_JWT_TYP}
        )

    def verify(self, token: str, *, now: datetime) -> str:
        """The canonical e-mail that ``token`` was issued for.

        Raises:
            TokenInvalid: it is not a valid customer token, or has expired.
        """
        email, validity = _verify_customer(token, self._key)
        validity.check(now, CUSTOMER_TOKEN_LIFETIME)
        return email


def is_customer_token(token: str) -> bool:
    """Whether the header of ``token``, which is not verified, is a customer token's."""
    try:
        return jwt.get_unverified_header(token).get("typ") == CUSTOMER_JWT_TYP
    except (jwt.PyJWTError, ValueError, RecursionError):
        return False


def verify_admin(token: str, key: JwtKey, *, now: datetime, issuer: str | None = None) -> Admin:
    """The holder of an admin token signed with ``key``, and issued by ``issuer`` if it is given.

    Raises:
        TokenInvalid: it is not a valid admin token, or has expired.
    """
    admin, validity = _verify_admin(token, key, issuer)
    validity.check(now, MAX_ADMIN_TOKEN_LIFETIME)
    if admin is None:
        raise TokenInvalid("the token names no role, or no organization for it")
    return admin


def issue_admin_token(
    secret: bytes, admin: Admin, *, now: datetime, lifetime: timedelta, issuer: str | None = None
) -> str:
    """An admin token of our own."""
    key = own_admin_key(secret)
    claims: dict[str, Any] = {
        "sub": admin.subject,
        "role": admin.role.value,
        "aud": ADMIN_AUDIENCE,
        "iat": int(now.timestamp()),
        "exp": int((now + lifetime).timestamp()),
    }
    if admin.org_id is not None:
        claims["org_id"] = admin.org_id
    if issuer is not None:
        claims["iss"] = issuer
    return jwt.encode(claims, key.key, key.algorithm)


def own_admin_key(secret: bytes) -> JwtKey:
    """The key of the admin tokens that ``payment-links token`` issues."""
    return JwtKey(derive_key(secret, "admin-jwt"), "HS256")


def load_public_key(pem: str) -> JwtKey:
    """The key in ``pem``.

    Raises:
        ValueError: it cannot be read, or ``verification_key`` refuses it.
    """
    return verification_key(load_pem_public_key(pem.encode()))


def verification_key(key: Any) -> JwtKey:
    """``key`` with its algorithm: RS256 for RSA from 2048 bits, ES256 for P-256, EdDSA for Ed25519.

    Raises:
        ValueError: it is another type of key.
    """
    if isinstance(key, RSAPublicKey) and key.key_size >= 2048:
        return JwtKey(key, "RS256")
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return JwtKey(key, "ES256")
    if isinstance(key, Ed25519PublicKey):
        return JwtKey(key, "EdDSA")
    raise ValueError("must be an RSA key of 2048 bits or more, a P-256 key or an Ed25519 key")


def derive_key(secret: bytes, purpose: str) -> bytes:
    """32 bytes for ``purpose``, derived from ``SECRET_KEY``."""
    return hmac.digest(secret, f"payment-links/{purpose}".encode(), "sha256")


class _Validity(NamedTuple):
    """When a token is valid, in seconds since 1970."""

    not_before: float
    expires_at: float

    def check(self, now: datetime, max_lifetime: timedelta) -> None:
        """Checks that the token is valid at ``now``, and for no longer than ``max_lifetime``.

        Raises:
            TokenInvalid: it is not.
        """
        seconds = now.timestamp()
        if seconds + LEEWAY_SECONDS < self.not_before:
            raise TokenInvalid("the token is not valid yet")
        latest = seconds + max_lifetime.total_seconds() + LEEWAY_SECONDS
        if not seconds < self.expires_at <= latest:
            raise TokenInvalid("the token has expired")


@lru_cache(maxsize=CUSTOMER_CACHE_SIZE)
def _verify_customer(token: str, key: JwtKey) -> tuple[str, _Validity]:
    """The canonical e-mail in ``token``."""
    header, claims = _decode(token, key, CUSTOMER_AUDIENCE, ["iat", "jti", "type"])
    if header.get("typ") != CUSTOMER_JWT_TYP or claims["type"] != CUSTOMER_TYPE:
        raise TokenInvalid
    return claims["sub"], _read_validity(claims)


@lru_cache(maxsize=ADMIN_CACHE_SIZE)
def _verify_admin(token: str, key: JwtKey, issuer: str | None) -> tuple[Admin | None, _Validity]:
    """The admin in ``token``; None if its role or organization is missing.

    The caller reports an expired token before that.
    """
    header, claims = _decode(token, key, ADMIN_AUDIENCE, ["iss"] if issuer else [], issuer)
    if header.get("typ") == CUSTOMER_JWT_TYP or claims.get("type") == CUSTOMER_TYPE:
        raise TokenInvalid
    return _read_admin(claims), _read_validity(claims)


def _decode(
    token: str,
    key: JwtKey,
    audience: str,
    required: Sequence[str],
    issuer: str | None = None,
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Header and claims of ``token``, with signature, audience and issuer verified.

    ``exp``, ``sub`` and ``aud`` are required in every token, others besides.
    """
    if len(token) > MAX_TOKEN_BYTES or not _COMPACT.fullmatch(token):
        raise TokenInvalid
    try:
        decoded = jwt.decode_complete(
            token,
            key.key,
            algorithms=[key.algorithm],
            audience=audience,
            issuer=issuer,
            options={
                "require": ["exp", "sub", "aud", *required],
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
                "strict_aud": False,
            },
        )
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise TokenInvalid from None
    header, claims = decoded["header"], decoded["payload"]
    if "crit" in header or not isinstance(claims.get("sub"), str) or not claims["sub"]:
        raise TokenInvalid
    return header, claims


def _read_validity(claims: Mapping[str, Any]) -> _Validity:
    """From ``iat`` and ``nbf``, if present, to ``exp``."""
    times = [claims.get(claim, 0) for claim in ("exp", "iat", "nbf")]
    if not all(_is_numeric_date(value) for value in times):
        raise TokenInvalid
    expires_at, issued_at, not_before = times
    return _Validity(max(issued_at, not_before), expires_at)


def _is_numeric_date(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 <= value <= MAX_NUMERIC_DATE


def _read_admin(claims: Mapping[str, Any]) -> Admin | None:
    """The admin with the ``role``, or one of the ``roles``, in ``claims``."""
    roles = claims.get("roles")
    named = [claims.get("role"), *(roles if isinstance(roles, list) else [])]
    if Role.INTERNAL_ADMIN in named:
        return Admin(claims["sub"], Role.INTERNAL_ADMIN)
    org_id = claims.get("org_id")
    if Role.ORG_ADMIN in named and isinstance(org_id, str) and is_org_id(org_id):
        return Admin(claims["sub"], Role.ORG_ADMIN, org_id)
    return None
