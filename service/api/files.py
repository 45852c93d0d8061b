"""Files that pages are made of: styles and scripts."""

from collections.abc import Mapping
from pathlib import Path

from litestar import get
from litestar.datastructures import CacheControlHeader
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response import File

OWN = Path(__file__).parent / "assets"
PIECE = 16 * 1024
"""Bytes of a file that are read at once: the server takes a dozen pieces for a client that does not read, and waits then."""


def serve_files(path: str, files: Mapping[str, Path]) -> HTTPRouteHandler:
    """A handler that gives ``files`` by their names under ``path``, for browsers to keep for an hour."""

    @get(f"{path}/{{name:str}}", include_in_schema=False, cache_control=CacheControlHeader(public=True, max_age=3600))
    async def file(name: FromPath[str]) -> File:
        if name not in files:
            raise NotFoundException
        return File(files[name], filename=name, content_disposition_type="inline", chunk_size=PIECE)

    return file
