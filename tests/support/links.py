"""Links made without HTTP."""

from datetime import datetime, timedelta
from typing import Any

from service.links import model as link
from service.links.model import Link, LinkRequest, validate_request


def create(*, entropy: bytes, now: datetime, ttl: timedelta, **fields: Any) -> Link:
    """The link that a request with these ``fields`` makes at ``now``."""
    return link.create(
        validate_request(LinkRequest(**fields), now=now), entropy=entropy, now=now, ttl=ttl
    )
