"""Reads QR codes as a scanner would."""

import struct
import zlib

import zxingcpp

NO_FILTER, UP = 0, 2
"""Filters of a PNG's row (ISO/IEC 15948, 9.2)."""


def read(pixels: bytes, size: int) -> list[str]:
    """What the codes of a square of ``pixels`` say."""
    return [
        code.text for code in zxingcpp.read_barcodes(memoryview(pixels).cast("B", (size, size)))
    ]


def pixels_of_png(file: bytes) -> tuple[bytes, int]:
    """The pixels of a black-and-white PNG, a byte each, and the number of them each way."""
    width, height, depth, color_type = struct.unpack(">IIBB", file[16:26])
    assert (file[:8], width, depth, color_type) == (b"\x89PNG\r\n\x1a\n", height, 1, 0)
    start = file.index(b"IDAT")
    [length] = struct.unpack(">I", file[start - 4 : start])
    lines = zlib.decompress(file[start + 4 : start + 4 + length])
    row_bytes = (width + 7) // 8
    rows = [bytes(row_bytes)]
    for at in range(0, len(lines), 1 + row_bytes):
        row = lines[at + 1 : at + 1 + row_bytes]
        assert lines[at] in {NO_FILTER, UP}
        rows.append(row if lines[at] == NO_FILTER else _undo_up_filter(rows[-1], row))
    return b"".join(
        bytes(255 * (row[x // 8] >> (7 - x % 8) & 1) for x in range(width)) for row in rows[1:]
    ), width


def _undo_up_filter(above: bytes, row: bytes) -> bytes:
    return bytes((one + other) % 256 for one, other in zip(above, row, strict=True))
