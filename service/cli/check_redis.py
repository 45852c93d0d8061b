"""What ``payment-links check`` checks of Redis: access, version, persistence, data and clock."""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import redis
from redis.exceptions import RedisError, ResponseError

from service.cli.check_result import CheckResult, failure, ok, warning
from service.errors import Unavailable
from service.outbox import acl_check as queue_acl_check
from service.storage import acl_check, data_version
from service.storage.client import RedisClient
from service.storage.clock import MAX_CLOCK_SKEW
from service.storage.connect import create_client, create_queue_client
from service.storage.error_descriptions import describe_failure
from service.storage.replies import CONNECTION_ERRORS

Check = Callable[[str, Any], CheckResult]
"""Checks one thing, named first, through a client of redis-py."""

MIN_VERSION = (7, 0)
"""The first Redis with PEXPIREAT … GT; every Valkey has it."""


def check_redis(url: str) -> Iterator[CheckResult]:
    """Checks the Redis that holds the links."""
    checks = {
        "commands": _check_commands,
        "version": _check_server_version,
        "persistence": _check_persistence,
        "eviction": _check_eviction,
        "data": _check_data,
        "clock": _check_clock,
    }
    return _check("redis", create_client, url, checks)


def check_queue_redis(url: str) -> Iterator[CheckResult]:
    """Checks RQ's Redis where it is another one: nothing is lost with its data."""
    checks = {"version": _check_server_version, "clock": _check_clock}
    return _check("queue redis", _create_queue_client, url, checks)


def _check(
    component: str, open_client: Callable[[str], Any], url: str, checks: Mapping[str, Check]
) -> Iterator[CheckResult]:
    try:
        client = open_client(url)
        client.ping()
    except (*CONNECTION_ERRORS, Unavailable, ValueError) as error:
        yield failure(component, f"does not answer: {describe_failure(error)}")
        return
    yield ok(component, "answers")
    for name, check in checks.items():
        yield check(f"{component} {name}", client)
    client.close()


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


def _create_queue_client(url: str) -> redis.Redis:
    return create_queue_client(
        url, socket_timeout=2, socket_connect_timeout=2, decode_responses=True
    )


def _check_commands(component: str, client: Any) -> CheckResult:
    """Whether the user may run the service's commands, scripts above all."""
    try:
        run = RedisClient(client).run
        # EVAL, then EVALSHA: both must be allowed.
        run(acl_check.find_denied_commands().with_source())
        refused = run(acl_check.find_denied_commands())
    except (*CONNECTION_ERRORS, Unavailable, ResponseError) as error:
        return failure(component, f"scripts cannot be run: {describe_failure(error)}")
    if refused:
        return failure(component, f"NOPERM: the user may not run {', '.join(refused)}")
    return ok(component, "allowed")


def _check_server_version(component: str, client: Any) -> CheckResult:
    info = _info(client)
    if info is None:
        return warning(component, "unknown: INFO is not allowed")
    name = "Valkey" if "valkey_version" in info else "Redis"
    version = str(info[f"{name.lower()}_version"])
    if tuple(map(int, re.findall(r"[0-9]+", version)[:2])) < MIN_VERSION:
        return failure(component, f"{name} {version}, 7.0 is needed")
    return ok(component, f"{name} {version}")


def _check_persistence(component: str, client: Any) -> CheckResult:
    info = _info(client)
    if info is None:
        return warning(
            component, "unknown: INFO is not allowed (appendonly yes, appendfsync always)"
        )
    if not int(info.get("aof_enabled", 0)):
        return warning(
            component,
            "no append-only file: what was acknowledged is lost when the server dies "
            "(appendonly yes)",
        )
    if info.get("aof_last_write_status") != "ok":
        return failure(component, "the append-only file cannot be written")
    fsync = _config(client, "appendfsync")
    if fsync != "always":
        return warning(
            component,
            f"appendfsync {fsync}: the last second may be lost with the machine "
            "(appendfsync always)",
        )
    return ok(component, "append-only file, appendfsync always")


def _check_eviction(component: str, client: Any) -> CheckResult:
    policy = (_info(client) or {}).get("maxmemory_policy") or _config(client, "maxmemory-policy")
    if policy.startswith("unknown"):
        return warning(component, f"{policy}: it must be noeviction")
    if policy != "noeviction":
        return failure(
            component,
            f"{policy}: links are thrown away when memory is short (maxmemory-policy noeviction)",
        )
    return ok(component, "none")


def _check_data(component: str, client: Any) -> CheckResult:
    try:
        version = data_version.find_version(RedisClient(client))
    except Unavailable as error:
        return failure(component, f"cannot be read: {describe_failure(error)}")
    if version is None:
        return ok(component, "none yet")
    if version != data_version.DATA_VERSION:
        return failure(component, str(data_version.WrongDataVersionError(version)))
    return ok(component, f"of version {version}, this release's")


def _check_clock(component: str, client: Any) -> CheckResult:
    try:
        seconds, microseconds = map(int, _any_node(client.time(), tuple))
    except CONNECTION_ERRORS as error:
        return warning(component, f"unknown: {describe_failure(error)}")
    skew = abs(time.time() - seconds - microseconds / 1e6)
    result = ok if skew < MAX_CLOCK_SKEW.total_seconds() else warning
    return result(component, f"{skew:.1f} s from this machine's")


def _info(client: Any) -> dict[str, Any] | None:
    """The server's INFO, or None where the user may not ask for it."""
    try:
        return dict(_any_node(client.info(), dict))
    except CONNECTION_ERRORS:
        return None


def _config(client: Any, name: str) -> str:
    try:
        return str(_any_node(client.config_get(name), dict).get(name, "unknown"))
    except RedisError:
        return "unknown (CONFIG is not allowed)"


def _any_node(reply: Any, kind: type) -> Any:
    """``reply``, which is a ``kind``, or one node's where a cluster answers with one for each."""
    nodes = list(reply.values()) if isinstance(reply, dict) else []
    return nodes[0] if nodes and all(isinstance(node, kind) for node in nodes) else reply
