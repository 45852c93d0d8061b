"""The real processes: what a Procfile starts, and ``up``."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tests.support.servers import free_port, wait_until

COMMAND = str(Path(sys.executable).parent / "payment-links")
SECRET = "a secret that end-to-end tests have made up"
UNLIMITED = {
    f"OTP_{limit}": "1000000"
    for limit in (
        "SENDS_PER_HOUR",
        "SENDS_PER_DAY",
        "SENDS_PER_MINUTE",
        "FAILURES_PER_DAY",
        "UNVERIFIED_PER_HOUR",
        "CLIENT_SENDS_PER_HOUR",
        "CLIENT_FAILURES_PER_HOUR",
    )
}
"""Settings with which no limit on codes is reached."""


class Process:
    """One ``payment-links`` command with its arguments, and its output in a file."""

    def __init__(self, command: str, environ: Mapping[str, str], log: Path) -> None:
        self.command = command
        self._environ = environ
        self.log = log
        self.prefix: list[str] = []
        """What comes before the command: a program that runs it with fewer privileges."""
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            environ = {"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1", **self._environ}
            self._process = subprocess.Popen(
                [*self.prefix, COMMAND, *self.command.split()],
                env=environ,
                cwd=self.log.parent,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self) -> None:
        """SIGKILL, as the kernel would; children are left to notice by themselves."""
        self.process.kill()
        self.process.wait()

    def kill_all(self) -> None:
        """SIGKILL to it and its children at once, as where a container goes."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self, within: float = 30.0) -> int:
        """SIGTERM, as a platform would; gives the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(within)

    def interrupt(self, within: float = 30.0) -> int:
        """SIGINT, as Ctrl-C would; gives the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(within)

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None
        return self._process

    def output(self) -> str:
        return self.log.read_text()


class Up(Process):
    """``up`` on a folder of its own, on the embedded store."""

    def __init__(self, directory: Path, **settings: str) -> None:
        self.port = free_port()
        self.directory = directory
        environ = {"DATA_DIR": str(directory / "var"), "PORT": str(self.port), **settings}
        super().__init__("up", environ, directory / "up.log")

    def start(self) -> None:
        seen = len(self.output()) if self.log.exists() else 0
        super().start()
        wait_until(
            lambda: "Try\n" in self.output()[seen:] or self.process.poll() is not None,
            "the welcome",
            within=60,
        )
        self.welcome = self.output()[seen:]

    def example(self) -> dict[str, Any]:
        """The answer to the curl line that ``up`` prints, pasted into a shell."""
        line = next(line for line in self.welcome.splitlines() if line.startswith("curl "))
        response = subprocess.run(["bash", "-c", line], check=True, capture_output=True)
        return dict(json.loads(response.stdout))

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}")


class Service:
    """Web, worker and scheduler on a store and a mail server."""

    def __init__(
        self, directory: Path, redis_url: str, smtp_url: str | None, **settings: str
    ) -> None:
        self.port = int(settings.get("PORT") or free_port())
        self.url = f"http://127.0.0.1:{self.port}"
        self.environ = {
            "SECRET_KEY": SECRET,
            "REDIS_URL": redis_url,
            "PORT": str(self.port),
            "DATA_DIR": str(directory),
            "LOG_FORMAT": "json",
            "OTP_CLIENT_FAILURES_PER_HOUR": "10000",
            **(
                {"SMTP_URL": smtp_url, "MAIL_FROM": "Acme Pay <pay@acme.example>"}
                if smtp_url
                else {}
            ),
            **settings,
        }
        self.web, self.worker, self.scheduler = (
            Process(name, self.environ, directory / f"{name}.log")
            for name in ("web", "worker", "scheduler")
        )

    def __enter__(self) -> Self:
        with ExitStack() as started:
            for process in self.processes:
                process.start()
                started.callback(process.kill_all)
            wait_until(self.ready, "the service to be ready", within=60)
            started.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self.processes:
            process.process.send_signal(
                signal.SIGINT
            )  # on which web does not wait for clients to move on
        for process in self.processes:
            process.process.wait(30)

    @property
    def processes(self) -> tuple[Process, Process, Process]:
        return self.web, self.worker, self.scheduler

    def ready(self) -> bool:
        """Whether everything is alive."""
        return bool(self.readiness().get("status") == "ok")

    def readiness(self) -> dict[str, Any]:
        """What ``/readyz`` tells. A busy machine may have kept it from that for a moment."""
        try:
            response = httpx.get(f"{self.url}/readyz")
        except httpx.TransportError:
            return {}
        return dict(response.json()) if response.status_code == 200 else {}

    def is_alive(self) -> bool:
        """Whether the web process answers."""
        return is_alive(self.url)

    def logs(self) -> str:
        return "".join(process.output() for process in self.processes)


def is_alive(url: str) -> bool:
    """Whether a web process answers at ``url``."""
    try:
        return httpx.get(f"{url}/healthz").status_code == 200
    except httpx.TransportError:
        return False


@contextmanager
def python_process(code: str, data_dir: Path) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """Runs Python ``code`` on ``data_dir``; gives the process and its first line, and kills it."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(data_dir)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
