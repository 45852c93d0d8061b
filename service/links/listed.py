"""Lists of links, as JSON. First pages are asked for again and again, so they are written once while they last."""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
import structlog

from service.http.schemas import ENCODER
from service.links.model import Link, Status
from service.links.record import decode
from service.links.schemas import LinkBody, link_body
from service.storage.command import attempt
from service.storage.keys import for_log, full_ids
from service.storage.keys import link as key_of
from service.values.ids import partition_of

log = structlog.get_logger(__name__)

KEPT = 64
"""First pages that a process keeps written; none is longer than ``LONGEST``. They take some 5 MB, and 50 at the worst."""
LONGEST = 100
NEVER = datetime.max.replace(tzinfo=UTC)


class Listed(msgspec.Struct, frozen=True):
    """What was asked for: an organization's links, of one status or of all. ``records`` are theirs, None where one is gone."""

    org_id: str
    status: Status | None
    local_ids: Sequence[str]
    records: Sequence[str | None]


class Written(msgspec.Struct, frozen=True):
    """A page's ``links`` as a JSON array, which is right while the page is the same, and it is not yet ``until``."""

    page: Listed
    since: datetime
    until: datetime
    links: msgspec.Raw


class Lister:
    """Writes links, and keeps some of what it wrote."""

    def __init__(self, public_url: str) -> None:
        self._public_url = public_url
        self._kept: dict[tuple[str, Status | None, int], Written] = {}
        """Those that were asked for last are the last."""

    def read(self, page: Listed, *, now: datetime) -> list[LinkBody]:
        """The links of ``page`` as they are at ``now``, newest first."""
        return self._bodies(_links(page), now)

    def _bodies(self, links: Sequence[Link], now: datetime) -> list[LinkBody]:
        return [
            link_body(link, now=now, public_url=self._public_url, for_admin=True) for link in links
        ]

    def write(self, page: Listed, *, now: datetime) -> msgspec.Raw:
        """The same as a JSON array."""
        return msgspec.Raw(ENCODER.encode(self.read(page, now=now)))

    def write_first(self, page: Listed, *, now: datetime) -> msgspec.Raw:
        """The same of a page that will be asked for again."""
        if len(page.local_ids) > LONGEST:
            return self.write(page, now=now)
        place = page.org_id, page.status, len(page.local_ids)
        written = self._kept.pop(place, None)
        if written is None or written.page != page or not written.since <= now < written.until:
            links = _links(page)
            until = min((link.expires_at for link in links if link.expires_at > now), default=NEVER)
            written = Written(
                page, now, until, msgspec.Raw(ENCODER.encode(self._bodies(links, now)))
            )
        self._kept[place] = written
        if len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]
        return written.links


def _links(page: Listed) -> list[Link]:
    """The links of ``page``, newest first. One that cannot be read hides no other."""
    link_ids = full_ids(partition_of(page.org_id), page.local_ids)
    links = []
    for link_id, record in zip(link_ids, page.records, strict=True):
        link = attempt(decode, link_id, record)
        if isinstance(link, ValueError):
            log.error("data_unreadable", keys=for_log([key_of(link_id)]), error=type(link).__name__)
        elif link is not None and link.org_id == page.org_id:
            links.append(link)
    if page.status is not None:  # whose index knows when links end, not when they were made
        links.sort(key=lambda link: link.created_at, reverse=True)
    return links
