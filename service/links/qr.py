"""A link's ``url`` as a QR code (ISO/IEC 18004), to be scanned or printed."""

import io
from functools import lru_cache
from typing import Any

import segno

from service.errors import Invalid

QUIET_ZONE = 4
"""Modules of white that scanners need around a code (9.1)."""
CACHE_SIZE = 512
"""Codes that a process keeps; none has more than a few kilobytes."""


@lru_cache(CACHE_SIZE)
def draw_svg(url: str) -> bytes:
    """The QR code of ``url``, dark on white also where a page shows it on a dark background."""
    return _save(_encode(url), kind="svg", xmldecl=False, omitsize=True, title="QR code")


@lru_cache(CACHE_SIZE)
def draw_png(url: str, size: int) -> bytes:
    """The QR code of ``url`` at the largest whole scale that fits into ``size`` pixels.

    Raises:
        Invalid: a scale of 1 does not fit.
    """
    code = _encode(url)
    modules = int(code.symbol_size(border=QUIET_ZONE)[0])
    if size < modules:
        raise Invalid("size", f"must be {modules} at least for an address as long as this")
    return _save(code, kind="png", scale=size // modules)


def _encode(url: str) -> segno.QRCode:
    return segno.make_qr(url, error="m")


def _save(code: segno.QRCode, **options: Any) -> bytes:
    file = io.BytesIO()
    code.save(file, border=QUIET_ZONE, dark="#000", light="#fff", **options)
    return file.getvalue()
