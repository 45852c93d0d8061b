"""GET /console: the page and its files. ``tests/browser`` tests its behavior."""

import re
from collections.abc import Callable

import pytest

from service.console import controller
from service.console.controller import ASSETS_PATH
from service.health.model import Reason
from tests.support.api import Api

FILES = {file.name: file for file in controller.FILES}


def policy_of(api: Api) -> dict[str, str]:
    parts = api.client.get("/console").headers["content-security-policy"].split("; ")
    return {name: value for name, _, value in (part.partition(" ") for part in parts)}


def test_the_page_is_html_in_english_and_kept_by_nobody(api: Api) -> None:
    response = api.client.get("/console")
    assert (response.status_code, response.headers["content-type"].partition(";")[0]) == (
        200,
        "text/html",
    )
    assert '<html lang="en">' in response.text
    assert (response.headers["cache-control"], response.headers["referrer-policy"]) == (
        "no-store",
        "no-referrer",
    )


def test_the_page_holds_nothing_of_anybodys(api: Api) -> None:
    api.create(org_id="acme", email="secret@example.com")
    assert api.client.get("/console").text == api.client.get("/console", headers=api.org()).text
    assert "secret@example.com" not in api.client.get("/console", headers=api.internal()).text


def test_only_the_services_own_files_may_be_used_and_no_text_becomes_html(api: Api) -> None:
    policy = policy_of(api)
    assert (
        policy["default-src"]
        == policy["base-uri"]
        == policy["form-action"]
        == policy["frame-ancestors"]
        == "'none'"
    )
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert (policy["require-trusted-types-for"], policy["trusted-types"]) == ("'script'", "'none'")


def test_nothing_in_the_page_is_inline(api: Api) -> None:
    page = api.client.get("/console").text
    assert not re.search(r"<style|<script(?![^>]*src=)|\sstyle=|\son[a-z]+=|javascript:", page)


def test_all_that_the_page_and_its_modules_refer_to_is_served(api: Api) -> None:
    page = api.client.get("/console").text
    paths = set(re.findall(r'(?:src|href)="(/console/assets/[^"]+)"', page))
    assert {path.rpartition("/")[2] for path in paths} == {"base.css", "console.css", "console.js"}
    modules = [
        api.client.get(f"{ASSETS_PATH}/{name}").text for name in FILES if name.endswith(".js")
    ]
    paths |= {
        f"{ASSETS_PATH}/{name}"
        for text in modules
        for name in re.findall(r'from "\./([^"]+)"', text)
    }
    assert {path.rpartition("/")[2] for path in paths} == set(FILES)
    assert {api.client.get(path).status_code for path in paths} == {200}


@pytest.mark.parametrize(
    ("name", "media_type"), [("console.css", "text/css"), ("console.js", "javascript")]
)
def test_a_file_is_served_as_what_it_is(api: Api, name: str, media_type: str) -> None:
    assert media_type in api.client.get(f"{ASSETS_PATH}/{name}").headers["content-type"]


@pytest.mark.parametrize("name", ["pay.js", "..%2f..%2fapp.py", "nothing.js"])
def test_no_other_file_is(api: Api, name: str) -> None:
    assert api.client.get(f"{ASSETS_PATH}/{name}").status_code == 404


def test_all_of_it_weighs_less_than_180_kilobytes(api: Api) -> None:
    weights = [len(api.client.get(f"{ASSETS_PATH}/{name}").content) for name in FILES]
    assert sum(weights) + len(api.client.get("/console").content) < 180_000


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".js")])
def test_no_module_makes_html_of_text(name: str) -> None:
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|localStorage",
        FILES[name].read_text(),
    )


@pytest.mark.parametrize("reason", Reason)
def test_the_overview_has_words_for_every_reason_to_be_degraded(reason: Reason) -> None:
    assert f"  {reason.value}:" in FILES["overview.js"].read_text()


def test_behind_a_path_the_page_finds_its_files(make_api: Callable[..., Api]) -> None:
    page = make_api(PUBLIC_URL="https://shop.example/links").client.get("/console").text
    assert 'data-root="/links"' in page
    assert set(re.findall(r'(?:src|href)="(/[^"#/]*)', page)) == {"/links"}
