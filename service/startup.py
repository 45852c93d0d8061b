"""What processes do first: read the settings, refuse those that nothing could serve, and mind that none outlives its parent."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Mapping
from multiprocessing.process import BaseProcess

from config.settings import Settings, SettingsError, load
from service.domain.tokens import load_public_key

OWNER_ONLY = 0o077
"""The umask of processes that write to ``DATA_DIR``: what they make is for nobody else to read."""


def read_settings(environ: Mapping[str, str]) -> Settings:
    """The settings that ``environ`` gives.

    Raises:
        SettingsError: a variable is missing or wrong, or names a key that admin tokens cannot be signed with.
    """
    settings = load(environ)
    if settings.admin_jwt_public_key is not None:
        try:
            load_public_key(settings.admin_jwt_public_key)
        except ValueError as error:
            raise SettingsError(f"ADMIN_JWT_PUBLIC_KEY: {error}") from None
    return settings


def follow_parent() -> None:
    """Has this process asked to stop when the one that started it is gone: nothing old works on beside what is started next."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_stop_after, args=(parent,), daemon=True).start()


def _stop_after(parent: BaseProcess) -> None:
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
