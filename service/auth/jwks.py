"""The identity provider's key set (RFC 7517), fetched when it is needed and no more often."""

import asyncio
import json
import ssl
import time
from contextlib import suppress
from typing import Any

import httpx
import jwt
import structlog

from service.auth.tokens import VerificationKey, verification_key
from service.errors import TokenInvalid, Unavailable

log = structlog.get_logger(__name__)

FRESH_FOR = 300.0
"""Seconds for which a key set is taken for current; after that it is fetched again, while nobody waits."""
BELIEVED_FOR = 3600.0
"""Seconds after which keys that could not be fetched again are not believed any more."""
FETCH_EVERY = 10.0
"""Seconds between two fetches at least, however many unknown keys tokens name."""
FETCH_TIMEOUT = 4.0
"""Seconds in which a key set has to be there, whole: whoever waits for it is answered within 5."""
MAX_KEY_SET_BYTES = 256 * 1024


class KeySetError(Exception):
    """The key set cannot be had. The message says why."""


class KeySet:
    """The keys behind a URL, by their ``kid``. What a token's own ``jku``, ``jwk`` or ``x5u`` says is never looked at."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: dict[str | None, VerificationKey] = {}
        self._fetched_at = self._tried_at = float("-inf")
        self._failed = True
        """Whether the last attempt brought no key set, or none was made yet."""
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

    async def fetch(self) -> dict[str | None, VerificationKey]:
        """The keys that tokens may be signed with, fetched now.

        Raises:
            KeySetError: they cannot be had.
        """
        try:
            async with asyncio.timeout(FETCH_TIMEOUT):
                body = await self._download()
            return _usable(json.loads(body))
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, RecursionError) as error:
            raise KeySetError(_reason(error)) from error

    async def _download(self) -> bytes:
        """Follows no redirect: whoever may redirect it makes admins."""
        context = await asyncio.to_thread(
            ssl.create_default_context
        )  # what this machine trusts, and not httpx' own list
        async with (
            httpx.AsyncClient(
                verify=context,
                timeout=None,  # noqa: S113
                headers={"Accept-Encoding": "identity"},
            ) as client,
            client.stream("GET", self._url) as response,
        ):
            if response.status_code != 200:
                raise KeySetError(f"it answers with {response.status_code}")
            body = bytearray()
            async for piece in response.aiter_raw():
                body += piece
                if len(body) > MAX_KEY_SET_BYTES:
                    raise KeySetError(f"it has more than {MAX_KEY_SET_BYTES} bytes")
            return bytes(body)

    async def _refresh(self) -> None:
        async with self._fetching:
            if time.monotonic() - self._tried_at < FETCH_EVERY:
                return
            self._tried_at, self._failed = time.monotonic(), True
            try:
                self._keys = await self.fetch()
            except KeySetError as error:
                log.warning("key_set_away", error=str(error))
                return
            self._failed = False
            self._fetched_at = time.monotonic()


def _usable(key_set: Any) -> dict[str | None, VerificationKey]:
    """The keys of the set, by their ``kid``.

    Raises:
        KeySetError: there are none.
    """
    members = key_set.get("keys") if isinstance(key_set, dict) else None
    if not isinstance(members, list):
        raise KeySetError("it is no key set")
    usable: dict[str | None, VerificationKey] = {}
    for member in members:
        kid = member.get("kid") if isinstance(member, dict) else None
        if (
            not isinstance(member, dict)
            or member.get("use") == "enc"
            or not isinstance(kid, str | None)
        ):
            continue
        with suppress(
            jwt.PyJWTError, ValueError, TypeError, LookupError, AttributeError
        ):  # one that is no key, or not for us
            usable[kid] = verification_key(jwt.PyJWK(member).key)
    if not usable:
        raise KeySetError("it has no usable key")
    if len(usable) == 1:
        usable[None] = next(iter(usable.values()))
    return usable


def _reason(error: Exception) -> str:
    """What went wrong, for a log."""
    if isinstance(error, KeySetError):
        return str(error)
    if isinstance(error, httpx.InvalidURL):
        return "its address is none"
    if isinstance(error, TimeoutError):
        return f"it takes more than {FETCH_TIMEOUT:.0f} s"
    if isinstance(error, ValueError | RecursionError):
        return "it is no JSON"
    return str(error) or type(error).__name__


def _kid(token: str) -> str | None:
    try:
        kid: Any = jwt.get_unverified_header(token).get("kid")
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise TokenInvalid from None
    if kid is not None and not isinstance(kid, str):
        raise TokenInvalid
    return kid
