"""GET /orgs."""

from typing import Any

import pytest

from tests.support.api import Api, assert_invalid


def orgs(api: Api, **params: Any) -> dict[str, Any]:
    response = api.client.get("/orgs", params=params, headers=api.internal())
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    assert (found.pop("unreadable_partitions"), found.pop("unavailable")) == ([], [])
    return found


@pytest.fixture
def made(api: Api) -> Api:
    for org_id in ("globex", "acme", "Acme.eu", "acme:2", "initech"):
        api.create(org_id=org_id)
    return api


def test_nobody_has_links_yet(api: Api) -> None:
    assert orgs(api) == {"total": 0, "orgs": []}


def test_organizations_are_in_order(made: Api) -> None:
    assert orgs(made) == {"total": 5, "orgs": ["acme", "Acme.eu", "acme:2", "globex", "initech"]}


def test_a_prefix_narrows_them_in_any_case(made: Api) -> None:
    assert orgs(made, prefix="ACME") == {"total": 3, "orgs": ["acme", "Acme.eu", "acme:2"]}
    assert orgs(made, prefix="z") == {"total": 0, "orgs": []}


def test_a_limit_bounds_them_and_all_are_counted(made: Api) -> None:
    assert orgs(made, limit=2) == {"total": 5, "orgs": ["acme", "Acme.eu"]}


def test_an_organization_is_forgotten_with_its_links(made: Api) -> None:
    made.clock.advance(days=94)
    made.create(org_id="globex")
    assert orgs(made)["orgs"] == ["globex"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("limit", "0"), ("limit", "1001"), ("limit", "many"), ("prefix", "x" * 65), ("cursor", "x")],
)
def test_a_parameter_that_breaks_its_rule_is_named(api: Api, field: str, value: str) -> None:
    assert_invalid(api.client.get("/orgs", params={field: value}, headers=api.internal()), field)
