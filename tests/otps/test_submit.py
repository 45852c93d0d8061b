"""PUT /payment-links/otp."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import jwt
import pytest

from service.otps import model as domain
from service.storage import keys
from tests.otps.requests import VARIANTS, from_address, retry_after, spend_tries
from tests.support.api import (
    JANE,
    JOHN,
    PEER,
    Api,
    all_at_once,
    assert_invalid,
    assert_problem,
    bearer,
    different_code,
)


def test_the_right_code_gives_a_token(api: Api) -> None:
    response = api.submit_otp(api.new_code())
    body = response.json()
    assert response.status_code == 200
    assert body == {"token": body["token"], "token_type": "Bearer", "expires_in": 86400}


def test_the_token_says_whose_mailbox_was_proved(api: Api) -> None:
    token = api.submit_otp(api.new_code("Jane@Example.com"), "JANE@example.com").json()["token"]
    now = int(api.now.timestamp())
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims == {
        "type": "payment_link",
        "sub": JANE,
        "aud": claims["aud"],
        "iat": now,
        "exp": now + 86400,
        "jti": claims["jti"],
    }
    assert claims["aud"] != "payment-links"
    assert len(claims["jti"]) >= 16


def test_the_token_has_a_type_of_its_own(api: Api) -> None:
    token = api.submit_otp(api.new_code()).json()["token"]
    header = jwt.get_unverified_header(token)
    assert header["alg"] == "HS256"
    assert header["typ"] not in {None, "JWT", "at+jwt"}


def test_two_tokens_have_two_ids(api: Api) -> None:
    tokens = [api.submit_otp(api.new_code(email), email).json()["token"] for email in (JANE, JANE)]
    assert (
        len({jwt.decode(token, options={"verify_signature": False})["jti"] for token in tokens})
        == 2
    )


def test_the_token_opens_a_gated_link(api: Api) -> None:
    link = api.create(otp_required=True)
    token = api.submit_otp(api.new_code()).json()["token"]
    assert api.get(link["id"], bearer(token)).status_code == 200


@pytest.mark.parametrize("email", VARIANTS)
def test_a_code_is_good_for_the_email_in_any_case(api: Api, email: str) -> None:
    assert api.submit_otp(api.new_code("Jane@Example.com"), email).status_code == 200


def test_a_wrong_code_is_refused(api: Api) -> None:
    assert_problem(api.submit_otp(different_code(api.new_code())), 401, "otp_invalid")


def test_an_email_without_a_code_is_refused_alike(api: Api) -> None:
    refused = api.submit_otp(different_code(api.new_code()))
    unknown = api.submit_otp("123456", JOHN)
    assert (unknown.status_code, unknown.json()) == (refused.status_code, refused.json())


def test_another_emails_code_is_refused(api: Api) -> None:
    code = api.new_code()
    api.new_code(JOHN)
    if code != api.code(JOHN):
        assert_problem(api.submit_otp(code, JOHN), 401, "otp_invalid")


def test_a_used_code_is_refused(api: Api) -> None:
    code = api.new_code()
    api.submit_otp(code)
    assert_problem(api.submit_otp(code), 401, "otp_invalid")


def test_a_code_is_good_for_10_minutes(api: Api) -> None:
    code = api.new_code()
    api.clock.advance(minutes=10, seconds=-1)
    assert api.submit_otp(code).status_code == 200


def test_an_expired_code_is_refused(api: Api) -> None:
    code = api.new_code()
    api.clock.advance(minutes=10)
    assert_problem(api.submit_otp(code), 401, "otp_invalid")


def test_a_new_code_voids_the_one_before(api: Api) -> None:
    old, new = api.new_code(), api.new_code()
    if old != new:
        assert_problem(api.submit_otp(old), 401, "otp_invalid")
    assert api.submit_otp(new).status_code == 200


def test_the_fifth_try_may_be_right(api: Api) -> None:
    code = api.new_code()
    for _ in range(4):
        api.submit_otp(different_code(code))
    assert api.submit_otp(code).status_code == 200


def test_the_sixth_try_is_not_even_looked_at(api: Api) -> None:
    code = api.new_code()
    for email in VARIANTS:
        api.submit_otp(different_code(code), email)
    assert_problem(api.submit_otp(code), 401, "otp_invalid")


def test_ten_failed_tries_a_day_are_all_an_email_has(api: Api) -> None:
    spend_tries(api, 10)
    assert 3600 < retry_after(api.submit_otp(api.new_code())) <= 86400


def test_wrong_codes_that_nobody_asked_for_lock_nobody_out(api: Api) -> None:
    for _ in range(10):
        assert_problem(api.submit_otp("123456"), 401, "otp_invalid")
    assert api.submit_otp(api.new_code()).status_code == 200


@pytest.mark.parametrize(
    ("attacker", "customer"),
    [
        pytest.param(["203.0.113.7"], "203.0.113.8", id="an IPv4 address"),
        pytest.param(
            ["2001:db8:1::1", "2001:db8:1:2::1", "2001:db8:1:ff00::1"],
            "2001:db8:2::1",
            id="an IPv6 /48",
        ),
    ],
)
def test_one_network_cannot_lock_somebody_out(api: Api, attacker: list[str], customer: str) -> None:
    for tried in range(10):
        if tried % 5 == 0:
            api.new_code()
        api.submit_otp(different_code(api.code()), headers={PEER: attacker[tried % len(attacker)]})
    assert 3600 < retry_after(api.submit_otp(api.code(), headers={PEER: attacker[0]})) <= 86400
    assert api.submit_otp(api.code(), headers={PEER: customer}).status_code == 200


def test_the_tenth_try_may_be_right(api: Api) -> None:
    spend_tries(api, 9)
    assert api.submit_otp(api.code()).status_code == 200


def test_an_email_has_as_many_tries_in_any_case(api: Api) -> None:
    for _ in range(2):
        code = api.new_code()
        for number, email in enumerate(VARIANTS):
            api.submit_otp(different_code(code), email, from_address(number))
    assert retry_after(api.submit_otp(api.new_code(), "JANE@example.com")) > 0


def test_a_right_code_takes_no_try_away(api: Api) -> None:
    for _ in range(12):
        api.forget_limit("sends_hour")
        api.forget_limit("sends_day")
        assert api.submit_otp(api.new_code()).status_code == 200


def test_a_right_code_gives_no_failed_try_back(api: Api) -> None:
    spend_tries(api, 9)
    api.submit_otp(api.code())
    spend_tries(api, 1)
    assert retry_after(api.submit_otp(api.code())) > 0


def test_others_may_try_when_one_email_may_not(api: Api) -> None:
    spend_tries(api, 10)
    assert api.submit_otp(api.new_code(JOHN), JOHN).status_code == 200


@pytest.mark.parametrize(
    "otp",
    [
        "",
        "12345",
        "1234567",
        "12345a",
        " 12345",
        "123456\n",
        "\uff11\uff12\uff13\uff14\uff15\uff16",
        123456,
        None,
    ],
    ids=["empty", "5", "7", "letter", "space", "newline", "wide", "number", "null"],
)
def test_what_is_no_code_is_refused(api: Api, otp: Any) -> None:
    assert_invalid(api.submit_otp(otp), "otp")


def test_what_is_no_code_costs_no_try(api: Api) -> None:
    code = api.new_code()
    for _ in range(20):
        api.submit_otp("12345")
    assert api.submit_otp(code).status_code == 200


def test_of_a_hundred_right_codes_at_once_one_gives_a_token(make_api: Callable[..., Api]) -> None:
    processes = [make_api(), make_api()]
    code = processes[0].new_code()
    calls = [lambda number=number: processes[number % 2].submit_otp(code) for number in range(100)]
    statuses = Counter(response.status_code for response in all_at_once(*calls))
    assert statuses[200] == 1
    assert set(statuses) <= {200, 401, 429}


def test_of_two_hundred_wrong_codes_at_once_five_are_compared(
    make_api: Callable[..., Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    processes = [
        make_api(OTP_CLIENT_FAILURES_PER_HOUR="1000"),
        make_api(OTP_CLIENT_FAILURES_PER_HOUR="1000"),
    ]
    code, nonce = processes[0].new_code(), processes[0].nonce()
    compared: list[str] = []

    def derive_code(key: bytes, given: bytes, email: str) -> str:
        if given == nonce:
            compared.append(email)
        return domain.derive_code(key, given, email)

    monkeypatch.setattr("service.otps.operations.derive_code", derive_code)
    calls = [
        lambda number=number: processes[number % 2].submit_otp(different_code(code))
        for number in range(200)
    ]
    statuses = Counter(response.status_code for response in all_at_once(*calls))
    assert len(compared) == 5
    assert statuses == {401: 200}


def test_wrong_and_right_codes_at_once_give_one_token_at_most(make_api: Callable[..., Api]) -> None:
    processes = [make_api(), make_api()]
    code = processes[0].new_code()
    calls = [
        lambda number=number: processes[number % 2].submit_otp(
            code if number % 3 else different_code(code)
        )
        for number in range(60)
    ]
    assert Counter(response.status_code for response in all_at_once(*calls))[200] <= 1


def test_a_code_that_is_voided_while_it_is_compared_gives_no_token(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new code is made between the comparison and the redemption of the old one."""
    code = api.new_code()

    def matches(given: str, expected: str) -> bool:
        api.redis.hset(keys.otp(JANE), "nonce", "00" * 16)
        return domain.matches(given, expected)

    monkeypatch.setattr("service.otps.operations.matches", matches)
    assert_problem(api.submit_otp(code), 401, "otp_invalid")


def test_a_code_lives_on_in_the_store_no_longer_than_it_is_good(api: Api) -> None:
    api.new_code()
    assert 0 < api.redis.ttl(keys.otp(JANE)) <= timedelta(minutes=10).total_seconds()
