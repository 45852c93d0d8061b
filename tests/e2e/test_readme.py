"""The README's examples, pasted one after the other."""

import os
import re
import subprocess
from pathlib import Path

from tests.support.processes import COMMAND, Up

README = Path(__file__).parents[2] / "README.md"


def test_every_example_works_as_printed(up: Up) -> None:
    """Each curl succeeds; the gated link opens with the token that the code from the mail gave."""
    examples = re.findall(r"^```sh\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
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
    assert '"otp_required":true,"locale":null,"scheduled_at":null' in run.stdout
    assert '"due":0,"queued":0' in run.stdout
    assert '"status":"ok"' in run.stdout
