"""Structured logs of every process: for people, or as JSON lines."""

import logging
import sys
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import msgspec
import structlog
from structlog.typing import EventDict

REQUEST_ID: ContextVar[str] = ContextVar("request_id")
"""The request that is being served: every line that is logged meanwhile names it."""
ENCODER = msgspec.json.Encoder(enc_hook=repr)


class Output:
    """Standard output, which may be closed, or full: no request fails for a line that cannot be written."""

    def write(self, line: bytes) -> None:
        with suppress(OSError, ValueError):
            sys.stdout.buffer.write(line)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            sys.stdout.buffer.flush()


def configure(log_format: str) -> None:
    """Sends all logs, structlog's and libraries', to standard output in ``log_format`` (``console`` or ``json``)."""
    shared: list[Any] = [
        _add_request_id,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer = _renderer(log_format)
    structlog.configure(
        processors=[*shared, *renderer, _as_bytes],
        logger_factory=structlog.BytesLoggerFactory(Output()),  # type: ignore[arg-type]
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)


def short(link_id: str) -> str:
    """The beginning of a link's id: enough to find it again, too little to open it."""
    return f"{link_id[:11]}…"


def _renderer(log_format: str) -> list[Any]:
    if log_format == "json":
        return [structlog.processors.format_exc_info, _as_json]
    plain = structlog.dev.plain_traceback
    return [structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty(), pad_event_to=24, exception_formatter=plain)]


def _as_json(_logger: object, _method: str, event: EventDict) -> str:
    return ENCODER.encode(event).decode()


def _as_bytes(_logger: object, _method: str, line: Any) -> Any:
    return line.encode()


def _add_request_id(_logger: object, _method: str, event: EventDict) -> EventDict:
    if request_id := REQUEST_ID.get(None):
        event["request_id"] = request_id
    return event
