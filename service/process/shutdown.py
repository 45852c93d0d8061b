"""How processes stop: when they are asked to, or when those that they depend on are gone."""

import asyncio
import fcntl
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

DRAIN_SECONDS = 2.0
"""After SIGTERM, ``web`` serves on for this long, and asks clients to move on."""


def install_stop_handler(handler: Callable[[int, Any], object]) -> None:
    """Calls ``handler`` on SIGTERM and SIGINT from now on."""
    signal.signal(signal.SIGTERM, handler)
    signal.signal(signal.SIGINT, handler)


def exit_on_stop_signals() -> None:
    """Exits with 0 on a stop signal, as long as there is nothing to finish."""
    install_stop_handler(lambda *_: sys.exit(0))


def exit_with_parent() -> None:
    """Asks this process to stop when its parent ends: it must not serve on beside a new one."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        _terminate_after(parent.join)


def exit_with_lock(path: Path) -> None:
    """Asks this process to stop when no process holds the lock at ``path``."""
    _terminate_after(partial(wait_for_release, path))


def wait_for_release(path: Path) -> None:
    """Returns when no process holds the lock at ``path``."""
    with open(path) as file:
        fcntl.lockf(file, fcntl.LOCK_SH)


def _terminate_after(wait: Callable[[], object]) -> None:
    def run() -> None:
        wait()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=run, daemon=True).start()


class Drain:
    """How a process of ``web`` stops without failing a request.

    SIGTERM begins it: ``/readyz`` answers 503 and every answer closes its connection. It ends with
    SIGINT to this process, on which the server finishes its requests and exits. A SIGINT from
    outside ends it sooner.
    """

    def __init__(self, seconds: float = DRAIN_SECONDS) -> None:
        self._seconds = seconds
        self._is_draining = False

    def begin_on_sigterm(self) -> None:
        """Begins the drain on SIGTERM, in place of the server's own handler."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.begin)

    def begin(self) -> None:
        """Begins the drain once: a platform may signal the whole group, and the parent us again."""
        if not self._is_draining:
            self._is_draining = True
            loop = asyncio.get_running_loop()
            loop.call_later(self._seconds, signal.raise_signal, signal.SIGINT)

    def is_draining(self) -> bool:
        """Whether clients are asked to move on."""
        return self._is_draining


def stop_children_in_steps() -> None:
    """Lets the server's children drain on SIGTERM, and stops them on a second one or on SIGINT.

    It wraps Granian's handler, which sends SIGTERM to the children, so it comes after that.
    """
    server = os.getpid()
    ask_children: Any = signal.getsignal(signal.SIGTERM)
    is_stopping = False

    def stop(number: int, frame: object) -> None:
        nonlocal is_stopping
        if os.getpid() != server:
            os._exit(0)  # a child forked a moment ago, which has no handler of its own yet
        if is_stopping or number == signal.SIGINT:
            _interrupt_children()
        is_stopping = True
        ask_children(number, frame)

    install_stop_handler(stop)


def _interrupt_children() -> None:
    for child in multiprocessing.active_children():
        if child.pid:
            with suppress(ProcessLookupError):  # it has just ended
                os.kill(child.pid, signal.SIGINT)
