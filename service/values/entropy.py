"""Random bytes that nobody can foretell."""

import secrets

DRAWN_AT_ONCE = 4096


class Entropy:
    """The system's random bytes, drawn for many requests at once.

    Each drawing gives Python's lock to the server's threads, and waits to have it back. One belongs to one event loop: what was
    drawn before a fork, both would give.
    """

    def __init__(self) -> None:
        self._drawn = b""

    def take(self, size: int) -> bytes:
        """``size`` bytes that were never taken before."""
        if len(self._drawn) < size:
            self._drawn = secrets.token_bytes(max(size, DRAWN_AT_ONCE))
        taken, self._drawn = self._drawn[:size], self._drawn[size:]
        return taken
