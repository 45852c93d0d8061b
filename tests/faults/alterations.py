"""Altered tokens: each function draws a token, or the values of whole headers, of one family."""

import json
from collections.abc import Callable
from random import Random

from tests.faults.token_factory import BASE64URL, TokenFactory, b64, encoded, unb64

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


def truncated(factory: TokenFactory) -> bytes:
    token = factory.any().signed()
    head, payload, signature = token.split(b".")
    place = factory.chance.randrange(1, len(token))
    of_parts = [
        head + b"." + payload,
        head + b"." + payload + b".",
        head + b".." + signature,
        b"." + payload + b"." + signature,
        head,
    ]
    return factory.chance.choice([token[:place], token[place:], *of_parts])


def bits(factory: TokenFactory) -> bytes:
    parts = factory.any().signed().split(b".")
    number = factory.chance.randrange(3)
    content = bytearray(unb64(parts[number]))
    for place in factory.chance.sample(range(len(content)), factory.chance.choice([1, 1, 1, 2, 8])):
        content[place] ^= 1 << factory.chance.randrange(8)
    return b".".join([*parts[:number], b64(bytes(content)), *parts[number + 1 :]])


def characters(factory: TokenFactory) -> bytes:
    """Other spellings of the same bytes, which are no unpadded base64url (RFC 7515, 2)."""
    token = factory.any().signed()
    place, strange = factory.chance.randrange(1, len(token)), factory.chance.choice(STRANGE)
    return factory.chance.choice(
        [
            token[:place] + strange + token[place:],
            token[:place] + strange + token[place + 1 :],
            uncanonical(token, factory.chance),
            token + b"=",
            token + b"==",
            token + b"=" * (-len(token.rpartition(b".")[2]) % 4 or 4),
            token + b"\xa0",
            b"\xa0" + token,
            b'"' + token + b'"',
            token + b".",
            b"." + token,
            token + b"%3D",
            token + b",",
            token.replace(b".", b"%2E"),
            token.replace(b".", b".."),
            token.swapcase(),
            token[::-1],
            b64(token),
            token + token,
        ]
    )


def spliced(factory: TokenFactory) -> bytes:
    """Parts of good tokens of different kinds or times."""
    admin, customer = factory.admin().signed().split(b"."), factory.customer().signed().split(b".")
    other = factory.admin().but(None, exp=factory.now + 1800).signed().split(b".")
    first, second = factory.chance.choice(
        [(admin, customer), (customer, admin), (other, customer), (customer, other)]
    )
    number = factory.chance.randrange(3)
    return b".".join([*first[:number], second[number], *first[number + 1 :]])


def parts(factory: TokenFactory) -> bytes:
    """More or fewer than three parts: five are a JWE (RFC 7516), JSON is RFC 7515, 7.2."""
    head, payload, signature = factory.any().signed().split(b".")
    jwe = encoded(
        {
            "alg": factory.chance.choice(["dir", "RSA-OAEP", "PBES2-HS256+A128KW"]),
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
    return factory.chance.choice(
        [
            b".".join(
                [jwe, factory.junk(32), factory.junk(12), factory.junk(64), factory.junk(16)]
            ),
            b".".join([head, payload, signature, factory.junk(12), factory.junk(16)]),
            b".".join([head, payload, signature, signature]),
            b".".join([head, payload, payload, signature]),
            b".".join([head] * factory.chance.randint(4, 40)),
            head + b"." + signature,
            b"." * factory.chance.randint(1, 40),
            json.dumps(full, separators=(",", ":")).encode(),
            json.dumps({"payload": full["payload"], "signatures": [full]}).encode(),
        ]
    )


def several_headers(factory: TokenFactory) -> list[bytes]:
    good, other = b"Bearer " + factory.admin().signed(), b"Bearer " + factory.customer().signed()
    junk = factory.chance.choice([b"Bearer x", b"Basic eDp4", b"", b"Bearer " + factory.junk(90)])
    return factory.chance.choice(
        [
            [good, good],
            [good, junk],
            [junk, good],
            [good, other],
            [other, good],
            [junk, good, junk],
            [good + b", " + other],
            [good + b"," + good],
            [junk + b", " + good],
        ]
    )


def schemes(factory: TokenFactory) -> list[bytes]:
    token = factory.any().signed()
    return [
        factory.chance.choice(
            [factory.chance.choice(SCHEMES) + b" " + token, factory.chance.choice(WRAPPED)(token)]
        )
    ]


def uncanonical(token: bytes, chance: Random) -> bytes:
    """With a last character whose spare bits are not zero; the bytes stay the same."""
    spare = {2: 4, 3: 2}[len(token.rpartition(b".")[2]) % 4]
    last = BASE64URL.index(token[-1]) ^ chance.randrange(1, 2**spare)
    return token[:-1] + BASE64URL[last : last + 1]


FAMILIES: list[Callable[[TokenFactory], bytes | list[bytes]]] = [
    truncated,
    bits,
    characters,
    spliced,
    parts,
    several_headers,
    schemes,
]
