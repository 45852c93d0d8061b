"""Real names and references are accepted; text that breaks or hides its line is refused."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import Invalid
from service.values.text import LINE_PATTERN, parse_line

NAMES = {
    "Sinhala with a joiner": "ශ්‍රී ලංකා",
    "Persian with a non-joiner": "می‌خواهم",
    "emoji sequence": "👩‍🍳",
    "flag": "🇳🇬",
    "emoji variant": "❤️",
    "no-break space": "n°\u00a012",
    "narrow no-break space": "1\u202f000",
    "wide space": "田中\u3000太郎",
    "right-to-left mark": "(עברית)\u200f",
    "soft hyphen": "Donau\u00addampf",
    "decomposed": "Zoe\u0308",
    "markup": "<b>&amp;",
    "newest emoji": "\U0001fae8",
}
REFUSED = {
    "newline": ("a\nb", "must not contain U+000A CONTROL CHARACTER"),
    "tab": ("a\tb", "must not contain U+0009 CONTROL CHARACTER"),
    "NUL": ("a\0b", "must not contain U+0000 CONTROL CHARACTER"),
    "delete": ("a\x7fb", "must not contain U+007F CONTROL CHARACTER"),
    "next line": ("a\x85b", "must not contain U+0085 CONTROL CHARACTER"),
    "line separator": ("a\u2028b", "must not contain U+2028 LINE SEPARATOR"),
    "paragraph separator": ("a\u2029b", "must not contain U+2029 PARAGRAPH SEPARATOR"),
    "override": ("a\u202eb", "must not contain U+202E RIGHT-TO-LEFT OVERRIDE"),
    "embedding": ("a\u202ab", "must not contain U+202A LEFT-TO-RIGHT EMBEDDING"),
    "isolate": ("a\u2066b", "must not contain U+2066 LEFT-TO-RIGHT ISOLATE"),
    "end of isolate": ("a\u2069b", "must not contain U+2069 POP DIRECTIONAL ISOLATE"),
    "surrogate": ("a\ud800b", "must not contain U+D800 SURROGATE"),
    "empty": ("", "must not be blank"),
    "space": (" ", "must not be blank"),
    "other spaces": ("\u00a0\u3000\u2009", "must not be blank"),
    "joiners": ("\u200b\u200c\u200d\u2060\ufeff", "must not be blank"),
    "fillers": ("\u3164\u2800", "must not be blank"),
    "long": ("x" * 21, "must have at most 20 characters"),
}


@pytest.mark.parametrize("text", NAMES.values(), ids=NAMES)
def test_what_people_are_called_is_taken_as_it_is(text: str) -> None:
    assert parse_line(text, "display_name", 20) == text


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_names_the_field_and_the_character(text: str, message: str) -> None:
    with pytest.raises(Invalid) as refusal:
        parse_line(text, "transaction_id", 20)
    assert (refusal.value.field, str(refusal.value)) == ("transaction_id", message)


@given(
    st.text(
        st.one_of(
            st.characters(exclude_categories=["Cs"]),
            st.sampled_from(" \n\u00a0\u200d\u202e\u2069\u3000"),
        )
    )
)
def test_the_pattern_that_the_api_describes_takes_the_same(text: str) -> None:
    pattern = re.compile(
        LINE_PATTERN.removesuffix("$") + r"\Z"
    )  # a line's end is the text's to ECMA-262, as here
    try:
        parse_line(text, "transaction_id", len(text))
    except Invalid:
        assert not pattern.search(text)
    else:
        assert pattern.search(text)
