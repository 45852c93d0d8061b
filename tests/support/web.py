"""The web process alone, as real as in a deployment."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.support.processes import Service
from tests.support.servers import wait_until


@contextmanager
def web(directory: Path, redis_url: str, **settings: str) -> Iterator[Service]:
    """Serves while the context lasts, with its log in ``directory``."""
    directory.mkdir(exist_ok=True)
    service = Service(directory, redis_url, None, **settings)
    service.web.start()
    try:
        wait_until(lambda: _answers(service), "the web process", within=60)
        yield service
    finally:
        service.web.stop()


def _answers(service: Service) -> bool:
    try:
        return httpx.get(f"{service.url}/healthz").status_code == 200
    except httpx.TransportError:
        return False
