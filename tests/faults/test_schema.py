"""Schemathesis calls the API: answers are as described, and described requests are accepted."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from service.auth.tokens import CustomerTokens, Role
from tests.support.admins import admin_token
from tests.support.run_length import RunLength
from tests.support.servers import RedisServer
from tests.support.service_processes import SECRET, UNLIMITED, Service
from tests.support.web import run_web

HERE = Path(__file__).parent
SCHEMATHESIS = str(Path(sys.executable).parent / "schemathesis")
SEED = "1138"
AT_RANDOM = "fuzzing,stateful"
ALL_PHASES = f"examples,coverage,{AT_RANDOM}"
PRINCIPALS = ["internal-admin", "org-admin", "customer", "nobody"]
TOKENS: dict[str, Callable[[], str]] = {
    "internal-admin": admin_token,
    "org-admin": lambda: admin_token(Role.ORG_ADMIN, "acme"),
    "customer": lambda: CustomerTokens(SECRET.encode()).issue(
        "jane@example.com", now=datetime.now(UTC), jti="0" * 16
    ),
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, own_store: RedisServer) -> Iterator[Service]:
    with run_web(tmp_path_factory.mktemp("web"), own_store.url, **UNLIMITED) as running:
        yield running


class Found(NamedTuple):
    """What schemathesis reports, and what it says, which is more."""

    report: dict[str, Any]
    output: str


@pytest.fixture(scope="module")
def runs(
    service: Service, tmp_path_factory: pytest.TempPathFactory, run_length: RunLength
) -> Iterator[dict[str, "Future[Found]"]]:
    """One by each principal, two at a time."""
    with ThreadPoolExecutor(2) as threads:

        def begin(principal: str) -> "Future[Found]":
            phases = ALL_PHASES if run_length(0, 1) or principal == PRINCIPALS[0] else AT_RANDOM
            return threads.submit(
                run,
                tmp_path_factory.mktemp(principal),
                service.url,
                principal,
                phases,
                run_length(3, 460),
            )

        yield {principal: begin(principal) for principal in PRINCIPALS}


@pytest.mark.parametrize("principal", PRINCIPALS)
def test_every_answer_is_described_and_what_is_described_is_taken(
    runs: dict[str, "Future[Found]"], run_length: RunLength, principal: str
) -> None:
    """Full: 20,000 examples, a quarter by each principal.

    Short: all phases by the first principal only, random ones by the others.
    """
    report, output = runs[principal].result()
    print(output)
    assert (report["failures"], report["errors"], report["stop_reason"], report["exit_code"]) == (
        [],
        [],
        "completed",
        0,
    )
    assert report["operations"]["tested"] == report["operations"]["total"]
    assert report["test_cases"]["generated"] >= run_length(36, 5000)


def run(directory: Path, url: str, principal: str, phases: str, examples: int) -> Found:
    report = directory / "report.json"
    options = [
        "--seed",
        SEED,
        "--phases",
        phases,
        "--max-examples",
        str(examples),
        "--continue-on-failure",
        "--no-color",
    ]
    options += [
        "--generation-database",
        "none",
        "--report",
        "json",
        "--report-json-path",
        str(report),
    ]
    if principal in TOKENS:
        options += ["--header", f"Authorization: Bearer {TOKENS[principal]()}"]
    ended = subprocess.run(
        [
            SCHEMATHESIS,
            "--config-file",
            str(HERE / "schemathesis.toml"),
            "run",
            f"{url}/schema/openapi.json",
            *options,
        ],
        check=False,
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(HERE), "SCHEMATHESIS_HOOKS": "schemathesis_hooks"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert report.exists(), ended.stdout
    return Found(json.loads(report.read_text()), ended.stdout)
