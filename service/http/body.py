"""Request bodies: their size, the time they may take, their media type, and their decoding."""

import asyncio
from collections.abc import Awaitable, Generator
from typing import Any, TypeVar, cast
from urllib.parse import parse_qsl

import msgspec
from litestar import Request
from litestar.datastructures.headers import Accept
from litestar.datastructures.multi_dicts import MultiDict
from litestar.dto import AbstractDTO, DTOFieldDefinition
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.openapi.spec import Reference, Schema
from litestar.types import Empty
from litestar.typing import FieldDefinition

from service.http.accept import MAX_ACCEPT_HEADER_CHARACTERS
from service.http.json_reader import read_body
from service.http.problems import MalformedBody, RequestTimeout, UnsupportedMediaType
from service.http.request import context_of, header_values

T = TypeVar("T")

MAX_BODY_BYTES = 64 * 1024
BODY_TIMEOUT_SECONDS = 5.0
"""Limits how long a body may take. A process that stops waits longer for its requests."""


class LimitedRequest(Request[Any, Any, Any]):
    """A request with limits on the size and time of its body, its query and ``Accept``."""

    @property
    def accept(self) -> Accept:
        """The media ranges of ``Accept``, cut: parsing takes 0.4 ms for a thousand characters."""
        return Accept(self.headers.get("accept", "*/*")[:MAX_ACCEPT_HEADER_CHARACTERS])

    @property
    def query_params(self) -> MultiDict[Any]:
        """The query's parameters. Litestar's own parser caches 1,024 whole queries."""
        if self._parsed_query is Empty:
            query = self.scope["query_string"].decode("latin-1")
            self._parsed_query = tuple(parse_qsl(query, keep_blank_values=True))
        return MultiDict(self._parsed_query)

    async def body(self) -> bytes:
        """The whole body.

        Raises:
            RequestEntityTooLarge: it has more than ``MAX_BODY_BYTES``.
            RequestTimeout: it did not arrive in time.
            MalformedBody: the client disconnected before it was complete.
        """
        if self._body is not Empty:
            return self._body
        try:
            self._body = body = await _run_within(BODY_TIMEOUT_SECONDS, self._receive_body())
        except TimeoutError:
            raise RequestTimeout from None
        return body

    async def _receive_body(self) -> bytes:
        for name, value in self.scope["headers"]:
            if name == b"content-length" and int(value) > MAX_BODY_BYTES:
                raise RequestEntityTooLarge
        body = b""
        while (message := await self.receive())["type"] == "http.request":
            body += message["body"]
            if len(body) > MAX_BODY_BYTES:
                raise RequestEntityTooLarge
            if not message.get("more_body"):
                return body
        raise MalformedBody("the body is not complete")


async def _run_within(seconds: float, work: Awaitable[T]) -> T:
    """The result of the work. ``asyncio.timeout`` would cost 4 % of a verification.

    Raises:
        TimeoutError: it takes longer.
    """
    task, expired = cast("asyncio.Task[Any]", asyncio.current_task()), False

    def expire() -> None:
        nonlocal expired
        expired = True
        task.cancel()

    timer = asyncio.get_running_loop().call_later(seconds, expire)
    try:
        return await work
    except asyncio.CancelledError:
        if not expired or task.uncancel() > 0:
            raise
        raise TimeoutError from None
    finally:
        timer.cancel()


class JsonBodyDTO(AbstractDTO[T]):
    """Decodes a request body directly into its Struct."""

    @classmethod
    def create_for_field_definition(cls, *_: Any, **__: Any) -> None:
        """Creates no transfer model: the Struct itself describes the body."""

    @classmethod
    def create_openapi_schema(
        cls, field_definition: FieldDefinition, handler_id: str, schema_creator: Any
    ) -> Reference | Schema:
        schema: Reference | Schema = schema_creator.for_field_definition(field_definition)
        return schema

    @classmethod
    def generate_field_definitions(
        cls, model_type: type[Any]
    ) -> Generator[DTOFieldDefinition, None, None]:
        yield from ()

    @classmethod
    def detect_nested_field(cls, field_definition: FieldDefinition) -> bool:
        return False

    def decode_bytes(self, value: bytes) -> Any:
        """The body.

        Raises:
            UnsupportedMediaType: its headers do not declare plain JSON.
            MalformedBody: it is not JSON.
            Invalid: it is JSON, but its fields are not the model's.
        """
        media_types = header_values(self.asgi_connection, b"content-type")
        encodings = header_values(self.asgi_connection, b"content-encoding")
        media_type = media_types[0].partition(";")[0].strip().lower() if media_types else ""
        if media_type != "application/json" or (encodings and encodings[0].lower() != "identity"):
            raise UnsupportedMediaType
        try:
            return read_body(
                cast("Any", self.model_type), value, context_of(self.asgi_connection).clock()
            )
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MalformedBody(str(error)) from None
