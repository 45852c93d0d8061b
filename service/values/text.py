"""Text that people type and other people read in one line: names, references."""

import re
import unicodedata

from service.errors import Invalid

_BREAKING = r"\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069"
"""Control characters, line and paragraph separators, bidi embeddings, overrides and isolates (UAX #9)."""
_SURROGATES = r"\ud800-\udfff"
_INVISIBLE = (
    r"\x20\xa0\xad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u202f\u205f-\u206f"
    r"\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0"
)
"""Spaces, and what is drawn as nothing by itself: joiners and variation selectors are parts of words and emoji."""
LINE_PATTERN = f"^[^{_BREAKING}]*[^{_BREAKING}{_INVISIBLE}][^{_BREAKING}]*$"
"""What ``parse_line`` takes, but for its length, as a regular expression of ECMA-262 and Python's, of text without surrogates."""
_BREAKS = re.compile(f"[{_BREAKING}{_SURROGATES}]")
_VISIBLE = re.compile(f"[^{_INVISIBLE}]")


def parse_line(text: str, field: str, max_length: int) -> str:
    """``text`` as it was sent, if it is one line that shows something and leaves the text around it alone.

    Raises:
        Invalid: it is not, or is longer than ``max_length`` characters; the message names the character at fault.
    """
    if len(text) > max_length:
        raise Invalid(field, f"must have at most {max_length} characters")
    if found := _BREAKS.search(text):
        raise Invalid(field, f"must not contain {name_character(found[0])}")
    if not _VISIBLE.search(text):
        raise Invalid(field, "must not be blank")
    return text


def name_character(character: str) -> str:
    """``U+202E RIGHT-TO-LEFT OVERRIDE``; Unicode has no names for control characters and surrogates."""
    kind = "SURROGATE" if unicodedata.category(character) == "Cs" else "CONTROL CHARACTER"
    return f"U+{ord(character):04X} {unicodedata.name(character, kind)}"
