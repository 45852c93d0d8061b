"""The demo checkout takes what is due, once, and brings the customer back to the page."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.demo import checkout_url, demo_checkout
from tests.support.servers import MailServer, RedisServer, free_port
from tests.support.service_processes import Service

FIELDS: dict[str, Any] = {"email": "jane@example.com", "org_id": "acme", "notify": False}
BUTTON = re.compile(r"<button [^>]*>([^<]*)</button>")


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, own_store: RedisServer, mails: MailServer
) -> Iterator[Service]:
    directory: Path = tmp_path_factory.mktemp("service")
    port = free_port()
    with (
        Service(directory, own_store.url, mails.url, CHECKOUT_URL=checkout_url(port)) as running,
        demo_checkout(port, running.url, "acme"),
    ):
        yield running


@pytest.fixture
def customer() -> Iterator[httpx.Client]:
    """A customer's browser, without a script."""
    with httpx.Client(headers={"Accept": "text/html"}, follow_redirects=True, timeout=60) as client:
        yield client


def make(admin: httpx.Client, **fields: Any) -> dict[str, Any]:
    answer = admin.post("/payment-links", json=FIELDS | fields)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def go_to_checkout(customer: httpx.Client, link: dict[str, Any]) -> httpx.Response:
    """Presses *Pay* on the page."""
    page = customer.get(link["url"])
    [path] = re.findall(r'class="button" href="([^"]+)"', page.text)
    return customer.get(page.url.join(path))


def press(customer: httpx.Client, checkout: httpx.Response) -> httpx.Response:
    """Presses the checkout's button. The answer is that of the page which it leads to."""
    form = dict(re.findall(r'<button name="(\w+)" value="([^"]*)"', checkout.text))
    return customer.post(checkout.url, data=form)


def payments(admin: httpx.Client, link: dict[str, Any]) -> list[tuple[str, Any]]:
    """The method and amount of each payment."""
    found = admin.get(f"/payment-links/{link['id']}").json()["payments"]
    return [(each["method"], each["amount"]) for each in found]


def test_a_customer_pays_what_is_due_and_comes_back(
    admin: httpx.Client, customer: httpx.Client
) -> None:
    link = make(admin, payment_amount=125000.50, currency="NGN")
    checkout = go_to_checkout(customer, link)
    assert BUTTON.findall(checkout.text) == ["Pay 125000.5 NGN"]
    started = customer.get(link["url"]).text
    assert ("Payment started at" in started, "Continue payment" in started) == (True, True)
    page = press(customer, checkout)
    assert (str(page.url), page.status_code) == (link["url"], 200)
    assert ('class="done"' in page.text, "125,000.50" in page.text) == (True, True)
    assert payments(admin, link) == [("demo", 125000.5)]
    assert str(customer.get(checkout.url).url) == link["url"], "a paid link is not paid again"


def test_a_second_press_is_the_same_payment(admin: httpx.Client, customer: httpx.Client) -> None:
    link = make(admin, payment_amount=5, currency="USD")
    checkout = go_to_checkout(customer, link)
    for _ in range(2):
        assert str(press(customer, checkout).url) == link["url"]
    assert payments(admin, link) == [("demo", 5)]


def test_an_unknown_link_is_not_paid(customer: httpx.Client, service: Service) -> None:
    port = re.findall(r":(\d+)/", service.environ["CHECKOUT_URL"])[0]
    assert customer.get(f"http://127.0.0.1:{port}/?link=pl_x").status_code == 404


def test_money_taken_while_the_service_is_away_is_recorded_once(
    admin: httpx.Client, customer: httpx.Client, service: Service
) -> None:
    link = make(admin, payment_amount=8, currency="USD")
    checkout = go_to_checkout(customer, link)
    service.web.stop()
    with ThreadPoolExecutor() as pool:
        pressed = pool.submit(press, customer, checkout)
        service.web.start()
        assert str(pressed.result(60).url) == link["url"]
    assert payments(admin, link) == [("demo", 8)]
