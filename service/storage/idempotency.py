"""Idempotency keys: a script that runs a request saves its key, and which link it was about."""

from datetime import datetime, timedelta
from typing import Any

import msgspec

from service.errors import IdempotencyConflict
from service.storage import keys
from service.storage.command import Command, command, run_script
from service.values.time import datetime_from_ms, datetime_to_ms

IDEMPOTENCY_TTL = timedelta(hours=24)
"""How long the same request may be sent again."""


class IdempotencyRecord(msgspec.Struct, frozen=True):
    """The fingerprint of a request, and the local id of its link; empty if it is about several."""

    local_id: str
    fingerprint: str


class IdempotentRequest(msgspec.Struct, frozen=True):
    """A request with an idempotency key. Redis gets only digests of the key and the content."""

    org_id: str
    key: str
    fingerprint: str
    """The digest of the content."""

    @property
    def redis_key(self) -> str:
        return keys.idempotency(self.org_id, self.key)

    def require_same(self, earlier: IdempotencyRecord) -> None:
        """Admits the repetition of ``earlier``, the request that came first with the same key.

        Raises:
            IdempotencyConflict: that was another request.
        """
        if earlier.fingerprint != self.fingerprint:
            raise IdempotencyConflict


def script_args(request: IdempotentRequest | None, now: datetime) -> tuple[str, int | str]:
    """The fingerprint, and when the request is forgotten (ms); empty if it has no key."""
    if request is None:
        return "", ""
    return request.fingerprint, datetime_to_ms(now + IDEMPOTENCY_TTL)


def find(request: IdempotentRequest) -> Command[IdempotencyRecord | None]:
    """The record of the request that came with the same key in the last 24 hours."""
    return command(decode_record, "HMGET", request.redis_key, "id", "fingerprint")


def begin(
    request: IdempotentRequest, *, now: datetime
) -> Command[tuple[datetime, IdempotencyRecord | None]]:
    """Saves the key of a request that takes several commands, before the first of them.

    When the request first came, and the record of an earlier one with the same key, if there is
    one.
    """

    def decode_begun(reply: list[Any]) -> tuple[datetime, IdempotencyRecord | None]:
        earlier, ends_at = reply
        first_at = datetime_from_ms(ends_at) - IDEMPOTENCY_TTL
        return first_at, None if earlier is None else decode_record(earlier)

    return run_script(
        decode_begun, "storage/begin_request", [request.redis_key], *script_args(request, now)
    )


def decode_record(reply: list[Any]) -> IdempotencyRecord | None:
    """The reply of ``find`` or of ``find_request`` in ``common.lua``."""
    local_id, fingerprint = reply
    return None if fingerprint is None else IdempotencyRecord(local_id, fingerprint)
