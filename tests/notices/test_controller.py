"""``POST /orgs/{org}/profile/test``, and who may ask for it."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from service.storage import keys
from tests.support.api import Api, Headers, assert_invalid, assert_problem

REPLY_TO = "help@acme.example"


@pytest.fixture
def acme(api: Api) -> Api:
    """With a profile that has an address for answers."""
    api.put_profile(reply_to=REPLY_TO)
    return api


def ask(api: Api, headers: Headers | None = None, org_id: str = "acme") -> httpx.Response:
    return api.client.post(f"/orgs/{org_id}/profile/test", headers=headers or api.org())


def owed(api: Api) -> list[str]:
    return [str(member) for member in api.redis.zrange(keys.notices("d4"), 0, -1)]


def test_a_test_mail_is_owed_to_the_profiles_reply_to(acme: Api) -> None:
    response = ask(acme)
    assert (response.status_code, response.json()) == (202, {"sent_to": REPLY_TO})
    assert owed(acme) == ["sample:acme"]


def test_a_profile_without_reply_to_gets_none(api: Api) -> None:
    assert_invalid(ask(api), "reply_to")
    assert owed(api) == []


def test_an_organization_has_five_a_day_however_fast_it_asks(acme: Api) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: ask(acme), range(8)))
    assert sorted(answer.status_code for answer in answers) == [202] * 5 + [429] * 3
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert_problem(refused, 429, "limit_reached")
    assert 86_000 < int(refused.headers["Retry-After"]) <= 86_400


def test_a_request_with_a_key_counts_once(acme: Api) -> None:
    headers = acme.org() | {"Idempotency-Key": "k-1"}
    answers = [ask(acme, headers) for _ in range(7)]
    assert [answer.status_code for answer in answers] == [202] * 7
    assert ["Idempotency-Replayed" in answer.headers for answer in answers] == [False] + [True] * 6


def test_the_key_of_another_request_is_a_conflict(acme: Api) -> None:
    headers = acme.org() | {"Idempotency-Key": "k-1"}
    acme.post_link(headers)
    assert_problem(ask(acme, headers), 409, "idempotency_conflict")


def test_a_body_with_fields_is_refused(acme: Api) -> None:
    response = acme.client.post(
        "/orgs/acme/profile/test", json={"email": "x@example.com"}, headers=acme.org()
    )
    assert_invalid(response, "email")


def test_others_may_not(acme: Api) -> None:
    assert_problem(acme.client.post("/orgs/acme/profile/test"), 401, "token_required")
    assert_problem(ask(acme, acme.org("globex")), 403, "forbidden")
    assert ask(acme, acme.internal()).status_code == 202
