"""Idempotency keys: a script that runs a request saves its key, and what the request created."""

from datetime import timedelta
from typing import Any

import msgspec

from service.storage import keys
from service.storage.command import Command, command

IDEMPOTENCY_TTL = timedelta(hours=24)
"""How long the same request may be sent again."""


class IdempotentRequest(msgspec.Struct, frozen=True):
    """A request with an idempotency key. Redis gets only digests of the key and the content."""

    org_id: str
    key: str
    fingerprint: str
    """The digest of the content."""

    @property
    def redis_key(self) -> str:
        return keys.idempotency(self.org_id, self.key)


class IdempotencyRecord(msgspec.Struct, frozen=True):
    """The local id of what a request created, and the fingerprint of the request."""

    local_id: str
    fingerprint: str


def find(request: IdempotentRequest) -> Command[IdempotencyRecord | None]:
    """The record of the request that came with the same key in the last 24 hours."""
    return command(decode_record, "HMGET", request.redis_key, "id", "fingerprint")


def decode_record(reply: list[Any]) -> IdempotencyRecord | None:
    """The reply of ``find`` or of ``find_request`` in ``common.lua``."""
    local_id, fingerprint = reply
    return None if local_id is None else IdempotencyRecord(local_id, fingerprint)
