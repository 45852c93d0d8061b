"""The choice of a language."""

import pytest

from service.errors import Invalid
from service.values.languages import LANGUAGES, choose_locale, parse_locale


@pytest.mark.parametrize(
    ("text", "tag"),
    [("en", "en"), ("pt-BR", "pt-BR"), ("PT-br", "pt-BR"), ("ha-NG", "ha-NG"), ("AR", "ar")],
)
def test_a_language_that_we_write_is_taken_with_its_region(text: str, tag: str) -> None:
    assert parse_locale(text) == tag


@pytest.mark.parametrize(
    "text", ["", "e", "zh", "en-XX", "en_GB", "en-GB-oed", "en\n", "english", "de-", "fr-CA,en"]
)
def test_what_we_do_not_write_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="must be one of en, fr"):
        parse_locale(text)


@pytest.mark.parametrize(
    ("wishes", "tag"),
    [
        pytest.param([], "en", id="nobody says"),
        pytest.param([None, "", None], "en", id="nobody says anything"),
        pytest.param(["de", "fr"], "de", id="the link's before the browser's"),
        pytest.param(
            [None, "fr-CA,fr;q=0.9,en;q=0.8", "de"],
            "fr-CA",
            id="the browser's before the profile's",
        ),
        pytest.param(
            [None, "zh-CN,zh;q=0.9", "de"],
            "de",
            id="the profile's where the browser wants what we do not write",
        ),
        pytest.param(["en;q=0.3, es;q=0.7"], "es", id="what is liked best"),
        pytest.param(["es;q=0, pt"], "pt", id="what is not wanted"),
        pytest.param(["fr-XX"], "fr", id="an unknown region"),
        pytest.param(["pt-Latn-BR"], "pt", id="a script"),
        pytest.param(["*"], "en", id="anything"),
        pytest.param(["de;q=2, fr;q=x, ;;;,,"], "en", id="nonsense"),
        pytest.param(["x" * 100_000 + ",de"], "en", id="too much of it"),
    ],
)
def test_the_first_wish_that_can_be_fulfilled_counts(wishes: list[str | None], tag: str) -> None:
    assert choose_locale(*wishes) == tag


def test_english_is_for_all_others() -> None:
    assert LANGUAGES[0] == "en"
