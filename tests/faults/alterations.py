"""Good tokens that were touched afterwards: each function draws one of a family, a token or the values of whole headers."""

import json
from collections.abc import Callable
from random import Random

from tests.faults.minting import BASE64URL, Mint, b64, encoded, unb64

STRANGE = [
    bytes([number])
    for number in (*range(0x20, 0x7F), *range(0x80, 0x100))
    if bytes([number]) not in BASE64URL + b"."
]
"""Characters that a header's value may have, and a token may not."""
SCHEMES = [
    b"Basic",
    b"Token",
    b"JWT",
    b"MAC",
    b"DPoP",
    b"Digest",
    b"OAuth",
    b"Bearer:",
    b"Bearer,",
    b"Bear",
    b"Bearers",
    b"Bearer=",
]
WRAPPED: list[Callable[[bytes], bytes]] = [
    lambda token: token,
    lambda token: b"Bearer" + token,
    lambda token: b"Bearer\t" + token,
    lambda token: b"Bearer \t" + token,
    lambda token: b"Bearer \xa0" + token,
    lambda token: b"\xa0Bearer " + token,
    lambda token: b"Bearer " + token + b"\x85",
    lambda token: b"Bearer " + token + b" x",
    lambda token: b"Bearer Bearer " + token,
    lambda token: b"Bearer token=" + token,
    lambda token: b'Bearer "' + token + b'"',
    lambda token: b"access_token=" + token,
    lambda _: b"Bearer",
    lambda _: b"",
]


def truncated(mint: Mint) -> bytes:
    token = mint.any().signed()
    head, payload, signature = token.split(b".")
    place = mint.chance.randrange(1, len(token))
    of_parts = [
        head + b"." + payload,
        head + b"." + payload + b".",
        head + b".." + signature,
        b"." + payload + b"." + signature,
        head,
    ]
    return mint.chance.choice([token[:place], token[place:], *of_parts])


def bits(mint: Mint) -> bytes:
    parts = mint.any().signed().split(b".")
    number = mint.chance.randrange(3)
    content = bytearray(unb64(parts[number]))
    for place in mint.chance.sample(range(len(content)), mint.chance.choice([1, 1, 1, 2, 8])):
        content[place] ^= 1 << mint.chance.randrange(8)
    return b".".join([*parts[:number], b64(bytes(content)), *parts[number + 1 :]])


def characters(mint: Mint) -> bytes:
    """Other ways to write the same bytes, which are no base64url without padding (RFC 7515, 2), and what is no character of it."""
    token = mint.any().signed()
    place, strange = mint.chance.randrange(1, len(token)), mint.chance.choice(STRANGE)
    return mint.chance.choice([
        token[:place] + strange + token[place:], token[:place] + strange + token[place + 1 :],
        uncanonical(token, mint.chance), token + b"=", token + b"==", token + b"=" * (-len(token.rpartition(b".")[2]) % 4 or 4),
        token + b"\xa0", b"\xa0" + token, b'"' + token + b'"', token + b".", b"." + token, token + b"%3D", token + b",",
        token.replace(b".", b"%2E"), token.replace(b".", b".."), token.swapcase(), token[::-1], b64(token), token + token,
    ])  # fmt: skip


def spliced(mint: Mint) -> bytes:
    """Parts of good tokens of different kinds or times."""
    admin, customer = mint.admin().signed().split(b"."), mint.customer().signed().split(b".")
    other = mint.admin().but(None, exp=mint.now + 1800).signed().split(b".")
    first, second = mint.chance.choice(
        [(admin, customer), (customer, admin), (other, customer), (customer, other)]
    )
    number = mint.chance.randrange(3)
    return b".".join([*first[:number], second[number], *first[number + 1 :]])


def parts(mint: Mint) -> bytes:
    """More or fewer than three; five are a JWE's (RFC 7516), and braces another serialization's (RFC 7515, 7.2)."""
    head, payload, signature = mint.any().signed().split(b".")
    jwe = encoded(
        {
            "alg": mint.chance.choice(["dir", "RSA-OAEP", "PBES2-HS256+A128KW"]),
            "enc": "A256GCM",
            "p2c": 10**9,
            "zip": "DEF",
        }
    )
    full = {
        "payload": payload.decode(),
        "protected": head.decode(),
        "signature": signature.decode(),
    }
    return mint.chance.choice([
        b".".join([jwe, mint.junk(32), mint.junk(12), mint.junk(64), mint.junk(16)]),
        b".".join([head, payload, signature, mint.junk(12), mint.junk(16)]),
        b".".join([head, payload, signature, signature]), b".".join([head, payload, payload, signature]),
        b".".join([head] * mint.chance.randint(4, 40)), head + b"." + signature, b"." * mint.chance.randint(1, 40),
        json.dumps(full, separators=(",", ":")).encode(), json.dumps({"payload": full["payload"], "signatures": [full]}).encode(),
    ])  # fmt: skip


def several_headers(mint: Mint) -> list[bytes]:
    good, other = b"Bearer " + mint.admin().signed(), b"Bearer " + mint.customer().signed()
    junk = mint.chance.choice([b"Bearer x", b"Basic eDp4", b"", b"Bearer " + mint.junk(90)])
    return mint.chance.choice([
        [good, good], [good, junk], [junk, good], [good, other], [other, good], [junk, good, junk],
        [good + b", " + other], [good + b"," + good], [junk + b", " + good],
    ])  # fmt: skip


def schemes(mint: Mint) -> list[bytes]:
    token = mint.any().signed()
    return [
        mint.chance.choice(
            [mint.chance.choice(SCHEMES) + b" " + token, mint.chance.choice(WRAPPED)(token)]
        )
    ]


def uncanonical(token: bytes, chance: Random) -> bytes:
    """With a last character whose spare bits are not zero; the bytes stay the same."""
    spare = {2: 4, 3: 2}[len(token.rpartition(b".")[2]) % 4]
    last = BASE64URL.index(token[-1]) ^ chance.randrange(1, 2**spare)
    return token[:-1] + BASE64URL[last : last + 1]


FAMILIES = [truncated, bits, characters, spliced, parts, several_headers, schemes]
