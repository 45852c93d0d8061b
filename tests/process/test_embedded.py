"""The embedded store, whose data outlives processes that are killed."""

import os
import platform
import signal
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from service.process import embedded
from service.process.data_dir import load_or_create_secret
from service.process.embedded import run_store, socket_path, with_embedded_store
from service.process.startup import StartupError
from tests.support.service_processes import python_process

RUN_STORE = """
import sys, time
from pathlib import Path
from service.process.embedded import run_store
with run_store(Path(sys.argv[1])) as store:
    print(store.pid, flush=True)
    time.sleep(600)
"""


def client_network_of(data_dir: Path) -> redis.Redis:
    once = Retry(NoBackoff(), 1)
    return redis.Redis(
        unix_socket_path=str(socket_path(data_dir)), decode_responses=True, retry=once
    )


class TestEnvironment:
    def test_nothing_is_added_before_the_first_up(self, data_dir: Path) -> None:
        assert with_embedded_store({"DATA_DIR": str(data_dir)}) == {"DATA_DIR": str(data_dir)}

    def test_the_url_and_the_secret_of_the_store_are_added(self, data_dir: Path) -> None:
        secret = load_or_create_secret(data_dir)
        found = with_embedded_store({"DATA_DIR": str(data_dir), "PORT": "9000"})
        assert found == {
            "DATA_DIR": str(data_dir),
            "PORT": "9000",
            "REDIS_URL": f"unix://{data_dir}/valkey.sock",
            "SECRET_KEY": secret,
        }

    def test_a_secret_that_is_set_stays(self, data_dir: Path) -> None:
        load_or_create_secret(data_dir)
        assert (
            with_embedded_store({"DATA_DIR": str(data_dir), "SECRET_KEY": "mine"})["SECRET_KEY"]
            == "mine"
        )

    def test_nothing_is_added_where_redis_url_is_set(self, data_dir: Path) -> None:
        load_or_create_secret(data_dir)
        environ = {"DATA_DIR": str(data_dir), "REDIS_URL": "redis://localhost"}
        assert with_embedded_store(environ) == environ


class TestSocket:
    @pytest.fixture
    def temporary(self, monkeypatch: pytest.MonkeyPatch, data_dir: Path) -> Path:
        monkeypatch.setattr(tempfile, "tempdir", str(data_dir))
        return data_dir

    def test_it_is_in_the_data_dir(self, data_dir: Path) -> None:
        assert socket_path(data_dir) == data_dir / "valkey.sock"

    def test_a_deep_data_dir_gets_a_temporary_directory(self, temporary: Path) -> None:
        path = socket_path(temporary / ("d" * 100))
        assert len(os.fsencode(path)) <= embedded.MAX_SOCKET_PATH_BYTES
        assert path.parent.parent == temporary
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700

    def test_length_is_counted_in_bytes(self, temporary: Path) -> None:
        assert socket_path(temporary / ("é" * 50)).parent.parent == temporary

    def test_each_deep_data_dir_has_its_own(self, temporary: Path) -> None:
        deep = temporary / ("d" * 100)
        assert socket_path(deep) == socket_path(deep)
        assert socket_path(deep) != socket_path(temporary / ("e" * 100))

    def test_a_directory_of_another_user_is_refused(
        self, temporary: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        somebody = os.getuid() + 1
        monkeypatch.setattr(os, "getuid", lambda: somebody)
        with pytest.raises(StartupError, match="belongs to somebody else"):
            socket_path(temporary / ("d" * 100))

    def test_a_store_runs_in_a_deep_data_dir(self, temporary: Path) -> None:
        deep = temporary / ("d" * 100)
        deep.mkdir()
        with run_store(deep), client_network_of(deep) as client:
            assert client.ping()
        assert (deep / "appendonlydir").is_dir()


@pytest.fixture(scope="module")
def served() -> Iterator[redis.Redis]:
    """A store that tests only read from."""
    with (
        tempfile.TemporaryDirectory(prefix="pl-") as directory,
        run_store(Path(directory)),
        client_network_of(Path(directory)) as client,
    ):
        yield client


class TestStore:
    def test_data_is_there_the_next_time(self, data_dir: Path) -> None:
        with run_store(data_dir), client_network_of(data_dir) as client:
            client.set("kept", "yes")
        with run_store(data_dir), client_network_of(data_dir) as client:
            assert client.get("kept") == "yes"

    def test_data_survives_kill_9_of_the_store(self, data_dir: Path) -> None:
        with run_store(data_dir) as process, client_network_of(data_dir) as client:
            for number in range(100):
                client.set(f"kept-{number}", "yes")
            process.send_signal(signal.SIGKILL)
            process.wait()
        with run_store(data_dir), client_network_of(data_dir) as client:
            assert client.dbsize() == 100

    def test_an_unfinished_rewrite_is_deleted(self, data_dir: Path) -> None:
        unfinished = data_dir / "temp-rewriteaof-bg-4226.aof"
        unfinished.write_bytes(b"REDIS")
        with run_store(data_dir):
            assert not unfinished.exists()

    def test_an_orphaned_store_is_shut_down_and_keeps_its_data(self, data_dir: Path) -> None:
        with (
            python_process(RUN_STORE, data_dir) as (_, left_over),
            client_network_of(data_dir) as client,
        ):
            client.set("kept", "yes")
        with socket.socket(socket.AF_UNIX) as line, client_network_of(data_dir) as client:
            line.connect(str(data_dir / "valkey.sock"))
            assert str(client.info("server")["process_id"]) == left_over
            with run_store(data_dir) as process:
                assert client.info("server")["process_id"] == process.pid
                assert client.get("kept") == "yes"
                line.settimeout(10)
                assert line.recv(1) == b""

    def test_it_ends_with_its_context(self, data_dir: Path) -> None:
        with run_store(data_dir) as process:
            pass
        assert process.poll() is not None
        with pytest.raises(redis.ConnectionError), client_network_of(data_dir) as client:
            client.ping()

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("appendonly", "yes"),
            ("appendfsync", "always"),
            ("maxmemory-policy", "noeviction"),
            ("port", "0"),
            ("save", ""),
        ],
    )
    def test_it_is_durable_and_listens_on_no_port(
        self, name: str, value: str, served: redis.Redis
    ) -> None:
        assert served.config_get(name) == {name: value}

    @pytest.mark.parametrize(
        ("own", "used"),
        [(None, embedded.ALLOCATOR_TUNING["GLIBC_TUNABLES"]), ("glibc.malloc.perturb=0",) * 2],
    )
    def test_its_allocator_is_tuned_unless_the_operator_does_so(
        self, data_dir: Path, monkeypatch: pytest.MonkeyPatch, own: str | None, used: str
    ) -> None:
        monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
        if own is not None:
            monkeypatch.setenv("GLIBC_TUNABLES", own)
        with run_store(data_dir) as process:
            environment = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
        assert [entry.decode() for entry in environment if entry.startswith(b"GLIBC")] == [
            f"GLIBC_TUNABLES={used}"
        ]

    @pytest.mark.parametrize(
        ("library", "tuned"),
        [
            (("glibc", "2.28"), False),
            (("glibc", "2.30"), False),
            (("glibc", "2.31"), True),
            (("glibc", "3.0"), True),
            (("", ""), False),
        ],
    )
    def test_an_allocator_without_the_tunable_is_left_alone(
        self, monkeypatch: pytest.MonkeyPatch, library: tuple[str, str], *, tuned: bool
    ) -> None:
        monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
        monkeypatch.setattr(platform, "libc_ver", lambda: library)
        assert ("GLIBC_TUNABLES" in embedded.store_environment()) is tuned

    def test_only_its_owner_can_use_its_socket(self, data_dir: Path) -> None:
        with run_store(data_dir):
            assert stat.S_IMODE((data_dir / "valkey.sock").stat().st_mode) == 0o700

    def test_a_store_that_does_not_start_names_its_log(self, data_dir: Path) -> None:
        (data_dir / "appendonlydir").write_text("no folder at all")
        with pytest.raises(StartupError, match=r"see .*valkey\.log"), run_store(data_dir):
            pass


def test_a_store_that_does_not_stop_is_killed(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a disk that hangs. All that it has answered is on disk."""
    monkeypatch.setattr(embedded, "STOP_TIMEOUT_SECONDS", 0.2)
    with run_store(data_dir) as store:
        store.send_signal(signal.SIGSTOP)
    assert store.returncode == -signal.SIGKILL
