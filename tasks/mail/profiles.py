"""Caches the profiles of organizations for their e-mails."""

from collections.abc import Callable
from datetime import datetime, timedelta

from service.errors import Unreadable
from service.orgs import store as orgs
from service.orgs.model import EMPTY_PROFILE, Profile
from service.storage.client import RedisClient

CACHE_TTL = timedelta(seconds=10)
CACHE_SIZE = 1000


class ProfileCache:
    """Profiles, at most ``CACHE_TTL`` old."""

    def __init__(self, client: RedisClient, clock: Callable[[], datetime]) -> None:
        self._client = client
        self._clock = clock
        self._profiles: dict[str, tuple[datetime, Profile]] = {}

    def get(self, org_id: str | None) -> Profile:
        """The organization's profile; an empty one if there is none, or an unreadable one.

        Raises:
            Unavailable: Redis does not answer.
        """
        if org_id is None:
            return EMPTY_PROFILE
        now = self._clock()
        read_at, profile = self._profiles.get(org_id, (None, EMPTY_PROFILE))
        if read_at is not None and read_at <= now < read_at + CACHE_TTL:
            return profile
        if len(self._profiles) >= CACHE_SIZE:
            self._profiles.clear()
        profile = self._load(org_id)
        self._profiles[org_id] = (now, profile)
        return profile

    def _load(self, org_id: str) -> Profile:
        try:
            return self._client.run(orgs.get_profile(org_id))
        except Unreadable:
            return EMPTY_PROFILE  # an unreadable profile delays no e-mail
