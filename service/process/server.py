"""The HTTP server of ``payment-links web``."""

import resource

from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings

from service.process.shutdown import exit_on_stop_signals, stop_children_in_steps

STOP_TIMEOUT_SECONDS = 9
"""A process that has not stopped this long after SIGTERM is killed."""
MAX_CONNECTIONS = 4096
"""How many connections a process serves at once, idle ones included; as many more wait."""
BUFFER_BYTES = 64 * 1024
"""A connection's buffer. The server itself answers 431 to a request head that is larger."""
HEADERS_TIMEOUT_MS = 10_000
"""How long a client may take to send a request's headers."""


def serve(target: str, *, host: str, port: int, processes: int) -> None:
    """Serves the application that the function ``target`` (``module:name``) creates."""
    _raise_descriptor_limit(2 * MAX_CONNECTIONS)
    exit_on_stop_signals()  # until Granian handles them
    server = Granian(
        target,
        factory=True,
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,  # with the others, a client need never send a first byte
        loop=Loops.uvloop,
        workers=processes,
        backlog=MAX_CONNECTIONS,
        backpressure=MAX_CONNECTIONS,
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
    server.on_startup(stop_children_in_steps)
    server.serve()


def _raise_descriptor_limit(wanted: int) -> None:
    """Raises the limit of open files and sockets to ``wanted``, or as far as allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
