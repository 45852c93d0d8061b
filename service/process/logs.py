"""Structured logs of every process: for people, or as JSON lines."""

import asyncio
import io
import logging
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, NamedTuple, Self, cast

import msgspec
import structlog
from structlog.processors import JSONRenderer, format_exc_info
from structlog.typing import EventDict

REQUEST_ID: ContextVar[str] = ContextVar("request_id")
"""The request that is being served: every line that is logged meanwhile names it."""
TOGETHER = 0.01
"""Seconds: what a process that is killed may leave unsaid of the requests that it answered last."""
LARGEST_WRITE = 64 * 1024
ENCODER = msgspec.json.Encoder(enc_hook=repr)


class Output(io.FileIO):
    """Standard output, which may be closed, or full: no request fails for a line that cannot be written."""

    def write(self, lines: Any) -> int:
        with suppress(OSError):
            return super().write(lines) or len(lines)
        return len(lines)


class Lines(io.BufferedWriter):
    """Lines on their way out: at once, or, where an event loop runs, with those of ``TOGETHER`` seconds.

    A write gives Python's lock to the server's own threads, and has to wait for it:
    one for each line took a quarter of a request's time.
    """

    _due: asyncio.TimerHandle | None = None

    def say(self, line: bytes) -> None:
        self.write(line + b"\n")
        self.flush()

    def flush(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            super().flush()
            return
        if self._due is None:
            self._due = loop.call_later(TOGETHER, self.write_out)

    def write_out(self) -> None:
        """Has nothing wait any longer."""
        self._due = None
        super().flush()


class Logger(NamedTuple):
    """Where lines go, and who says them."""

    name: str
    lines: Lines


class Log:
    """What structlog wraps around a logger, without what nothing here uses: structlog's own takes two thirds of a line's time."""

    def __init__(self, logger: Logger, processors: Sequence[Any], context: object) -> None:
        self._logger = logger
        self._processors = processors

    def bind(self) -> Self:
        return self

    def info(self, event: str, **values: Any) -> None:
        self._say("info", event, values)

    def warning(self, event: str, **values: Any) -> None:
        self._say("warning", event, values)

    def error(self, event: str, **values: Any) -> None:
        self._say("error", event, values)

    def exception(self, event: str, **values: Any) -> None:
        self._say("error", event, {"exc_info": True, **values})

    def _say(self, level: str, event: str, line: Any) -> None:
        line["event"] = event
        for processor in self._processors:
            line = processor(self._logger, level, line)
        self._logger.lines.say(line)


def configure(log_format: str) -> Lines:
    """Sends all logs, structlog's and libraries', to standard output in ``log_format`` (``console`` or ``json``)."""
    as_json = log_format == "json"
    processors: list[Any] = (
        [_describe, _as_json] if as_json else [_describe, _write_time, _console(), _as_bytes]
    )
    lines = Lines(Output(sys.stdout.fileno(), "w", closefd=False), LARGEST_WRITE)
    structlog.configure(
        processors=processors,
        logger_factory=lambda name: Logger(name, lines),
        wrapper_class=cast("Any", Log),
        cache_logger_on_first_use=True,
    )
    remove_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    renderer: list[Any] = [format_exc_info, JSONRenderer()] if as_json else [_console()]
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), _describe_record, _write_time],
            processors=[remove_meta, *renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda args: _log_uncaught(
        args.exc_type, args.exc_value, args.exc_traceback
    )
    sys.unraisablehook = lambda args: _log_uncaught(
        args.exc_type, args.exc_value, args.exc_traceback
    )
    return lines


def _log_uncaught(
    kind: type[BaseException], error: BaseException | None, traceback: TracebackType | None
) -> None:
    """What nobody catches goes the way of all lines."""
    if issubclass(kind, Exception):
        structlog.get_logger(__name__).error("uncaught", exc_info=(kind, error, traceback))


def _console() -> structlog.dev.ConsoleRenderer:
    plain = structlog.dev.plain_traceback
    return structlog.dev.ConsoleRenderer(
        colors=sys.stdout.isatty(), pad_event_to=24, exception_formatter=plain
    )


def _describe(logger: Any, method: str, event: EventDict) -> EventDict:
    """Says who logs, how grave it is, when, and during which request."""
    event["logger"] = logger.name
    event["level"] = method
    event["timestamp"] = datetime.now(UTC)
    if request_id := REQUEST_ID.get(None):
        event["request_id"] = request_id
    return event


def _write_time(_logger: object, _method: str, event: EventDict) -> EventDict:
    event["timestamp"] = event["timestamp"].isoformat(timespec="microseconds")[:-6] + "Z"
    return event


def _describe_record(_logger: Any, method: str, event: EventDict) -> EventDict:
    """The same of what a library logs."""
    return _describe(event["_record"], method, event)


def _as_json(logger: Any, method: str, event: EventDict) -> bytes:
    return ENCODER.encode(format_exc_info(logger, method, event) if "exc_info" in event else event)


def _as_bytes(_logger: object, _method: str, line: str) -> bytes:
    return line.encode()
