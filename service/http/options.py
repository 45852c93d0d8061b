"""OPTIONS: the methods of each path (RFC 9110, 9.3.7). Litestar's own answer names those of the handler that came first."""

from collections.abc import Sequence
from typing import Any

from litestar import Response, route
from litestar.enums import HttpMethod
from litestar.handlers import HTTPRouteHandler


def options(handlers: Sequence[Any]) -> list[Any]:
    """A handler for each path of ``handlers``, to be registered before them.

    Litestar's own answer is right for the paths of a Controller.
    """
    methods: dict[str, set[str]] = {}
    for handler in handlers:
        if not isinstance(handler, HTTPRouteHandler):
            continue
        for path in handler.paths:
            methods.setdefault(path, {HttpMethod.OPTIONS.value}).update(handler.http_methods)
    return [_options(path, ", ".join(sorted(found))) for path, found in methods.items()]


def _options(path: str, allowed: str) -> HTTPRouteHandler:
    @route(path, http_method=HttpMethod.OPTIONS, status_code=204, include_in_schema=False)
    async def methods() -> Response[None]:
        return Response(None, status_code=204, headers={"Allow": allowed})

    return methods
