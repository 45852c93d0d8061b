"""``DATA_DIR``: the lock of the ``up`` that uses it, and the secret of the embedded store."""

import fcntl
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from io import FileIO
from pathlib import Path

from service.process.startup import StartupError

LOCK_VARIABLE = "PAYMENT_LINKS_UP_LOCK"
"""Names the lock of an ``up`` to its processes, which end when it is released."""
OWNER_ONLY_UMASK = 0o077
"""The umask of processes that write to ``DATA_DIR``."""
LOCK_ATTEMPTS = 20
LOCK_RETRY_SECONDS = 0.05


def data_dir_of(environ: Mapping[str, str]) -> Path:
    """``DATA_DIR``, absolute."""
    return Path(environ.get("DATA_DIR") or "var").absolute()


@contextmanager
def lock_data_dir(data_dir: Path) -> Iterator[Path]:
    """Locks ``data_dir`` for this process, creating it if needed; gives the lock's path.

    Raises:
        StartupError: another process holds the lock, or the directory cannot be written to.
    """
    path = data_dir / "up.lock"
    with ExitStack() as stack:
        with _naming_errors(data_dir):
            data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = stack.enter_context(open(path, "ab+", buffering=0))
            _lock(file, data_dir)
            file.truncate(0)
            stack.callback(file.truncate, 0)
            file.write(b"%d\n" % os.getpid())
        yield path


def _lock(file: FileIO, data_dir: Path) -> None:
    for _ in range(LOCK_ATTEMPTS):
        with suppress(OSError):
            # A POSIX record lock: unlike flock's, honcho's children do not inherit it.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(LOCK_RETRY_SECONDS)
    file.seek(0)
    holder = file.read().decode().strip()
    raise StartupError(
        f"DATA_DIR: {data_dir} is in use by another `payment-links up` (pid {holder})"
    )


def has_lock_owner(data_dir: Path) -> bool:
    """Whether the lock names a process: an ``up`` that runs, or one that was killed.

    An ``up`` that ends by itself empties the file.
    """
    with _naming_errors(data_dir), suppress(FileNotFoundError, NotADirectoryError):
        return bool((data_dir / "up.lock").read_text().strip())
    return False


def load_or_create_secret(data_dir: Path) -> str:
    """The secret of the embedded store, which only its owner can read. The caller holds the lock.

    Raises:
        StartupError: it cannot be read or written.
    """
    if secret := load_secret(data_dir):
        return secret
    secret, partial = secrets.token_hex(32), data_dir / "secret_key.partial"
    with (
        _naming_errors(data_dir),
        open(partial, "wb", 0, opener=lambda path, flags: os.open(path, flags, 0o600)) as file,
    ):
        file.write(secret.encode())
        os.fsync(file.fileno())
        partial.rename(data_dir / "secret_key")
    return secret


def load_secret(data_dir: Path) -> str | None:
    """The secret in ``data_dir``; None or empty where there is none, or one was not fully written.

    Raises:
        StartupError: it cannot be read.
    """
    with _naming_errors(data_dir), suppress(FileNotFoundError, NotADirectoryError):
        return (data_dir / "secret_key").read_text().strip()
    return None


@contextmanager
def _naming_errors(data_dir: Path) -> Iterator[None]:
    """Turns an error of the file system into one line that names ``DATA_DIR``."""
    try:
        yield
    except OSError as error:
        raise StartupError(f"DATA_DIR: {data_dir}: {error.strerror}") from None
