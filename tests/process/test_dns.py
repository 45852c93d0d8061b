"""A name server that does not answer delays no process: not its start, and not its stop."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.cli_runner import SECRET
from tests.support.programs import require_program

WITHIN = 8.0
"""Seconds in which a process ends, on a busy machine. A look-up of glibc's may take 20."""
SILENT_NAME_SERVER = r"""
import fcntl, os, socket, struct, subprocess, sys
directory, *command = sys.argv[1:]
for name, line in {"resolv.conf": "nameserver 127.0.0.1", "nsswitch.conf": "hosts: dns"}.items():
    with open(f"{directory}/{name}", "w") as file:
        file.write(f"{line}\n")
    subprocess.run(["mount", "--bind", file.name, f"/etc/{name}"], check=True)
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
fcntl.ioctl(server, 0x8914, struct.pack("16sh", b"lo", 0x1))  # SIOCSIFFLAGS, IFF_UP
server.bind(("127.0.0.1", 53))
server.set_inheritable(True)
os.execvp(command[0], command)
"""
"""Runs a command where the only name server takes queries and never answers.

It needs namespaces of its own for mounts and networks.
"""
UNSHARE = ("--map-root-user", "--mount", "--net")
ENVIRON = {
    "REDIS_URL": "redis+cluster://a.example,b.example",
    "QUEUE_REDIS_URL": "redis://queue.example",
    "SECRET_KEY": SECRET,
}


@pytest.fixture
def silenced(tmp_path: Path) -> list[str]:
    """What to put before a command, to run it where the name server does not answer."""
    unshare = [require_program("unshare"), *UNSHARE]
    silenced = [*unshare, sys.executable, "-c", SILENT_NAME_SERVER, str(tmp_path)]
    if subprocess.run([*silenced, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no namespaces of a user's own here")
    return silenced


@contextmanager
def started(silenced: Sequence[str], *args: str) -> Iterator[subprocess.Popen[bytes]]:
    """``payment-links``, which is killed at the end if it still runs."""
    program = str(Path(sys.executable).with_name("payment-links"))
    command = [*silenced, program, *args]
    with subprocess.Popen(command, env=ENVIRON, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("process_type", ["web", "worker", "scheduler"])
def test_a_process_that_looks_up_hosts_stops_in_time(
    silenced: Sequence[str], process_type: str
) -> None:
    began = time.monotonic()
    with started(silenced, process_type) as process:
        assert any(b"store_unavailable" in line for line in process.stdout or [])
        process.send_signal(signal.SIGTERM)
        assert process.wait(WITHIN) == 0
    assert time.monotonic() - began < 2 * WITHIN


def test_check_does_not_wait_for_the_name_server(silenced: Sequence[str]) -> None:
    with started(silenced, "check") as process:
        assert process.wait(WITHIN) == 1
