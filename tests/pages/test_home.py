"""The home page, the icon, and the rules for crawlers."""

import re
from collections.abc import Callable

import pytest

from tests.support.api import PUBLIC_URL, Api

PAGES = ["/", "/console", "/schema", "/pay/pl_x"]
HTML = {"Accept": "text/html"}


@pytest.mark.parametrize(
    "accept", ["*/*", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"]
)
def test_the_page_leads_to_console_description_and_health(api: Api, accept: str) -> None:
    response = api.client.get("/", headers={"Accept": accept})
    assert (response.status_code, response.headers["content-type"].partition(";")[0]) == (
        200,
        "text/html",
    )
    places = re.findall(r'<a href="([^"]+)"', response.text)
    assert places == ["/console", "/schema", "/readyz"]
    assert [api.client.get(place).status_code for place in places] == [200] * 3


def test_a_program_that_asks_for_json_gets_the_places_as_json(api: Api) -> None:
    places = api.client.get("/", headers={"Accept": "application/json"}).json()
    assert places == {
        "title": "Payment Link Service",
        "console": f"{PUBLIC_URL}/console",
        "schema": f"{PUBLIC_URL}/schema",
        "openapi": f"{PUBLIC_URL}/schema/openapi.json",
        "health": f"{PUBLIC_URL}/readyz",
    }


def test_the_page_runs_no_script_and_is_framed_by_nobody(api: Api) -> None:
    policy = api.client.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert not re.search(r"<style|<script|\sstyle=|\son[a-z]+=", api.client.get("/").text)


def test_all_that_the_page_refers_to_is_served(api: Api) -> None:
    references = re.findall(r'(?:src|href)="(/[^"]+\.[a-z]+)"', api.client.get("/").text)
    assert {reference.rpartition(".")[2] for reference in references} == {"css", "svg"}
    assert [api.client.get(reference).status_code for reference in references] == [200] * len(
        references
    )


@pytest.mark.parametrize("path", PAGES)
def test_every_page_has_the_icon(api: Api, path: str) -> None:
    assert (
        '<link rel="icon" href="/favicon.svg" type="image/svg+xml">'
        in api.client.get(path, headers=HTML).text
    )


@pytest.mark.parametrize("path", ["/favicon.svg", "/favicon.ico"])
def test_the_icon_is_a_small_drawing(api: Api, path: str) -> None:
    response = api.client.get(path)
    assert (response.status_code, response.headers["content-type"]) == (200, "image/svg+xml")
    assert "max-age" in response.headers["cache-control"]
    assert len(response.content) < 1024


def test_crawlers_may_fetch_pages_to_learn_that_they_are_not_for_an_index(api: Api) -> None:
    """Crawlers may list a disallowed page by its address, and link previews would be empty."""
    rules = api.client.get("/robots.txt")
    assert (rules.status_code, rules.headers["content-type"].partition(";")[0]) == (
        200,
        "text/plain",
    )
    assert (
        rules.text
        == "User-agent: *\nDisallow: /orgs\nDisallow: /outbox\nDisallow: /payment-links\n"
    )
    assert all(
        '<meta name="robots" content="noindex">' in api.client.get(path, headers=HTML).text
        for path in PAGES
    )


def test_under_a_path_the_page_and_the_rules_name_it(make_api: Callable[..., Api]) -> None:
    api = make_api(PUBLIC_URL="https://shop.example.com/pls")
    assert 'href="/pls/console"' in api.client.get("/").text
    assert "Disallow: /pls/orgs\n" in api.client.get("/robots.txt").text


@pytest.mark.parametrize("path", ["/nowhere", "/favicon.png", "/assets/pay.js"])
def test_elsewhere_there_is_nothing(api: Api, path: str) -> None:
    assert api.client.get(path, headers=HTML).json()["code"] == "not_found"
