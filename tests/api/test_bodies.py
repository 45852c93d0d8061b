"""Request bodies: nothing in them is guessed at."""

import pytest

from tests.api.helpers import JANE, JSON, UNKNOWN_ID, Api, assert_problem

TWICE = [
    pytest.param(
        "POST", "/payment-links", f'{{"email":"{JANE}","org_id":"acme","email":"john@example.com"}}', "email", id="create"
    ),
    pytest.param("POST", "/payment-links", f'{{"email":"{JANE}","org_id":"acme","\\u006frg_id":"acme"}}', "org_id", id="escaped"),
    pytest.param(
        "POST", "/payment-links", f'{{"email":"{JANE}","org_id":"acme","notify":true,"notify":true}}', "notify", id="same"
    ),
    pytest.param("POST", "/payment-links/verify", f'{{"link_id":"{UNKNOWN_ID}","link_id":"x"}}', "link_id", id="verify"),
    pytest.param("POST", "/payment-links/otp", f'{{"email":"{JANE}","email":"{JANE}"}}', "email", id="send otp"),
    pytest.param("PUT", "/payment-links/otp", f'{{"email":"{JANE}","otp":"000000","otp":"000001"}}', "otp", id="submit otp"),
    pytest.param("DELETE", "/payment-links", f'{{"email":"{JANE}","email":null}}', "email", id="revoke"),
    pytest.param("POST", "/payment-links/scheduled", '{"period":1,"period":24}', "period", id="dispatch"),
]


@pytest.mark.parametrize(("method", "path", "content", "field"), TWICE)
def test_a_field_that_is_given_twice_is_refused(api: Api, method: str, path: str, content: str, field: str) -> None:
    response = api.client.request(method, path, content=content, headers=api.internal() | JSON)
    assert_problem(response, 422, "validation_failed")
    assert [error["field"] for error in response.json()["errors"]] == [field]


@pytest.mark.parametrize(("coding", "status"), [("gzip", 415), ("br", 415), ("gzip, identity", 415), ("Identity", 201)])
def test_a_body_comes_as_it_is(api: Api, coding: str, status: int) -> None:
    """Whatever its bytes are: who says that they are packed does not mean them."""
    content = f'{{"email":"{JANE}","org_id":"acme"}}'
    response = api.client.post("/payment-links", content=content, headers=api.internal() | JSON | {"Content-Encoding": coding})
    assert response.status_code == status
