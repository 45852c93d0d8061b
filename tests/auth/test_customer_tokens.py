"""Customers' tokens, which are never taken for admins', nor admins' for theirs."""

import hashlib
import hmac
from datetime import timedelta

import jwt
import pytest

from service.auth.tokens import (
    ADMIN_AUDIENCE,
    CUSTOMER_AUDIENCE,
    CUSTOMER_JWT_TYP,
    CUSTOMER_TOKEN_LIFETIME,
    CUSTOMER_TYPE,
    CustomerTokens,
    derive_key,
    issue_admin_token,
)
from service.errors import TokenInvalid
from tests.auth.forged_tokens import (
    ADMIN_CLAIMS,
    CUSTOMER_CLAIMS,
    CUSTOMER_HEADER,
    INTERNAL,
    NOW,
    SECONDS,
    SECRET,
    admin_of,
    email_of,
    encode,
    forge,
    forge_customer,
)


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
