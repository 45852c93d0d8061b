"""Links as lists show them, as JSON. First pages are asked for again and again, so their links are written once while they last."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from service.api.schemas import ENCODER, link_body
from service.store.record import decode

KEPT = 4096
"""Links that a process keeps written, in some 6 MB."""
NEVER = datetime.max.replace(tzinfo=UTC)


class Listed(msgspec.Struct, frozen=True, gc=False):
    """What of a link a list needs, and its ``LinkBody``, which is right before ``ends_at``."""

    org_id: str
    created_at: datetime
    ends_at: datetime
    body: msgspec.Raw


class Lister:
    """Writes links, and keeps some of them written."""

    def __init__(self, public_url: str) -> None:
        self._public_url = public_url
        self._kept = lru_cache(KEPT)(self._write)

    def read(
        self, link_ids: Sequence[str], records: Sequence[str | None], *, now: datetime, may_come_again: bool = False
    ) -> list[Listed]:
        """The links behind ``records`` as they are at ``now``, without those that are gone."""
        write: Callable[[str, str | None, bool], Listed | None] = self._kept if may_come_again else self._write
        found = []
        for link_id, record in zip(link_ids, records, strict=True):
            listed = write(link_id, record, False)
            if listed is not None and now >= listed.ends_at:
                listed = write(link_id, record, True)
            if listed is not None:
                found.append(listed)
        return found

    def _write(self, link_id: str, record: str | None, has_ended: bool) -> Listed | None:
        link = decode(link_id, record)
        if link is None:
            return None
        now, ends_at = (link.expires_at, NEVER) if has_ended else (link.created_at, link.expires_at)
        body = link_body(link, now=now, public_url=self._public_url)
        return Listed(link.org_id, link.created_at, ends_at, msgspec.Raw(ENCODER.encode(body)))
