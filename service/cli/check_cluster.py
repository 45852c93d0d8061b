"""What ``payment-links check`` checks of each node of a cluster."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import redis
from redis.exceptions import NoPermissionError

from service.cli.check_result import (
    CheckResult,
    Finding,
    failure,
    ok,
    summarize,
    warning,
)
from service.cli.check_server import (
    SERVER_CHECKS,
    ServerState,
    ask_each,
    check_min_replicas,
    check_replication,
    check_servers,
    get_setting,
    read_state,
)
from service.cli.cluster_nodes import (
    ClusterNode,
    ClusterView,
    find_missing_slots,
    read_view,
)
from service.errors import Unavailable
from service.storage.connect import create_node_client
from service.storage.redis_url import Address, RedisUrl, format_address

MAX_RANGES_SHOWN = 4


class NodeState(NamedTuple):
    """What a node says of itself, and of the cluster."""

    server: ServerState
    view: ClusterView
    denied: Sequence[str]
    """The commands of a cluster's clients that the user may not run."""


class ClusterState(NamedTuple):
    """The nodes as one of them sees them, and what each of them replies."""

    nodes: Sequence[ClusterNode]
    replies: Mapping[str, NodeState | str]
    """By the names of the nodes; a text says why one does not answer."""
    unreachable_seeds: Mapping[str, str]
    """The addresses in ``REDIS_URL`` that do not answer and are no node's, and why."""

    @property
    def answering(self) -> dict[str, NodeState]:
        return {name: reply for name, reply in self.replies.items() if isinstance(reply, NodeState)}

    @property
    def serving(self) -> list[ClusterNode]:
        """The primaries that answer."""
        return [node for node in self.nodes if node.is_primary and node.name in self.answering]


def read_cluster(url: str) -> ClusterState:
    """The state of all nodes, of which any node in ``url`` knows the addresses.

    Raises:
        Unavailable: none of those answers; the message says why.
    """

    def read_seed(address: Address) -> ClusterView:
        with create_node_client(url, address) as client:
            return read_view(client, address)

    def read_node(address: Address) -> NodeState:
        with create_node_client(url, address) as client:
            server = read_state(format_address(address), client)
            return NodeState(server, read_view(client, address), _find_denied(client))

    seeds = ask_each(read_seed, RedisUrl.parse(url).addresses)
    views = [reply for reply in seeds.values() if isinstance(reply, ClusterView)]
    if not views:
        raise Unavailable("; ".join(dict.fromkeys(map(str, seeds.values()))))
    nodes = next((view for view in views if view.is_ok), views[0]).nodes
    replies = ask_each(read_node, [node.address for node in nodes if node.can_be_asked])
    return ClusterState(
        nodes,
        {format_address(address): reply for address, reply in replies.items()},
        {
            format_address(address): reply
            for address, reply in seeds.items()
            if isinstance(reply, str) and address not in replies
        },
    )


def check_nodes(cluster: ClusterState) -> Iterator[CheckResult]:
    """Checks that each node answers, that all slots are served, and how each node is set up."""
    for address, reason in cluster.unreachable_seeds.items():
        yield warning(f"redis {address}", reason)
    flags = _gather_flags(cluster)
    yield from summarize("redis", {name: _check_node(name, cluster, flags[name]) for name in flags})
    yield _check_slots(cluster)
    servers = {name: reply.server for name, reply in cluster.answering.items()}
    with_data = [node.name for node in cluster.nodes if node.is_primary or node.is_replica]
    replicating = [servers[name] for name in with_data if name in servers]
    yield from check_servers("redis", replicating, {"replication": check_replication})
    checks = {
        "min-replicas": check_min_replicas,
        "full coverage": _check_full_coverage,
        **SERVER_CHECKS,
    }
    yield from check_servers("redis", [*servers.values()], checks)


def _find_denied(client: redis.Redis) -> list[str]:
    """ASKING, if the user may not run it: then slots that move are not served meanwhile."""
    try:
        client.execute_command("ASKING")
    except NoPermissionError:
        return ["ASKING"]
    return []


def _gather_flags(cluster: ClusterState) -> dict[str, set[str]]:
    """The flags of each node, by name: all that any node gives it."""
    names = {node.node_id: node.name for node in cluster.nodes}
    views = [cluster.nodes, *(reply.view.nodes for reply in cluster.answering.values())]
    flags: dict[str, set[str]] = {}
    for node in (node for view in views for node in view):
        flags.setdefault(names.get(node.node_id, node.name), set()).update(node.flags)
    return flags


def _check_node(name: str, cluster: ClusterState, flags: set[str]) -> Finding:
    """Whether the node answers us, and is a working member of the cluster."""
    is_primary = any(node.is_primary for node in cluster.nodes if node.name == name)
    reply = cluster.replies.get(name)
    if isinstance(reply, NodeState):
        return _check_membership(reply.view, flags, is_primary=is_primary)
    if reply is not None:
        return Finding("FAIL" if is_primary else "warn", reply)
    if "handshake" in flags:
        return Finding("warn", "in handshake: it has not joined the cluster")
    return Finding("warn", "the other nodes do not know its address")


def _check_membership(view: ClusterView, flags: set[str], *, is_primary: bool) -> Finding:
    """Whether a node that answers us serves its slots, and answers the other nodes."""
    if not view.is_ok:
        return Finding("FAIL", "it serves nothing, because it takes the cluster to be down")
    if "fail" in flags:
        return Finding(
            "FAIL" if is_primary else "warn", "answers, but other nodes take it to be dead"
        )
    if "fail?" in flags:
        return Finding("warn", "answers, but not to all other nodes")
    return Finding("ok", "answers")


def _check_slots(cluster: ClusterState) -> CheckResult:
    missing = find_missing_slots(cluster.serving)
    if not missing:
        return ok("redis slots", "all are served")
    ranges = [f"{each[0]}-{each[-1]}" if len(each) > 1 else f"{each[0]}" for each in missing]
    more = ["…"] if len(ranges) > MAX_RANGES_SHOWN else []
    return failure("redis slots", f"nobody serves {', '.join([*ranges[:MAX_RANGES_SHOWN], *more])}")


def _check_full_coverage(state: ServerState) -> Finding:
    value = get_setting(state, "cluster-require-full-coverage")
    if value == "no":
        return Finding("ok", "not required")
    if value == "yes":
        return Finding(
            "warn",
            "required: while one shard is down, this node refuses everything "
            "(cluster-require-full-coverage no)",
        )
    return Finding("warn", f"{value} (cluster-require-full-coverage no)")
