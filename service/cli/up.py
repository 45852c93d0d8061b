"""``payment-links up``: everything in one, on the embedded store unless ``REDIS_URL`` is set."""

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import click
import honcho.manager
from honcho.environ import parse_procfile

from config.settings import Settings
from service.cli.up_output import print_mails, print_welcome
from service.errors import Unavailable
from service.process import embedded
from service.process.data_dir import (
    LOCK_VARIABLE,
    OWNER_ONLY_UMASK,
    data_dir_of,
    has_lock_owner,
    load_or_create_secret,
    lock_data_dir,
)
from service.process.listen_address import find_address
from service.process.startup import StartupError, claim_data, read_settings

STOP_TIMEOUT_SECONDS = 20
"""How long processes may take to stop. Honcho's own 5 seconds would cut off a mail being sent."""
TAKEOVER_TIMEOUT_SECONDS = 10.0
"""How long the processes of an ``up`` that was killed may take to release its port."""


def up(environ: Mapping[str, str]) -> int:
    """Runs the store, web, worker and scheduler until interrupted; gives the exit code.

    Raises:
        SettingsError, StartupError: it cannot start.
    """
    data_dir = data_dir_of(environ)
    os.umask(OWNER_ONLY_UMASK)
    port_timeout = TAKEOVER_TIMEOUT_SECONDS if has_lock_owner(data_dir) else 0
    embeds_store = not environ.get("REDIS_URL")
    with ExitStack() as stack:
        lock = stack.enter_context(lock_data_dir(data_dir))
        _warn_if_open_to_others(data_dir)
        own = {**environ, "DATA_DIR": str(data_dir), LOCK_VARIABLE: str(lock)}
        if embeds_store:
            own["SECRET_KEY"] = environ.get("SECRET_KEY") or load_or_create_secret(data_dir)
            own["REDIS_URL"] = embedded.store_url(data_dir)
        settings = read_settings(own)
        _wait_for_port(settings, port_timeout)
        store = stack.enter_context(_running_store(data_dir)) if embeds_store else None
        with suppress(Unavailable):  # each process claims the data too, once the store answers
            claim_data(settings.redis_url)
        _start_thread(print_welcome, settings)
        if settings.smtp is None:
            _start_thread(print_mails, data_dir / "outbox")
        code = _run_procfile(own)
        if store is None or store.poll() is None:
            return code
        click.echo(embedded.describe_exit(store, data_dir), err=True)
        return 1


def _warn_if_open_to_others(data_dir: Path) -> None:
    mode = stat.S_IMODE(data_dir.stat().st_mode)
    if mode & OWNER_ONLY_UMASK:
        click.echo(
            f"DATA_DIR: {data_dir} is open to others (mode {mode:04o}); "
            f"close it: chmod 700 {data_dir}",
            err=True,
        )


def _wait_for_port(settings: Settings, timeout: float) -> None:
    """Waits until the port of ``web`` is free. ``web`` shares its port, so it would not notice.

    Raises:
        StartupError: it is still in use after ``timeout`` seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            find_address(settings.host, settings.port, shared=False)
            return
        except StartupError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(0.2)


@contextmanager
def _running_store(data_dir: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Runs the embedded store, and stops this process if it ends by itself."""
    stopping = threading.Event()

    def stop_with(store: "subprocess.Popen[bytes]") -> None:
        store.wait()
        if not stopping.is_set():
            click.echo("The embedded store ended; stopping.", err=True)
            os.kill(os.getpid(), signal.SIGTERM)

    with embedded.run_store(data_dir) as store:
        _start_thread(stop_with, store)
        try:
            yield store
        finally:
            stopping.set()


def _start_thread(target: Callable[..., None], *args: object) -> None:
    threading.Thread(target=target, args=args, daemon=True).start()


def _run_procfile(environ: Mapping[str, str]) -> int:
    """Runs the Procfile's lines until one ends or we are asked to stop; gives the exit code."""
    commands = Path(sys.executable).parent
    env = {
        **environ,
        "PATH": f"{commands}{os.pathsep}{environ.get('PATH', '')}",
        "PYTHONUNBUFFERED": "1",
    }
    honcho.manager.KILL_WAIT = STOP_TIMEOUT_SECONDS
    manager = honcho.manager.Manager()
    service = Path(__file__).parent.parent  # beside the Procfile, or around it where installed
    procfile = next(
        path for path in (service.parent / "Procfile", service / "Procfile") if path.exists()
    )
    for name, command in parse_procfile(procfile.read_text()).processes.items():
        manager.add_process(name, command, env=env)
    manager.loop()
    interrupted = manager.returncode in {128 + signal.SIGINT, 128 + signal.SIGTERM}
    return 0 if interrupted else int(manager.returncode or 0)
