"""How ``web`` stops without failing a request: it asks clients to move on, serves them meanwhile, and only then closes."""

import asyncio
import signal

NOTICE = 2.0
"""Seconds from SIGTERM on in which all are served and asked to move on, by ``/readyz`` and ``Connection: close``."""


class Drain:
    """Begins with SIGTERM. It ends with SIGINT to ourselves, on which the server closes, and finishes what is under way.

    A SIGINT from outside makes it end sooner, or does without it.
    """

    def __init__(self, notice: float = NOTICE) -> None:
        self._began = False
        self._notice = notice

    def watch(self) -> None:
        """Has SIGTERM drain from now on, in place of what the server does with it."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.begin)

    def begin(self) -> None:
        """Once, however often it is asked: a platform may signal our group, and so also the parent, which passes it on."""
        if not self._began:
            self._began = True
            asyncio.get_running_loop().call_later(self._notice, signal.raise_signal, signal.SIGINT)

    def is_draining(self) -> bool:
        """Whether clients are to be asked to move on."""
        return self._began
