"""Who gets a page, and who JSON."""

import time

import pytest

from service.http.accept import prefers_json

FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    "accept",
    [
        "application/json",
        "application/problem+json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json;q=0.001",
        "application/json, text/plain, */*",  # axios
        "application/json, text/*",
        "application/json, text/html;q=0.9",
        "text/html;q=0.9, application/json",
        "text/html;q=0, application/json;q=0.1",
        "*/*;q=0.1,application/json",
    ],
)
def test_who_names_json_gets_it(accept: str) -> None:
    assert prefers_json(accept)


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        "application/*",
        "image/*",
        FIREFOX,
        "text/html",
        "text/*",
        "application/xhtml+xml",
        "text/html, application/json",
        "application/json, text/html",
        "application/json;q=0.5, text/html",
        "application/json;q=0.5, */*",
        "application/json;q=0, */*",
        "application/json;q=0",
        "application/json;q=0.000",
        "application/json;q=nan",
        "application/json;q=2",
        "application/json;q=",
        "application/jsonp",
        "application/activity+json, application/ld+json",
        ",;=,,q=1",
    ],
)
def test_everybody_else_gets_a_page(accept: str) -> None:
    assert not prefers_json(accept)


@pytest.mark.parametrize(
    "accept", ["," * 400_000, "a/b;q=0.1," * 40_000, ";" * 400_000, "q=" * 200_000]
)
def test_a_long_header_costs_no_more_than_a_short_one(accept: str) -> None:
    started = time.process_time()
    prefers_json(accept)
    assert time.process_time() - started < 0.02
