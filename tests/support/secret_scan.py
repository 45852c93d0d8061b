"""Searches what a service leaves behind, stores, jobs and logs, for secrets it must not hold.

One secret a line comes in, and every trace of one goes out:

    python -m tests.support.secret_scan < secrets \\
        --store unix://var/valkey.sock --files var/appendonlydir/* *.log
"""

import argparse
import base64
import json
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import sqrt
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import redis

Place = tuple[str, bytes]
"""Where something was found, and its bytes."""
CODE = re.compile(rb"[0-9]{6}")
STANDING_ALONE = re.compile(rb"(?<![0-9A-Za-z])(?<![0-9]\.)[0-9]{6}(?![0-9A-Za-z])")
"""Six digits that are no part of a word, of a longer number, or of a fraction of a second."""
ANYWHERE = re.compile(rb"(?<![0-9])[0-9]{6}(?![0-9])")
COMPRESSED = re.compile(rb"\x78[\x01\x5e\x9c\xda]")
BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{16,}")
LARGEST = 2**24


class Codes(NamedTuple):
    """Six-digit numbers found: alone, and within something longer."""

    alone: set[bytes]
    anywhere: set[bytes]


def find_secrets(secrets: Iterable[bytes], places: Iterable[Place]) -> list[str]:
    """Where ``secrets`` are found: plain, in hex, base64 or percent signs, or compressed.

    Six digits occur anywhere by chance. A code counts as found where it stands alone, or if more
    codes stand within longer digits than chance explains.
    """
    secrets = list(dict.fromkeys(secrets))
    codes = [secret for secret in secrets if CODE.fullmatch(secret)]
    forms = {secret: forms_of(secret) for secret in secrets}
    found, seen = [], Codes(set(), set())
    for name, content in places:
        for readable in unpacked(content):
            digits = Codes(set(STANDING_ALONE.findall(readable)), set(ANYWHERE.findall(readable)))
            seen.alone.update(digits.alone)
            seen.anywhere.update(digits.anywhere)
            found += [f"{shown(code)} in {name}" for code in codes if code in digits.alone]
            found += [
                f"{shown(secret)} in {name}"
                for secret in secrets
                if any(form in readable for form in forms[secret])
            ]
    return list(dict.fromkeys([*found, *too_many(codes, seen)]))


def too_many(codes: Sequence[bytes], seen: Codes) -> list[str]:
    """A message if the codes within longer digits exceed chance by five standard deviations."""
    expected = len(codes) * len(seen.anywhere) / 10**6
    hits = len(seen.anywhere.intersection(codes))
    return (
        [f"{hits} codes within something longer, not {expected:.2f}"]
        if hits > expected + 5 * sqrt(expected) + 2
        else []
    )


def chance(codes: Sequence[bytes], places: Iterable[Place]) -> float:
    """The expected number of false alarms among ``codes``."""
    alone = {
        digits
        for _, content in places
        for readable in unpacked(content)
        for digits in STANDING_ALONE.findall(readable)
    }
    return len(codes) * len(alone) / 10**6


def forms_of(secret: bytes) -> set[bytes]:
    """How ``secret`` may be written. Six digits as they are count elsewhere."""
    text = secret.decode("latin-1")
    forms = {
        secret.hex().encode(),
        secret.hex().upper().encode(),
        b"".join(b"%%%02X" % byte for byte in secret),
    }
    forms |= {
        quote(secret, safe="").encode(),
        json.dumps(text)[1:-1].encode(),
        repr(secret)[2:-1].encode(),
        secret,
    }
    for skipped in range(3):  # what stands before it decides where in four characters it begins
        encoded = base64.b64encode(bytes(skipped) + secret)[
            -(-skipped * 8 // 6) : (skipped + len(secret)) * 8 // 6
        ]
        forms |= {encoded, encoded.translate(bytes.maketrans(b"+/", b"-_"))}
    return forms - {secret} if CODE.fullmatch(secret) else forms


def unpacked(content: bytes, depth: int = 3) -> Iterator[bytes]:
    """``content``, and what is compressed in it, also in base64, as RQ keeps jobs."""
    yield content
    if depth:
        inner = [content[match.start() :] for match in COMPRESSED.finditer(content)]
        inner += [
            decoded
            for match in BASE64.finditer(content)
            if COMPRESSED.match(decoded := unbase64(match[0]))
        ]
        for compressed in inner:
            try:
                yield from unpacked(zlib.decompressobj().decompress(compressed, LARGEST), depth - 1)
            except zlib.error:
                continue


def unbase64(text: bytes) -> bytes:
    whole = text[: len(text) // 4 * 4] if len(text) % 4 == 1 else text + b"=" * (-len(text) % 4)
    return base64.b64decode(whole.translate(bytes.maketrans(b"-_", b"+/")))


def stored(connection: "redis.Redis") -> Iterator[Place]:
    """Every key and its value, of whatever type."""
    for key in connection.scan_iter(count=1000):
        yield f"the name of {key!r}", key
        yield f"the value of {key!r}", b"\n".join(flattened(read_value(connection, key)))


def read_value(connection: "redis.Redis", key: bytes) -> object:
    read: dict[object, Callable[[], object]] = {
        b"string": lambda: connection.get(key),
        b"hash": lambda: connection.hgetall(key),
        b"list": lambda: connection.lrange(key, 0, -1),
        b"set": lambda: connection.smembers(key),
        b"zset": lambda: connection.zrange(key, 0, -1, withscores=True),
        b"stream": lambda: connection.xrange(key),
        b"none": lambda: None,
    }
    return read[connection.type(key)]()


def flattened(value: object) -> Iterator[bytes]:
    if isinstance(value, dict):
        yield from flattened(list(value.items()))
    elif isinstance(value, list | tuple | set):
        for element in value:
            yield from flattened(element)
    else:
        yield value if isinstance(value, bytes) else str(value).encode()


def in_files(paths: Iterable[Path]) -> Iterator[Place]:
    return ((str(path), path.read_bytes()) for path in paths)


def shown(secret: bytes) -> str:
    """Enough to know which it is."""
    return f"{secret[:4].decode('latin-1')}… ({len(secret)} bytes)"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--store", action="append", default=[], help="URL of a Redis; once for each database"
    )
    parser.add_argument(
        "--files", nargs="*", type=Path, default=[], help="append-only files and logs"
    )
    arguments = parser.parse_args()
    secrets = [line for line in sys.stdin.buffer.read().splitlines() if line]
    places = [place for url in arguments.store for place in stored(redis.Redis.from_url(url))]
    found = find_secrets(secrets, [*places, *in_files(arguments.files)])
    sys.stdout.write("".join(f"{trace}\n" for trace in found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
