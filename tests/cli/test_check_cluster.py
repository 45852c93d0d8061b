"""``payment-links check`` names each node of a cluster that is not as it should be."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import timedelta

import pytest

from service.cli import check_server
from tests.support.cli_runner import results_of, run_check
from tests.support.redis_cluster import RedisCluster, free_ports, redis_cluster, url_of
from tests.support.servers import RedisServer, free_port, store, valkey_server, wait_until

DURABLE = (
    *("--appendfsync", "always"),
    *("--min-replicas-to-write", "1", "--min-replicas-max-lag", "1"),
)
LOGIN = "://operator:hunter2@"
EVERYTHING = "~* &* +@all"


class CheckedCluster:
    """A cluster in which nothing is wrong, and what ``check`` says of it."""

    def __init__(self, cluster: RedisCluster, queue: RedisServer) -> None:
        self.cluster = cluster
        self.nodes = cluster.nodes
        self._queue = queue

    def check(self, url: str | None = None) -> dict[str, tuple[str, str]]:
        """The results for the cluster."""
        result = run_check(REDIS_URL=url or self.cluster.url, QUEUE_REDIS_URL=self._queue.url)
        assert "operator" not in result.output
        assert "hunter2" not in result.output
        results = results_of(result)
        return {name: results[name] for name in results if name.startswith("redis")}

    def find_faults(self, url: str | None = None) -> dict[str, tuple[str, str]]:
        """The results that are not ok."""
        return {name: found for name, found in self.check(url).items() if found[0] != "ok"}

    @contextmanager
    def users(self, rules: Mapping[int, str]) -> Iterator[str]:
        """The URL of a user whose rules are ``EVERYTHING``, or on some nodes, by index, others."""
        for index, node in enumerate(self.nodes):
            acl = rules.get(index, EVERYTHING)
            login = ["reset", "on", ">hunter2", *acl.split()]
            node.redis.execute_command("ACL", "SETUSER", "operator", *login)
        try:
            yield self.cluster.url.replace("://", LOGIN)
        finally:
            for node in self.nodes:
                node.redis.execute_command("ACL", "DELUSER", "operator")


@pytest.fixture(scope="module")
def checked() -> Iterator[CheckedCluster]:
    with redis_cluster(options=DURABLE) as cluster, store(valkey_server()) as queue:
        yield CheckedCluster(cluster, queue)


def test_a_durable_cluster_is_ok(checked: CheckedCluster) -> None:
    version = checked.nodes[0].redis.info("server")["valkey_version"]
    assert checked.check() == {
        "redis": ("ok", "answers (6 nodes)"),
        "redis slots": ("ok", "all are served"),
        "redis replication": (
            "ok",
            "1 replica online (with one less, it refuses writes), replica in sync (6 nodes)",
        ),
        "redis min-replicas": (
            "ok",
            "min-replicas-to-write 1, min-replicas-max-lag 1 (6 nodes)",
        ),
        "redis full coverage": ("ok", "not required (6 nodes)"),
        "redis version": ("ok", f"Valkey {version} (6 nodes)"),
        "redis persistence": ("ok", "append-only file, appendfsync always (6 nodes)"),
        "redis eviction": ("ok", "none (6 nodes)"),
        "redis clock": ("ok", "0.0 s from this machine's (6 nodes)"),
        "redis commands": ("ok", "allowed (3 nodes)"),
        "redis data": ("ok", "none yet"),
    }


WRONG_SETTINGS = {
    "appendonly no": ("persistence", "warn", "(appendonly yes)"),
    "appendfsync everysec": ("persistence", "warn", "appendfsync everysec: "),
    "maxmemory-policy allkeys-lru": ("eviction", "FAIL", "allkeys-lru: "),
    "min-replicas-to-write 0": ("min-replicas", "warn", "min-replicas-to-write 0, "),
    "min-replicas-max-lag 10": ("min-replicas", "warn", "min-replicas-max-lag 10: "),
    "cluster-require-full-coverage yes": ("full coverage", "warn", "this node refuses everything"),
}
"""The check that finds each, its status, and a part of why."""


@pytest.mark.parametrize("index", [0, -1], ids=["a primary", "a replica"])
@pytest.mark.parametrize("setting", WRONG_SETTINGS)
def test_a_node_with_a_wrong_setting_is_named(
    checked: CheckedCluster, index: int, setting: str
) -> None:
    topic, status, detail = WRONG_SETTINGS[setting]
    node, (name, value) = checked.nodes[index], setting.split()
    right = node.redis.config_get(name)[name]
    node.redis.config_set(name, value)
    try:
        faults = checked.find_faults()
    finally:
        node.redis.config_set(name, right)
    assert faults.keys() == {f"redis {topic} {node.address}"}
    [found] = faults.values()
    assert found[0] == status
    assert detail in found[1]


def test_a_primary_that_needs_more_replicas_than_it_has_is_named(checked: CheckedCluster) -> None:
    node = checked.nodes[0]
    node.redis.config_set("min-replicas-to-write", 2)
    try:
        faults = checked.find_faults()
    finally:
        node.redis.config_set("min-replicas-to-write", 1)
    assert faults[f"redis replication {node.address}"] == (
        "warn",
        "too few replicas keep up: it refuses writes until they do (min-replicas-to-write)",
    )


def test_each_node_that_differs_from_what_is_needed_is_named(
    checked: CheckedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_server, "MIN_VERSION", (99, 0))
    monkeypatch.setattr(check_server, "MAX_CLOCK_SKEW", timedelta(seconds=-1))
    faults = checked.find_faults()
    addresses = [node.address for node in checked.nodes]
    assert {name: status for name, (status, _) in faults.items()} == {
        **{f"redis version {address}": "FAIL" for address in addresses},
        **{f"redis clock {address}": "warn" for address in addresses},
    }


def test_a_replica_that_is_away_is_named_and_its_primary(checked: CheckedCluster) -> None:
    primary, replica = checked.nodes[0], checked.nodes[3]
    replica.kill()
    try:
        faults = checked.find_faults(url_of([replica, primary]))
    finally:
        replica.start()
        checked.cluster.wait_until_ok()
    assert faults == {
        f"redis {replica.address}": ("warn", "does not answer: Connection refused"),
        f"redis replication {primary.address}": (
            "FAIL",
            "no replica is connected: it refuses writes (min-replicas-to-write)",
        ),
    }


def test_a_primary_that_never_had_a_replica_is_named(checked: CheckedCluster) -> None:
    with redis_cluster(primaries=1, replicas=0, options=DURABLE[:2]) as cluster:
        [node] = cluster.nodes
        faults = checked.find_faults(cluster.url)
    assert faults[f"redis replication {node.address}"] == (
        "warn",
        "no replica is connected: none can take over when this primary dies",
    )
    assert faults.keys() == {
        f"redis {topic} {node.address}" for topic in ("replication", "min-replicas")
    }


def test_a_node_that_takes_the_cluster_to_be_down_is_named(checked: CheckedCluster) -> None:
    with redis_cluster(primaries=1, replicas=0) as cluster:
        [node] = cluster.nodes
        node.redis.config_set("cluster-require-full-coverage", "yes")
        node.redis.execute_command("CLUSTER", "DELSLOTS", 0, 5, 6)
        faults = checked.find_faults(cluster.url)
    assert faults[f"redis {node.address}"] == (
        "FAIL",
        "it serves nothing, because it takes the cluster to be down",
    )
    assert faults["redis slots"] == ("FAIL", "nobody serves 0, 5-6")


def test_a_slot_that_moves_is_no_fault(checked: CheckedCluster) -> None:
    source, target, _ = checked.nodes[:3]
    slot = source.slots()[0][0]
    checked.cluster.start_moving(slot, target)
    try:
        assert checked.find_faults() == {}
    finally:
        for node in (source, target):
            node.redis.execute_command("CLUSTER", "SETSLOT", slot, "STABLE")


def test_a_seed_that_is_no_node_is_named(checked: CheckedCluster) -> None:
    port = free_port()
    url = f"redis+cluster://127.0.0.1:{port},{checked.nodes[1].address}"
    assert checked.find_faults(url) == {
        f"redis 127.0.0.1:{port}": ("warn", "does not answer: Connection refused")
    }


def test_a_node_in_handshake_is_named(checked: CheckedCluster) -> None:
    [port], node = free_ports(1), checked.nodes[2]
    node.redis.execute_command("CLUSTER", "MEET", "127.0.0.1", port)
    assert checked.find_faults() == {
        f"redis 127.0.0.1:{port}": ("warn", "in handshake: it has not joined the cluster")
    }
    wait_until(lambda: len(node.view()) == len(checked.nodes), "the handshake to be given up")


def test_nodes_are_reached_by_the_names_that_they_announce(checked: CheckedCluster) -> None:
    settings = {
        "cluster-announce-hostname": "localhost",
        "cluster-preferred-endpoint-type": "hostname",
    }
    first, *others = checked.nodes
    with ExitStack() as undo:
        for node in checked.nodes:
            undo.callback(node.redis.config_set, *_pairs(node.redis.config_get(*settings)))
            node.redis.config_set(*_pairs(settings))
        wait_until(
            lambda: all(first.view()[node.id]["hostname"] for node in others), "names to be known"
        )
        undo.callback(others[0].redis.config_set, "appendfsync", "always")
        others[0].redis.config_set("appendfsync", "everysec")
        faults = checked.find_faults(url_of([first]))
    assert faults.keys() == {f"redis persistence localhost:{others[0].port}"}


@pytest.mark.parametrize(
    ("rules", "topic", "fault"),
    [
        (
            f"{EVERYTHING} -eval",
            "commands ",
            ("FAIL", "scripts cannot be run: NOPERM: the user may not run 'eval'"),
        ),
        (f"{EVERYTHING} -zadd", "commands ", ("FAIL", "NOPERM: the user may not run ZADD")),
        (f"{EVERYTHING} -asking", "commands ", ("FAIL", "NOPERM: the user may not run ASKING")),
        (
            f"{EVERYTHING} -cluster|nodes",
            "",
            ("FAIL", "cannot be asked: NOPERM: the user may not run 'cluster|nodes'"),
        ),
        ("off", "", ("FAIL", "does not answer: it rejects the user or the password")),
    ],
    ids=["no scripts", "no command", "no ASKING", "no view", "no login"],
)
def test_a_node_on_which_permissions_are_missing_is_named(
    checked: CheckedCluster, rules: str, topic: str, fault: tuple[str, str]
) -> None:
    node = checked.nodes[1]
    with checked.users({1: rules}) as url:
        faults = checked.find_faults(url)
    assert faults[f"redis {topic}{node.address}"] == fault
    assert {name for name in faults if node.address in name} == {f"redis {topic}{node.address}"}


def test_info_and_config_are_optional(checked: CheckedCluster) -> None:
    rules = f"{EVERYTHING} -info -config"
    with checked.users(dict.fromkeys(range(6), rules)) as url:
        faults = checked.find_faults(url)
    topics = ["replication", "min-replicas", "full coverage", "version", "persistence", "eviction"]
    assert faults.keys() == {f"redis {topic}" for topic in topics}
    for status, detail in faults.values():
        assert status == "warn"
        assert "not allowed" in detail
        assert "(6 nodes)" in detail


def test_the_acl_in_readme_suffices(checked: CheckedCluster, readme_acl: str) -> None:
    with checked.users(dict.fromkeys(range(6), readme_acl)) as url:
        assert checked.find_faults(url) == {}


def test_a_server_outside_a_cluster_is_no_cluster(checked: CheckedCluster) -> None:
    port = free_port()
    with store(valkey_server(), "--port", str(port)):
        faults = checked.find_faults(f"redis+cluster://127.0.0.1:{port}")
    assert faults == {
        "redis": (
            "FAIL",
            "cannot be asked: ResponseError: This instance has cluster support disabled",
        )
    }


def test_a_primary_that_hangs_is_named_and_its_slots(checked: CheckedCluster) -> None:
    """It comes last: another node is primary afterwards."""
    primary, others = checked.nodes[1], [checked.nodes[0], checked.nodes[2]]
    replica = checked.cluster.replica_of(primary)
    silent = "does not answer: it does not answer in time"
    [(first, last)] = primary.slots()
    primary.pause()
    try:
        hanging = checked.find_faults(url_of([primary, *others]))
        checked.cluster.wait_for_failover(primary)
        after_failover = checked.find_faults(url_of([primary, *others]))
    finally:
        primary.resume()
    checked.cluster.wait_until_ok()
    assert hanging[f"redis {primary.address}"] == ("FAIL", silent)
    assert hanging["redis slots"] == ("FAIL", f"nobody serves {first}-{last}")
    assert after_failover == {
        f"redis {primary.address}": ("warn", silent),
        f"redis replication {replica.address}": (
            "FAIL",
            "no replica is connected: it refuses writes (min-replicas-to-write)",
        ),
    }
    assert checked.find_faults() == {}


def _pairs(settings: Mapping[str, str]) -> list[str]:
    return [word for pair in settings.items() for word in pair]
