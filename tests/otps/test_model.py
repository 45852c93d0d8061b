"""One-time passwords: RFC 4226, and what a code depends on."""

import time

import pytest

from service.otps.model import derive_code, hotp, matches, read_code
from tests.support.typed_codes import REFUSED, TAKEN

RFC_4226_KEY = b"12345678901234567890"
RFC_4226_CODES = [
    "755224",
    "287082",
    "359152",
    "969429",
    "338314",
    "254676",
    "287922",
    "162583",
    "399871",
    "520489",
]
KEY, NONCE, EMAIL = b"k" * 32, b"n" * 16, "jane@example.com"


@pytest.mark.parametrize(("counter", "code"), list(enumerate(RFC_4226_CODES)))
def test_hotp_gives_the_values_of_rfc_4226_appendix_d(counter: int, code: str) -> None:
    assert hotp(RFC_4226_KEY, counter) == code


def test_a_code_is_the_same_wherever_it_is_derived() -> None:
    assert derive_code(KEY, NONCE, EMAIL) == derive_code(bytes(KEY), bytes(NONCE), EMAIL)


@pytest.mark.parametrize(
    ("key", "nonce", "email"),
    [(b"K" * 32, NONCE, EMAIL), (KEY, b"N" * 16, EMAIL), (KEY, NONCE, "joe@example.com")],
    ids=["another key", "another nonce", "another e-mail"],
)
def test_a_code_differs_by(key: bytes, nonce: bytes, email: str) -> None:
    assert derive_code(key, nonce, email) != derive_code(KEY, NONCE, EMAIL)


def test_a_code_is_six_ascii_digits_with_its_leading_zeros() -> None:
    codes = [derive_code(KEY, number.to_bytes(16), EMAIL) for number in range(500)]
    assert all(len(code) == 6 and code.isascii() and code.isdigit() for code in codes)
    assert any(code.startswith("0") for code in codes)


def test_codes_spread_over_their_range() -> None:
    codes = {derive_code(KEY, number.to_bytes(16), EMAIL) for number in range(1000)}
    assert len(codes) > 990
    assert {code[0] for code in codes} == set("0123456789")


@pytest.mark.parametrize(
    ("code", "expected", "same"),
    [
        ("012345", "012345", True),
        ("012345", "012346", False),
        ("12345", "012345", False),
        ("", "012345", False),
        ("\uff1012345", "012345", False),
    ],
    ids=["same", "last digit", "short", "empty", "full-width digit"],
)
def test_codes_match_only_where_they_are_the_same(code: str, expected: str, *, same: bool) -> None:
    assert matches(code, expected) is same


@pytest.mark.parametrize("way", TAKEN)
def test_a_code_is_read_however_it_is_written(way: str) -> None:
    assert read_code(TAKEN[way]("012345")) == "012345"


@pytest.mark.parametrize("way", REFUSED)
def test_what_is_no_code_is_not_read(way: str) -> None:
    assert read_code(REFUSED[way]("012345")) is None


def test_a_long_text_is_no_code_and_costs_nothing() -> None:
    started = time.process_time()
    assert read_code("123456" + " " * 60_000) is None
    assert time.process_time() - started < 0.001
