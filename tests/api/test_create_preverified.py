"""POST /payment-links with the one-time password that its recipient has verified before."""

from tests.api.helpers import JOHN, Api, assert_problem, in_public, wrong


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
    assert_problem(api.post_link(otp=wrong(code)), 422, "otp_not_verified")


def test_another_emails_verified_code_is_not_verified(api: Api) -> None:
    code = api.new_code()
    api.submit_otp(code)
    assert_problem(api.post_link(email=JOHN, otp=code), 422, "otp_not_verified")


def test_an_unverified_code_makes_no_link(api: Api) -> None:
    api.post_link(otp="123456")
    assert api.list().json()["total"] == 0
