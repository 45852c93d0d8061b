"""OPTIONS: the methods of a path (RFC 9110, 9.3.7)."""

from litestar import Response
from litestar.routes import HTTPRoute

from service.http.request import AnyRequest


def respond_to_options(request: AnyRequest) -> Response[None]:
    """All methods of the path: Litestar's own answer names those of the first handler only."""
    path = request.scope["path_template"]
    methods = {
        method
        for route in request.app.routes
        if isinstance(route, HTTPRoute) and route.path_format == path
        for method in route.methods
    }
    return Response(None, status_code=204, headers={"Allow": ", ".join(sorted(methods))})
