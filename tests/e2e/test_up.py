"""``payment-links up`` as a newcomer meets it."""

import os
import re
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis

from tests.support.servers import RedisServer, free_port, wait_until
from tests.support.service_processes import COMMAND, Up


def test_everything_that_is_printed_is_there(up: Up) -> None:
    """The curl line creates a link, its mail is a file and is printed, the schema is served."""
    link = up.example()
    wait_until(lambda: f"pay/{link['id']}" in up.output(), "the mail to be printed")
    assert len(list((up.directory / "var" / "outbox").glob("*.eml"))) == 1
    assert "swagger-ui" in up.get("/schema").text
    assert f"  Console  http://127.0.0.1:{up.port}/console\n" in up.output()
    assert "Sign in to the console" in up.get("/console").text
    assert up.get(f"/payment-links/{link['id']}").json()["payment_amount"] == 125000.50


def test_a_second_up_on_the_same_folder_is_refused_with_one_clear_line(up: Up) -> None:
    environ = {"DATA_DIR": str(up.directory / "var"), "PORT": str(free_port()), "PATH": "/usr/bin"}
    second = subprocess.run(
        [COMMAND, "up"], env=environ, capture_output=True, text=True, timeout=30, check=False
    )
    assert second.returncode == 2
    assert re.fullmatch(
        r"DATA_DIR: .* is in use by another `payment-links up` \(pid \d+\)\n", second.stderr
    )
    assert up.get("/healthz").status_code == 200


def test_a_taken_port_is_named_at_once(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        environ = {
            "DATA_DIR": str(tmp_path / "var"),
            "HOST": "localhost",
            "PORT": str(port),
            "PATH": "/usr/bin",
        }
        for _ in range(2):
            began = time.monotonic()
            run = subprocess.run(
                [COMMAND, "up"],
                env=environ,
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )
            assert (run.returncode, run.stderr) == (2, f"PORT: localhost:{port} is in use\n")
            assert time.monotonic() - began < 5


def test_it_listens_where_a_name_leads(tmp_path: Path) -> None:
    up = Up(tmp_path, HOST="localhost")
    up.start()
    try:
        assert f"  API      http://localhost:{up.port}\n" in up.welcome
        assert up.example()["url"].startswith(f"http://localhost:{up.port}/pay/pl_")
    finally:
        assert up.interrupt() == 0


def test_after_a_clean_stop_yesterdays_links_are_there(up: Up) -> None:
    link = up.example()
    assert up.interrupt() == 0
    up.start()
    assert up.get(f"/payment-links/{link['id']}").json()["id"] == link["id"]


def test_up_killed_and_started_again_has_everything_it_acknowledged(up: Up) -> None:
    """Its children outlive the SIGKILL for a moment; the next ``up`` starts all the same."""
    links = [up.example() for _ in range(20)]
    up.kill()
    up.start()
    assert [up.get(f"/payment-links/{link['id']}").status_code for link in links] == [200] * 20
    outbox = up.directory / "var" / "outbox"
    wait_until(
        lambda: all(mailed(outbox, str(link["id"])) for link in links), "every mail", within=60
    )


def test_in_a_folder_that_is_open_to_others_nobody_else_reads_what_is_written(
    tmp_path: Path,
) -> None:
    data_dir = tmp_path / "var"
    data_dir.mkdir()
    data_dir.chmod(0o755)
    up = Up(tmp_path)
    up.start()
    link = up.example()
    wait_until(lambda: f"pay/{link['id']}" in up.output(), "the mail to be printed")
    assert up.interrupt() == 0
    assert [path for path in data_dir.rglob("*") if stat.S_IMODE(path.stat().st_mode) & 0o077] == []
    assert (
        f"DATA_DIR: {data_dir} is open to others (mode 0755); close it: chmod 700 {data_dir}"
        in up.output()
    )


def test_a_store_that_is_killed_ends_up_with_an_error(up: Up) -> None:
    os.kill(store_pid(up), signal.SIGKILL)
    assert up.process.wait(30) == 1
    assert "The embedded store was killed by SIGKILL. The end of " in up.output()
    assert "Ready to accept connections" in up.output()


def test_a_full_disk_ends_up_with_the_stores_last_words(small_disk: Path, tmp_path: Path) -> None:
    """The store exits when it cannot write; acknowledged links are there once there is room."""
    up = Up(small_disk)
    up.log = tmp_path / "up.log"
    up.start()
    link = up.example()
    filler = fill(small_disk)
    with suppress(
        subprocess.CalledProcessError, ValueError
    ):  # the answer of the moment when it ends may be anything
        while up.process.poll() is None:
            up.example()
    assert up.process.wait(30) == 1
    assert "The embedded store ended with 1. The end of " in up.output()
    filler.unlink()
    up.start()
    assert up.get(f"/payment-links/{link['id']}").json()["id"] == link["id"]
    assert up.interrupt() == 0


def test_a_full_disk_stops_the_start_with_one_line(small_disk: Path) -> None:
    fill(small_disk)
    environ = {"DATA_DIR": str(small_disk), "PORT": str(free_port()), "PATH": "/usr/bin"}
    run = subprocess.run(
        [COMMAND, "up"], env=environ, capture_output=True, text=True, timeout=30, check=False
    )
    assert (run.returncode, run.stderr) == (2, f"DATA_DIR: {small_disk}: No space left on device\n")


def fill(disk: Path) -> Path:
    """Leaves no room on it. Gives the file that takes it."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    return filler


def test_up_on_a_redis_of_ones_own_starts_no_store(tmp_path: Path, valkey: RedisServer) -> None:
    with redis.Redis.from_url(valkey.url) as connection:
        connection.flushall()
    up = Up(tmp_path, REDIS_URL=valkey.url, SECRET_KEY="x" * 32)
    up.start()
    try:
        assert up.example()["status"] == "active"
        assert not (tmp_path / "var" / "valkey.log").exists()
    finally:
        up.interrupt()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"SECRET_KEY": "short"}, "SECRET_KEY: must be 32 bytes or more, not 5"),
        ({"REDIS_URL": "redis://127.0.0.1:1"}, "SECRET_KEY: required"),
        ({"LINK_TTL": "3 days"}, "LINK_TTL: write a duration like 90s, 10m, 72h or 90d"),
    ],
    ids=["short secret", "no secret for a redis of one's own", "duration"],
)
def test_a_wrong_setting_stops_the_start_with_one_line(
    tmp_path: Path, settings: dict[str, str], message: str
) -> None:
    environ = {"DATA_DIR": str(tmp_path / "var"), "PATH": "/usr/bin", **settings}
    run = subprocess.run(
        [COMMAND, "up"], env=environ, capture_output=True, text=True, timeout=30, check=False
    )
    assert (run.returncode, run.stderr) == (2, f"{message}\n")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 2 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)],
        check=False,
    ).returncode:
        pytest.skip("nothing can be mounted here")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def store_pid(up: Up) -> int:
    """The process of its Valkey."""
    with redis.Redis(unix_socket_path=str(up.directory / "var" / "valkey.sock")) as client:
        return int(client.info("server")["process_id"])


def mailed(outbox: Path, link_id: str) -> bool:
    return any(link_id in path.read_text() for path in outbox.glob("*.eml"))
