"""HMAC: RFC 4231 (SHA-256) and RFC 2202 (SHA-1), the second and the sixth case of each."""

import pytest

from service.values.mac import mac

QUESTION = b"what do ya want for nothing?"
LARGER = b"Test Using Larger Than Block-Size Key - Hash Key First"


@pytest.mark.parametrize(
    ("key", "message", "algorithm", "expected"),
    [
        (
            b"Jefe",
            QUESTION,
            "sha256",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            b"\xaa" * 131,
            LARGER,
            "sha256",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
        (b"Jefe", QUESTION, "sha1", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
        (b"\xaa" * 80, LARGER, "sha1", "aa4ae5e15272d00e95705637ce8a3b55ed402112"),
    ],
)
def test_mac_gives_the_values_of_the_standards(
    key: bytes, message: bytes, algorithm: str, expected: str
) -> None:
    assert mac(key, message, algorithm).hex() == expected
