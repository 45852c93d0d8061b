"""A link's ``url`` as a QR code (ISO/IEC 18004), to be scanned or printed."""

import asyncio
import io
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import Annotated, Any

import segno
from litestar import Response, get
from litestar.datastructures import CacheControlHeader
from litestar.openapi import ResponseSpec
from litestar.params import FromQuery, QueryParameter

from service.errors import Invalid
from service.http.problems import responses
from service.http.request import PublicRequest, context_of
from service.links.controller import PathId, find_link
from service.links.schemas import QrFormat

SVG, PNG, BYTES = "image/svg+xml", "image/png", "application/octet-stream"
QUIET_ZONE = 4
"""Modules of white that scanners need around a code (9.1)."""
DEFAULT_SIZE = 256
CACHE_SIZE = 512
"""Codes that a process keeps; none has more than a few kilobytes."""
DRAWING = ThreadPoolExecutor(max_workers=1, thread_name_prefix="qr")
"""A code takes up to 9 ms, too long for the event loop; several threads would slow the loop down."""


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
    """A QR code of the link's ``url``: SVG, or a PNG of at most ``size`` pixels (default 256) each way.

    The PNG has the largest whole number of pixels a module that fits into ``size``.
    For a client that accepts only ``application/octet-stream``, that is the media type.
    """
    if size is not None and format is QrFormat.SVG:
        raise Invalid("size", "is for format=png: an SVG has none")
    context = context_of(request)
    link = await find_link(context, link_id)
    url = f"{context.settings.public_url}/pay/{link.id}"
    if format is QrFormat.SVG:
        media_type, draw = SVG, partial(draw_svg, url)
    else:
        media_type, draw = PNG, partial(draw_png, url, size or DEFAULT_SIZE)
    return Response(
        await asyncio.get_running_loop().run_in_executor(DRAWING, draw),
        media_type=BYTES if request.accept.best_match([media_type, BYTES]) == BYTES else media_type,
    )


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


HANDLERS: list[Any] = [get_qr]
