"""POST /payment-links/otp."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from service.storage import keys
from tests.otps.requests import VARIANTS, retry_after
from tests.support.api import (
    JANE,
    JOHN,
    Api,
    all_at_once,
    assert_invalid,
    assert_problem,
)


def test_a_code_is_sent(api: Api) -> None:
    response = api.send_otp()
    assert (response.status_code, response.json()) == (202, {"expires_in": 600, "resend_after": 60})


def test_the_answer_is_the_same_whether_or_not_the_email_has_links(api: Api) -> None:
    api.create(email=JANE, otp_required=True)
    with_links, without = api.send_otp(JANE), api.send_otp(JOHN)
    assert (with_links.status_code, with_links.json()) == (without.status_code, without.json())


@pytest.mark.parametrize(
    "email",
    ["=?utf-8?q?=20=0aBcc=3a_e=40x.co@" + "x" * 50 + ".com", "=?utf-8?q?jane?=@example.com"],
)
def test_no_code_is_sent_to_what_a_mail_program_could_take_for_more_than_an_address(
    api: Api, email: str
) -> None:
    assert_invalid(api.send_otp(email), "email")
    assert not list(api.redis.scan_iter("pl:{*}:otp_outbox"))
    assert_invalid(api.submit_otp("123456", email), "email")


def test_the_answer_says_what_is_set(make_api: Callable[..., Api]) -> None:
    api = make_api(OTP_TTL="5m", OTP_RESEND_AFTER="30s")
    assert api.send_otp().json() == {"expires_in": 300, "resend_after": 30}


def test_a_sent_code_is_owed_as_a_mail(api: Api) -> None:
    api.send_otp("Jane@Example.com")
    owed = [
        email
        for key in api.redis.scan_iter("pl:{*}:otp_outbox")
        for email in api.redis.zrange(key, 0, -1)
    ]
    assert owed == [JANE]


def test_the_store_never_holds_the_code(api: Api) -> None:
    code = api.new_code()
    stored = api.redis.hgetall(keys.otp(JANE))
    assert set(stored) == {"nonce", "expires", "tries", "attempts", "locale"}
    assert code not in stored.values()


@pytest.mark.parametrize(
    "email",
    ["", "jane", "jane@127.0.0.1", "jane\u0000@example.com", "a" * 250 + "@b.example", 42, None],
)
def test_a_code_is_sent_to_an_email_only(api: Api, email: Any) -> None:
    assert_invalid(api.send_otp(email), "email")


def test_an_unknown_field_is_refused(api: Api) -> None:
    assert_invalid(
        api.client.post("/payment-links/otp", json={"email": JANE, "otp": "123456"}), "otp"
    )


@pytest.mark.parametrize("again", VARIANTS)
def test_a_second_code_is_refused_for_60_seconds(api: Api, again: str) -> None:
    api.send_otp(JANE)
    assert 0 < retry_after(api.send_otp(again)) <= 60


def test_a_refused_code_leaves_the_one_before_good(api: Api) -> None:
    code = api.new_code()
    api.send_otp()
    assert api.submit_otp(code).status_code == 200


@pytest.mark.parametrize(
    "again", ["jane@example.com", "jane+shop@example.com", "Jane+@example.com"]
)
def test_a_tag_makes_no_other_mailbox_when_codes_are_counted(api: Api, again: str) -> None:
    api.send_otp("jane+0@example.com")
    assert 0 < retry_after(api.send_otp(again)) <= 60


def test_a_code_is_good_for_the_address_that_it_was_sent_to(api: Api) -> None:
    code = api.new_code("jane+shop@example.com")
    assert_problem(api.submit_otp(code, JANE), 401, "otp_invalid")
    assert api.submit_otp(code, "Jane+Shop@example.com").status_code == 200


def test_another_email_does_not_wait(api: Api) -> None:
    api.send_otp(JANE)
    assert api.send_otp(JOHN).status_code == 202


def test_the_sixth_code_in_an_hour_is_refused(api: Api) -> None:
    for email in VARIANTS:
        api.new_code(email)
    api.forget_limit("resend")
    assert 60 < retry_after(api.send_otp()) <= 3600


def test_the_eleventh_code_in_a_day_is_refused(api: Api) -> None:
    for email in VARIANTS * 2:
        api.forget_limit("sends_hour")
        api.new_code(email)
    api.forget_limit("sends_hour")
    api.forget_limit("resend")
    assert 3600 < retry_after(api.send_otp()) <= 86400


def test_refused_codes_do_not_count(api: Api) -> None:
    for _ in range(10):
        api.send_otp()
    for _ in range(4):
        api.new_code()
    api.forget_limit("resend")
    assert 60 < retry_after(api.send_otp()) <= 3600


def test_limits_are_settable(make_api: Callable[..., Api]) -> None:
    api = make_api(OTP_SENDS_PER_HOUR="1")
    api.new_code()
    api.forget_limit("resend")
    assert retry_after(api.send_otp()) > 60


def test_all_codes_together_have_a_ceiling(make_api: Callable[..., Api]) -> None:
    api = make_api(OTP_SENDS_PER_MINUTE="2")
    assert [api.send_otp(f"payer{number}@example.com").status_code for number in range(2)] == [
        202,
        202,
    ]
    assert 0 < retry_after(api.send_otp()) <= 60


def test_a_code_refused_at_the_ceiling_counts_for_nobody(make_api: Callable[..., Api]) -> None:
    api = make_api(OTP_SENDS_PER_MINUTE="1", OTP_CLIENT_SENDS_PER_HOUR="2")
    api.send_otp(JOHN)
    api.send_otp()
    api.redis.delete(keys.OTP_SENDS)
    assert api.send_otp().status_code == 202


def test_what_other_limits_refuse_does_not_count_towards_the_ceiling(
    make_api: Callable[..., Api],
) -> None:
    api = make_api(OTP_SENDS_PER_MINUTE="2")
    assert [api.send_otp().status_code for _ in range(3)] == [202, 429, 429]
    assert api.send_otp(JOHN).status_code == 202


def test_of_twenty_requests_at_once_one_sends_a_code(make_api: Callable[..., Api]) -> None:
    processes = [make_api(), make_api()]
    calls = [
        lambda number=number: processes[number % 2].send_otp(VARIANTS[number % 5])
        for number in range(20)
    ]
    assert Counter(response.status_code for response in all_at_once(*calls)) == {202: 1, 429: 19}
