"""Caches the profiles of organizations for their e-mails."""

from collections.abc import Callable
from datetime import datetime, timedelta

from service.errors import Unreadable
from service.orgs import store as orgs
from service.orgs.model import EMPTY_PROFILE, Profile
from service.storage.pipeline import AutoPipeline

CACHE_TTL = timedelta(seconds=10)
CACHE_SIZE = 1000


class ProfileCache:
    """Profiles, at most ``CACHE_TTL`` old."""

    def __init__(self, pipeline: AutoPipeline, clock: Callable[[], datetime]) -> None:
        self._pipeline = pipeline
        self._clock = clock
        self._profiles: dict[str, tuple[datetime, Profile]] = {}

    async def get(self, org_id: str | None) -> Profile:
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
        profile = await self._load(org_id)
        self._profiles[org_id] = (now, profile)
        return profile

    async def _load(self, org_id: str) -> Profile:
        try:
            return await self._pipeline.run(orgs.get_profile(org_id))
        except Unreadable:
            return EMPTY_PROFILE  # an unreadable profile delays no e-mail
