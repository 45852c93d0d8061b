"""What processes do first: read the settings, look at the store's data, and mind that none outlives its parent."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from multiprocessing.process import BaseProcess

import structlog

from config.settings import Settings, SettingsError, load
from service.auth.tokens import load_public_key
from service.errors import Unavailable
from service.storage import data_version
from service.storage.client import Client, connect
from service.storage.failure import describe_failure

log = structlog.get_logger(__name__)

RETRY_INTERVAL = 1.0
"""Seconds between two attempts to reach a store that is away."""
OWNER_ONLY = 0o077
"""The umask of processes that write to ``DATA_DIR``: what they make is for nobody else to read."""


def read_settings(environ: Mapping[str, str], *, listens: bool = True) -> Settings:
    """The settings that ``environ`` gives, for a process that ``listens`` or not.

    Raises:
        SettingsError: a variable is missing or wrong, or names a key that admin tokens cannot be signed with.
    """
    settings = load(environ, listens=listens)
    if settings.admin_jwt_public_key is not None:
        try:
            load_public_key(settings.admin_jwt_public_key)
        except ValueError as error:
            raise SettingsError(f"ADMIN_JWT_PUBLIC_KEY: {error}") from None
    return settings


class StartupError(Exception):
    """The process cannot start. The message is one line."""


def claim_data(client: Client) -> None:
    """Makes sure that the store's data is of this release's version.

    Raises:
        StartupError: it is not.
        Unavailable: the store does not answer.
    """
    try:
        data_version.claim(client)
    except data_version.WrongDataVersionError as error:
        raise StartupError(
            f"REDIS_URL: it {error}: give it an empty database (`up`: another DATA_DIR), or run the release that wrote the data"
        ) from None


def wait_for_data(redis_url: str, stopping: threading.Event) -> None:
    """The same, as soon as the store answers, unless ``stopping`` is set before.

    Raises:
        StartupError: the data is of another version.
    """
    with closing(Client(partial(connect, redis_url))) as client:
        while not stopping.is_set():
            try:
                claim_data(client)
                return
            except Unavailable as error:
                log.warning("store_away", error=describe_failure(error))
            stopping.wait(RETRY_INTERVAL)


class DataWatch:
    """Looks at the data beside a server that has to answer meanwhile, and interrupts the process where it is of another version."""

    def __init__(self, redis_url: str) -> None:
        """Looks once, at once.

        Raises:
            StartupError: the data is of another version.
        """
        self.error: StartupError | None = None
        with closing(Client(partial(connect, redis_url))) as client:
            try:
                claim_data(client)
            except Unavailable:
                threading.Thread(target=self._wait, args=(redis_url,), daemon=True).start()

    def _wait(self, redis_url: str) -> None:
        try:
            wait_for_data(redis_url, threading.Event())
        except StartupError as error:
            self.error = error
            os.kill(os.getpid(), signal.SIGINT)


def exit_with_parent() -> None:
    """Has this process asked to stop when the one that started it is gone: nothing old works on beside what is started next."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_stop_after, args=(parent,), daemon=True).start()


def _stop_after(parent: BaseProcess) -> None:
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
