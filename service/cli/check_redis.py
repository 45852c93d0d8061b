"""What ``payment-links check`` checks of Redis: access, version, persistence, data and clock."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from redis import Redis
from redis.crc import key_slot
from redis.exceptions import ResponseError

from service.cli.check_cluster import ClusterState, check_nodes, read_cluster
from service.cli.check_result import CheckResult, Finding, failure, ok, summarize
from service.cli.check_sentinel import check_watched_servers, read_sentinels
from service.cli.check_server import (
    SERVER_CHECKS,
    ServerCheck,
    check_clock,
    check_servers,
    check_version,
    describe_unreachable,
    read_state,
)
from service.errors import Unavailable
from service.outbox import acl_check as queue_acl_check
from service.storage import acl_check, data_version, keys
from service.storage.client import RedisClient, open_client
from service.storage.connect import create_queue_client
from service.storage.error_descriptions import describe_failure
from service.storage.redis_url import RedisUrl
from service.storage.replies import CONNECTION_ERRORS


class Probe(NamedTuple):
    """A key on which permissions are tried, and the address of the server that has its slot."""

    address: str
    key: str
    denied: Sequence[str] = ()
    """Commands that are known to be denied."""


def check_redis(url: str) -> Iterator[CheckResult]:
    """Checks the Redis that holds the links: the server, or every node."""
    parsed = RedisUrl.parse(url)
    probes = [Probe("", keys.probe())]
    try:
        if parsed.is_cluster:
            cluster = read_cluster(url)
            yield from check_nodes(cluster)
            probes = _find_probes(cluster)
        elif parsed.is_sentinel:
            yield from check_watched_servers(read_sentinels(url))
        else:
            yield from _check_server("redis", url, SERVER_CHECKS)
    except Unavailable as error:
        yield failure("redis", str(error))
        return
    with open_client(url) as client:
        yield from summarize(
            "redis commands", {probe.address: _check_commands(client, probe) for probe in probes}
        )
        yield _check_data(client)


def check_queue_redis(url: str) -> Iterator[CheckResult]:
    """Checks RQ's Redis where it is another one: nothing is lost with its data."""
    try:
        checks = {"version": check_version, "clock": check_clock}
        yield from _check_server("queue redis", url, checks)
    except Unavailable as error:
        yield failure("queue redis", str(error))


def check_queue_commands(url: str) -> Iterator[CheckResult]:
    """Checks that the user may run RQ's commands, where the server answers at all."""
    try:
        with _create_queue_client(url) as client:
            refused = queue_acl_check.find_denied(client)
    except CONNECTION_ERRORS:
        return
    if refused:
        yield failure("queue commands", f"NOPERM: the user may not use {', '.join(refused)}")
    else:
        yield ok("queue commands", "allowed")


def _check_server(
    component: str, url: str, checks: Mapping[str, ServerCheck]
) -> Iterator[CheckResult]:
    """Checks one server: the only one, or RQ's, which may be a master that Sentinels watch.

    Raises:
        Unavailable: it does not answer; the message says why.
    """
    try:
        with _create_queue_client(url) as client:
            state = read_state("", client)
    except (*CONNECTION_ERRORS, ValueError) as error:
        raise Unavailable(describe_unreachable(error)) from error
    yield ok(component, "answers")
    yield from check_servers(component, [state], checks)


def _create_queue_client(url: str) -> Redis:
    return create_queue_client(
        url, socket_timeout=2, socket_connect_timeout=2, decode_responses=True
    )


def _find_probes(cluster: ClusterState) -> list[Probe]:
    """One for each primary that answers: permissions may differ from node to node."""
    slots = {key_slot(key.encode()): key for key in map(keys.probe, keys.ALL_PARTITIONS)}
    return [
        Probe(node.name, slots[found], cluster.answering[node.name].denied)
        for node in cluster.serving
        if (found := next((slot for slot in slots if node.serves(slot)), None)) is not None
    ]


def _check_commands(client: RedisClient, probe: Probe) -> Finding:
    """Whether the user may run the service's commands, scripts above all."""
    command = acl_check.find_denied_commands(probe.key)
    try:
        # EVAL, then EVALSHA: both must be allowed.
        client.run(command.with_source())
        denied = [*client.run(command), *probe.denied]
    except (*CONNECTION_ERRORS, Unavailable, ResponseError) as error:
        return Finding("FAIL", f"scripts cannot be run: {describe_failure(error)}")
    if denied:
        return Finding("FAIL", f"NOPERM: the user may not run {', '.join(denied)}")
    return Finding("ok", "allowed")


def _check_data(client: RedisClient) -> CheckResult:
    try:
        version = data_version.find_version(client)
    except Unavailable as error:
        return failure("redis data", f"cannot be read: {describe_failure(error)}")
    if version is None:
        return ok("redis data", "none yet")
    if version != data_version.DATA_VERSION:
        return failure("redis data", str(data_version.WrongDataVersionError(version)))
    return ok("redis data", f"of version {version}, this release's")
