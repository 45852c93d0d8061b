"""The pages of links that are paid in part or in whole, or replaced by newer ones."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from service.links.model import Link
from service.storage import keys
from tests.support.api import Api, in_public
from tests.support.factories import UNKNOWN_LINK_ID, make_link, store_link
from tests.support.link_states import with_checkout_started, with_payments
from tests.support.page_client import LOGO, Browser, look, proof, read, text_of
from tests.support.redis_client import RedisClient

FIELDS: dict[str, Any] = {
    "payment_amount": Decimal(125000),
    "currency": "NGN",
    "transaction_id": "INV-7",
    "description": "Office cleaning, November",
    "locale": "en-NG",
}
PROFILE = {"display_name": "Acme Ltd", "reply_to": "help@acme.example", "logo": LOGO}


def store(api: Api, link: Link) -> Link:
    return store_link(RedisClient(api.redis), link)


def make_paid(api: Api, *amounts: str, **fields: Any) -> Link:
    link = make_link(api.now, **(FIELDS | fields))
    return store(api, with_payments(link, *(amounts or ("125000.00",)), at=api.now))


class TestPaid:
    def test_the_page_says_so_with_amount_date_and_reference(self, shop: Api) -> None:
        shop.put_profile(**PROFILE, time_zone="Africa/Lagos")
        link, paid_at = make_paid(shop), shop.now + timedelta(hours=1)
        shop.clock.advance(hours=100)
        page = look(shop, link.id)
        assert page.status_code == 200
        for said in (
            "Paid",
            "₦125,000.00",
            f"{paid_at:%-d %B %Y, %H:%M} WAT",
            "INV-7",
            "Office cleaning, November",
            "Questions? Write to help@acme.example.",
        ):
            assert said in text_of(page)
        assert ('class="button"' in page.text, "/checkout" in page.text) == (False, False)
        assert 'href="mailto:help@acme.example"' in page.text

    def test_json_has_the_link(self, shop: Api) -> None:
        link = make_paid(shop)
        assert read(shop, link.id).json()["status"] == "paid"

    def test_all_that_was_paid_is_shown(self, shop: Api) -> None:
        link = make_paid(shop, "125000", "125000")
        assert "₦250,000.00" in text_of(look(shop, link.id))

    def test_a_link_without_an_amount_shows_what_was_paid(self, shop: Api) -> None:
        link = make_link(shop.now, locale="en-NG")
        paid = with_payments(link, "5.5", at=shop.now)
        payment = msgspec.structs.replace(paid.payments[0], currency="NGN")
        store(shop, msgspec.structs.replace(paid, payments=(payment,)))
        assert "₦5.50" in text_of(look(shop, link.id))

    def test_a_stranger_learns_no_more_of_a_gated_link(self, shop: Api) -> None:
        shop.put_profile(**PROFILE)
        link = make_paid(shop, otp_required=True)
        page = look(shop, link.id)
        assert (page.status_code, "This link was paid" in page.text) == (200, True)
        secrets = ("125", "INV-7", "Office", "Acme", "acme", "mailto:", "/logo", "<time", "<form")
        assert [secret for secret in secrets if secret in page.text] == []
        assert "₦125,000.00" in text_of(look(shop, link.id, **proof(shop)))

    @pytest.mark.parametrize("path", ["code", "token"])
    def test_a_form_that_is_still_open_leads_to_the_page(self, shop: Api, path: str) -> None:
        link = make_paid(shop, otp_required=True)
        response = shop.client.post(f"/pay/{link.id}/{path}", follow_redirects=False)
        assert (response.status_code, response.headers["location"]) == (303, f"/pay/{link.id}")
        browser = Browser(shop, {"id": link.id})
        assert "This link was paid" in browser.ask().text
        assert "This link was paid" in browser.enter("123456").text

    def test_a_chat_shows_no_amount(self, shop: Api) -> None:
        head = look(shop, make_paid(shop).id).text.partition("</head>")[0]
        assert "125" not in head.partition("<style")[0]


class TestPaidInPart:
    def test_what_is_due_comes_first_then_the_whole_and_what_was_paid(self, shop: Api) -> None:
        link = make_paid(shop, "50000", accept_partial=True)
        text = text_of(look(shop, link.id))
        due, rest = text.index("₦75,000.00"), text.index("of ₦125,000.00 — ₦50,000.00 paid")
        assert due < rest < text.index("Office cleaning") < text.index("Pay ₦75,000.00")

    def test_a_part_that_was_voided_is_not_counted(self, shop: Api) -> None:
        link = with_payments(make_link(shop.now, **FIELDS), "50000", at=shop.now)
        voided = msgspec.structs.replace(link.payments[0], voided_at=shop.now)
        store(shop, msgspec.structs.replace(link, payments=(voided,)))
        text = text_of(look(shop, link.id))
        assert ("Pay ₦125,000.00" in text, "paid" in text) == (True, False)

    @pytest.mark.parametrize(
        ("state", "said"),
        [("expired", "It was good until"), ("revoked", "Acme Ltd has taken it back.")],
    )
    def test_a_link_that_has_ended_does_not_deny_it(self, shop: Api, state: str, said: str) -> None:
        shop.put_profile(**PROFILE)
        link = make_paid(shop, "50000")
        if state == "revoked":
            shop.revoke(link.id)
        else:
            shop.clock.advance(hours=72)
        text = text_of(look(shop, link.id))
        assert (said in text, "₦50,000.00 has already been paid." in text) == (True, True)
        assert "Nothing was charged" not in text

    def test_a_stranger_does_not_learn_how_much(self, shop: Api) -> None:
        link = make_paid(shop, "50000", otp_required=True)
        shop.clock.advance(hours=72)
        assert "50" not in text_of(look(shop, link.id))


class TestStartedAndEnded:
    """A payment that has started may still be recorded, and the link is then paid."""

    @pytest.fixture
    def link(self, shop: Api, state: str) -> Link:
        link = with_checkout_started(make_link(shop.now, **FIELDS), shop.now)
        if state == "superseded":
            link = msgspec.structs.replace(link, revoked_at=shop.now, superseded_by=UNKNOWN_LINK_ID)
        store(shop, link)
        if state == "revoked":
            shop.revoke(link.id)
        if state == "expired":
            shop.clock.advance(hours=72)
        return link

    @pytest.mark.parametrize("state", ["expired", "revoked", "superseded"])
    def test_the_page_warns_of_paying_again(self, shop: Api, link: Link) -> None:
        text = text_of(look(shop, link.id))
        assert ("do not pay again" in text, "Nothing was charged" in text) == (True, False)

    @pytest.mark.parametrize("state", ["expired"])
    def test_a_stranger_does_not_learn_of_it(self, shop: Api, link: Link) -> None:
        shop.redis.hset(keys.link(link.id), "gated", "1")
        assert "do not pay again" not in look(shop, link.id).text


class TestSuperseded:
    @pytest.fixture
    def link(self, shop: Api) -> Link:
        shop.put_profile(**PROFILE)
        return store(
            shop,
            msgspec.structs.replace(
                make_link(shop.now, **FIELDS), revoked_at=shop.now, superseded_by=UNKNOWN_LINK_ID
            ),
        )

    def test_the_page_says_to_use_the_newer_email(self, shop: Api, link: Link) -> None:
        page = look(shop, link.id)
        text = text_of(page)
        assert page.status_code == 410
        assert "There is a newer link" in text
        assert "Acme Ltd has replaced this one. Use the link in the newer e-mail." in text
        assert "withdrawn" not in text
        assert 'href="mailto:help@acme.example"' in page.text

    def test_who_has_the_old_link_does_not_get_the_new_one(self, shop: Api, link: Link) -> None:
        assert UNKNOWN_LINK_ID not in look(shop, link.id).text

    def test_a_stranger_does_not_learn_whose_it_is(self, shop: Api, link: Link) -> None:
        gated = store(
            shop, msgspec.structs.replace(link, id=link.id[:-4] + "0000", otp_required=True)
        )
        page = look(shop, gated.id)
        assert "Use the link in the newer e-mail." in page.text
        assert [secret for secret in ("Acme", "acme", "INV-7") if secret in page.text] == []


def test_the_page_says_what_the_payment_is_for_and_whom_to_ask(shop: Api) -> None:
    shop.put_profile(**PROFILE)
    link = shop.create(
        **FIELDS | {"payment_amount": 125000, "description": "<b>Office</b> & windows, 多谢"}
    )
    page = look(shop, link["id"])
    assert "<bdi>&lt;b&gt;Office&lt;/b&gt; &amp; windows, 多谢</bdi>" in page.text
    text = text_of(page)
    assert text.index("₦125,000.00") < text.index("windows") < text.index("Reference")
    assert 'Write to <a href="mailto:help@acme.example">' in page.text


def test_without_an_address_nobody_is_asked(shop: Api) -> None:
    assert "mailto:" not in look(shop, shop.create()["id"]).text
    assert in_public(shop.create())["description"] is None
