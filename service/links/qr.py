"""A link's ``url`` as a QR code (ISO/IEC 18004), to be scanned or printed."""

import io
import struct
import zlib
from functools import partial
from typing import Annotated, Any

import segno
from litestar import Response, get
from litestar.datastructures import CacheControlHeader
from litestar.openapi import ResponseSpec
from litestar.params import FromQuery, QueryParameter

from service.context import PublicRequest, context_of
from service.errors import Invalid
from service.http.problems import responses
from service.http.schemas import QrFormat
from service.links.controller import PathId, find_link

SVG, PNG, BYTES = "image/svg+xml", "image/png", "application/octet-stream"
QUIET_ZONE = 4
"""Modules of white that scanners want around a code (9.1)."""
DEFAULT_SIZE = 256
COMPRESSION = 3
"""zlib's level: 1 ms for the largest picture, where the highest takes 30 and saves two thirds of 16 KB."""


@get(
    "/payment-links/{link_id:str}/qr",
    responses={
        200: ResponseSpec(
            bytes, media_type=SVG, description="The picture.", generate_examples=False
        )
    }
    | responses(400, 404, 422),
    cache_control=CacheControlHeader(private=True, max_age=3600),
    tags=["Payment links"],
    summary="Get a link's QR code",
)
async def get_qr(
    request: PublicRequest,
    link_id: PathId,
    format: FromQuery[QrFormat] = QrFormat.SVG,  # noqa: A002 - its name on the wire
    size: Annotated[int | None, QueryParameter(ge=64, le=1024)] = None,
) -> Response[Any]:
    """A QR code of the link's ``url``: SVG, or a PNG of ``size`` pixels (default 256) each way.

    To who accepts ``application/octet-stream`` only, it is sent as that.
    """
    if size is not None and format is QrFormat.SVG:
        raise Invalid("size", "is for format=png: an SVG has none")
    context = context_of(request)
    link = await find_link(context, link_id)
    media_type = SVG if format is QrFormat.SVG else PNG
    size = None if format is QrFormat.SVG else size or DEFAULT_SIZE
    picture = await context.pictures.get(
        (link.id, size), partial(draw, f"{context.public_url}/pay/{link.id}", size)
    )
    return Response(
        picture,
        media_type=BYTES if request.accept.best_match([media_type, BYTES]) == BYTES else media_type,
    )


def draw(url: str, size: int | None) -> bytes:
    """The QR code of ``url``: a PNG of ``size`` pixels each way, or an SVG where there is none.

    Raises:
        Invalid: the size is too small.
    """
    code = segno.make(url, error="m", micro=False)
    return draw_svg(code) if size is None else draw_png(code, size)


def draw_svg(code: segno.QRCode) -> bytes:
    """Dark on white, whatever it is shown on."""
    drawing = io.BytesIO()
    code.save(
        drawing,
        kind="svg",
        xmldecl=False,
        omitsize=True,
        border=QUIET_ZONE,
        dark="#000",
        light="#fff",
        title="QR code",
    )
    return drawing.getvalue()


def draw_png(code: segno.QRCode, size: int) -> bytes:
    """``size`` pixels each way, in black and white, a whole number of them a module: what is left over is quiet zone.

    Raises:
        Invalid: that is too small for a pixel a module.
    """
    modules = int(code.symbol_size(border=0)[0])
    scale = max(1, size // (modules + 2 * QUIET_ZONE))
    before = (size - modules * scale) // 2
    if before < 0:
        raise Invalid("size", f"must be {modules} at least for an address as long as this")
    dark, white = bytes(scale), b"\xff" * scale
    blank = b"\xff" * size
    rows = [
        b"\xff" * before + b"".join([dark if module else white for module in row])
        for row in code.matrix
    ]
    picture = [*[blank] * before, *(row.ljust(size, b"\xff") for row in rows for _ in range(scale))]
    picture += [blank] * (size - len(picture))
    header = struct.pack(">IIBBBBB", size, size, 8, 0, 0, 0, 0)  # 8 bits of grey a pixel
    pixels = zlib.compress(b"".join(b"\0" + row for row in picture), COMPRESSION)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", pixels)
        + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    """A part of a PNG file (ISO/IEC 15948, 5.3)."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


HANDLERS: list[Any] = [get_qr]
