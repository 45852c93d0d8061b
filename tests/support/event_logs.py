"""The logs of events in a store, entry by entry."""

import json
from typing import Any, NamedTuple

import redis

from tests.support.secret_scan import Place, flattened


class Logged(NamedTuple):
    """An entry of a log. ``link`` is the local id."""

    type: str
    link: str
    actor: str
    request: str
    data: Any


def logs(connection: "redis.Redis") -> dict[str, list[tuple[str, dict[str, str]]]]:
    """The entries of each organization's log, by its key, oldest first."""
    client: Any = connection
    names = sorted(client.scan_iter("pl:{*}:events:*", count=1000))
    return {name: client.xrange(name) for name in names}


def logged(connection: "redis.Redis") -> list[Logged]:
    """All that was logged, of all organizations."""
    return [
        Logged(
            fields["type"],
            fields["link"],
            fields["actor"],
            fields["request"],
            json.loads(fields["data"]) if fields["data"] else {},
        )
        for entries in logs(connection).values()
        for _, fields in entries
    ]


def log_places(connection: "redis.Redis") -> list[Place]:
    """The logs, to be searched for secrets."""
    return [
        (f"the log {name}", b"\n".join(flattened(entries)))
        for name, entries in logs(connection).items()
    ]
