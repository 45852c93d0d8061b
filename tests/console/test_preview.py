"""/console/preview: what customers will see of a profile that is not stored yet."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.orgs.test_model import logo
from tests.support.api import Api, Headers, assert_invalid, assert_problem

ALL: dict[str, Any] = {
    "display_name": "Acme & Söhne",
    "colour": "#0a7d4f",
    "logo": logo(),
    "reply_to": "help@acme.example",
    "locale": "de",
    "time_zone": "Asia/Tokyo",
    "checkout_url": "https://pay.acme.example/{link_id}",
}


def preview(
    api: Api, profile: object, org_id: str = "acme", headers: Headers | None = None
) -> httpx.Response:
    return api.client.post(
        f"/console/preview/{org_id}", json=profile, headers=headers or api.org(org_id)
    )


def test_page_and_mail_show_the_profile(api: Api) -> None:
    shown = preview(api, ALL).json()
    for html in (shown["page"], shown["mail"]):
        assert '<html lang="de" dir="ltr">' in html
        for text in ("Acme &amp; Söhne", "#0a7d4f", f'src="{ALL["logo"]}"', "JST"):
            assert text in html
    assert "mailto:help@acme.example" in shown["page"]
    assert shown["mail_from"].startswith("Acme & Söhne <")
    assert "Acme & Söhne" in shown["mail_subject"]


def test_the_profile_is_not_stored(api: Api) -> None:
    before = api.get_profile().json(), api.redis.dbsize()
    preview(api, ALL)
    assert (api.get_profile().json(), api.redis.dbsize()) == before


def test_without_a_profile_the_organization_is_called_by_its_id(api: Api) -> None:
    shown = preview(api, {}).json()
    assert "acme" in shown["page"]
    assert "acme" in shown["mail"]


@pytest.mark.parametrize("kind", ["page", "mail"])
def test_no_picture_is_asked_for(api: Api, kind: str) -> None:
    html = preview(api, ALL).json()[kind]
    sources = [part.partition('"')[0] for part in html.split('<img src="')[1:]]
    sources += [part.partition('"')[0] for part in html.split('<img class="logo" src="')[1:]]
    assert sources
    assert all(source.startswith("data:image/") for source in sources)


def test_a_profile_that_breaks_rules_has_no_preview(api: Api) -> None:
    assert_invalid(preview(api, {"colour": "red"}), "colour")
    assert_invalid(preview(api, {"checkout_url": "https://acme.example/"}), "checkout_url")


def test_only_the_organizations_admins_see_one(api: Api) -> None:
    assert_problem(preview(api, ALL, headers=api.org("globex")), 403, "forbidden")
    assert preview(api, ALL, headers=api.internal()).status_code == 200


def test_a_body_is_as_large_as_any(api: Api) -> None:
    assert_problem(preview(api, {"display_name": "x" * 65_536}), 413, "body_too_large")


def test_the_frame_runs_no_script_and_only_the_console_holds_it(api: Api) -> None:
    response = api.client.get("/console/preview")
    policy = response.headers["content-security-policy"].split("; ")
    assert {"script-src 'none'", "connect-src 'none'", "frame-ancestors 'self'"} <= set(policy)
    assert "<script" not in response.text


def test_behind_a_path_the_preview_finds_its_styles(make_api: Callable[..., Api]) -> None:
    api = make_api(PUBLIC_URL="https://shop.example/links")
    assert 'href="/links/pay/assets/pay.css"' in preview(api, ALL).json()["page"]
