"""Where a link's ``url`` leads."""

from typing import Any

import pytest

from tests.api.conftest import MakeApi
from tests.api.helpers import Api

CHECKOUT = "https://shop.example/checkout?link={link_id}"
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.fixture
def shop(make_api: MakeApi) -> Api:
    return make_api(CHECKOUT_URL=CHECKOUT)


def open_in_browser(api: Api, link: dict[str, Any]) -> Any:
    return api.client.get(f"/pay/{link['id']}", headers=BROWSER, follow_redirects=False)


def test_a_browser_goes_on_to_the_checkout(shop: Api) -> None:
    link = shop.create()
    answer = open_in_browser(shop, link)
    assert (answer.status_code, answer.headers["location"]) == (303, CHECKOUT.format(link_id=link["id"]))


def test_all_else_gets_the_link(shop: Api) -> None:
    link = shop.create()
    assert shop.client.get(f"/pay/{link['id']}").json()["id"] == link["id"]


def test_a_link_that_ended_leads_to_no_checkout(shop: Api) -> None:
    link = shop.create()
    shop.revoke(link["id"])
    answer = open_in_browser(shop, link)
    assert (answer.status_code, answer.json()["status"]) == (200, "revoked")


def test_a_gated_link_leads_nowhere_without_its_token(shop: Api) -> None:
    answer = open_in_browser(shop, shop.create(otp_required=True))
    assert (answer.status_code, answer.json()["code"]) == (401, "otp_required")


def test_head_answers_as_get_without_the_content(api: Api) -> None:
    link = api.create()
    answer = api.client.head(f"/pay/{link['id']}")
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, b"", "application/json")
