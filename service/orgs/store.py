"""The organizations there are: those whose links are not all forgotten. Creating a link keeps the index."""

from datetime import datetime, timedelta

from service.storage import keys
from service.storage.command import Command, call, to_ms

MOST = 1000
"""Names that are read of one partition: a quarter of a million in all."""


def ids(partition: str, *, now: datetime, retention: timedelta) -> Command[list[str]]:
    """The partition's organizations; where there are more than ``MOST``, those whose links end last."""
    return call(
        list,
        "ZREVRANGEBYSCORE",
        keys.orgs(partition),
        "+inf",
        f"({to_ms(now - retention)}",
        "LIMIT",
        0,
        MOST,
    )
