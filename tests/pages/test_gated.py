"""The page of a gated link: who may see the link, and who may request a code."""

from typing import Any

import pytest

from service.storage import keys
from tests.support.api import JANE, JOHN, PROBLEM, Api, assert_problem
from tests.support.page_client import LOGO, Browser, ask, look, proof


def test_a_gated_link_shows_no_more_than_its_masked_address(shop: Api) -> None:
    link = shop.create(
        otp_required=True, payment_amount=125, currency="USD", transaction_id="INV-7"
    )
    page = look(shop, link["id"])
    assert (page.status_code, "j***@example.com" in page.text, "Send me a code" in page.text) == (
        200,
        True,
        True,
    )
    assert not any(secret in page.text for secret in (JANE, "125", "INV-7", "shop.example"))


class TestAGatedLink:
    """Without proof the page shows only the masked address, and with proof all of the link."""

    PROFILE = {  # noqa: RUF012
        "display_name": "Acme Ltd",
        "colour": "#0a7d4f",
        "logo": LOGO,
        "reply_to": "help@acme.example",
    }
    BRAND = ("Acme Ltd", "acme", "#0a7d4f", "/logo", "mailto:")

    @pytest.fixture
    def link(self, shop: Api, state: str) -> dict[str, Any]:
        shop.put_profile(**self.PROFILE)
        link = shop.create(otp_required=True)
        if state == "revoked":
            shop.revoke(link["id"])
        if state == "expired":
            shop.clock.advance(hours=72)
        return link

    @pytest.mark.parametrize(
        ("state", "status", "said"),
        [
            ("active", 200, "Send me a code"),
            ("revoked", 410, "Nothing was charged."),
            ("expired", 410, "ask whoever sent it for a new link"),
        ],
    )
    def test_a_stranger_does_not_learn_whose_it_is(
        self, shop: Api, link: dict[str, Any], state: str, status: int, said: str
    ) -> None:
        page = look(shop, link["id"])
        assert (page.status_code, said in page.text) == (status, True)
        assert [secret for secret in self.BRAND if secret in page.text] == []
        assert_problem(shop.client.get(f"/pay/{link['id']}/logo"), 404, "not_found")

    @pytest.mark.parametrize("state", ["active"])
    def test_a_stranger_who_is_asked_for_the_code_does_not_either(
        self, shop: Api, link: dict[str, Any]
    ) -> None:
        browser = Browser(shop, link)
        for page in (browser.ask(), browser.enter("1")):
            assert [secret for secret in self.BRAND if secret in page.text] == []

    @pytest.mark.parametrize(
        ("state", "status", "said"),
        [
            ("active", 200, "Payment request"),
            ("revoked", 410, "Acme Ltd has taken it back."),
            ("expired", 410, "ask Acme Ltd for a new link"),
        ],
    )
    def test_with_proof_the_organization_presents_itself(
        self, shop: Api, link: dict[str, Any], status: int, said: str
    ) -> None:
        cookie = proof(shop)
        page = look(shop, link["id"], **cookie)
        assert (page.status_code, said in page.text) == (status, True)
        assert all(known in page.text for known in ("Acme Ltd", "#0a7d4f", "/logo", "mailto:"))
        assert shop.client.get(f"/pay/{link['id']}/logo", headers=cookie).status_code == 200


def test_who_reads_several_mailboxes_is_asked_once_for_each(api: Api) -> None:
    links = [
        api.create(otp_required=True, email=email, payment_amount=125, currency="USD")
        for email in (JANE, JOHN)
    ]
    both = "; ".join(proof(api, email)["Cookie"] for email in (JANE, JOHN))
    for link in links:
        assert "$125.00" in look(api, link["id"], Cookie=both).text


@pytest.mark.parametrize("token", ["x", "", "a.b.c", None])
def test_a_cookie_that_is_no_token_asks_again(api: Api, token: str | None) -> None:
    name = proof(api)["Cookie"].partition("=")[0]
    cookie = "other=x" if token is None else f"{name}={token}"
    assert "Send me a code" in look(api, api.create(otp_required=True)["id"], Cookie=cookie).text


def test_a_token_for_another_mailbox_opens_nothing_by_any_name(api: Api) -> None:
    name = proof(api)["Cookie"].partition("=")[0]
    token = proof(api, JOHN)["Cookie"].partition("=")[2]
    assert (
        "Send me a code"
        in look(api, api.create(otp_required=True)["id"], Cookie=f"{name}={token}").text
    )


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_sites_form_is_refused(api: Api, site: str) -> None:
    link = api.create(otp_required=True)
    assert ask(api, link, **{"Sec-Fetch-Site": site}).status_code == 403
    assert api.redis.exists(keys.otp(JANE)) == 0


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://evil.example", 403),
        ("https://pay.example.com.evil.example", 403),
        ("https://pay.example.com", 303),
        ("http://testserver.local", 303),
        ("null", 303),
    ],
)
def test_a_browser_that_names_the_origin_alone_is_believed_too(
    api: Api, origin: str, status: int
) -> None:
    assert ask(api, api.create(otp_required=True), Origin=origin).status_code == status


@pytest.mark.parametrize(
    ("accept", "kind"), [("*/*", "text/html; charset=utf-8"), ("application/json", PROBLEM)]
)
class TestAnErrorOfAForm:
    """A page, or a problem if the client names JSON."""

    def test_of_too_much(self, api: Api, accept: str, kind: str) -> None:
        link = api.create(otp_required=True)
        response = api.client.post(
            f"/pay/{link['id']}/token", content=b"x" * 65537, headers={"Accept": accept}
        )
        assert (response.status_code, response.headers["content-type"]) == (413, kind)

    def test_of_our_own(
        self, api: Api, monkeypatch: pytest.MonkeyPatch, accept: str, kind: str
    ) -> None:
        monkeypatch.setattr("service.pages.controller.otps.send_code", lambda *_, **__: 1 / 0)
        link = api.create(otp_required=True)
        response = api.client.post(f"/pay/{link['id']}/code", headers={"Accept": accept})
        assert (response.status_code, response.headers["content-type"]) == (500, kind)
        assert ("We cannot show this link right now" in response.text) == (accept == "*/*")
        assert (f'href="/pay/{link["id"]}">Try again<' in response.text) == (accept == "*/*")
        assert "ZeroDivisionError" not in response.text
