"""How lines of the log get out."""

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.process.logs import BUFFER_BYTES, LogWriter, Output

PRINTING = """
import sys, structlog
from service.process import logs

logs.configure(sys.argv[1])
log = structlog.get_logger("printer")
log.info("printed", page=3)
try:
    raise ValueError("out of paper")
except ValueError:
    log.exception("jammed", page=4)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def writer(file: Path) -> Iterator[LogWriter]:
    with LogWriter(Output(file, "w"), BUFFER_BYTES) as writer:
        yield writer


def emit(writer: LogWriter, line: bytes) -> None:
    writer.write(line)
    writer.flush()


def test_a_line_is_written_at_once(writer: LogWriter, file: Path) -> None:
    emit(writer, b"one\n")
    assert file.read_bytes() == b"one\n"


def test_lines_of_an_event_loop_are_written_together_and_soon(
    writer: LogWriter, file: Path
) -> None:
    read = file.read_bytes

    async def talk() -> list[bytes]:
        seen = []
        for line in (b"one\n", b"two\n"):
            emit(writer, line)
            seen.append(read())
        await asyncio.sleep(0.1)
        seen.append(read())
        emit(writer, b"three\n")
        await asyncio.sleep(0.1)
        return [*seen, read()]

    assert asyncio.run(talk()) == [b"", b"", b"one\ntwo\n", b"one\ntwo\nthree\n"]


def test_the_last_lines_of_an_event_loop_are_written_when_it_is_asked_to_stop(
    writer: LogWriter, file: Path
) -> None:
    async def talk() -> None:
        emit(writer, b"one\n")
        writer.flush_now()

    asyncio.run(talk())
    assert file.read_bytes() == b"one\n"


def test_another_thread_writes_waiting_lines_first(writer: LogWriter, file: Path) -> None:
    async def talk() -> None:
        emit(writer, b"one\n")
        other = threading.Thread(target=emit, args=(writer, b"two\n"))
        other.start()
        other.join()

    asyncio.run(talk())
    assert file.read_bytes() == b"one\ntwo\n"


def test_lines_that_cannot_be_written_fail_nothing() -> None:
    writer = LogWriter(Output("/dev/full", "w"), BUFFER_BYTES)
    for _ in range(3):
        emit(writer, b"x" * BUFFER_BYTES)
    writer.close()


def output_of(log_format: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", PRINTING, log_format], check=True, capture_output=True, text=True
    ).stdout


def test_in_json_a_line_is_an_object_with_its_exception() -> None:
    printed, jammed = map(json.loads, output_of("json").splitlines())
    assert printed.keys() == {"event", "level", "logger", "timestamp", "page"}
    assert (printed["event"], printed["level"], printed["logger"], printed["page"]) == (
        "printed",
        "info",
        "printer",
        3,
    )
    assert jammed.keys() == {*printed, "exception"}
    assert jammed["level"] == "error"
    assert jammed["exception"].startswith("Traceback")
    assert jammed["exception"].endswith("ValueError: out of paper")


def test_on_a_console_an_exception_follows_its_line() -> None:
    printed, jammed, traceback, *_, error = output_of("console").splitlines()
    assert "printed" in printed
    assert "page=3" in printed
    assert "jammed" in jammed
    assert "page=4" in jammed
    assert traceback.startswith("Traceback")
    assert error == "ValueError: out of paper"


FAILING = """
import sys, threading, warnings
from service.process import logs

class Fragile:
    def __del__(self):
        raise ValueError("in a finalizer")

def fail():
    raise ValueError("in a thread")

logs.configure("json")
warnings.warn("somebody is\\nwarned", stacklevel=1)
thread = threading.Thread(target=fail)
thread.start()
thread.join()
Fragile()
raise ValueError("in the main thread")
"""


def test_in_json_warnings_and_uncaught_exceptions_are_objects_too() -> None:
    process = subprocess.run(
        [sys.executable, "-c", FAILING], check=False, capture_output=True, text=True
    )
    assert (process.returncode, process.stderr) == (1, "")
    warned, *uncaught = map(json.loads, process.stdout.splitlines())
    assert "somebody is\nwarned" in warned["event"]
    assert [
        (line["event"], line["level"], line["exception"].splitlines()[-1]) for line in uncaught
    ] == [
        ("uncaught_exception", "error", "ValueError: in a thread"),
        ("uncaught_exception", "error", "ValueError: in a finalizer"),
        ("uncaught_exception", "error", "ValueError: in the main thread"),
    ]


EXITING = """
import asyncio, logging, os
from service.process import logs

async def fail():
    logging.getLogger("server").error("out of order")
    os._exit(1)

logs.configure("json")
asyncio.run(fail())
"""


def test_a_library_s_line_is_written_at_once_also_in_an_event_loop() -> None:
    """The server logs why an application failed to stop, and exits."""
    process = subprocess.run(
        [sys.executable, "-c", EXITING], check=False, capture_output=True, text=True
    )
    line = json.loads(process.stdout)
    assert (line["event"], line["level"], line["logger"]) == ("out of order", "error", "server")
