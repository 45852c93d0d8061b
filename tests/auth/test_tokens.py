"""Admin and customer tokens: which are accepted, and which are refused."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from service.auth.tokens import (
    ADMIN_AUDIENCE,
    CUSTOMER_AUDIENCE,
    CUSTOMER_JWT_TYP,
    CUSTOMER_TOKEN_LIFETIME,
    CUSTOMER_TYPE,
    MAX_ADMIN_TOKEN_LIFETIME,
    MAX_TOKEN_BYTES,
    Admin,
    CustomerTokens,
    Role,
    VerificationKey,
    derive_key,
    issue_admin_token,
    load_public_key,
    own_admin_key,
    verification_key,
    verify_admin,
)
from service.errors import TokenInvalid

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


def pem(key: Any) -> str:
    return str(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


@cache
def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def p256_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


class TestOwnAdminTokens:
    @pytest.mark.parametrize("admin", [INTERNAL, ACME], ids=["internal-admin", "org-admin"])
    def test_a_token_says_who_it_was_issued_to(self, admin: Admin) -> None:
        assert (
            admin_of(issue_admin_token(SECRET, admin, now=NOW, lifetime=timedelta(hours=1)))
            == admin
        )

    def test_a_token_is_good_until_the_second_of_its_exp(self) -> None:
        token = issue_admin_token(SECRET, INTERNAL, now=NOW, lifetime=timedelta(hours=1))
        key = own_admin_key(SECRET)
        assert verify_admin(token, key, now=NOW + timedelta(minutes=59, seconds=59))
        with pytest.raises(TokenInvalid, match="expired"):
            verify_admin(token, key, now=NOW + timedelta(hours=1))

    def test_the_longest_life_is_taken(self) -> None:
        assert (
            admin_of(
                issue_admin_token(SECRET, INTERNAL, now=NOW, lifetime=MAX_ADMIN_TOKEN_LIFETIME)
            )
            == INTERNAL
        )

    def test_a_longer_life_is_refused(self) -> None:
        with pytest.raises(TokenInvalid):
            admin_of(
                issue_admin_token(
                    SECRET,
                    INTERNAL,
                    now=NOW,
                    lifetime=MAX_ADMIN_TOKEN_LIFETIME + timedelta(minutes=2),
                )
            )

    def test_another_secret_s_token_is_refused(self) -> None:
        with pytest.raises(TokenInvalid):
            admin_of(issue_admin_token(b"x" * 32, INTERNAL, now=NOW, lifetime=timedelta(hours=1)))


class TestRoles:
    def test_an_internal_admin_may_act_for_all(self) -> None:
        assert INTERNAL.may_act_for("acme")
        assert INTERNAL.may_act_for("globex")

    def test_an_org_admin_may_act_for_its_own_only(self) -> None:
        assert ACME.may_act_for("acme")
        assert not ACME.may_act_for("globex")
        assert not ACME.may_act_for("ACME")

    @pytest.mark.parametrize(
        ("claims", "expected"),
        [
            ({"role": "internal-admin"}, Admin("ann", Role.INTERNAL_ADMIN)),
            ({"role": "internal-admin", "org_id": "acme"}, Admin("ann", Role.INTERNAL_ADMIN)),
            ({"roles": ["internal-admin"]}, Admin("ann", Role.INTERNAL_ADMIN)),
            (
                {"roles": ["viewer", "org-admin"], "org_id": "acme"},
                Admin("ann", Role.ORG_ADMIN, "acme"),
            ),
            (
                {"roles": [1, None, ["x"], "org-admin"], "org_id": "acme"},
                Admin("ann", Role.ORG_ADMIN, "acme"),
            ),
            ({"role": "viewer", "roles": ["internal-admin"]}, Admin("ann", Role.INTERNAL_ADMIN)),
            (
                {"role": "org-admin", "roles": "internal-admin", "org_id": "acme"},
                Admin("ann", Role.ORG_ADMIN, "acme"),
            ),
        ],
        ids=[
            "role",
            "role with org",
            "roles",
            "one of roles",
            "odd roles",
            "role and roles",
            "roles is no list",
        ],
    )
    def test_a_role_stands_in_role_or_in_roles(
        self, claims: dict[str, Any], expected: Admin
    ) -> None:
        assert admin_of(forge({**without(ADMIN_CLAIMS, "role"), **claims})) == expected

    @pytest.mark.parametrize(
        "claims",
        [
            {},
            {"role": "viewer"},
            {"role": "INTERNAL-ADMIN"},
            {"role": ""},
            {"role": True},
            {"role": ["internal-admin"]},
            {"role": {"internal-admin": True}},
            {"roles": "internal-admin"},
            {"roles": []},
            {"roles": None},
            {"roles": [["internal-admin"]]},
            {"role": "org-admin"},
            {"role": "org-admin", "org_id": ""},
            {"role": "org-admin", "org_id": 5},
            {"role": "org-admin", "org_id": None},
            {"role": "org-admin", "org_id": ["acme"]},
            {"role": "org-admin", "org_id": "a b"},
            {"role": "org-admin", "org_id": "."},
            {"role": "org-admin", "org_id": ".."},
            {"role": "org-admin", "org_id": "acme\n"},
            {"role": "org-admin", "org_id": "a" * 65},
        ],
        ids=str,
    )
    def test_without_a_role_of_ours_nobody_is_let_in(self, claims: dict[str, Any]) -> None:
        with pytest.raises(TokenInvalid, match="no role"):
            admin_of(forge({**without(ADMIN_CLAIMS, "role"), **claims}))


class TestClaims:
    @pytest.mark.parametrize("claim", ["exp", "sub", "aud"])
    def test_an_admin_token_needs(self, claim: str) -> None:
        with pytest.raises(TokenInvalid):
            admin_of(forge(without(ADMIN_CLAIMS, claim)))

    @pytest.mark.parametrize("claim", ["exp", "iat", "sub", "aud", "jti", "type"])
    def test_a_customer_token_needs(self, claim: str) -> None:
        with pytest.raises(TokenInvalid):
            email_of(forge_customer(without(CUSTOMER_CLAIMS, claim)))

    @pytest.mark.parametrize("subject", ["", None, 5, True, ["ann"], {"a": 1}], ids=str)
    def test_a_subject_is_a_text_that_is_not_empty(self, subject: object) -> None:
        with pytest.raises(TokenInvalid):
            admin_of(forge({**ADMIN_CLAIMS, "sub": subject}))

    @pytest.mark.parametrize(
        "audience",
        [
            "other",
            "",
            "payment-links/customer",
            "PAYMENT-LINKS",
            "payment-links ",
            [],
            ["other"],
            ["payment-links", 5],
            {},
            None,
            5,
        ],
        ids=repr,
    )
    def test_another_audience_is_refused(self, audience: object) -> None:
        with pytest.raises(TokenInvalid):
            admin_of(forge({**ADMIN_CLAIMS, "aud": audience}))

    def test_an_audience_may_be_one_of_several(self) -> None:
        assert admin_of(forge({**ADMIN_CLAIMS, "aud": ["other", ADMIN_AUDIENCE]}))

    def test_the_issuer_that_is_asked_for_is_taken(self) -> None:
        assert admin_of(
            forge({**ADMIN_CLAIMS, "iss": "https://id.example"}), issuer="https://id.example"
        )

    @pytest.mark.parametrize(
        "claims",
        [
            {},
            {"iss": "https://evil.example"},
            {"iss": "https://id.example/"},
            {"iss": ["https://id.example"]},
            {"iss": None},
        ],
        ids=str,
    )
    def test_another_issuer_is_refused(self, claims: dict[str, Any]) -> None:
        with pytest.raises(TokenInvalid):
            admin_of(forge({**ADMIN_CLAIMS, **claims}), issuer="https://id.example")

    @pytest.mark.parametrize(
        "body",
        ["[]", "1", "null", '"text"', "{", "", "[" * 3000, '{"exp":' + "1" * 5000 + "}"],
        ids=lambda text: text[:7],
    )
    def test_a_body_that_is_no_object_is_refused(self, body: str) -> None:
        with pytest.raises(TokenInvalid):
            admin_of(forge(body))


BAD_TIMES = [True, False, "1", str(SECONDS + 60), None, [], {}, float("nan")]


class TestTimes:
    @pytest.mark.parametrize(
        "exp",
        [
            *BAD_TIMES,
            0,
            -1,
            SECONDS - 1,
            SECONDS,
            float("inf"),
            float("-inf"),
            10**400,
            1e308,
            SECONDS + 367 * 86400,
        ],
        ids=lambda value: repr(value)[:12],
    )
    def test_an_exp_that_is_over_or_no_time_is_refused(self, exp: object) -> None:
        with pytest.raises(TokenInvalid):
            admin_of(forge({**ADMIN_CLAIMS, "exp": exp}))

    @pytest.mark.parametrize("claim", ["iat", "nbf"])
    @pytest.mark.parametrize(
        "value",
        [*BAD_TIMES, -1, SECONDS + 61, float("inf"), float("-inf"), 10**400, 1e308],
        ids=lambda value: repr(value)[:12],
    )
    def test_a_beginning_that_lies_ahead_or_is_no_time_is_refused(
        self, claim: str, value: object
    ) -> None:
        with pytest.raises(TokenInvalid):
            admin_of(forge({**ADMIN_CLAIMS, claim: value}))

    @pytest.mark.parametrize("claim", ["iat", "nbf"])
    @pytest.mark.parametrize(
        "value",
        [0, SECONDS, SECONDS + 60, SECONDS - 0.5],
        ids=["long ago", "now", "a minute ahead", "fraction"],
    )
    def test_a_clock_may_be_a_minute_fast(self, claim: str, value: float) -> None:
        assert admin_of(forge({**ADMIN_CLAIMS, claim: value})) == INTERNAL

    def test_the_later_of_two_beginnings_counts(self) -> None:
        for claims in (
            {"iat": SECONDS + 600, "nbf": SECONDS + 60},
            {"iat": SECONDS + 60, "nbf": SECONDS + 600},
        ):
            token = forge({**ADMIN_CLAIMS, **claims})
            with pytest.raises(TokenInvalid, match="not valid yet"):
                verify_admin(token, own_admin_key(SECRET), now=NOW + timedelta(seconds=539))
            assert (
                verify_admin(token, own_admin_key(SECRET), now=NOW + timedelta(seconds=540))
                == INTERNAL
            )

    def test_times_are_looked_at_each_time(self) -> None:
        token, key = forge({**ADMIN_CLAIMS, "nbf": SECONDS + 600}), own_admin_key(SECRET)
        for _ in range(2):
            with pytest.raises(TokenInvalid, match="not valid yet"):
                verify_admin(token, key, now=NOW)
            assert verify_admin(token, key, now=NOW + timedelta(seconds=600)) == INTERNAL
            with pytest.raises(TokenInvalid, match="expired"):
                verify_admin(token, key, now=NOW + timedelta(seconds=3600))

    def test_an_expired_token_without_a_role_has_expired(self) -> None:
        with pytest.raises(TokenInvalid, match="expired"):
            admin_of(forge({**without(ADMIN_CLAIMS, "role"), "exp": SECONDS - 1}))

    def test_an_exp_has_no_leeway(self) -> None:
        with pytest.raises(TokenInvalid):
            verify_admin(
                forge(ADMIN_CLAIMS), own_admin_key(SECRET), now=NOW + timedelta(seconds=3600)
            )

    @pytest.mark.parametrize(
        "exp", [*BAD_TIMES, SECONDS, SECONDS + 24 * 3600 + 61], ids=lambda value: repr(value)[:12]
    )
    def test_a_customer_token_has_no_other_exp_than_within_a_day(self, exp: object) -> None:
        with pytest.raises(TokenInvalid):
            email_of(forge_customer({**CUSTOMER_CLAIMS, "exp": exp}))


class TestSignature:
    @pytest.mark.parametrize(
        "header",
        [
            {"alg": "none"},
            {"alg": "None"},
            {"alg": ""},
            {"alg": "HS384"},
            {"alg": "HS512"},
            {"alg": "RS256"},
            {"alg": "hs256"},
            {"alg": ["HS256"]},
            {"alg": None},
            {"typ": "JWT"},
            {"alg": "HS256", "crit": ["exp"]},
            {"alg": "HS256", "crit": []},
            {"alg": "HS256", "crit": ["b64"], "b64": False},
            {"alg": "HS256", "b64": False},
            {"alg": "HS256", "kid": 5},
            {"alg": "HS256", "typ": CUSTOMER_JWT_TYP},
            [],
            "HS256",
        ],
        ids=str,
    )
    def test_a_header_that_asks_for_something_else_is_refused(self, header: object) -> None:
        with pytest.raises(TokenInvalid):
            admin_of(forge(ADMIN_CLAIMS, header=header))

    @pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE"])
    def test_an_unsigned_token_is_refused(self, algorithm: str) -> None:
        head = encode(json.dumps({"alg": algorithm}).encode())
        body = encode(json.dumps(ADMIN_CLAIMS).encode())
        with pytest.raises(TokenInvalid):
            admin_of(f"{head}.{body}.")

    def test_a_token_without_its_signature_is_refused(self) -> None:
        with pytest.raises(TokenInvalid):
            admin_of(forge(ADMIN_CLAIMS).rpartition(".")[0] + ".")

    @pytest.mark.parametrize("part", [0, 1, 2], ids=["header", "claims", "signature"])
    def test_a_token_that_was_changed_is_refused(self, part: int) -> None:
        parts = forge({**ADMIN_CLAIMS, "sub": "annabel"}).split(".")
        parts[part] = parts[part][:10] + ("A" if parts[part][10] != "A" else "B") + parts[part][11:]
        with pytest.raises(TokenInvalid):
            admin_of(".".join(parts))

    def test_claims_of_one_token_with_the_signature_of_another_are_refused(self) -> None:
        mine = forge(
            {**without(ADMIN_CLAIMS, "role"), "role": "org-admin", "org_id": "acme"}
        ).split(".")
        wanted = forge(ADMIN_CLAIMS, key=b"guessed, and thirty-two bytes long").split(".")
        with pytest.raises(TokenInvalid):
            admin_of(f"{mine[0]}.{wanted[1]}.{mine[2]}")

    @pytest.mark.parametrize(
        "token",
        [
            "",
            ".",
            "..",
            "a.b",
            "a.b.c",
            "a.b.c.d",
            "é.é.é",
            "\ud800.a.b",
            "Bearer x",
            "\x00",
            "e30.e30.",
            "bnVsbA.bnVsbA.bnVsbA",
            "[" * 5000 + ".e30.x",
        ],
        ids=lambda token: ascii(token)[:12],
    )
    def test_what_is_no_token_is_refused(self, token: str) -> None:
        with pytest.raises(TokenInvalid):
            admin_of(token)

    def test_a_long_token_is_refused_unread(self) -> None:
        token = forge({**ADMIN_CLAIMS, "more": "x" * MAX_TOKEN_BYTES})
        assert len(token) > MAX_TOKEN_BYTES
        with pytest.raises(TokenInvalid):
            admin_of(token)

    def test_a_token_with_many_claims_is_taken(self) -> None:
        assert admin_of(forge({**ADMIN_CLAIMS, "more": "x" * 5000})) == INTERNAL


class TestCustomerTokens:
    def test_a_token_names_the_email_that_it_was_issued_to(self) -> None:
        tokens = CustomerTokens(SECRET)
        assert (
            tokens.verify(tokens.issue("jane@example.com", now=NOW, jti="1"), now=NOW)
            == "jane@example.com"
        )

    def test_a_token_is_good_for_24_hours(self) -> None:
        tokens = CustomerTokens(SECRET)
        token = tokens.issue("jane@example.com", now=NOW, jti="1")
        assert tokens.verify(token, now=NOW + CUSTOMER_TOKEN_LIFETIME - timedelta(seconds=1))
        with pytest.raises(TokenInvalid, match="expired"):
            tokens.verify(token, now=NOW + CUSTOMER_TOKEN_LIFETIME)

    def test_a_token_carries_its_type_audience_and_jti(self) -> None:
        token = CustomerTokens(SECRET).issue("jane@example.com", now=NOW, jti="unique")
        decoded = jwt.decode_complete(token, options={"verify_signature": False})
        assert decoded["header"] == {"alg": "HS256", "typ": CUSTOMER_JWT_TYP}
        assert decoded["payload"] == {
            "type": "payment_link",
            "sub": "jane@example.com",
            "aud": CUSTOMER_AUDIENCE,
            "iat": SECONDS,
            "exp": SECONDS + 24 * 3600,
            "jti": "unique",
        }

    def test_another_secret_s_token_is_refused(self) -> None:
        with pytest.raises(TokenInvalid):
            email_of(CustomerTokens(b"x" * 32).issue("jane@example.com", now=NOW, jti="1"))

    @pytest.mark.parametrize(
        "kind", ["", "other", "PAYMENT_LINK", None, True, ["payment_link"]], ids=repr
    )
    def test_another_type_is_refused(self, kind: object) -> None:
        with pytest.raises(TokenInvalid):
            email_of(forge_customer({**CUSTOMER_CLAIMS, "type": kind}))

    @pytest.mark.parametrize(
        "claims",
        [{"aud": ADMIN_AUDIENCE}, {"iat": SECONDS + 61}, {"iat": None}],
        ids=["the admins' aud", "iat ahead", "null iat"],
    )
    def test_other_claims_are_refused(self, claims: dict[str, object]) -> None:
        with pytest.raises(TokenInvalid):
            email_of(forge_customer({**CUSTOMER_CLAIMS, **claims}))

    def test_the_secret_itself_signs_none(self) -> None:
        with pytest.raises(TokenInvalid):
            email_of(forge(CUSTOMER_CLAIMS, header=CUSTOMER_HEADER, key=SECRET))

    @pytest.mark.parametrize("typ", ["JWT", "", None, "payment-link"], ids=repr)
    def test_another_header_type_is_refused(self, typ: object) -> None:
        with pytest.raises(TokenInvalid):
            email_of(forge_customer(CUSTOMER_CLAIMS, header={"alg": "HS256", "typ": typ}))


class TestCrossing:
    """Neither type is accepted as the other (RFC 8725, 3.11 and 3.12)."""

    def test_a_customer_token_is_no_admin_token(self) -> None:
        with pytest.raises(TokenInvalid):
            admin_of(CustomerTokens(SECRET).issue("jane@example.com", now=NOW, jti="1"))

    def test_an_admin_token_is_no_customer_token(self) -> None:
        with pytest.raises(TokenInvalid):
            email_of(issue_admin_token(SECRET, INTERNAL, now=NOW, lifetime=timedelta(hours=1)))

    def test_customer_claims_under_the_admin_key_are_refused(self) -> None:
        with pytest.raises(TokenInvalid):
            email_of(forge(CUSTOMER_CLAIMS, header=CUSTOMER_HEADER))

    def test_admin_claims_under_the_customer_key_are_refused(self) -> None:
        with pytest.raises(TokenInvalid):
            admin_of(forge_customer(ADMIN_CLAIMS, header={"alg": "HS256"}))

    @pytest.mark.parametrize(
        "key", [SECRET, b"", derive_key(SECRET, "otp")], ids=["the secret", "none", "the codes'"]
    )
    def test_no_other_key_of_the_service_signs_tokens(self, key: bytes) -> None:
        head, body, _ = forge(ADMIN_CLAIMS).split(".")
        signature = encode(hmac.digest(key, f"{head}.{body}".encode(), hashlib.sha256))
        with pytest.raises(TokenInvalid):
            admin_of(f"{head}.{body}.{signature}")

    @pytest.mark.parametrize(
        ("claims", "header"),
        [
            ({"type": CUSTOMER_TYPE}, {"alg": "HS256"}),
            ({}, CUSTOMER_HEADER),
            ({"aud": CUSTOMER_AUDIENCE}, {"alg": "HS256"}),
        ],
        ids=["type", "typ", "aud"],
    )
    def test_one_mark_of_a_customer_token_is_enough_to_be_no_admin_token(
        self, claims: dict[str, str], header: dict[str, str]
    ) -> None:
        with pytest.raises(TokenInvalid):
            admin_of(forge({**ADMIN_CLAIMS, **claims}, header=header))

    def test_every_purpose_has_a_key_of_its_own(self) -> None:
        keys = {
            derive_key(SECRET, purpose)
            for purpose in ("admin-jwt", "customer-jwt", "otp", "idempotency")
        }
        assert len(keys) == 4
        assert all(len(key) == 32 for key in keys)


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
        ours: VerificationKey = verification_key(p256_key().public_key())
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
