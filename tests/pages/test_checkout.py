"""The way from a link's page to the checkout: who is led there, and what is noted."""

import re
from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from service.links import change_store
from service.links.model import Link
from service.storage import keys
from tests.payments.requests import record
from tests.support.api import Api, MakeApi, all_at_once, assert_problem, stamp
from tests.support.factories import UNKNOWN_LINK_ID, make_link, store_link
from tests.support.link_states import with_checkout_started, with_payments
from tests.support.page_client import BROWSER, CHECKOUT, Browser, look, proof, text_of
from tests.support.redis_client import RedisClient

REDIRECTED = (303, "no-store")


def go(api: Api, link_id: str, method: str = "GET", **headers: str) -> httpx.Response:
    """The *Pay* button."""
    return api.client.request(
        method, f"/pay/{link_id}/checkout", headers=BROWSER | headers, follow_redirects=False
    )


def outcome(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.headers["cache-control"]


def started_at(api: Api, link_id: str) -> str | None:
    return (
        str(at) if (at := api.get(link_id, api.internal()).json()["checkout_started_at"]) else None
    )


def events(api: Api, org_id: str = "acme") -> list[dict[str, str]]:
    """The logged events of an organization, oldest first."""
    entries: Any = api.redis.xrange(keys.events(org_id))
    return [fields for _, fields in entries]


def store(api: Api, link: Link) -> Link:
    return store_link(RedisClient(api.redis), link)


def test_pay_leads_to_the_checkout_and_the_time_is_noted(shop: Api) -> None:
    link = shop.create(payment_amount=125, currency="USD")
    shop.clock.advance(minutes=3)
    response = go(shop, link["id"])
    assert outcome(response) == REDIRECTED
    assert response.headers["location"] == CHECKOUT.format(link_id=link["id"])
    assert started_at(shop, link["id"]) == stamp(shop.now)


def test_pay_leads_there_too_while_the_store_takes_no_writes(shop: Api) -> None:
    link = shop.create(payment_amount=125, currency="USD")
    shop.redis.config_set("min-replicas-to-write", 1)
    try:
        response = go(shop, link["id"])
    finally:
        shop.redis.config_set("min-replicas-to-write", 0)
    assert outcome(response) == REDIRECTED
    assert response.headers["location"] == CHECKOUT.format(link_id=link["id"])
    assert started_at(shop, link["id"]) is None


def test_the_checkout_is_told_what_is_due(make_api: MakeApi) -> None:
    api = make_api(
        CHECKOUT_URL="https://shop.example/{transaction_id}/pay?of={amount}+{currency}&for={link_id}"
    )
    link = store(
        api,
        with_payments(
            make_link(
                api.now,
                payment_amount=Decimal("125000.50"),
                currency="NGN",
                transaction_id="INV 7/ä&b",
            ),
            "50000",
            at=api.now,
        ),
    )
    assert go(api, link.id).headers["location"] == (
        f"https://shop.example/{quote('INV 7/ä&b', safe='')}/pay?of=75000.50+NGN&for={link.id}"
    )


def test_an_organizations_own_checkout_comes_first(shop: Api) -> None:
    shop.put_profile(checkout_url="https://acme.example/pay/{link_id}")
    own, others = shop.create(), shop.create(org_id="other")
    assert go(shop, own["id"]).headers["location"] == f"https://acme.example/pay/{own['id']}"
    assert go(shop, others["id"]).headers["location"] == CHECKOUT.format(link_id=others["id"])


def test_an_organization_may_have_a_checkout_where_the_service_has_none(api: Api) -> None:
    link = api.create()
    assert "/checkout" not in look(api, link["id"]).text
    api.put_profile(checkout_url="https://acme.example/pay/{link_id}")
    assert f'href="/pay/{link["id"]}/checkout"' in look(api, link["id"]).text
    assert go(api, link["id"]).headers["location"] == f"https://acme.example/pay/{link['id']}"


def test_without_a_checkout_it_leads_back_to_the_page(api: Api) -> None:
    link = api.create()
    response = go(api, link["id"])
    assert (*outcome(response), response.headers["location"]) == (*REDIRECTED, f"/pay/{link['id']}")
    assert started_at(api, link["id"]) is None


def test_under_a_path_the_page_is_found_again(make_api: MakeApi) -> None:
    api = make_api(PUBLIC_URL="https://shop.example.com/pls")
    link = api.create()
    assert go(api, link["id"]).headers["location"] == f"/pls/pay/{link['id']}"


@pytest.mark.parametrize("state", ["revoked", "expired"])
def test_a_link_that_has_ended_leads_nowhere(shop: Api, state: str) -> None:
    link = shop.create()
    if state == "revoked":
        shop.revoke(link["id"])
    else:
        shop.clock.advance(hours=72)
    response = go(shop, link["id"])
    assert response.status_code == 410
    assert text_of(response) == text_of(look(shop, link["id"]))
    assert started_at(shop, link["id"]) is None


def test_a_paid_link_leads_nowhere(shop: Api) -> None:
    link = store(
        shop,
        with_payments(
            make_link(shop.now, payment_amount=Decimal(5), currency="USD"), "5.00", at=shop.now
        ),
    )
    response = go(shop, link.id)
    assert (response.status_code, "Paid" in text_of(response)) == (200, True)
    assert started_at(shop, link.id) is None


@pytest.mark.parametrize("link_id", [UNKNOWN_LINK_ID, "pl_x"])
def test_an_unknown_link_is_not_found(shop: Api, link_id: str) -> None:
    response = go(shop, link_id)
    assert (response.status_code, "There is no such link" in response.text) == (404, True)


def test_a_gated_link_asks_for_proof_first(shop: Api) -> None:
    link = shop.create(otp_required=True)
    response = go(shop, link["id"])
    assert (response.status_code, "Send me a code" in response.text) == (200, True)
    assert "shop.example" not in response.text
    assert started_at(shop, link["id"]) is None
    assert outcome(go(shop, link["id"], **proof(shop))) == REDIRECTED
    assert started_at(shop, link["id"]) == stamp(shop.now)


def test_with_the_code_the_page_leads_on(shop: Api) -> None:
    link = shop.create(otp_required=True)
    browser = Browser(shop, link)
    browser.ask()
    assert 'class="button"' in browser.enter(shop.code()).text


@pytest.mark.parametrize(
    ("fields", "status", "code"), [({}, 200, None), ({"otp_required": True}, 401, "otp_required")]
)
def test_who_names_json_is_answered_as_by_the_page_where_it_leads_nowhere(
    shop: Api, fields: dict[str, Any], status: int, code: str | None
) -> None:
    link = shop.create(**fields)
    shop.clock.advance(hours=72)
    response = go(shop, link["id"], Accept="application/json")
    assert response.status_code == status
    if code:
        assert_problem(response, status, code)
    else:
        assert response.json()["status"] == "expired"


class TestWhatDoesNotCount:
    """Only a customer who goes to the checkout has started a payment."""

    @pytest.mark.parametrize(
        "header", ["Sec-Purpose: prefetch;prerender", "Purpose: prefetch", "X-Moz: prefetch"]
    )
    def test_a_browser_that_fetches_ahead(self, shop: Api, header: str) -> None:
        link = shop.create()
        name, _, value = header.partition(": ")
        response = go(shop, link["id"], **{name: value})
        assert (*outcome(response), response.headers["location"]) == (
            *REDIRECTED,
            f"/pay/{link['id']}",
        ), "who then clicks sees the button again, instead of a checkout that nobody noted"
        assert (started_at(shop, link["id"]), events(shop)) == (None, [])

    def test_a_look_at_the_headers(self, shop: Api) -> None:
        link = shop.create()
        response = go(shop, link["id"], "HEAD")
        assert (*outcome(response), response.headers["location"]) == (
            *REDIRECTED,
            CHECKOUT.format(link_id=link["id"]),
        )
        assert (started_at(shop, link["id"]), events(shop)) == (None, [])


class TestEvents:
    def test_a_start_is_the_customers_and_has_its_request(self, shop: Api) -> None:
        link = shop.create(email="jane@example.com", transaction_id="INV-7")
        go(shop, link["id"], **{"X-Request-ID": "request-1"})
        [event] = events(shop)
        assert {name: event[name] for name in ("type", "actor", "request", "link")} == {
            "type": "checkout_started",
            "actor": "customer",
            "request": "request-1",
            "link": keys.local_id(link["id"]),
        }

    @pytest.mark.parametrize(
        ("minutes", "number"), [([0, 0], 1), ([9, 9, 9], 1), ([10], 2), ([10, 10], 3)]
    )
    def test_another_click_soon_after_is_the_same_start(
        self, shop: Api, minutes: list[int], number: int
    ) -> None:
        link = shop.create()
        go(shop, link["id"])
        for pause in minutes:
            shop.clock.advance(minutes=pause)
            go(shop, link["id"])
        assert started_at(shop, link["id"]) == stamp(shop.now)
        assert len(events(shop)) == number

    def test_the_time_is_noted_once_a_second(self, shop: Api) -> None:
        """Otherwise many clicks at once would keep each other, and payments, from being noted."""
        link = shop.create()
        go(shop, link["id"])
        first = stamp(shop.now)
        shop.clock.advance(milliseconds=999)
        assert outcome(go(shop, link["id"])) == REDIRECTED
        assert started_at(shop, link["id"]) == first
        shop.clock.advance(milliseconds=1)
        go(shop, link["id"])
        assert started_at(shop, link["id"]) == stamp(shop.now) != first

    def test_one_right_after_a_payment_is_noted(self, shop: Api) -> None:
        link = shop.create(payment_amount=125, accept_partial=True)
        go(shop, link["id"])
        shop.clock.advance(milliseconds=1)
        record(shop, link["id"], amount=50)
        shop.clock.advance(milliseconds=1)
        go(shop, link["id"])
        assert started_at(shop, link["id"]) == stamp(shop.now)

    def test_twenty_clicks_at_once_are_one_start(self, shop: Api) -> None:
        link = shop.create()
        answers = all_at_once(*[lambda: go(shop, link["id"])] * 20)
        assert [outcome(answer) for answer in answers] == [REDIRECTED] * 20
        assert len(events(shop)) == 1


class TestWhoComesBack:
    """They read that a payment has started before they can go on, and nothing else changes."""

    def test_reads_when_it_was_started(self, shop: Api) -> None:
        shop.put_profile(time_zone="Africa/Lagos")
        link = shop.create(locale="en-GB", payment_amount=125, currency="USD")
        go(shop, link["id"])
        started = shop.now + timedelta(hours=1)
        shop.clock.advance(minutes=7)
        page = look(shop, link["id"])
        text = text_of(page)
        assert f"Payment started at {started:%H:%M} WAT" in text
        assert text.index("Payment started") < text.index("do not pay again")
        assert text.index("do not pay again") < text.index("$125.00")
        assert re.findall(r'class="button"[^>]*>(?:<[^>]*>)?([^<]*)<', page.text) == [
            "Continue payment"
        ]
        assert f'data-local="time" data-zone="Africa/Lagos"><bdi>{started:%H:%M} WAT' in (
            page.text.replace("\u202f", " ")
        )

    def test_reads_the_date_on_the_day_after(self, shop: Api) -> None:
        link = shop.create(locale="en-GB")
        go(shop, link["id"])
        started = shop.now
        shop.clock.advance(hours=12)
        assert f"Payment started on {started:%-d %B %Y, %H:%M} UTC" in text_of(
            look(shop, link["id"])
        )

    def test_reads_what_is_left_once_a_part_is_recorded(self, shop: Api) -> None:
        started = with_checkout_started(
            make_link(shop.now, payment_amount=Decimal(125), currency="USD", accept_partial=True),
            shop.now,
        )
        link = store(shop, with_payments(started, "50", at=shop.now + timedelta(minutes=1)))
        text = text_of(look(shop, link.id))
        assert ("Payment started" in text, "Pay $75.00" in text) == (False, True)

    def test_tells_a_stranger_nothing_of_a_gated_link(self, shop: Api) -> None:
        link = shop.create(otp_required=True)
        go(shop, link["id"], **proof(shop))
        assert "started" not in look(shop, link["id"]).text
        assert "Payment started" in look(shop, link["id"], **proof(shop)).text


@pytest.mark.parametrize("change", [{"gated": "1"}, {"email": "john@example.com"}])
def test_a_link_that_changes_hands_meanwhile_is_not_opened(
    shop: Api, monkeypatch: pytest.MonkeyPatch, change: dict[Any, Any]
) -> None:
    link = shop.create()
    read = change_store.read

    def change_first(link_id: str) -> Any:
        shop.redis.hset(keys.link(link["id"]), mapping=change)
        return read(link_id)

    monkeypatch.setattr("service.links.checkout.change_store.read", change_first)
    assert go(shop, link["id"]).headers["location"] == f"/pay/{link['id']}"
    assert events(shop) == []
