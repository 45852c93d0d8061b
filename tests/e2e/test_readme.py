"""The examples of README files, pasted one after the other."""

import os
import re
import subprocess
from pathlib import Path

from tests.support.processes import COMMAND, Up

ROOT = Path(__file__).parents[2]
API = "service/http/README.md"


def paste(up: Up, document: str) -> str:
    """Runs the examples of ``document`` beside ``up``; each curl must succeed. Gives what they print."""
    examples = re.findall(
        r"^```sh\n(.*?)^```", (ROOT / document).read_text(), re.MULTILINE | re.DOTALL
    )
    script = "set -e\n" + "\n".join(examples).replace(
        "curl -s", "curl --fail-with-body --no-progress-meter"
    )
    script = script.replace("http://127.0.0.1:8000", f"http://127.0.0.1:{up.port}")
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


def test_the_readme_creates_reads_and_revokes_a_link(up: Up) -> None:
    printed = paste(up, "README.md")
    assert printed.count('"status":"active"') == 2
    assert '"revoked":1' in printed


def test_every_example_of_the_api_works_as_printed(up: Up) -> None:
    """The gated link opens with the token that the code from the mail gave."""
    printed = paste(up, API)
    assert '"otp_required":true,"locale":null,"scheduled_at":null' in printed
    assert '"due":0,"queued":0' in printed
    assert '"status":"ok"' in printed
