"""Our own admin tokens over HTTP: which are accepted. Customer tokens never are."""

import json
from typing import Any

import jwt
import pytest

from tests.support.api import JANE, SECRET, Api, assert_problem, bearer
from tests.support.signing import (
    CUSTOMER_KEY,
    GONE,
    OWN_KEY,
    assert_believed,
    assert_not_believed,
    by_hand,
    claims,
    customer_claims,
    private_key,
    signed,
)

# Our own admin tokens.


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({}, id="as it should be"),
        pytest.param(
            {"role": GONE, "roles": ["user", "org-admin"], "org_id": "acme"},
            id="roles of an org-admin",
        ),
        pytest.param({"role": "org-admin", "org_id": "acme"}, id="org-admin"),
    ],
)
def test_an_admin_token_is_believed(api: Api, changed: dict[str, Any]) -> None:
    assert_believed(api, signed(claims(api, **changed)))


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"exp": GONE}, id="no exp"),
        pytest.param({"nbf": 4102444800}, id="nbf ahead"),
        pytest.param({"aud": "payment-link"}, id="wrong aud"),
        pytest.param({"role": "org-admin"}, id="org-admin without organization"),
    ],
)
def test_an_admin_token_that_lacks_something_is_not_believed(
    api: Api, changed: dict[str, Any]
) -> None:
    assert_not_believed(api, signed(claims(api, **changed)))


def test_a_token_is_good_until_its_exp(api: Api) -> None:
    token = signed(claims(api))
    api.clock.advance(seconds=3599)
    assert_believed(api, token)


def test_a_token_is_not_good_at_its_exp(api: Api) -> None:
    token = signed(claims(api))
    api.clock.advance(seconds=3600)
    assert_not_believed(api, token)


@pytest.mark.parametrize("days", [365, 366])
def test_a_token_may_be_good_for_a_year(api: Api, days: int) -> None:
    assert_believed(api, signed(claims(api, exp=int(api.now.timestamp()) + days * 86400)))


def test_an_unsigned_token_is_not_believed(api: Api) -> None:
    unsigned = by_hand({"alg": "none", "typ": "JWT"}, claims(api), b"").rpartition(".")[0] + "."
    assert_not_believed(api, unsigned)


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_only_one_algorithm_is_believed(api: Api, algorithm: str) -> None:
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        token = signed(claims(api), OWN_KEY, algorithm)
    assert_not_believed(api, token)


@pytest.mark.parametrize(
    "key", [SECRET.encode(), CUSTOMER_KEY], ids=["the secret itself", "the customers' key"]
)
def test_a_token_under_another_key_is_not_believed(api: Api, key: bytes) -> None:
    assert_not_believed(api, signed(claims(api), key))


def test_a_key_that_the_token_brings_along_is_not_believed(api: Api) -> None:
    key = private_key("ES256")
    own = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
    assert_not_believed(api, signed(claims(api), key, "ES256", jwk=own))


@pytest.mark.parametrize("token", ["x", "é.é.é", "x" * 9000], ids=["x", "outside ascii", "long"])
def test_what_is_no_token_is_not_believed(api: Api, token: str) -> None:
    response = api.client.get(
        "/orgs/acme/payment-links", headers=[(b"authorization", b"Bearer " + token.encode())]
    )
    assert_problem(response, 401, "token_invalid")


def test_a_token_is_written_in_one_way_only(api: Api) -> None:
    """Base64url has no padding there (RFC 7515, 2)."""
    assert_not_believed(api, signed(claims(api)) + "=")


def test_a_changed_token_is_not_believed(api: Api) -> None:
    head, _, signature = signed(claims(api, role="org-admin", org_id="globex")).split(".")
    body = signed(claims(api)).split(".")[1]
    assert_not_believed(api, f"{head}.{body}.{signature}")


# Admins and customers.


def customer_token(
    api: Api, key: bytes = CUSTOMER_KEY, typ: str = "payment-link+jwt", **changed: Any
) -> str:
    return signed(customer_claims(api, **changed), key, typ=typ)


def test_a_customers_token_made_by_hand_opens_the_link(api: Api) -> None:
    """Shows that the next tests' tokens are refused for what they change only."""
    link = api.create(otp_required=True)
    assert api.get(link["id"], bearer(customer_token(api))).status_code == 200


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"exp": GONE}, id="no exp"),
        pytest.param({"typ": "JWT"}, id="wrong typ"),
        pytest.param({"key": OWN_KEY}, id="admins' key"),
        pytest.param({"role": "internal-admin", "aud": "payment-links"}, id="as admin"),
    ],
)
def test_a_customers_token_that_lacks_something_opens_nothing(
    api: Api, changed: dict[str, Any]
) -> None:
    link = api.create(otp_required=True)
    assert_problem(
        api.get(link["id"], bearer(customer_token(api, **changed))), 401, "token_invalid"
    )


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({}, id="as it is"),
        pytest.param({"role": "internal-admin"}, id="with a role"),
        pytest.param(
            {"role": "internal-admin", "aud": ["payment-links", "payment-links/customer"]},
            id="for both",
        ),
        pytest.param(
            {"role": "internal-admin", "aud": "payment-links", "key": OWN_KEY},
            id="under the admins' key",
        ),
        pytest.param(
            {"role": "internal-admin", "aud": "payment-links", "key": OWN_KEY, "typ": "JWT"},
            id="with their typ",
        ),
    ],
)
def test_a_customers_token_is_no_admins(api: Api, changed: dict[str, Any]) -> None:
    assert_not_believed(api, customer_token(api, **changed))


def test_an_admins_token_is_no_customers(api: Api) -> None:
    """An org-admin whose ``sub`` is the recipient's e-mail, but whose organization is another."""
    link = api.create(otp_required=True)
    token = signed(claims(api, sub=JANE, role="org-admin", org_id="globex"))
    assert_problem(api.get(link["id"], bearer(token)), 403, "forbidden")
