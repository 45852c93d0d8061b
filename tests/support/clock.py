"""A clock that tests turn by hand."""

from datetime import UTC, datetime, timedelta


class Clock:
    """Gives the time it was set to."""

    def __init__(self, now: datetime | None = None) -> None:
        self.now = now or datetime.now(UTC).replace(microsecond=0)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **span: float) -> None:
        self.now += timedelta(**span)
