"""Requests that may be repeated, by their idempotency keys. The script that carries one out remembers it."""

from datetime import timedelta
from typing import Any

import msgspec

from service.storage import keys
from service.storage.command import Command, command

LIFE = timedelta(hours=24)
"""How long a request may be repeated."""


class Once(msgspec.Struct, frozen=True):
    """A request that is carried out once, by digests of its key and of its meaning, so that the store knows neither."""

    org_id: str
    key: str
    meaning: str

    @property
    def store_key(self) -> str:
        """Where it is remembered."""
        return keys.idempotency(self.org_id, self.key)


class Earlier(msgspec.Struct, frozen=True):
    """What came with an idempotency key before: the local id of what it made, and the digest of what it meant."""

    local_id: str
    meaning: str


def find(once: Once) -> Command[Earlier | None]:
    """The request that came with the same key in the last 24 hours."""
    return command(decode_earlier, "HMGET", once.store_key, "id", "meaning")


def decode_earlier(reply: list[Any]) -> Earlier | None:
    """What ``find_earlier`` of ``common.lua`` returns, or ``HMGET``."""
    local_id, meaning = reply
    return None if local_id is None else Earlier(local_id, meaning)
