"""Creates redis-py clients for a URL of Redis: a single server, Sentinel or a cluster."""

from typing import Any, cast
from urllib.parse import SplitResult, urlsplit, urlunsplit

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.connection import parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel

from service.errors import Unavailable
from service.storage.replies import CONNECTION_ERRORS

REDIS_TIMEOUT_SECONDS = 1.25
"""Limits connecting, and each command: even a busy machine answers requests within 2 s."""
OPTIONS: dict[str, Any] = {
    "decode_responses": True,
    "socket_timeout": REDIS_TIMEOUT_SECONDS,
    "socket_connect_timeout": REDIS_TIMEOUT_SECONDS,
}


def create_client(url: str) -> redis.Redis | RedisCluster:
    """A client for ``RedisClient``. It never sends a command twice.

    Raises:
        Unavailable: no node of the cluster answers.
    """
    parts = urlsplit(url)
    if parts.scheme != "redis+cluster":
        return create_queue_client(url, **OPTIONS)
    try:
        return RedisCluster(**_cluster_options(parts), **OPTIONS, retry=Retry(NoBackoff(), 0))
    except CONNECTION_ERRORS as error:
        raise Unavailable from error


def create_queue_client(url: str, **options: Any) -> redis.Redis:
    """A client for RQ, which cannot use a cluster. It never sends a command twice."""
    parts, retry = urlsplit(url), Retry(NoBackoff(), 0)
    if parts.scheme != "redis+sentinel":
        return redis.Redis.from_url(url, **options, retry=retry)
    sentinel = Sentinel(
        _sentinels(parts),
        sentinel_kwargs={**OPTIONS, "retry": retry},
        **_query_options(parts),
        **options,
        retry=retry,
    )
    return cast("redis.Redis", sentinel.master_for(**_sentinel_master(parts)))


def create_async_client(url: str) -> redis.asyncio.Redis | redis.asyncio.RedisCluster:
    """A client for ``AutoPipeline``. It never sends a command twice."""
    parts = urlsplit(url)
    options = {**OPTIONS, "retry": AsyncRetry(NoBackoff(), 0)}
    if parts.scheme == "redis+cluster":
        return redis.asyncio.RedisCluster(**_cluster_options(parts), **options)
    if parts.scheme != "redis+sentinel":
        return redis.asyncio.Redis.from_url(url, **options)
    sentinel = redis.asyncio.Sentinel(
        _sentinels(parts), sentinel_kwargs=options, **_query_options(parts), **options
    )
    return cast("redis.asyncio.Redis", sentinel.master_for(**_sentinel_master(parts)))


def _sentinels(parts: SplitResult) -> list[tuple[str, int]]:
    addresses = parts.netloc.rpartition("@")[2].split(",")
    hosts_and_ports = (address.partition(":") for address in addresses)
    return [(host, int(port or 26379)) for host, _, port in hosts_and_ports]


def _sentinel_master(parts: SplitResult) -> dict[str, Any]:
    name, _, database = parts.path.strip("/").partition("/")
    return {"service_name": name, "db": int(database or 0)}


def _cluster_options(parts: SplitResult) -> dict[str, Any]:
    host, port = parts.hostname or "localhost", parts.port or 6379
    return {"host": host, "port": port, **_query_options(parts)}


def _query_options(parts: SplitResult) -> dict[str, Any]:
    """User, password and options, parsed by redis-py. ``ssl=true`` does what ``rediss`` does."""
    user, at, _ = parts.netloc.rpartition("@")
    url = urlunsplit(("redis", f"{user}{at}localhost", "", parts.query, ""))
    options: dict[str, Any] = parse_url(url)
    del options["host"]
    return {**options, "ssl": options.get("ssl") == "true"}
