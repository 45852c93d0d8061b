"""Creates transports and clients for a URL of Redis: a single server, Sentinel or a cluster."""

from typing import Any, cast

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from service.storage.cluster import ClusterTransport
from service.storage.multiplexed_connection import MultiplexedConnection
from service.storage.pipeline import REDIS_TIMEOUT_SECONDS, Transport
from service.storage.redis_url import Address, RedisUrl

OPTIONS: dict[str, Any] = {
    "decode_responses": True,
    "socket_timeout": REDIS_TIMEOUT_SECONDS,
    "socket_connect_timeout": REDIS_TIMEOUT_SECONDS,
}


class TransientSentinel(redis.asyncio.Sentinel):
    """Closes its connections to Sentinels, which are needed only to connect to a master."""

    async def discover_master(self, service_name: str) -> Any:
        try:
            return await super().discover_master(service_name)
        finally:
            await self.aclose()


def create_queue_client(url: str, **options: Any) -> redis.Redis:
    """A client for RQ, which cannot use a cluster. It never sends a command twice."""
    parsed = RedisUrl.parse(url)
    options = {**options, "retry": Retry(NoBackoff(), 0)}
    if not parsed.is_sentinel:
        pool = redis.ConnectionPool(
            _connection_class(redis, parsed),
            **_server_options(parsed),
            **_login_options(parsed),
            **options,
        )
        return redis.Redis.from_pool(pool)
    sentinel = Sentinel(
        parsed.addresses,
        sentinel_kwargs=_sentinel_options(parsed, Retry(NoBackoff(), 0)),
        **_login_options(parsed),
        **options,
        ssl=parsed.uses_tls,
    )
    return cast("redis.Redis", sentinel.master_for(parsed.service_name, db=parsed.database))


def create_transport(url: str) -> Transport:
    """The transport of an ``AutoPipeline``. It never sends a command twice that may have run."""
    parsed = RedisUrl.parse(url)
    options = {**_login_options(parsed), **OPTIONS, "retry": AsyncRetry(NoBackoff(), 0)}
    if parsed.is_cluster:

        def create_client(address: Address) -> redis.asyncio.Redis:
            host, port = address
            return redis.asyncio.Redis(host=host, port=port, ssl=parsed.uses_tls, **options)

        return ClusterTransport(parsed.addresses, create_client)
    if parsed.is_sentinel:
        sentinel = TransientSentinel(  # type: ignore[no-untyped-call]
            parsed.addresses,
            sentinel_kwargs=_sentinel_options(parsed, AsyncRetry(NoBackoff(), 0)),
            **options,
            ssl=parsed.uses_tls,
        )
        return MultiplexedConnection(sentinel.master_for(parsed.service_name, db=parsed.database))
    pool = redis.asyncio.ConnectionPool(
        _connection_class(redis.asyncio, parsed), **_server_options(parsed), **options
    )
    return MultiplexedConnection(redis.asyncio.Redis.from_pool(pool))


def create_node_client(url: str, address: Address) -> redis.Redis:
    """A client of one node of the cluster, or of one server that the Sentinels watch."""
    parsed, (host, port) = RedisUrl.parse(url), address
    options = {**_login_options(parsed), **OPTIONS, "retry": Retry(NoBackoff(), 0)}
    return redis.Redis(host=host, port=port, ssl=parsed.uses_tls, **options)


def create_sentinel_client(url: str, address: Address) -> redis.Redis:
    """A client of one of the Sentinels that ``url`` names."""
    host, port = address
    options = _sentinel_options(RedisUrl.parse(url), Retry(NoBackoff(), 0))
    return redis.Redis(host=host, port=port, **options)


def _login_options(parsed: RedisUrl) -> dict[str, Any]:
    """The keyword arguments of connections to the servers that have the data."""
    options: dict[str, Any] = {**parsed.credentials.options, **parsed.tls_options}
    if "client_name" in parsed.options:
        options["client_name"] = parsed.options["client_name"]
    return options


def _sentinel_options(parsed: RedisUrl, retry: Any) -> dict[str, Any]:
    """The keyword arguments of clients of the Sentinels themselves."""
    return {
        **parsed.sentinel_credentials.options,
        **parsed.tls_options,
        **OPTIONS,
        "ssl": parsed.uses_tls,
        "retry": retry,
    }


def _connection_class(library: Any, parsed: RedisUrl) -> Any:
    """The class of connections to a single server, in ``redis`` or ``redis.asyncio``."""
    if not parsed.addresses:
        return library.UnixDomainSocketConnection
    return library.SSLConnection if parsed.uses_tls else library.Connection


def _server_options(parsed: RedisUrl) -> dict[str, Any]:
    """The address of a single server, and the number of its database."""
    if not parsed.addresses:
        return {"path": parsed.path, "db": parsed.database}
    host, port = parsed.addresses[0]
    return {"host": host, "port": port, "db": parsed.database}
