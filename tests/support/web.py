"""The web process alone, as real as in a deployment."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.support.servers import free_port, wait_until
from tests.support.service_processes import Service

STARTED = "Started worker-1"
"""In the log of a web process that serves. On a shared port, another may answer."""


@contextmanager
def run_web(directory: Path, redis_url: str, **settings: str) -> Iterator[Service]:
    """Serves while the context lasts, with its log in ``directory``."""
    with run_webs(directory, redis_url, free_port(), **settings) as [service]:
        yield service


@contextmanager
def run_webs(
    directory: Path, redis_url: str, *ports: int, prefix: Sequence[str] = (), **settings: str
) -> Iterator[list[Service]]:
    """A web process for each of ``ports``, which may be equal; ``prefix`` runs the command."""
    services = []
    for number, port in enumerate(ports):
        home = directory / f"web-{number}"
        home.mkdir()
        services.append(Service(home, redis_url, None, PORT=str(port), **settings))
    for service in services:
        service.web.prefix = [*prefix]
        service.web.start()
    try:
        for service in services:
            wait_until(partial(_serves, service), "the web process", within=60)
        yield services
    finally:
        for service in services:
            service.web.process.send_signal(signal.SIGINT)
        for service in services:
            service.web.process.wait(30)


def _serves(service: Service) -> bool:
    return STARTED in service.web.output() and service.is_alive()
