"""What ``payment-links check`` checks of each Redis server: a single one, or a node."""

import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import redis
from redis.exceptions import ResponseError

from service.cli.check_result import CheckResult, Finding, Status, count, summarize
from service.storage.clock import MAX_CLOCK_SKEW
from service.storage.error_descriptions import describe_failure
from service.storage.redis_url import Address
from service.storage.replies import CONNECTION_ERRORS

MIN_VERSION = (7, 0)
"""The first Redis with PEXPIREAT … GT; every Valkey has it."""
SETTINGS = (
    "appendfsync",
    "maxmemory-policy",
    "min-replicas-to-write",
    "min-replicas-max-lag",
    "cluster-require-full-coverage",
)
MAX_SERVERS_AT_ONCE = 32
MIN_REPLICAS = "min-replicas-to-write 1, min-replicas-max-lag 1"
"""The settings without which a failover loses what the replicas had not received."""
T = TypeVar("T")


class ServerState(NamedTuple):
    """What a server says of itself. ``address`` is ``host:port``, and empty for the only one."""

    address: str
    info: Mapping[str, Any] | None
    """None if the user may not ask for it; so with ``settings``."""
    settings: Mapping[str, str] | None
    clock_skew: float | str
    """Seconds from this machine's clock; or why it is not known."""


ServerCheck = Callable[[ServerState], Finding]


def read_state(address: str, client: redis.Redis) -> ServerState:
    """What the server says of itself.

    Raises:
        RedisError, OSError: it does not answer.
    """
    client.ping()
    return ServerState(
        address,
        _read_if_allowed(client.info),
        _read_if_allowed(lambda: client.config_get(*SETTINGS)),
        _read_clock_skew(client),
    )


def check_servers(
    component: str, states: Sequence[ServerState], checks: Mapping[str, ServerCheck]
) -> Iterator[CheckResult]:
    """The results of ``checks``, by name, on all of the servers."""
    for name, check in checks.items():
        findings = {state.address: check(state) for state in states}
        yield from summarize(f"{component} {name}", findings)


def check_version(state: ServerState) -> Finding:
    """Whether it has the commands that the service uses."""
    if state.info is None:
        return Finding("warn", "unknown: INFO is not allowed")
    name = "Valkey" if "valkey_version" in state.info else "Redis"
    version = str(state.info[f"{name.lower()}_version"])
    if tuple(map(int, re.findall(r"[0-9]+", version)[:2])) < MIN_VERSION:
        return Finding("FAIL", f"{name} {version}, 7.0 is needed")
    return Finding("ok", f"{name} {version}")


def check_persistence(state: ServerState) -> Finding:
    """Whether it keeps what it has acknowledged when it dies."""
    if state.info is None:
        return Finding("warn", "unknown: INFO is not allowed (appendonly yes, appendfsync always)")
    if not int(state.info.get("aof_enabled", 0)):
        return Finding(
            "warn",
            "no append-only file: what was acknowledged is lost when the server dies "
            "(appendonly yes)",
        )
    if state.info.get("aof_last_write_status") != "ok":
        return Finding("FAIL", "the append-only file cannot be written")
    fsync = get_setting(state, "appendfsync")
    if fsync != "always":
        return Finding(
            "warn",
            f"appendfsync {fsync}: the last second may be lost with the machine "
            "(appendfsync always)",
        )
    return Finding("ok", "append-only file, appendfsync always")


def check_eviction(state: ServerState) -> Finding:
    """Whether it keeps links when memory is short."""
    policy = (state.info or {}).get("maxmemory_policy") or get_setting(state, "maxmemory-policy")
    if policy.startswith("unknown"):
        return Finding("warn", f"{policy}: it must be noeviction")
    if policy != "noeviction":
        return Finding(
            "FAIL",
            f"{policy}: links are thrown away when memory is short (maxmemory-policy noeviction)",
        )
    return Finding("ok", "none")


def check_clock(state: ServerState) -> Finding:
    """Whether its clock and that of this machine agree."""
    if isinstance(state.clock_skew, str):
        return Finding("warn", f"unknown: {state.clock_skew}")
    status: Status = "ok" if state.clock_skew < MAX_CLOCK_SKEW.total_seconds() else "warn"
    return Finding(status, f"{state.clock_skew:.1f} s from this machine's")


def check_min_replicas(state: ServerState) -> Finding:
    """Checks a primary, or a replica, which may become one."""
    if state.settings is None:
        return Finding("warn", f"unknown: CONFIG is not allowed ({MIN_REPLICAS})")
    to_write = get_setting(state, "min-replicas-to-write")
    max_lag = get_setting(state, "min-replicas-max-lag")
    has = f"min-replicas-to-write {to_write}, min-replicas-max-lag {max_lag}"
    if to_write != "0" and max_lag == "1":
        return Finding("ok", has)
    return Finding("warn", f"{has}: a failover may lose what was acknowledged ({MIN_REPLICAS})")


def check_replication(state: ServerState) -> Finding:
    """Whether a primary has a replica that receives what it writes; whether a replica does."""
    if state.info is None:
        return Finding("warn", "unknown: INFO is not allowed (each primary needs a replica)")
    if state.info.get("role") == "slave":
        if state.info.get("master_link_status") == "up":
            return Finding("ok", "replica in sync")
        return Finding(
            "warn", "its link to the primary is down: it cannot take over what is written now"
        )
    return _check_primary(state.info, _required_replicas(state))


def _required_replicas(state: ServerState) -> int:
    """How many replicas the server needs to take writes; 1 where that is not known."""
    return int((state.settings or {}).get("min-replicas-to-write", 1))


def _check_primary(info: Mapping[str, Any], required: int) -> Finding:
    replicas = [
        value
        for name, value in info.items()
        if re.fullmatch("slave[0-9]+", name) and isinstance(value, dict)
    ]
    online = sum(replica.get("state") == "online" for replica in replicas)
    # INFO counts replicas that do not lag only where min-replicas-to-write demands some.
    in_time = info.get("min_slaves_good_slaves", math.inf)
    refuses_writes = in_time < required
    if online:
        if refuses_writes:
            reason = "too few replicas keep up: it refuses writes until they do"
            return Finding("warn", f"{reason} (min-replicas-to-write)")
        to_spare = " (with one less, it refuses writes)" if in_time == required else ""
        return Finding("ok", f"{count(online, 'replica')} online{to_spare}")
    reason = f"no replica {'has caught up yet' if replicas else 'is connected'}"
    if refuses_writes:
        return Finding("FAIL", f"{reason}: it refuses writes (min-replicas-to-write)")
    return Finding("warn", f"{reason}: none can take over when this primary dies")


SERVER_CHECKS: Mapping[str, ServerCheck] = {
    "version": check_version,
    "persistence": check_persistence,
    "eviction": check_eviction,
    "clock": check_clock,
}
"""What is checked of every server that has links."""


def describe_unreachable(error: BaseException) -> str:
    """Why a server cannot be asked, without secrets."""
    if isinstance(error, ResponseError):
        return f"cannot be asked: {describe_failure(error)}"
    return f"does not answer: {describe_failure(error)}"


def ask_each(ask: Callable[[Address], T], addresses: Iterable[Address]) -> dict[Address, T | str]:
    """The reply of each server, or why there is none.

    All are asked at the same time, so that one that hangs delays none of the others.
    """
    targets = [*dict.fromkeys(addresses)]

    def try_ask(address: Address) -> T | str:
        try:
            return ask(address)
        except CONNECTION_ERRORS as error:
            return describe_unreachable(error)

    with ThreadPoolExecutor(MAX_SERVERS_AT_ONCE) as threads:
        return dict(zip(targets, threads.map(try_ask, targets), strict=True))


def _read_if_allowed(read: Callable[[], Any]) -> dict[str, Any] | None:
    try:
        return dict(read())
    except ResponseError:
        return None


def _read_clock_skew(client: redis.Redis) -> float | str:
    try:
        reply: Any = client.time()
    except ResponseError as error:
        return describe_failure(error)
    seconds, microseconds = map(int, reply)
    return abs(time.time() - seconds - microseconds / 1e6)


def get_setting(state: ServerState, name: str) -> str:
    """The value of a setting; or ``unknown``, and why."""
    if state.settings is None:
        return "unknown (CONFIG is not allowed)"
    return str(state.settings.get(name, "unknown"))
