"""Clients generated from the API's description create, change, verify and draw a link."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.auth.tokens import Role
from tests.support.admins import admin_token
from tests.support.programs import require_program
from tests.support.qr_codes import pixels_of_png, read
from tests.support.servers import RedisServer
from tests.support.service_processes import Service
from tests.support.web import run_web

CLIENTS = Path(__file__).parent / "clients"
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
"""Where the tests' tools are installed: openapi-python-client runs ruff from PATH."""
PACKAGES = ("openapi-typescript@7.13.0", "openapi-fetch@0.17.0", "typescript@5.9.3")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, own_store: RedisServer) -> Iterator[Service]:
    with run_web(tmp_path_factory.mktemp("web"), own_store.url) as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, service: Service) -> Path:
    """A folder with the description, as the service gives it."""
    (tmp_path / "description.json").write_bytes(
        httpx.get(f"{service.url}/schema/openapi.json").content
    )
    return tmp_path


def run(home: Path, tool: str | Path, *arguments: str) -> str:
    """What the tool prints. It runs in ``home``, and succeeds."""
    command, environ = (
        [shutil.which(tool, path=PATH) or tool, *arguments],
        {**os.environ, "PATH": PATH},
    )
    ended = subprocess.run(
        command, cwd=home, env=environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_a_python_client_creates_verifies_and_draws_a_link(home: Path, service: Service) -> None:
    options = [
        "--path",
        "description.json",
        "--meta",
        "none",
        "--output-path",
        "payment_link_service_client",
        "--fail-on-warning",
    ]
    run(home, "openapi-python-client", "generate", *options)
    shutil.copy(CLIENTS / "use_client.py", home)
    run(home, "mypy", "--strict", "--follow-imports=silent", "--config-file=", "use_client.py")
    url = run(
        home,
        sys.executable,
        "use_client.py",
        service.url,
        admin_token(Role.ORG_ADMIN, "acme"),
        "code.png",
    )
    assert read(*pixels_of_png((home / "code.png").read_bytes())) == [url]


def test_a_typescript_client_creates_verifies_and_draws_a_link(
    home: Path, service: Service
) -> None:
    run(home, require_program("npm"), "install", "--no-save", "--silent", *PACKAGES)
    tools = home / "node_modules" / ".bin"
    run(home, tools / "openapi-typescript", "description.json", "--output", "description.d.ts")
    shutil.copy(CLIENTS / "use_client.ts", home)
    (home / "package.json").write_text('{"type": "module"}')
    run(
        home,
        tools / "tsc",
        "--strict",
        "--module",
        "nodenext",
        "--target",
        "es2022",
        "--lib",
        "es2022,dom",
        "use_client.ts",
    )
    said = json.loads(
        run(
            home,
            require_program("node"),
            "use_client.js",
            service.url,
            admin_token(Role.ORG_ADMIN, "acme"),
        )
    )
    assert read(*pixels_of_png(bytes(said["code"]))) == [said["url"]]
