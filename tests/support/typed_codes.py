"""Codes as people type and paste them."""

from collections.abc import Callable

ZEROS = {
    "Arabic-Indic": 0x660,
    "Persian": 0x6F0,
    "Devanagari": 0x966,
    "Bengali": 0x9E6,
    "Tamil": 0xBE6,
    "Khmer": 0x17E0,
    "Adlam": 0x1E950,
    "mathematical bold": 0x1D7CE,
    "mathematical monospace": 0x1D7F6,
    "full-width": 0xFF10,
}
"""The digit zero of some scripts."""


def in_script(zero: int) -> Callable[[str], str]:
    return lambda code: "".join(chr(zero + int(digit)) for digit in code)


TAKEN: dict[str, Callable[[str], str]] = {
    "as it is": lambda code: code,
    "in two halves": lambda code: f"{code[:3]} {code[3:]}",
    "with a hyphen": lambda code: f"{code[:3]}-{code[3:]}",
    "in pairs": lambda code: f"{code[:2]}\u2013{code[2:4]}\u2014{code[4:]}",
    "with a minus": lambda code: f"{code[:3]}\u2212{code[3:]}",
    "with spaces around": lambda code: f" {code} ",
    "with tabs": lambda code: f"\t{code}\t",
    "digit by digit": "\u00a0".join,
    "with wide and narrow spaces": lambda code: f"{code[:2]}\u3000{code[2:4]}\u202f{code[4:]}",
    "with a byte order mark": lambda code: f"\ufeff{code}",
    "with direction marks": lambda code: f"\u202a{code[:3]}\u200e{code[3:]}\u202c",
    "with zero-width spaces": "\u200b".join,
    "with soft hyphens": "\u00ad".join,
    **{f"{name} digits": in_script(zero) for name, zero in ZEROS.items()},
    "two scripts": lambda code: in_script(0x660)(code[:3]) + "\u2009" + in_script(0x966)(code[3:]),
}
REFUSED: dict[str, Callable[[str], str]] = {
    "too short": lambda code: code[:5],
    "too long": lambda code: code + code[0],
    "letters": lambda _: "abcdef",
    "a letter after it": lambda code: f"{code}a",
    "a letter within": lambda code: f"{code[:3]}l{code[3:]}",
    "superscripts": lambda _: "\u00b2" * 6,
    "Chinese numerals": lambda _: "\u4e00" * 6,
    "points": ".".join,
    "a plus": lambda code: f"+{code}",
    "nothing but spaces": lambda _: "      ",
}
