"""Structured logs of every process: for people, or as JSON lines."""

import asyncio
import io
import logging
import sys
import threading
from contextlib import suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import msgspec
import structlog
from structlog.dev import ConsoleRenderer, plain_traceback
from structlog.processors import JSONRenderer, TimeStamper, add_log_level, format_exc_info
from structlog.stdlib import add_logger_name
from structlog.typing import EventDict, Processor

current_request_id: ContextVar[str] = ContextVar("request_id")
"""The id of the request that is being served. Every line that is logged meanwhile has it."""
FLUSH_INTERVAL_SECONDS = 0.01
"""How long a line may wait to be written. A process that is killed loses those that wait."""
BUFFER_BYTES = 64 * 1024
ENCODER = msgspec.json.Encoder(enc_hook=repr)
"""Encodes a line in 0.6 us, where the json module takes 9."""


class Output(io.FileIO):
    """Standard output. A line that cannot be written, because it is closed or full, is lost."""

    def write(self, lines: Any) -> int:
        with suppress(OSError):
            return super().write(lines) or len(lines)
        return len(lines)


class LogWriter(io.BufferedWriter):
    """Writes lines at once or, in an event loop, every ``FLUSH_INTERVAL_SECONDS`` together.

    A write hands Python's lock to the server's own threads, and has to wait for it:
    a write for each line took a quarter of a request's time.
    """

    _timer: asyncio.TimerHandle | None = None

    def flush(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush_now()
            return
        if self._timer is None:
            self._timer = loop.call_later(FLUSH_INTERVAL_SECONDS, self.flush_now)

    def flush_now(self) -> None:
        self._timer = None
        super().flush()


class Logger:
    """Passes lines on to the writer.

    structlog's own holds a lock meanwhile: a finalizer that logs would wait for it forever.
    """

    def __init__(self, name: str, writer: LogWriter) -> None:
        self.name = name
        self._writer = writer

    def emit(self, line: bytes) -> None:
        self._writer.write(line + b"\n")
        self._writer.flush()

    def emit_now(self, line: bytes) -> None:
        """Does not wait for other lines: the process may be about to end."""
        self.emit(line)
        self._writer.flush_now()

    debug = info = warning = emit
    error = critical = emit_now


class LibraryHandler(logging.Handler):
    """Logs what libraries log by Python's ``logging``: at once, for the server may exit next."""

    def __init__(self, writer: LogWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger(record.name)
        log.log(record.levelno, record.getMessage(), exc_info=record.exc_info)
        self._writer.flush_now()


def configure(log_format: str) -> LogWriter:
    """Sends all logs, structlog's and libraries', to standard output as ``console`` or ``json``."""
    writer = LogWriter(Output(sys.stdout.fileno(), "w", closefd=False), BUFFER_BYTES)
    console = ConsoleRenderer(
        colors=sys.stdout.isatty(), pad_event_to=24, exception_formatter=plain_traceback
    )
    renderers: list[Processor] = [TimeStamper("iso"), lambda *event: console(*event).encode()]
    if log_format == "json":
        renderers = [
            _add_time,
            format_exc_info,
            JSONRenderer(lambda event, **_: ENCODER.encode(event)),
        ]
    structlog.configure(
        processors=[
            add_log_level,
            add_logger_name,
            _add_request_id,
            *renderers,
        ],
        logger_factory=lambda name: Logger(name, writer),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[LibraryHandler(writer)], level=logging.INFO, force=True)
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_uncaught
    threading.excepthook = sys.unraisablehook = _log_uncaught_in_thread
    return writer


def _add_time(_logger: object, _method: str, event: EventDict) -> EventDict:
    """The encoder formats the time, which spares a request 1 % beside ``TimeStamper``."""
    event["timestamp"] = datetime.now(UTC)
    return event


def _add_request_id(_logger: object, _method: str, event: EventDict) -> EventDict:
    if request_id := current_request_id.get(None):
        event["request_id"] = request_id
    return event


def _log_uncaught_in_thread(args: "threading.ExceptHookArgs | sys.UnraisableHookArgs") -> None:
    _log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def _log_uncaught(
    kind: type[BaseException], error: BaseException | None, traceback: TracebackType | None
) -> None:
    if issubclass(kind, Exception):
        structlog.get_logger(__name__).error(
            "uncaught_exception", exc_info=(kind, error, traceback)
        )
