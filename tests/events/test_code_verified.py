"""A code that was verified on a link's page is an event of that link."""

import pytest

from service.storage import keys
from service.storage.command import command
from tests.support.api import JANE, Api, different_code
from tests.support.event_logs import log_places
from tests.support.page_client import Browser
from tests.support.secret_scan import find_secrets


def verified(api: Api, link_id: str) -> list[dict[str, object]]:
    response = api.client.get(
        f"/payment-links/{link_id}/events", params={"type": "code_verified"}, headers=api.internal()
    )
    found: list[dict[str, object]] = response.json()["events"]
    return found


def test_a_code_that_opens_the_page_is_told_once(api: Api) -> None:
    link, other = api.create(otp_required=True), api.create(otp_required=True)
    browser = Browser(api, link)
    browser.ask()
    code = api.code()
    browser.enter(different_code(code))
    assert verified(api, link["id"]) == []
    browser.enter(code)
    browser.enter(code)
    [event] = verified(api, link["id"])
    assert (event["actor"], event["data"]) == ("customer", {})
    assert event["request_id"]
    assert verified(api, other["id"]) == []


def test_a_code_that_the_api_exchanges_is_of_no_link(api: Api) -> None:
    api.create(otp_required=True)
    assert api.submit_otp(api.new_code()).status_code == 200
    assert not api.redis.exists(keys.events("acme"))


def test_neither_code_token_nor_email_is_logged(api: Api) -> None:
    link = api.create(otp_required=True)
    browser = Browser(api, link)
    browser.ask()
    code = api.code()
    browser.enter(code)
    [token] = [value for value, _ in browser.cookies.values()]
    [log] = log_places(api.redis)
    assert b"code_verified" in log[1]
    assert find_secrets([code.encode(), token.encode(), JANE.encode()], [log]) == []


@pytest.mark.parametrize("reply", ["BUSY another script runs", "WRONGTYPE it is no stream"])
def test_a_customer_gets_in_though_it_cannot_be_logged(
    api: Api, monkeypatch: pytest.MonkeyPatch, reply: str
) -> None:
    link = api.create(otp_required=True, payment_amount=125, currency="USD")
    browser = Browser(api, link)
    browser.ask()
    failing = command(str, "EVAL", f"return redis.error_reply('{reply}')", 1, keys.events("acme"))
    monkeypatch.setattr("service.events.store.append", lambda *_, **__: failing)
    assert "$125.00" in browser.enter(api.code()).text
