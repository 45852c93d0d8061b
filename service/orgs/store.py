"""Organizations in Redis: an index of those that have links, and their profiles.

The index is written when a link is created. A profile is one JSON string, which no script reads: a
single SET replaces it.
"""

from datetime import datetime, timedelta

import msgspec

from service.orgs.model import EMPTY_PROFILE, Profile
from service.storage import keys
from service.storage.command import Command, command
from service.values.time import datetime_to_ms

MAX_IDS_PER_PARTITION = 1000
"""Limits a list of organizations to a quarter of a million in all partitions."""


def list_ids(partition: str, *, now: datetime, retention: timedelta) -> Command[list[str]]:
    """The partition's organizations; if there are too many, those whose links end last."""
    return command(
        list,
        "ZREVRANGEBYSCORE",
        keys.orgs(partition),
        "+inf",
        f"({datetime_to_ms(now - retention)}",
        "LIMIT",
        0,
        MAX_IDS_PER_PARTITION,
    )


def get_profile(org_id: str) -> Command[Profile]:
    """The organization's profile; an empty one if it has none."""
    return command(_decode_profile, "GET", keys.profile(org_id))


def put_profile(org_id: str, profile: Profile) -> Command[None]:
    """Replaces the organization's profile."""
    return command(
        lambda _: None, "SET", keys.profile(org_id), msgspec.json.encode(profile).decode()
    )


def _decode_profile(text: str | None) -> Profile:
    return EMPTY_PROFILE if text is None else msgspec.json.decode(text, type=Profile)
