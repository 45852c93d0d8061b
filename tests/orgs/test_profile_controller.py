"""GET and PUT /orgs/{org_id}/profile."""

import base64
from typing import Any

import pytest

from service.orgs.model import LOGO_SIGNATURES, MAX_LOGO_BYTES
from service.storage import keys
from tests.support.api import Api, assert_invalid

LARGEST_LOGO = LOGO_SIGNATURES["png"].ljust(MAX_LOGO_BYTES, b"0")
LOGO = f"data:image/png;base64,{base64.b64encode(LARGEST_LOGO).decode()}"
NOTHING: dict[str, Any] = {
    **dict.fromkeys(("display_name", "colour", "logo", "reply_to", "locale", "time_zone")),
    "checkout_url": None,
    "receipts": False,
    "reminders": None,
}
ALL: dict[str, Any] = {
    "display_name": "Acme Ltd",
    "colour": "#0a7d4f",
    "logo": LOGO,
    "reply_to": "help@acme.example",
    "locale": "ha-NG",
    "time_zone": "Africa/Lagos",
    "checkout_url": "https://pay.acme.example/{link_id}?sum={amount}&in={currency}",
    "receipts": True,
    "reminders": [{"after_send": "72h"}, {"before_expiry": "24h"}],
}


def test_an_organization_that_said_nothing_has_an_empty_profile(api: Api) -> None:
    response = api.get_profile()
    assert (response.status_code, response.json()) == (200, NOTHING)


def test_a_profile_comes_back_as_it_was_put(api: Api) -> None:
    response = api.put_profile(**ALL)
    assert (response.status_code, response.json()) == (200, ALL)
    assert api.get_profile().json() == ALL


def test_what_is_left_out_is_gone(api: Api) -> None:
    api.put_profile(**ALL)
    assert api.put_profile(display_name="Acme").json() == NOTHING | {"display_name": "Acme"}
    assert api.get_profile().json() == NOTHING | {"display_name": "Acme"}


def test_each_organization_has_its_own(api: Api) -> None:
    api.put_profile(**ALL)
    assert api.get_profile(org_id="globex").json() == NOTHING


def test_a_profile_stays(api: Api) -> None:
    api.put_profile(**ALL)
    assert api.redis.ttl(keys.profile("acme")) == -1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("display_name", ""),
        ("display_name", "Acme\n"),
        ("display_name", "=?utf-8?q?x=0D=0ABcc=3A_evil=40e.com=0D=0A=0D=0AHello?="),
        ("reply_to", "=?utf-8?q?help?=@acme.example"),
        ("colour", "blue"),
        ("logo", "data:image/svg+xml;base64,PHN2Zz4="),
        ("logo", "data:image/png;base64,AAAA"),
        ("reply_to", "nobody"),
        ("locale", "xx"),
        ("locale", 7),
        ("time_zone", "Africa/Atlantis"),
        ("time_zone", "WAT"),
        ("time_zone", "../../etc/passwd"),
        ("time_zone", ""),
        ("checkout_url", "http://acme.example/{link_id}"),
        ("checkout_url", "https://acme.example/{link}"),
        ("receipts", "yes"),
        ("reminders", [{"after_send": "1h"}] * 4),
        ("web_site", "https://acme.example"),
    ],
)
def test_a_field_that_breaks_its_rule_is_named_and_nothing_changes(
    api: Api, field: str, value: object
) -> None:
    fields: dict[str, Any] = {field: value}
    api.put_profile(**ALL)
    assert_invalid(api.put_profile(**fields), field)
    assert api.get_profile().json() == ALL


@pytest.mark.parametrize(
    ("reminders", "field"),
    [
        ([{"after_send": "soon"}], "reminders[0].after_send"),
        ([{"before_expiry": "30m"}], "reminders[0].before_expiry"),
        ([{}], "reminders[0]"),
    ],
)
def test_the_reminder_that_breaks_a_rule_is_named(
    api: Api, reminders: list[dict[str, str]], field: str
) -> None:
    assert_invalid(api.put_profile(reminders=reminders), field)


def test_null_is_as_good_as_absent(api: Api) -> None:
    nulls: dict[str, Any] = dict.fromkeys(NOTHING)
    assert api.put_profile(**nulls).json() == NOTHING


def test_a_profile_stored_before_it_had_these_fields_reads_as_if_they_were_not_set(
    api: Api,
) -> None:
    api.redis.set(keys.profile("acme"), '{"display_name":"Acme Ltd"}')
    assert api.get_profile().json() == NOTHING | {"display_name": "Acme Ltd"}


def test_an_organization_that_cannot_be_has_no_profile(api: Api) -> None:
    for org_id in ("a b", "%2E", "%2E%2E"):
        assert_invalid(api.get_profile(api.internal(), org_id=org_id), "org_id")
        assert_invalid(api.put_profile(api.internal(), org_id=org_id), "org_id")


def test_a_link_says_in_which_language_its_customer_is_addressed(api: Api) -> None:
    link = api.create(locale="PT-br")
    assert link["locale"] == "pt-BR"
    assert api.get(link["id"]).json()["locale"] == "pt-BR"
    assert_invalid(api.post_link(locale="tlh"), "locale")
    assert_invalid(api.post_link(locale="ja"), "locale")
