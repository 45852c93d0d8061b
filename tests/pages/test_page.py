"""A link's page, or the link as JSON if the client names it."""

import base64
import re
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from service.orgs.model import LOGO_SIGNATURES, Profile
from service.storage import keys
from tests.support.api import PUBLIC_URL, Api, assert_problem, in_public, stamp
from tests.support.factories import UNKNOWN_LINK_ID
from tests.support.page_client import BROWSER, LOGO, Browser, look, proof, read


def test_a_browser_gets_who_wants_how_much_for_what_and_where_to_pay(shop: Api) -> None:
    link = shop.create(payment_amount=125000.5, currency="NGN", transaction_id="INV-7 & Söhne")
    page = look(shop, link["id"])
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    for said in ("acme", "NGN\u00a0125,000.50", "INV-7 &amp; Söhne", "3 days"):
        assert said in page.text
    assert f'<a class="button" href="/pay/{link["id"]}/checkout"' in page.text


def test_without_a_checkout_the_page_says_whom_to_ask(api: Api) -> None:
    page = look(api, api.create()["id"])
    assert "acme tells you how to pay." in page.text
    assert 'class="button"' not in page.text


def test_who_asks_for_json_by_name_gets_the_link(shop: Api) -> None:
    link = shop.create()
    assert read(shop, link["id"]).json() == in_public(link)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "text/html; charset=utf-8"),
        ("", "text/html; charset=utf-8"),
        ("application/*", "text/html; charset=utf-8"),
        ("application/json", "application/json"),
        ("application/json, text/plain, */*", "application/json"),
        ("application/json, text/html;q=0.9", "application/json"),
        ("text/html", "text/html; charset=utf-8"),
        ("application/json;q=0.5, text/html", "text/html; charset=utf-8"),
    ],
)
def test_only_who_asks_for_json_by_name_gets_it(api: Api, accept: str, kind: str) -> None:
    link = api.create()
    response = api.client.get(f"/pay/{link['id']}", headers={"Accept": accept})
    assert (response.status_code, response.headers["content-type"]) == (200, kind)


def test_accept_may_come_in_several_headers(api: Api) -> None:
    headers = [("Accept", "text/html;q=0.5"), ("Accept", "application/json")]
    assert (
        api.client.get(f"/pay/{api.create()['id']}", headers=headers).headers["content-type"]
        == "application/json"
    )


def preview(api: Api, link: dict[str, Any], **headers: str) -> dict[str, str]:
    """The preview of the link in a chat."""
    page = api.client.get(f"/pay/{link['id']}", headers=headers)
    found = dict(
        re.findall(r'<meta (?:property|name)="(og:\w+|description)" content="([^"]*)">', page.text)
    )
    return found | {"title": re.findall("<title>(.*)</title>", page.text)[0]}


CALM = "If you did not expect this, you can ignore it: nothing is charged unless you pay."


def test_a_chat_shows_who_asks_and_neither_how_much_nor_whom(shop: Api) -> None:
    shop.put_profile(display_name="Acme <Cleaning> Ltd", logo=LOGO)
    link = shop.create(payment_amount=125, currency="USD", transaction_id="INV-7")
    title, image = (
        "Payment request from Acme &lt;Cleaning&gt; Ltd",
        f"{PUBLIC_URL}/pay/{link['id']}/logo",
    )
    shown = {
        "title": title,
        "og:title": title,
        "description": CALM,
        "og:description": CALM,
        "og:image": image,
    }
    assert preview(shop, link) == shown
    assert shop.client.get(image).headers["content-type"] == "image/png"
    shop.put_profile(display_name="Acme <Cleaning> Ltd")
    assert "og:image" not in preview(shop, link)


def test_a_chat_shows_of_a_gated_link_not_even_whose_it_is(shop: Api) -> None:
    shop.put_profile(display_name="Acme Ltd", logo=LOGO)
    link = shop.create(otp_required=True, payment_amount=125, currency="USD")
    assert preview(shop, link) == {
        "title": "Confirm that this is you",
        "og:title": "Payment request",
        "description": CALM,
        "og:description": CALM,
    }
    assert "og:image" not in preview(shop, link, **proof(shop)), "it could not be fetched"


def test_no_page_is_to_be_found_by_search_engines(api: Api) -> None:
    direct, gated, revoked = api.create(), api.create(otp_required=True), api.create()
    api.revoke(revoked["id"])
    for link_id in (direct["id"], gated["id"], revoked["id"], UNKNOWN_LINK_ID):
        page = api.client.get(f"/pay/{link_id}")
        assert (
            page.headers["x-robots-tag"],
            '<meta name="robots" content="noindex">' in page.text,
        ) == ("noindex", True)


def test_json_answers_as_the_api_does_whatever_became_of_the_link(api: Api) -> None:
    link, gated = api.create(), api.create(otp_required=True)
    api.revoke(link["id"])
    assert read(api, link["id"]).json()["status"] == "revoked"
    assert_problem(read(api, gated["id"]), 401, "otp_required")
    assert_problem(read(api, UNKNOWN_LINK_ID), 404, "link_not_found")


def test_a_cookie_opens_nothing_but_the_page(api: Api) -> None:
    gated = api.create(otp_required=True)
    assert_problem(read(api, gated["id"], **proof(api)), 401, "otp_required")


def test_a_revoked_link_has_a_page_that_says_so(shop: Api) -> None:
    link = shop.create()
    shop.revoke(link["id"])
    page = look(shop, link["id"])
    assert (
        page.status_code,
        "This link was withdrawn" in page.text,
        "/checkout" in page.text,
    ) == (410, True, False)


def test_an_expired_link_has_a_page_that_says_so(shop: Api) -> None:
    link = shop.create()
    shop.clock.advance(hours=72)
    page = look(shop, link["id"])
    assert (
        page.status_code,
        "This link has expired" in page.text,
        "/checkout" in page.text,
    ) == (410, True, False)
    assert "ask acme for a new link" in page.text


def test_a_link_opens_before_the_time_for_which_its_email_is_scheduled(shop: Api) -> None:
    link = shop.create(scheduled_at=stamp(shop.now + timedelta(hours=20)))
    page = look(shop, link["id"])
    assert (page.status_code, "/checkout" in page.text) == (200, True)


def test_a_link_whose_window_was_sent_early_opens(shop: Api) -> None:
    link = shop.create(scheduled_at=stamp(shop.now + timedelta(hours=20)))
    assert shop.dispatch_window(period=24).json()["queued"] == 1
    assert look(shop, link["id"]).status_code == 200


def test_a_code_opens_a_link_before_its_email_is_sent(shop: Api) -> None:
    link = shop.create(otp_required=True, scheduled_at=stamp(shop.now + timedelta(hours=20)))
    browser = Browser(shop, link)
    browser.ask()
    assert "/checkout" in browser.enter(shop.code()).text


@pytest.mark.parametrize("link_id", [UNKNOWN_LINK_ID, "pl_x", "x" * 200])
def test_an_unknown_link_has_a_page_that_says_so(api: Api, link_id: str) -> None:
    page = look(api, link_id)
    assert (page.status_code, "There is no such link" in page.text) == (404, True)


def test_templates_are_compiled_once_for_all_locales_of_a_language(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise requests in many locales would compile them again and again."""
    link_id = api.create()["id"]
    look(api, link_id, **{"Accept-Language": "pt"})
    monkeypatch.setattr(
        "jinja2.Environment.compile", lambda *_, **__: pytest.fail("compiles again")
    )
    page = look(api, link_id, **{"Accept-Language": "pt-MO"})
    assert page.headers["Content-Language"] == "pt-MO"


def test_the_organization_presents_itself(shop: Api) -> None:
    shop.put_profile(
        display_name='Acme "&" Söhne', colour="#ffd400", logo=LOGO, reply_to="help@acme.example"
    )
    link = shop.create()
    page = look(shop, link["id"])
    assert "Acme &#34;&amp;&#34; Söhne" in page.text
    assert "--brand: #ffd400; --on-brand: #000000" in page.text
    logo = shop.client.get(f"/pay/{link['id']}/logo")
    assert (logo.content[:8], logo.headers["content-type"]) == (LOGO_SIGNATURES["png"], "image/png")
    shop.revoke(link["id"])
    assert "mailto:help@acme.example" in look(shop, link["id"]).text


def test_there_is_no_logo_where_there_is_none(api: Api) -> None:
    assert_problem(api.client.get(f"/pay/{api.create()['id']}/logo"), 404, "not_found")


@pytest.mark.parametrize(
    ("fields", "accepted", "profile", "language"),
    [
        ({}, "", {}, "en"),
        ({}, "fr-CA,fr;q=0.9", {}, "fr-CA"),
        ({"locale": "ar"}, "fr", {"locale": "de"}, "ar"),
        ({}, "ja", {"locale": "de"}, "de"),
    ],
)
def test_the_page_is_in_the_links_language_or_the_browsers_or_the_organizations(
    api: Api, fields: dict[str, str], accepted: str, profile: dict[str, str], language: str
) -> None:
    api.put_profile(**profile)
    page = look(api, api.create(**fields)["id"], **{"Accept-Language": accepted})
    assert page.headers["content-language"] == language
    assert f'<html lang="{language}" dir="{"rtl" if language == "ar" else "ltr"}">' in page.text


def test_a_page_from_right_to_left_keeps_values_apart(api: Api) -> None:
    """Otherwise ``j***@example.com`` would appear as ``example.com@***j`` (UAX #9)."""
    api.put_profile(display_name="(Acme) Ltd")
    gated, direct = (
        api.create(locale="ar", otp_required=True),
        api.create(locale="ar", payment_amount=1, currency="USD"),
    )
    for page in (look(api, gated["id"]), Browser(api, gated).ask()):
        assert "\u2068j***@example.com\u2069" in page.text
    assert "\u2068(Acme) Ltd\u2069" in look(api, direct["id"]).text
    api.revoke(direct["id"])
    assert "\u2068(Acme) Ltd\u2069" in look(api, direct["id"]).text
    assert "\u2068" not in look(api, api.create(locale="en")["id"]).text


class TestAStoredLinkIsNotJudgedAgain:
    """The profile is older than the rules that it breaks."""

    @pytest.mark.parametrize(
        ("fields", "shown"),
        [
            ({"currency": "ZZZ"}, "ZZZ\u00a05.00"),
            ({"locale": "tlh"}, "$5.00"),
            ({"email": "jane@münchen.local"}, "$5.00"),
        ],
        ids=["currency", "locale", "email"],
    )
    def test_of_a_link(self, api: Api, fields: dict[Any, Any], shown: str) -> None:
        made = api.create(payment_amount=5, currency="USD")
        api.redis.hset(keys.link(made["id"]), mapping=fields)
        page = look(api, made["id"])
        assert (page.status_code, shown in page.text) == (200, True)
        assert read(api, made["id"]).json() == in_public(made) | fields

    @pytest.mark.parametrize(
        "profile",
        [
            Profile(colour="red;}"),
            Profile(logo="data:image/svg+xml;base64,PHN2Zz4="),
            Profile(locale="tlh"),
            Profile(reply_to="x"),
        ],
        ids=str,
    )
    def test_of_a_profile(self, api: Api, profile: Profile) -> None:
        link = api.create()
        api.redis.set(keys.profile("acme"), msgspec.json.encode(profile))
        page = look(api, link["id"])
        assert page.status_code == 200
        assert "red;}" not in page.text
        assert "/logo" not in page.text
        assert api.get_profile().json() == msgspec.structs.asdict(profile)
        api.revoke(link["id"])
        assert look(api, link["id"]).status_code == 410


class TestTimes:
    """The expiry is in the organization's time zone, with its name; a script may replace it."""

    @pytest.mark.parametrize(("time_zone", "name"), [(None, "UTC"), ("Africa/Lagos", "WAT")])
    @pytest.mark.parametrize("state", ["active", "expired"])
    def test_a_page_names_the_zone_of_its_times(
        self, api: Api, state: str, time_zone: str | None, name: str
    ) -> None:
        api.put_profile(time_zone=time_zone)
        link, until = api.create(locale="en-GB"), api.now + timedelta(hours=72)
        if state == "expired":
            api.clock.advance(hours=72)
        zone = ZoneInfo(time_zone or "UTC")
        written = f"{until.astimezone(zone):%-d %B %Y, %H:%M} {name}"
        element = (
            f'<time datetime="{until.isoformat()}" data-local data-zone="{zone}">'
            f"<bdi>{written}</bdi></time>"
        )
        assert element in look(api, link["id"]).text

    def test_a_gated_link_tells_nobody_in_which_zone_its_organization_is(self, api: Api) -> None:
        api.put_profile(time_zone="Africa/Lagos")
        link = api.create(otp_required=True)
        for _ in range(2):
            page = look(api, link["id"])
            assert not {"Lagos", "WAT"} & set(re.findall(r"\w+", page.text))
            api.clock.advance(hours=72)


@pytest.mark.parametrize("text", ["ශ්‍රී ලංකා", "می‌خواهم", "👩‍🍳", "n°\u00a012", "田中\u3000太郎"])
def test_names_and_references_are_shown_as_people_write_them(api: Api, text: str) -> None:
    api.put_profile(display_name=text)
    page = look(api, api.create(transaction_id=text)["id"])
    assert page.text.count(f"<bdi>{text}</bdi>") == 2


def test_opening_a_page_changes_nothing(api: Api) -> None:
    direct, gated = api.create(), api.create(otp_required=True)
    before = {key: api.redis.dump(key) for key in api.redis.scan_iter()}
    for link in (direct, gated):
        look(api, link["id"])
        api.client.head(f"/pay/{link['id']}", headers=BROWSER)
    assert {key: api.redis.dump(key) for key in api.redis.scan_iter()} == before


def test_pages_let_nothing_in_from_elsewhere(api: Api) -> None:
    page = look(api, api.create()["id"])
    policy = page.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert (page.headers["referrer-policy"], page.headers["cache-control"]) == (
        "no-referrer",
        "no-store",
    )
    [nonce] = re.findall(r"'nonce-([^']+)'", policy)
    assert f'<style nonce="{nonce}">' in page.text
    assert nonce not in look(api, api.create()["id"]).text
    assert re.findall(r'(?:src|href)="(?!/|data:)', page.text) == []


def test_head_answers_as_get_without_the_content(api: Api) -> None:
    link = api.create()
    response = api.client.head(f"/pay/{link['id']}")
    assert (response.status_code, response.content, response.headers["content-type"]) == (
        200,
        b"",
        "text/html; charset=utf-8",
    )


@pytest.mark.parametrize(
    ("name", "status"),
    [("pay.css", 200), ("pay.js", 200), ("reference.js", 404), ("..%2fapp.py", 404)],
)
def test_the_pages_files_are_served_and_no_others(api: Api, name: str, status: int) -> None:
    assert api.client.get(f"/pay/assets/{name}").status_code == status


def test_a_page_weighs_less_than_30_kilobytes_with_everything(shop: Api) -> None:
    largest_logo = LOGO_SIGNATURES["png"].ljust(8192, b"0")
    shop.put_profile(
        display_name="Acme",
        logo=f"data:image/png;base64,{base64.b64encode(largest_logo).decode()}",
    )
    link = shop.create(payment_amount=125000.5, currency="NGN", transaction_id="x" * 128)
    page = look(shop, link["id"])
    paths = re.findall(r'(?:src|href)="(/[^"]+(?<!/checkout))"', page.text)
    assert len(paths) == 6
    assert len(page.content) + sum(len(shop.client.get(path).content) for path in paths) < 30_000
