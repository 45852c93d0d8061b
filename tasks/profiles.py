"""How organizations present themselves in their mails: read once for many."""

from collections.abc import Callable
from datetime import datetime, timedelta

from service.errors import Unreadable
from service.orgs import store as orgs
from service.orgs.model import EMPTY_PROFILE, Profile
from service.storage.client import Client

FRESH_FOR = timedelta(seconds=10)
MOST = 1000
"""How many are remembered at once."""


class Profiles:
    """Profiles of organizations, as they were ``FRESH_FOR`` ago at most."""

    def __init__(self, client: Client, clock: Callable[[], datetime]) -> None:
        self._client = client
        self._clock = clock
        self._known: dict[str, tuple[datetime, Profile]] = {}

    def of(self, org_id: str | None) -> Profile:
        """The organization's profile; an empty one where there is none, or none that can be read: no mail waits for that.

        Raises:
            Unavailable: Redis does not answer.
        """
        if org_id is None:
            return EMPTY_PROFILE
        now = self._clock()
        read_at, profile = self._known.get(org_id, (None, EMPTY_PROFILE))
        if read_at is not None and read_at <= now < read_at + FRESH_FOR:
            return profile
        if len(self._known) >= MOST:
            self._known.clear()
        profile = self._read(org_id)
        self._known[org_id] = (now, profile)
        return profile

    def _read(self, org_id: str) -> Profile:
        try:
            return self._client.run(orgs.get_profile(org_id))
        except Unreadable:
            return EMPTY_PROFILE
