"""``If-Match``: a list of strong entity tags, or ``*``."""

from types import SimpleNamespace
from typing import cast

import pytest

from service.errors import EtagInvalid
from service.http.conditional import read_if_match
from service.http.request import Connection


def connection(*values: str) -> Connection:
    """A request with an ``If-Match`` header for each of ``values``."""
    headers = [(b"if-match", value.encode("latin-1")) for value in values]
    return cast("Connection", SimpleNamespace(scope={"headers": headers}))


@pytest.mark.parametrize(
    ("values", "tags"),
    [
        ([], None),
        (["*"], None),
        ([" * "], None),
        (['"0-active"'], {'"0-active"'}),
        (['"0-active","1-active"'], {'"0-active"', '"1-active"'}),
        (['"0-active" ,, "1-active",'], {'"0-active"', '"1-active"'}),
        (['"0-active"', '"1-active"'], {'"0-active"', '"1-active"'}),
        (['"a,b"'], {'"a,b"'}),
        (['""'], {'""'}),
        ([""], set()),
        ([" , "], set()),
        (['"é"'], {'"é"'}),
    ],
    ids=[
        "none",
        "any",
        "any in spaces",
        "one",
        "two",
        "empty elements",
        "two headers",
        "a comma in quotes",
        "empty",
        "an empty list",
        "empty elements only",
        "outside ASCII",
    ],
)
def test_a_list_of_strong_tags_is_read(values: list[str], tags: set[str] | None) -> None:
    assert read_if_match(connection(*values)) == tags


@pytest.mark.parametrize(
    "value",
    [
        'W/"0-active"',
        '"0-active", W/"1-active"',
        "0-active",
        '"0-active',
        '"0-active" "1-active"',
        '*, "0-active"',
        '"' * 8001,
        ", " * 8000 + "x",
    ],
    ids=[
        "weak",
        "one of them weak",
        "without quotes",
        "without an end",
        "without a comma",
        "any, and one",
        "8001 quotes",
        "8000 commas",
    ],
)
def test_anything_else_is_refused(value: str) -> None:
    with pytest.raises(EtagInvalid):
        read_if_match(connection(value))
