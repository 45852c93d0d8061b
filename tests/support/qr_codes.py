"""Reads QR codes as a scanner would."""

import struct
import zlib

import zxingcpp


def read(pixels: bytes, size: int) -> list[str]:
    """What the codes of a square of ``pixels`` say."""
    return [
        code.text for code in zxingcpp.read_barcodes(memoryview(pixels).cast("B", (size, size)))
    ]


def pixels_of_png(file: bytes) -> tuple[bytes, int]:
    """Its pixels, a byte each, and how many there are each way."""
    width, height, depth, kind = struct.unpack(">IIBB", file[16:26])
    assert (file[:8], width, depth, kind) == (b"\x89PNG\r\n\x1a\n", height, 8, 0)
    start = file.index(b"IDAT")
    lines = zlib.decompress(
        file[start + 4 : start + 4 + struct.unpack(">I", file[start - 4 : start])[0]]
    )
    return b"".join(
        lines[row * (width + 1) + 1 : (row + 1) * (width + 1)] for row in range(height)
    ), width
