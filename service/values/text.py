"""One line of text that people type and other people read: names, references."""

import re
import unicodedata

from service.errors import Invalid

_BREAKING = r"\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069"
"""Controls, line and paragraph separators, bidi embeddings, overrides and isolates (UAX #9)."""
_SURROGATES = r"\ud800-\udfff"
_INVISIBLE = (
    r"\x20\xa0\xad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u202f"
    r"\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0"
)
"""Spaces, joiners, variation selectors: allowed as parts of words and emoji, but not alone."""
LINE_PATTERN = f"^[^{_BREAKING}]*[^{_BREAKING}{_INVISIBLE}][^{_BREAKING}]*$"
"""The rules of ``parse_line`` but for length and surrogates, in ECMA-262 and Python."""
_FORBIDDEN_CHARACTER = re.compile(f"[{_BREAKING}{_SURROGATES}]")
_VISIBLE_CHARACTER = re.compile(f"[^{_INVISIBLE}]")


def parse_line(text: str, field: str, max_length: int) -> str:
    """``text`` unchanged if it is one visible line that does not affect the text around it.

    Raises:
        Invalid: it is not, or is longer than ``max_length`` characters.
    """
    if len(text) > max_length:
        raise Invalid(field, f"must have at most {max_length} characters")
    if match := _FORBIDDEN_CHARACTER.search(text):
        raise Invalid(field, f"must not contain {describe_character(match[0])}")
    if not _VISIBLE_CHARACTER.search(text):
        raise Invalid(field, "must not be blank")
    return text


def describe_character(character: str) -> str:
    """``U+202E RIGHT-TO-LEFT OVERRIDE``. Unicode has no names for controls and surrogates."""
    kind = "SURROGATE" if unicodedata.category(character) == "Cs" else "CONTROL CHARACTER"
    return f"U+{ord(character):04X} {unicodedata.name(character, kind)}"
