"""Admins' tokens: roles, claims, times and signatures."""

import json
from datetime import timedelta
from typing import Any

import pytest

from service.auth.tokens import (
    ADMIN_AUDIENCE,
    CUSTOMER_JWT_TYP,
    MAX_ADMIN_TOKEN_LIFETIME,
    MAX_TOKEN_BYTES,
    Admin,
    Role,
    issue_admin_token,
    own_admin_key,
    verify_admin,
)
from service.errors import TokenInvalid
from tests.auth.forged_tokens import (
    ACME,
    ADMIN_CLAIMS,
    CUSTOMER_CLAIMS,
    INTERNAL,
    NOW,
    SECONDS,
    SECRET,
    admin_of,
    email_of,
    encode,
    forge,
    forge_customer,
    without,
)


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
