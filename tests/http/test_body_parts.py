"""Metadata and reminders of a body: what is wrong in them is named."""

import httpx
import pytest

from tests.support.api import JANE, JSON, Api, assert_problem
from tests.support.factories import UNKNOWN_LINK_ID


def faults(response: httpx.Response) -> dict[str, str]:
    """What is said of each field."""
    errors = assert_problem(response, 422, "validation_failed")["errors"]
    return {error["field"]: error["message"] for error in errors}


PARTS: list[tuple[str, dict[str, str]]] = [
    ('"metadata": "invoice"', {"metadata": "must be an object whose values are text"}),
    ('"metadata": [{}]', {"metadata": "must be an object whose values are text"}),
    ('"metadata": {"a": 1, "b": "x"}', {"metadata[a]": "must be text"}),
    (
        '"metadata": {"a": null, "b": {}}',
        dict.fromkeys(["metadata[a]", "metadata[b]"], "must be text"),
    ),
    (f'"metadata": {{"{"k" * 99}": 1}}', {f"metadata[{'k' * 64}]": "must be text"}),
    ('"metadata": {"": "x"}', {"metadata": "must not be blank"}),
    ('"metadata": {"a": "\\ud83d"}', {"metadata": "must not contain U+D83D SURROGATE"}),
    ('"metadata": {"\\udc00": ""}', {"metadata": "must not contain U+DC00 SURROGATE"}),
    ('"reminders": {}', {"reminders": "must be a list"}),
    (
        '"reminders": ["72h", null]',
        dict.fromkeys(["reminders[0]", "reminders[1]"], "must be an object"),
    ),
    ('"reminders": [{"after_send": 72}]', {"reminders[0].after_send": "must be text"}),
    ('"reminders": [{"after": "72h"}]', {"reminders[0].after": "is not a known field"}),
    (
        '"reminders": [{"before_expiry": "\\ud83d"}]',
        {"reminders": "must not contain U+D83D SURROGATE"},
    ),
]


@pytest.mark.parametrize(("content", "told"), PARTS, ids=[content for content, _ in PARTS])
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_part_of_a_field_that_is_wrong_is_named(
    api: Api, method: str, content: str, told: dict[str, str]
) -> None:
    path, required = "/payment-links", f'"email": "{JANE}", "org_id": "acme", '
    if method == "PATCH":
        path, required = f"{path}/{UNKNOWN_LINK_ID}", ""
    response = api.client.request(
        method, path, content=f"{{{required}{content}}}", headers=api.internal() | JSON
    )
    assert faults(response) == told


def test_no_more_than_a_hundred_parts_are_named(api: Api) -> None:
    metadata = dict.fromkeys(map(str, range(5000)), 1)
    assert len(faults(api.post_link(metadata=metadata))) == 100
