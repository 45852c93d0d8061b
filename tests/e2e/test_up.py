"""``payment-links up`` as a newcomer meets it."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.processes import COMMAND, Up
from tests.support.servers import Store, free_port, wait_until


def test_everything_that_is_printed_is_there(up: Up) -> None:
    """The curl line makes a link, its mail becomes a file and is printed, the schema can be browsed."""
    link = up.example()
    wait_until(lambda: f"pay/{link['id']}" in up.output(), "the mail to be printed")
    assert len(list((up.directory / "var" / "outbox").glob("*.eml"))) == 1
    assert "swagger-ui" in up.get("/schema").text
    assert f"  Console  http://127.0.0.1:{up.port}/console\n" in up.output()
    assert "Sign in to the console" in up.get("/console").text
    assert up.get(f"/payment-links/{link['id']}").json()["payment_amount"] == 125000.50


def test_a_second_up_on_the_same_folder_is_refused_with_one_clear_line(up: Up) -> None:
    environ = {"DATA_DIR": str(up.directory / "var"), "PORT": str(free_port()), "PATH": "/usr/bin"}
    second = subprocess.run([COMMAND, "up"], env=environ, capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode == 2
    assert re.fullmatch(r"DATA_DIR: .* is in use by another `payment-links up` \(pid \d+\)\n", second.stderr)
    assert up.get("/healthz").status_code == 200


def test_after_a_clean_stop_yesterdays_links_are_there(up: Up) -> None:
    link = up.example()
    assert up.interrupt() == 0
    up.start()
    assert up.get(f"/payment-links/{link['id']}").json()["id"] == link["id"]


def test_up_killed_and_started_again_has_everything_it_acknowledged(up: Up) -> None:
    """Store, web, worker and scheduler all outlive the SIGKILL of ``up`` for a moment; the next ``up`` finds order."""
    links = [up.example() for _ in range(20)]
    up.kill()
    up.start()
    assert [up.get(f"/payment-links/{link['id']}").status_code for link in links] == [200] * 20
    outbox = up.directory / "var" / "outbox"
    wait_until(lambda: all(mailed(outbox, str(link["id"])) for link in links), "every mail", within=60)


def test_up_on_a_redis_of_ones_own_starts_no_store(tmp_path: Path, valkey: Store) -> None:
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
def test_a_wrong_setting_stops_the_start_with_one_line(tmp_path: Path, settings: dict[str, str], message: str) -> None:
    environ = {"DATA_DIR": str(tmp_path / "var"), "PATH": "/usr/bin", **settings}
    run = subprocess.run([COMMAND, "up"], env=environ, capture_output=True, text=True, timeout=30, check=False)
    assert (run.returncode, run.stderr) == (2, f"{message}\n")


def mailed(outbox: Path, link_id: str) -> bool:
    return any(link_id in path.read_text() for path in outbox.glob("*.eml"))
