"""The private parts of redis-py that the service uses, for which its minor version is pinned."""

import asyncio
import re
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from service.storage import multiplexed_connection
from tests.support.servers import RedisServer


def test_there_are_no_others() -> None:
    source = Path(multiplexed_connection.__file__).read_text()
    assert set(re.findall(r"(?<!self)\.(_[a-z]\w*)", source)) == {"_close", "_parser", "_writer"}


def test_they_still_exist(valkey: RedisServer) -> None:
    async def run() -> None:
        client = Redis.from_url(valkey.url)
        made = client.connection_pool.make_connection()
        await made.connect()
        assert isinstance(made._parser.parse_error("NOSCRIPT missing"), NoScriptError)  # noqa: SLF001
        transport = made._writer.transport  # noqa: SLF001
        assert isinstance(transport, asyncio.Transport)
        transport.abort()
        made._close()  # noqa: SLF001
        assert not made.is_connected
        await client.aclose()

    asyncio.run(run())
