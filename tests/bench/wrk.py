"""``wrk`` against a server, and what the server's processes took meanwhile."""

import itertools
import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.bench.figures import Measure, Measured
from tests.support.procfs import cpu_seconds

CONNECTIONS = 32
NUMBERS = itertools.count(step=100_000)
"""The first of the eight-digit numbers in a run's requests: no two runs use the same e-mail."""


def http(method: str, path: str, headers: dict[str, str] | None = None, content: str = "") -> str:
    """A request as it goes over the wire."""
    sent = {
        "Host": "localhost",
        **(headers or {}),
        **(
            {"Content-Type": "application/json", "Content-Length": str(len(content))}
            if content
            else {}
        ),
    }
    return (
        f"{method} {path} HTTP/1.1\r\n"
        + "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        + "\r\n"
        + content
    )


def load(
    port: int,
    requests: Sequence[str],
    home: Path,
    seconds: float,
    *,
    processes: Mapping[str, int] | None = None,
    refused: bool = False,
    connections: int = CONNECTIONS,
) -> Measure:
    """Sends ``requests`` in turn for ``seconds``: how many, and how many a second, CPU µs of
    ``processes`` each, and latency in ms.

    CPU includes the descendants of ``processes``. Every status must be below 400, or with
    ``refused`` at least that.
    """
    watched = processes or {}
    file = home / f"requests-{port}-{abs(hash(requests[0]))}"
    file.write_text("\0".join(requests))

    def measure() -> Measured:
        before = {name: cpu_seconds(pid) for name, pid in watched.items()}
        arguments = [
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{max(1, round(seconds))}s",
            "--timeout",
            "10s",
        ]
        arguments += [
            "-s",
            str(Path(__file__).with_suffix(".lua")),
            f"http://127.0.0.1:{port}",
            "--",
            str(file),
            str(next(NUMBERS)),
        ]
        output = subprocess.run(arguments, check=True, capture_output=True, text=True).stdout
        told = json.loads(output.strip().splitlines()[-1])
        spent = {name: cpu_seconds(pid) - before[name] for name, pid in watched.items()}
        if told["failed"] or told["refused"] != (told["requests"] if refused else 0):
            raise RuntimeError(f"{requests[0].splitlines()[0]}: {told}")
        return {
            "requests": told["requests"],
            "requests/s": told["requests"] / told["seconds"],
            **{name: taken / told["requests"] * 1e6 for name, taken in spent.items()},
            "p50 ms": told["p50 ms"],
            "p99 ms": told["p99 ms"],
        }

    return measure
