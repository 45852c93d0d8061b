"""A PUBLIC_URL with a path, which a proxy strips: every URL of the service begins with it."""

import re
from collections.abc import Callable

import pytest

from tests.support.api import Api

PUBLIC_URL = "https://shop.example.com/pls"
HTML = {"Accept": "text/html"}


@pytest.fixture
def api(make_api: Callable[..., Api]) -> Api:
    return make_api(PUBLIC_URL=PUBLIC_URL)


def addresses(html: str) -> set[str]:
    """What a page refers to, but for parts of itself."""
    found = re.findall(r"""(?:src|href|action|content|data-root)=["']([^"']+)["']""", html)
    return {address for address in found if address.startswith(("/", "http"))}


def test_a_new_links_location_is_under_the_path(api: Api) -> None:
    created = api.post_link()
    assert created.headers["location"] == f"/pls/payment-links/{created.json()['id']}"
    assert created.json()["url"].startswith(f"{PUBLIC_URL}/pay/")


def test_the_description_names_the_public_address_as_its_server(api: Api) -> None:
    assert api.client.get("/schema/openapi.json").json()["servers"] == [{"url": PUBLIC_URL}]


@pytest.mark.parametrize(
    "path",
    ["/", "/schema", "/console", "/pay/{direct}", "/pay/{gated}", "/pay/{revoked}", "/pay/pl_x"],
)
def test_a_page_refers_to_addresses_under_the_path_only(api: Api, path: str) -> None:
    links = {
        "direct": api.create(),
        "gated": api.create(otp_required=True),
        "revoked": api.create(),
    }
    api.revoke(links["revoked"]["id"])
    page = api.client.get(
        path.format(**{name: link["id"] for name, link in links.items()}), headers=HTML
    )
    found = addresses(page.text)
    assert len(found) >= 3
    assert {
        address
        for address in found
        if not address.removeprefix("https://shop.example.com").startswith("/pls")
    } == set()


def test_a_customer_is_led_on_under_the_path_with_cookies_for_it(api: Api) -> None:
    link = api.create(otp_required=True)
    sent = api.client.post(f"/pay/{link['id']}/code", follow_redirects=False)
    assert sent.headers["location"] == f"/pls/pay/{link['id']}/code"
    assert f"Path=/pls/pay/{link['id']}" in sent.headers["set-cookie"]
    cookie = {
        "Cookie": sent.headers["set-cookie"].partition(";")[0]
    }  # as a browser sends it, that knows the path
    opened = api.client.post(
        f"/pay/{link['id']}/token", data={"otp": api.code()}, headers=cookie, follow_redirects=False
    )
    assert opened.headers["location"] == f"/pls/pay/{link['id']}"
    assert {
        part.strip()
        for header in opened.headers.get_list("set-cookie")
        for part in header.split(";")
    } >= {"Path=/pls/pay"}
    again = api.client.get(f"/pay/{link['id']}/token", follow_redirects=False)
    assert again.headers["location"] == f"/pls/pay/{link['id']}"
