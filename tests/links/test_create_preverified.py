"""POST /payment-links with the one-time password that its recipient has verified before."""

from collections import Counter
from collections.abc import Callable

from tests.support.api import (
    JANE,
    JOHN,
    Api,
    all_at_once,
    assert_problem,
    different_code,
    in_public,
)


def test_a_preverified_code_makes_a_gated_link(api: Api) -> None:
    code = api.new_code()
    assert api.submit_otp(code).status_code == 200
    assert api.create(otp=code)["otp_required"] is True


def test_the_token_of_a_preverified_code_opens_the_link(api: Api) -> None:
    code = api.new_code()
    token = api.submit_otp(code).json()["token"]
    link = api.create(otp=code)
    assert api.get(link["id"], {"Authorization": f"Bearer {token}"}).json() == in_public(link)


def test_a_preverified_code_counts_for_the_email_in_any_case(api: Api) -> None:
    code = api.new_code("Jane@example.com")
    api.submit_otp(code, "JANE@example.com")
    assert api.post_link(email="jane@EXAMPLE.com", otp=code).status_code == 201


def test_a_preverified_code_may_be_named_more_than_once(api: Api) -> None:
    code = api.new_code()
    api.submit_otp(code)
    assert [api.post_link(otp=code).status_code for _ in range(2)] == [201, 201]


def test_a_newer_code_does_not_undo_an_earlier_verification(api: Api) -> None:
    code = api.new_code()
    api.submit_otp(code)
    api.new_code()
    assert api.post_link(otp=code).status_code == 201


def test_a_verification_counts_for_24_hours(api: Api) -> None:
    code = api.new_code()
    api.submit_otp(code)
    api.clock.advance(hours=23, minutes=59)
    assert api.post_link(otp=code).status_code == 201


def test_a_verification_counts_no_longer(api: Api) -> None:
    code = api.new_code()
    api.submit_otp(code)
    api.clock.advance(hours=24)
    assert_problem(api.post_link(otp=code), 422, "otp_not_verified")


def test_a_code_that_was_sent_but_not_submitted_is_not_verified(api: Api) -> None:
    assert_problem(api.post_link(otp=api.new_code()), 422, "otp_not_verified")


def test_a_code_that_nobody_asked_for_is_not_verified(api: Api) -> None:
    assert_problem(api.post_link(otp="123456"), 422, "otp_not_verified")


def test_another_code_than_the_verified_one_is_not_verified(api: Api) -> None:
    code = api.new_code()
    api.submit_otp(code)
    assert_problem(api.post_link(otp=different_code(code)), 422, "otp_not_verified")


def test_another_emails_verified_code_is_not_verified(api: Api) -> None:
    code = api.new_code()
    api.submit_otp(code)
    assert_problem(api.post_link(email=JOHN, otp=code), 422, "otp_not_verified")


def test_an_unverified_code_makes_no_link(api: Api) -> None:
    api.post_link(otp="123456")
    assert api.list().json()["total"] == 0


# Guessing which code was verified.


def test_an_organization_may_name_20_wrong_codes_an_hour_for_an_email(api: Api) -> None:
    code = api.new_code()
    api.submit_otp(code)
    assert [api.post_link(otp=different_code(code)).status_code for _ in range(21)] == [
        422
    ] * 20 + [429]
    refused = api.post_link(otp=code)
    assert_problem(refused, 429, "limit_reached")
    assert 0 < int(refused.headers["retry-after"]) <= 3600


def test_right_codes_do_not_count(make_api: Callable[..., Api]) -> None:
    api = make_api(OTP_UNVERIFIED_PER_HOUR="1")
    code = api.new_code()
    api.submit_otp(code)
    assert [api.post_link(otp=code).status_code for _ in range(3)] == [201] * 3


def test_the_limit_is_of_one_organization_and_one_mailbox(make_api: Callable[..., Api]) -> None:
    api = make_api(OTP_UNVERIFIED_PER_HOUR="1")
    assert_problem(api.post_link(otp="123456"), 422, "otp_not_verified")
    assert_problem(api.post_link(otp="123456", email="jane+shop@example.com"), 429, "limit_reached")
    assert_problem(api.post_link(otp="123456", org_id="globex"), 422, "otp_not_verified")
    assert_problem(api.post_link(otp="123456", email=JOHN), 422, "otp_not_verified")
    assert api.post_link(email=JANE).status_code == 201


def test_of_sixty_wrong_codes_at_once_20_are_compared(make_api: Callable[..., Api]) -> None:
    processes = [make_api(), make_api()]
    calls = [
        lambda number=number: processes[number % 2].post_link(otp=f"{number:06}")
        for number in range(60)
    ]
    assert Counter(response.status_code for response in all_at_once(*calls)) == {422: 20, 429: 40}


def test_twenty_five_links_at_once_with_the_right_code_are_made(
    make_api: Callable[..., Api],
) -> None:
    processes = [make_api(), make_api()]
    code = processes[0].new_code()
    processes[0].submit_otp(code)
    calls = [
        lambda number=number: processes[number % 2].post_link(otp=code) for number in range(25)
    ]
    assert Counter(response.status_code for response in all_at_once(*calls)) == {201: 25}
