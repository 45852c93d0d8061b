"""The HTTP server under ``payment-links web``."""

import multiprocessing
import os
import resource
import signal
import sys
from contextlib import suppress
from typing import Any

from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings

STOP_TIMEOUT_SECONDS = 9
"""Seconds from SIGTERM on after which what is still under way is cut off."""
CONNECTIONS = 4096
"""How many a process serves at once, idle ones included, and how many more wait."""
BUFFER_BYTES = 64 * 1024
"""What the server keeps of a connection until it is read. Of a head that is larger, it answers 431 itself, without a word."""
HEADERS_TIMEOUT_MS = 10_000
"""Milliseconds in which a client has to send a request's headers."""


def serve(target: str, *, host: str, port: int, processes: int) -> None:
    """Serves what the function ``target`` (``module:name``) makes, until asked to stop."""
    _allow_descriptors(2 * CONNECTIONS)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until Granian listens itself
    server = Granian(
        target,
        factory=True,
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,  # the others wait for a client's first byte for ever
        loop=Loops.uvloop,
        workers=processes,
        backlog=CONNECTIONS,
        backpressure=CONNECTIONS,
        websockets=False,
        http1_settings=HTTP1Settings(
            header_read_timeout=HEADERS_TIMEOUT_MS, max_buffer_size=BUFFER_BYTES
        ),
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_TIMEOUT_SECONDS,
        log_dictconfig={
            "version": 1,
            "disable_existing_loggers": False,
            "loggers": {"_granian": {"propagate": True}},
        },
    )
    server.on_startup(_take_signals)
    server.serve()


def _allow_descriptors(wanted: int) -> None:
    """Has as many files and sockets open as are wanted, or as the platform lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(
            resource.RLIMIT_NOFILE,
            (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard),
        )


def _take_signals() -> None:
    """SIGTERM has the server's workers drain. SIGINT, or a second SIGTERM, has them finish what is under way, and end."""
    parent = os.getpid()
    interrupt: Any = signal.getsignal(signal.SIGTERM)
    stopping = False

    def stop(number: int, frame: object) -> None:
        nonlocal stopping
        if os.getpid() != parent:
            os._exit(
                0
            )  # a worker forked a moment ago, which serves nobody yet, nor minds signals by itself
        if stopping or number == signal.SIGINT:
            for pid in [worker.pid for worker in multiprocessing.active_children() if worker.pid]:
                with suppress(ProcessLookupError):  # it has just ended
                    os.kill(pid, signal.SIGINT)
        stopping = True
        interrupt(number, frame)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
