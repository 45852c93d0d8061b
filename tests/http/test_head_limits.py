"""Heads of requests that are too large are refused before anything in them is read."""

import pytest

from tests.support.api import Api, assert_problem

ROUTES = ["/healthz", "/pay/x", "/nowhere"]


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(
    "name",
    [
        "Accept",
        "Accept-Language",
        "X-Forwarded-For",
        "Cookie",
        "If-None-Match",
        "Authorization",
        "X-Any",
    ],
)
def test_a_header_of_16_kb_is_refused(api: Api, path: str, name: str) -> None:
    assert_problem(api.client.get(path, headers={name: "a" * 16 * 1024}), 431, "headers_too_large")


def test_headers_that_are_larger_together_are_refused(api: Api) -> None:
    headers = [(f"X-{number}", "a" * 1024) for number in range(16)]
    assert_problem(api.client.get("/healthz", headers=headers), 431, "headers_too_large")


def test_headers_of_15_kb_are_taken(api: Api) -> None:
    assert api.client.get("/healthz", headers={"Cookie": "a" * 15 * 1024}).status_code == 200


@pytest.mark.parametrize(
    "target",
    [
        pytest.param("/pay/" + "x" * 8192, id="path"),
        pytest.param("/pay/" + "%41" * 2731, id="escaped path"),
        pytest.param("/pay/x?" + "x" * 8192, id="query"),
        pytest.param("/pay/x?" + "a&" * 100, id="parameters"),
    ],
)
def test_an_address_that_is_too_long_is_refused(api: Api, target: str) -> None:
    assert_problem(api.client.get(target), 414, "address_too_long")


@pytest.mark.parametrize(
    "target", ["/pay/" + "x" * 8000, "/pay/x?" + "x" * 8000, "/pay/x?" + "a&" * 99]
)
def test_an_address_of_8000_bytes_and_100_parameters_is_taken(api: Api, target: str) -> None:
    assert api.client.get(target).status_code == 404
