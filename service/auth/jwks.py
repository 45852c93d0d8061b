"""The identity provider's key set (RFC 7517), fetched when needed.

PyJWT's ``PyJWKClient`` reads answers of any size for any time, and repeats failed fetches for each
token: a slow or unreachable provider would occupy a thread for each request.
"""

import asyncio
import json
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import httpx
import jwt
import structlog

from service.auth.tokens import JwtKey, verification_key
from service.errors import TokenInvalid, Unavailable

log = structlog.get_logger(__name__)

REFRESH_INTERVAL_SECONDS = 300.0
"""Keys that are older are fetched again in the background."""
MAX_AGE_SECONDS = 3600.0
"""Keys that are older are not used: the provider may have revoked them meanwhile."""
MIN_FETCH_INTERVAL_SECONDS = 10.0
FETCH_TIMEOUT_SECONDS = 4.0
"""Limits the fetch of the whole key set: requests that wait for it are answered within 5 s."""
MAX_KEY_SET_BYTES = 256 * 1024

KeysByKid = Mapping[str | None, JwtKey]
"""Keys by their ``kid``. A single key also has the name None, for tokens without a ``kid``."""


class KeySetError(Exception):
    """The key set cannot be fetched or used. The message is the reason."""


class KeySet:
    """The key set at ``url``. The headers ``jku``, ``jwk`` and ``x5u`` of a token are ignored."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: KeysByKid = {}
        self._fetched_at = self._tried_at = float("-inf")
        self._background_refresh: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()

    async def find_for_token(self, token: str) -> JwtKey:
        """The key that ``token`` names.

        Raises:
            TokenInvalid: the key set has no such key.
            Unavailable: the key set cannot be fetched.
        """
        kid = _read_kid(token)
        if kid not in self._keys or self._age > MAX_AGE_SECONDS:
            await self._refresh()
        elif self._age > REFRESH_INTERVAL_SECONDS and not self._lock.locked():
            self._background_refresh = asyncio.create_task(self._refresh())
        if kid in self._keys and self._age <= MAX_AGE_SECONDS:
            return self._keys[kid]
        if self._fetched_at < self._tried_at:
            raise Unavailable("the identity provider's keys cannot be had")
        raise TokenInvalid("the token names no key of the identity provider")

    async def fetch(self) -> KeysByKid:
        """Fetches the key set.

        Raises:
            KeySetError: it cannot be fetched or used.
        """
        try:
            async with asyncio.timeout(FETCH_TIMEOUT_SECONDS):
                body = await self._download()
            return _parse_keys(json.loads(body))
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, RecursionError) as error:
            raise KeySetError(_describe(error)) from error

    @property
    def _age(self) -> float:
        return time.monotonic() - self._fetched_at

    async def _refresh(self) -> None:
        async with self._lock:
            if time.monotonic() - self._tried_at < MIN_FETCH_INTERVAL_SECONDS:
                return
            self._tried_at = time.monotonic()
            try:
                self._keys = await self.fetch()
            except KeySetError as error:
                log.warning("key_set_unavailable", error=str(error))
            else:
                self._fetched_at = time.monotonic()

    async def _download(self) -> bytes:
        """Follows no redirects: the target's owner could issue admin tokens."""
        # In a thread: it reads the system's certificates from disk.
        context = await asyncio.to_thread(ssl.create_default_context)
        async with (
            httpx.AsyncClient(verify=context, timeout=FETCH_TIMEOUT_SECONDS) as client,
            client.stream("GET", self._url, headers={"Accept-Encoding": "identity"}) as response,
        ):
            if response.status_code != 200:
                raise KeySetError(f"it answers with {response.status_code}")
            body = b""
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MAX_KEY_SET_BYTES:
                    raise KeySetError(f"it has more than {MAX_KEY_SET_BYTES} bytes")
            return body


def _parse_keys(key_set: Any) -> KeysByKid:
    """The usable keys. Members that are no keys, or keys for something else, are ignored.

    Raises:
        KeySetError: there are none.
    """
    members = key_set.get("keys") if isinstance(key_set, dict) else None
    if not isinstance(members, list):
        raise KeySetError("it is not a key set")
    keys: dict[str | None, JwtKey] = {}
    for member in members:
        if not isinstance(member, dict) or member.get("use") == "enc":
            continue
        kid = member.get("kid")
        if kid is not None and not isinstance(kid, str):
            continue
        with suppress(jwt.PyJWTError, ValueError, TypeError, LookupError, AttributeError):
            keys[kid] = verification_key(jwt.PyJWK(member).key)
    if not keys:
        raise KeySetError("it has no usable key")
    if len(keys) == 1:
        keys[None] = next(iter(keys.values()))
    return keys


def _read_kid(token: str) -> str | None:
    try:
        kid: Any = jwt.get_unverified_header(token).get("kid")
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise TokenInvalid from None
    if kid is not None and not isinstance(kid, str):
        raise TokenInvalid
    return kid


def _describe(error: Exception) -> str:
    """The reason of a failed fetch, for an operator."""
    if isinstance(error, httpx.InvalidURL):
        return "its address is invalid"
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return f"it takes more than {FETCH_TIMEOUT_SECONDS:.0f} s"
    if isinstance(error, ValueError | RecursionError):
        return "it is not JSON"
    return str(error) or type(error).__name__
