"""The service behind a proxy that strips a path: no page of it asks for anything elsewhere."""

import re
from collections.abc import Callable, Iterator

import httpx
import pytest
from playwright.sync_api import expect

from service.auth.tokens import Role
from tests.browser.conftest import DESKTOP, Visitor
from tests.support.admins import admin_token, as_admin
from tests.support.balancer import stripping_proxy
from tests.support.programs import require_program
from tests.support.servers import MailServer, RedisServer, free_port
from tests.support.service_processes import Service

PATH = "/pls"
DRAWN = "async image => (await image.decode(), image.naturalWidth > 0)"


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, own_store: RedisServer, mails: MailServer
) -> Iterator[Service]:
    """One that is known, to tests too, by the proxy's address."""
    directory, port = tmp_path_factory.mktemp("service"), free_port()
    url = f"http://127.0.0.1:{port}{PATH}"
    with (
        Service(directory, own_store.url, mails.url, PUBLIC_URL=url) as running,
        stripping_proxy(require_program("haproxy"), directory, port, PATH, running.port),
    ):
        running.url = url
        yield running


@pytest.fixture
def visitor(visit: Callable[..., Visitor]) -> Visitor:
    """Somebody whose browser complains of whatever is not found."""
    return visit(DESKTOP)


def create(service: Service, **fields: object) -> httpx.Response:
    body = {"email": "jane@example.com", "org_id": "acme", "notify": False, **fields}
    return httpx.post(f"{service.url}/payment-links", json=body, headers=as_admin())


def test_a_new_link_is_at_its_location(service: Service) -> None:
    created = create(service)
    location = created.request.url.join(created.headers["location"])
    assert httpx.get(location).json()["id"] == created.json()["id"]


def test_the_console_lists_links_and_shows_their_codes(service: Service, visitor: Visitor) -> None:
    assert create(service, transaction_id="under-a-path").status_code == 201
    page = visitor.open("/console")
    page.get_by_label("Admin token").fill(admin_token(Role.ORG_ADMIN, "acme"))
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("under-a-path").first).to_be_visible()
    page.get_by_role("button", name="jane@example.com").first.click()
    assert page.get_by_role("dialog").get_by_role("img").evaluate(DRAWN)


def test_the_description_is_shown_and_can_be_tried_out(visitor: Visitor) -> None:
    page = visitor.open("/schema")
    page.get_by_text("Check that the process is alive").click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    expect(page.get_by_role("heading", name="Request URL").locator("xpath=..")).to_contain_text(
        f"{visitor.url}/healthz"
    )
    expect(page.get_by_text('"status": "ok"').first).to_be_visible()


def test_a_link_opens(service: Service, visitor: Visitor) -> None:
    page = visitor.open(f"/pay/{create(service, payment_amount=5, currency='USD').json()['id']}")
    expect(page.get_by_text("$5.00").first).to_be_visible()
    assert page.get_by_alt_text("QR code of this page").evaluate(DRAWN)


def test_a_gated_link_opens_with_a_code_and_stays_open(
    service: Service, visitor: Visitor, mails: MailServer
) -> None:
    link = create(
        service, email="gated@example.com", otp_required=True, transaction_id="gated-1"
    ).json()
    page = visitor.open(f"/pay/{link['id']}")
    page.get_by_role("button", name="Send me a code").click()
    subject = str(mails.mailbox.wait_for("gated@example.com")[0]["Subject"])
    [code] = re.findall(r"\d{6}", subject)
    page.get_by_label("Code").fill(code)
    expect(page.get_by_text("gated-1")).to_be_visible()
    page.reload()
    expect(page.get_by_text("gated-1")).to_be_visible()
    assert page.url == link["url"]
