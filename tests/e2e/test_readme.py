"""The examples of README files, pasted one after the other, and the keys that they leave behind."""

import os
import re
import subprocess
from pathlib import Path

import redis

from service.process import embedded
from tests.support.service_processes import COMMAND, Up

ROOT = Path(__file__).parents[2]
API = "service/http/README.md"
ROW = re.compile(r"^\| `(pl:[^`]+)` \| (\w+) \|.*\| ([^|]+) \|$", re.MULTILINE)


def paste(up: Up, document: str) -> str:
    """Runs the examples of ``document`` and returns their output; each curl must succeed."""
    examples = re.findall(
        r"^```sh\n(.*?)^```", (ROOT / document).read_text(), re.MULTILINE | re.DOTALL
    )
    script = "set -e\n" + "\n".join(examples).replace(
        "curl -s", "curl --fail-with-body --no-progress-meter"
    )
    script = script.replace("http://127.0.0.1:8000", f"http://127.0.0.1:{up.port}")
    script = script.replace("sleep 2", "sleep 6")  # for a machine that runs other tests, too
    (up.directory / ".venv" / "bin").mkdir(parents=True)
    (up.directory / ".venv" / "bin" / "payment-links").symlink_to(COMMAND)
    environ = {"PATH": os.environ["PATH"]}
    command = ["bash", "-c", script]
    run = subprocess.run(
        command,
        cwd=up.directory,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_the_readme_creates_reads_changes_revokes_and_pays_a_link(up: Up) -> None:
    printed = paste(up, "README.md")
    assert printed.count('"status":"active"') == 3
    assert '"revoked":1' in printed
    assert '"late":true' in printed
    assert printed.count('"status":"paid"') == 1


def test_every_example_of_the_api_works_as_printed(up: Up) -> None:
    """The gated link opens with the token that the code from the mail gave."""
    printed = paste(up, API)
    assert '"otp_required":true,"locale":null,"scheduled_at":null' in printed
    assert '"due":0,"queued":0' in printed
    assert '"status":"ok"' in printed
    assert_keys_are_documented(up)


def assert_keys_are_documented(up: Up) -> None:
    """Each key has a row in the table, with its type, and expires unless the row says never."""
    rows = ROW.findall((ROOT / "service/storage/README.md").read_text())
    table = [(pattern_of(key), kind, expires != "never") for key, kind, expires in rows]
    url = embedded.store_url(up.directory / "var")
    used = set()
    with redis.Redis.from_url(url, decode_responses=True) as store:
        for key in store.scan_iter("pl:*", count=1000):
            actual = (store.type(key), store.ttl(key) != -1)
            of_key = [row for row in table if row[0].fullmatch(key) and row[1:] == actual]
            assert of_key, (key, actual)
            used.update(of_key)
    assert len(used) >= 12


def pattern_of(key: str) -> re.Pattern[str]:
    """Matches the keys that a row describes: ``{3f}`` is any partition, ``<id>`` any id."""
    escaped = re.sub(r"\\{[0-9a-f]{2}\\}", r"\\{[0-9a-f]{2}\\}", re.escape(key))
    return re.compile(re.sub(r"<\w+>", ".+", escaped))
