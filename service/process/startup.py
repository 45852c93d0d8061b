"""What processes do first: read the settings, and check the version of the store's data."""

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

import structlog

from config.settings import Settings, SettingsError, load
from service.auth.tokens import load_public_key
from service.errors import Unavailable
from service.storage import data_version
from service.storage.client import open_client
from service.storage.error_descriptions import describe_failure
from service.storage.pipeline import REDIS_TIMEOUT_SECONDS, AutoPipeline

log = structlog.get_logger(__name__)


class StartupError(Exception):
    """The process cannot start. The message is one line."""


def limit_lookup_time() -> None:
    """Lets a DNS look-up take a second a name server, unless ``RES_OPTIONS`` is set.

    glibc allows 10 s, and an event loop cannot cancel its look-ups: it could not end before them.
    """
    os.environ.setdefault("RES_OPTIONS", "timeout:1 attempts:1")


def read_settings(environ: Mapping[str, str], *, listens: bool = True) -> Settings:
    """The settings in ``environ``; a process that does not listen passes ``listens=False``.

    Raises:
        SettingsError: a variable is missing or wrong, or its key cannot verify admin tokens.
    """
    settings = load(environ, listens=listens)
    if settings.admin_jwt_public_key is not None:
        try:
            load_public_key(settings.admin_jwt_public_key)
        except ValueError as error:
            raise SettingsError(f"ADMIN_JWT_PUBLIC_KEY: {error}") from None
    return settings


def claim_data(redis_url: str) -> None:
    """Checks the version of the store's data, and writes it to an empty store.

    Raises:
        StartupError: the data has another version than this release reads.
        Unavailable: the store does not answer.
    """
    with open_client(redis_url) as client:
        try:
            data_version.ensure_version(client)
        except data_version.WrongDataVersionError as error:
            raise StartupError(
                f"REDIS_URL: it {error}: give it an empty database (`up`: another DATA_DIR), "
                "or run the release that wrote the data"
            ) from None


def wait_for_data(redis_url: str, stopping: threading.Event) -> None:
    """Claims the data as soon as the store answers, unless ``stopping`` is set before.

    Raises:
        StartupError: the data has another version than this release reads.
    """
    while not stopping.is_set():
        try:
            claim_data(redis_url)
            return
        except Unavailable as error:
            log.warning("store_unavailable", error=describe_failure(error))
        stopping.wait(1.0)


@asynccontextmanager
async def refusing_until_claimed(pipeline: AutoPipeline, redis_url: str) -> AsyncIterator[None]:
    """Refuses all commands until the data is claimed; the context waits only briefly for that.

    If the data has another version, ``DataVersionWatch`` in the parent process stops both.
    """
    stopping = threading.Event()

    async def claim() -> None:
        with suppress(StartupError):
            await asyncio.to_thread(wait_for_data, redis_url, stopping)
            pipeline.is_refusing = False

    pipeline.is_refusing = True
    claiming = asyncio.create_task(claim())
    await asyncio.wait([claiming], timeout=REDIS_TIMEOUT_SECONDS)
    try:
        yield
    finally:
        stopping.set()
        await asyncio.wait([claiming])


class DataVersionWatch:
    """Checks the data's version while the server already runs; interrupts it if it is wrong."""

    def __init__(self, redis_url: str) -> None:
        """Claims the data now, or in the background if the store does not answer.

        Raises:
            StartupError: the data has another version than this release reads.
        """
        self.error: StartupError | None = None
        try:
            claim_data(redis_url)
        except Unavailable:
            threading.Thread(
                target=self._claim_or_interrupt, args=(redis_url,), daemon=True
            ).start()

    def _claim_or_interrupt(self, redis_url: str) -> None:
        try:
            wait_for_data(redis_url, threading.Event())
        except StartupError as error:
            self.error = error
            os.kill(os.getpid(), signal.SIGINT)
