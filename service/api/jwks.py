"""The identity provider's key set (RFC 7517), fetched when it is needed and no more often."""

import asyncio
import time
from typing import Any

import jwt
import structlog

from service.domain.errors import TokenInvalid, Unavailable
from service.domain.tokens import VerificationKey, verification_key

log = structlog.get_logger(__name__)

FRESH_FOR = 300.0
"""Seconds for which a key set is taken for current; after that it is fetched again, while nobody waits."""
BELIEVED_FOR = 3600.0
"""Seconds after which keys that could not be fetched again are not believed any more."""
FETCH_EVERY = 10.0
"""Seconds between two fetches at least, however many unknown keys tokens name."""


class KeySet:
    """The keys behind a URL, by their ``kid``. What a token's own ``jku``, ``jwk`` or ``x5u`` says is never looked at."""

    def __init__(self, url: str) -> None:
        self._client = jwt.PyJWKClient(url, cache_jwk_set=False, timeout=5)
        self._keys: dict[str | None, VerificationKey] = {}
        self._fetched_at = self._tried_at = float("-inf")
        self._failed = False
        self._refreshing: asyncio.Task[None] | None = None
        self._fetching = asyncio.Lock()

    async def find(self, token: str) -> VerificationKey:
        """The key that the token names.

        Raises:
            TokenInvalid: it names none of the set.
            Unavailable: the set cannot be had.
        """
        kid = _kid(token)
        age = time.monotonic() - self._fetched_at
        if kid not in self._keys or age > BELIEVED_FOR:
            await self._refresh()
        elif age > FRESH_FOR and not self._fetching.locked():
            self._refreshing = asyncio.create_task(self._refresh())
        if time.monotonic() - self._fetched_at > BELIEVED_FOR:
            self._keys = {}
        if kid not in self._keys:
            if self._failed:
                raise Unavailable("the identity provider's keys cannot be had")
            raise TokenInvalid("the token names no key of the identity provider")
        return self._keys[kid]

    def usable_keys(self) -> int:
        """How many keys the set has that tokens may be signed with; 0 also where it cannot be had."""
        try:
            return len({id(key) for key in _usable(self._client.get_jwk_set(refresh=True).keys).values()})
        except (jwt.PyJWTError, OSError, ValueError):
            return 0

    async def _refresh(self) -> None:
        async with self._fetching:
            if time.monotonic() - self._tried_at < FETCH_EVERY:
                return
            self._tried_at = time.monotonic()
            try:
                key_set = await asyncio.to_thread(self._client.get_jwk_set, refresh=True)
            except (jwt.PyJWTError, OSError, ValueError) as error:
                self._failed = True
                log.warning("key_set_away", error=type(error).__name__)
                return
            self._failed = False
            self._keys = _usable(key_set.keys)
            self._fetched_at = time.monotonic()


def _usable(keys: list[jwt.PyJWK]) -> dict[str | None, VerificationKey]:
    usable: dict[str | None, VerificationKey] = {}
    for key in keys:
        if key.public_key_use == "enc":
            continue
        try:
            usable[key.key_id] = verification_key(key.key)
        except ValueError:
            continue
    if len(usable) == 1:
        usable[None] = next(iter(usable.values()))
    return usable


def _kid(token: str) -> str | None:
    try:
        kid: Any = jwt.get_unverified_header(token).get("kid")
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise TokenInvalid from None
    if kid is not None and not isinstance(kid, str):
        raise TokenInvalid
    return kid
