"""Styles, scripts and icons of pages."""

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from litestar import Response, get
from litestar.datastructures import CacheControlHeader, ETag
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response import File

from service.http.request import AnyRequest, header_values

SHARED_ASSETS = Path(__file__).parent / "assets"
"""Styles and the icon that more than one page uses."""
CHUNK_BYTES = 16 * 1024
"""A small size: the server buffers a dozen chunks for a client that does not read."""
CACHE_CONTROL = CacheControlHeader(public=True, max_age=60)
"""Caches files only briefly, so that a page does not mix old and new files for long."""


def serve_files(path: str, *files: Path) -> HTTPRouteHandler:
    """A handler that serves ``files`` by their names under ``path``."""
    by_name = {file.name: file for file in files}

    @get(f"{path}/{{name:str}}", include_in_schema=False, cache_control=CACHE_CONTROL)
    async def file(request: AnyRequest, name: FromPath[str]) -> Response[Any]:
        if name not in by_name:
            raise NotFoundException
        etag = _etag(by_name[name])
        if etag.to_header() in ",".join(header_values(request, b"if-none-match")):
            return Response(b"", status_code=304, headers={"ETag": etag.to_header()})
        return File(
            by_name[name],
            filename=name,
            etag=etag,
            content_disposition_type="inline",
            chunk_size=CHUNK_BYTES,
        )

    return file


@cache
def _etag(path: Path) -> ETag:
    return ETag(value=hashlib.sha256(path.read_bytes()).hexdigest()[:32])
