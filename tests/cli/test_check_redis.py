"""``payment-links check`` names what is wrong with Redis."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from redis import Redis

from service.cli import check_server
from tests.support.cli_runner import results_of, run_check
from tests.support.servers import RedisServer, free_port, store, valkey_server
from tests.support.tls import self_signed


@pytest.fixture(params=["Valkey", "Redis"])
def durable_store(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """An empty store that loses nothing."""
    binary = (
        valkey_server() if request.param == "Valkey" else request.getfixturevalue("redis_binary")
    )
    with store(binary, durable=True) as server:
        yield server


def test_a_durable_store_is_ok(durable_store: RedisServer) -> None:
    result = run_check(REDIS_URL=durable_store.url)
    results = results_of(result)
    assert result.exit_code == 0
    assert results["redis"] == ("ok", "answers")
    assert results["redis persistence"] == ("ok", "append-only file, appendfsync always")
    assert results["redis eviction"] == ("ok", "none")
    assert results["redis data"] == ("ok", "none yet")
    assert {
        status for component, (status, _) in results.items() if component.startswith("redis")
    } == {"ok"}


@pytest.mark.parametrize(
    ("options", "component", "status", "advice"),
    [
        ([], "redis persistence", "warn", "appendonly yes"),
        (
            ["--appendonly", "yes", "--appendfsync", "everysec"],
            "redis persistence",
            "warn",
            "appendfsync always",
        ),
        (
            ["--maxmemory-policy", "allkeys-lru"],
            "redis eviction",
            "FAIL",
            "maxmemory-policy noeviction",
        ),
        (
            ["--maxmemory-policy", "volatile-ttl"],
            "redis eviction",
            "FAIL",
            "maxmemory-policy noeviction",
        ),
    ],
    ids=[
        "no append-only file",
        "fsync every second",
        "eviction of all",
        "eviction of what expires",
    ],
)
def test_a_store_that_may_lose_links_is_reported_with_a_remedy(
    options: list[str], component: str, status: str, advice: str
) -> None:
    with store(valkey_server(), *options) as server:
        results = results_of(run_check(REDIS_URL=server.url))[component]
    assert results[0] == status
    assert advice in results[1]


@pytest.mark.parametrize(
    "url", ["unix://{0}/nobody", "redis://127.0.0.1:{1}", "redis+sentinel://127.0.0.1:{1}/main"]
)
def test_an_unavailable_store_fails(url: str, tmp_path: Path) -> None:
    result = run_check(REDIS_URL=url.format(tmp_path, free_port()))
    assert results_of(result)["redis"][0] == "FAIL"
    assert result.exit_code == 1


def test_an_unavailable_cluster_fails(valkey: RedisServer) -> None:
    result = run_check(
        REDIS_URL=f"redis+cluster://127.0.0.1:{free_port()}", QUEUE_REDIS_URL=valkey.url
    )
    assert results_of(result)["redis"][0] == "FAIL"
    assert results_of(result)["queue redis"][0] == "ok"


def test_an_old_version_fails(valkey: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_server, "MIN_VERSION", (99, 0))
    assert results_of(run_check(REDIS_URL=valkey.url))["redis version"][0] == "FAIL"


def test_clock_skew_is_a_warning(valkey: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_server, "MAX_CLOCK_SKEW", timedelta(seconds=-1))
    assert results_of(run_check(REDIS_URL=valkey.url))["redis clock"][0] == "warn"


def test_a_separate_queue_redis_need_not_be_durable(valkey: RedisServer) -> None:
    with store(valkey_server()) as queue:
        results = results_of(run_check(REDIS_URL=valkey.url, QUEUE_REDIS_URL=queue.url))
    assert results["queue redis"] == ("ok", "answers")
    assert "queue redis persistence" not in results


def test_an_unavailable_queue_redis_fails(valkey: RedisServer, tmp_path: Path) -> None:
    results = results_of(
        run_check(REDIS_URL=valkey.url, QUEUE_REDIS_URL=f"unix://{tmp_path}/nobody")
    )
    assert (results["redis"][0], results["queue redis"][0]) == ("ok", "FAIL")


@pytest.fixture
def url_of() -> Iterator[Callable[[str], str]]:
    """The URL of a user with these rules (redis.io: ACL)."""
    port = free_port()
    with (
        store(valkey_server(), "--port", str(port), durable=True) as server,
        Redis.from_url(server.url) as connection,
    ):

        def url_of(rules: str) -> str:
            connection.execute_command(
                "ACL", "SETUSER", "operator", "reset", "on", ">hunter2", *rules.split()
            )
            return f"redis://operator:hunter2@127.0.0.1:{port}"

        yield url_of


@pytest.mark.parametrize(
    ("rules", "detail"),
    [
        (
            "~* +@all -eval -evalsha",
            "scripts cannot be run: NOPERM: the user may not run 'eval'",
        ),
        ("~other:* +@all", "scripts cannot be run: NOPERM: the user may not use these keys"),
        ("~* +@all -zadd -time", "NOPERM: the user may not run ZADD, TIME"),
    ],
    ids=["no scripts", "no keys", "no command"],
)
def test_missing_permissions_are_named(
    url_of: Callable[[str], str], rules: str, detail: str
) -> None:
    result = run_check(REDIS_URL=url_of(rules))
    assert results_of(result)["redis"] == ("ok", "answers")
    assert results_of(result)["redis commands"] == ("FAIL", detail)
    assert not [secret for secret in ("operator", "hunter2") if secret in result.output]


def test_info_and_config_are_optional(
    url_of: Callable[[str], str],
) -> None:
    result = run_check(REDIS_URL=url_of("~* &* +@all -info -config"))
    results = results_of(result)
    assert (result.exit_code, results["redis"], results["redis commands"]) == (
        0,
        ("ok", "answers"),
        ("ok", "allowed"),
    )
    for component in ("version", "persistence", "eviction"):
        assert results[f"redis {component}"][0] == "warn"
        assert "not allowed" in results[f"redis {component}"][1]


@pytest.mark.parametrize("of_its_own", [True, False], ids=["Redis of its own", "the same Redis"])
@pytest.mark.parametrize(
    ("rules", "refused"),
    [
        ("~* +@all -eval", "EVAL"),
        ("~* +@all -blmove -multi", "MULTI, BLMOVE"),
        ("~pl:* ~payment-links:* +@all", "keys that begin with rq:"),
    ],
    ids=["no scripts", "no commands", "no keys"],
)
def test_missing_permissions_on_the_queue_are_named(
    valkey: RedisServer,
    url_of: Callable[[str], str],
    rules: str,
    refused: str,
    *,
    of_its_own: bool,
) -> None:
    url = url_of(rules)
    results = results_of(
        run_check(REDIS_URL=valkey.url if of_its_own else url, QUEUE_REDIS_URL=url)
    )
    service_may_run_scripts = of_its_own or refused != "EVAL"
    assert results["redis commands"][0] == ("ok" if service_may_run_scripts else "FAIL")
    assert results["queue commands"] == ("FAIL", f"NOPERM: the user may not use {refused}")


def test_the_acl_in_readme_suffices(url_of: Callable[[str], str], readme_acl: str) -> None:
    results = results_of(run_check(REDIS_URL=url_of(readme_acl)))
    assert (results["redis commands"], results["queue commands"]) == (
        ("ok", "allowed"),
        ("ok", "allowed"),
    )
    assert results["redis persistence"] == ("ok", "append-only file, appendfsync always")


def test_a_user_who_may_not_send_scripts_fails(url_of: Callable[[str], str]) -> None:
    run_check(REDIS_URL=url_of("~* +@all"))
    results = results_of(run_check(REDIS_URL=url_of("~* +@all -eval")))
    assert results["redis commands"] == (
        "FAIL",
        "scripts cannot be run: NOPERM: the user may not run 'eval'",
    )


def test_an_untrusted_certificate_is_named(redis_binary: str, tmp_path: Path) -> None:
    port, _ = free_port(), self_signed(tmp_path)
    pem_file = str(tmp_path / "server.pem")
    options = [
        "--tls-cert-file",
        pem_file,
        "--tls-key-file",
        pem_file,
        "--tls-auth-clients",
        "no",
    ]
    with store(redis_binary, "--tls-port", str(port), *options):
        results = results_of(run_check(REDIS_URL=f"rediss://127.0.0.1:{port}"))
    assert results["redis"] == (
        "FAIL",
        "does not answer: certificate verify failed: self-signed certificate",
    )


def test_no_password_is_printed() -> None:
    result = run_check(REDIS_URL=f"redis://ann:hunter2@127.0.0.1:{free_port()}")
    assert "hunter2" not in result.output
