"""Files that pages are made of: styles and scripts."""

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from litestar import Response, get
from litestar.datastructures import CacheControlHeader, ETag
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response import File

from service.http.headers import header_values
from service.http.request import AnyRequest

SHARED_ASSETS = Path(__file__).parent / "assets"
"""Styles and the icon that more than one page uses."""
PIECE = 16 * 1024
"""Bytes of a file that are read at once: the server takes a dozen pieces for a client that does not read, and waits then."""
KEPT = CacheControlHeader(public=True, max_age=60)
"""Browsers ask after a minute whether a file is still the same: a page made of new and old ones does not live longer."""


def serve_files(path: str, files: Mapping[str, Path]) -> HTTPRouteHandler:
    """A handler that gives ``files`` by their names under ``path``."""

    @get(f"{path}/{{name:str}}", include_in_schema=False, cache_control=KEPT)
    async def file(request: AnyRequest, name: FromPath[str]) -> Response[Any]:
        if name not in files:
            raise NotFoundException
        etag = _etag(files[name])
        if etag.to_header() in ",".join(header_values(request, b"if-none-match")):
            return Response(b"", status_code=304, headers={"ETag": etag.to_header()})
        return File(
            files[name],
            filename=name,
            etag=etag,
            content_disposition_type="inline",
            chunk_size=PIECE,
        )

    return file


@cache
def _etag(path: Path) -> ETag:
    return ETag(value=hashlib.sha256(path.read_bytes()).hexdigest()[:32])
