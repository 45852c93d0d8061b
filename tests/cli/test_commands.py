"""Commands that run processes: they refuse wrong settings in one line."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from service.cli import commands
from service.process import logs
from tests.support.cli_runner import SECRET, pem, run

TRY = "; to try the service without any of them, run `payment-links up`"


@pytest.mark.parametrize("command", ["worker", "scheduler"])
def test_worker_and_scheduler_ignore_a_wrong_address(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []
    monkeypatch.setattr(commands, "wait_for_data", lambda redis_url, _: ran.append(redis_url))
    monkeypatch.setattr(commands, "exit_on_stop_signals", lambda: None)
    monkeypatch.setattr("tasks.worker.supervise", lambda _: None)
    monkeypatch.setattr("tasks.scheduler.run", lambda _: None)
    monkeypatch.setattr(logs, "configure", lambda _: None)
    result = run(
        command,
        SECRET_KEY=SECRET,
        REDIS_URL="redis://localhost",
        HOST="a b",
        PORT="http",
        WEB_CONCURRENCY="0",
    )
    assert (result.exit_code, result.stderr, ran) == (0, "", ["redis://localhost"])


@pytest.mark.parametrize("command", ["web", "worker", "scheduler"])
@pytest.mark.parametrize(
    ("environ", "line"),
    [
        ({}, f"REDIS_URL, SECRET_KEY: required{TRY}"),
        ({"SECRET_KEY": SECRET}, f"REDIS_URL: required{TRY}"),
        ({"REDIS_URL": "redis://localhost"}, f"SECRET_KEY: required{TRY}"),
        (
            {"SECRET_KEY": SECRET, "REDIS_URL": "redis://localhost", "LINK_TTL": "1s"},
            "LINK_TTL: must lie between 5m and 365d",
        ),
    ],
    ids=["none", "no Redis", "no secret", "another setting"],
)
def test_wrong_settings_are_refused_in_one_line(
    command: str, environ: dict[str, str], line: str
) -> None:
    result = run(command, **environ)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"{line}\n")


def test_up_refuses_wrong_settings_in_one_line() -> None:
    result = run("up", PORT="0")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "PORT: must be a whole number from 1 to 65535\n"


@pytest.mark.parametrize(
    "key",
    [
        "-----BEGIN PUBLIC KEY-----\nZm9v\n-----END PUBLIC KEY-----\n",
        pem(ec.generate_private_key(ec.SECP384R1())),
    ],
    ids=["garbage", "P-384"],
)
def test_web_refuses_an_unusable_public_key(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it serves: its processes would die and be started again, without end."""
    served: list[bool] = []
    monkeypatch.setattr("granian.Granian.serve", lambda _: served.append(True))
    monkeypatch.setattr(logs, "configure", lambda _: None)
    result = run("web", SECRET_KEY=SECRET, REDIS_URL="redis://localhost", ADMIN_JWT_PUBLIC_KEY=key)
    assert not served
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("ADMIN_JWT_PUBLIC_KEY: ")
    assert len(result.stderr.splitlines()) == 1


def test_an_unknown_queue_is_refused() -> None:
    assert (
        run(
            "worker", "--queue", "faxes", SECRET_KEY=SECRET, REDIS_URL="redis://localhost"
        ).exit_code
        == 2
    )


def test_help_lists_all_commands() -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert all(
        command in result.stdout
        for command in ("up", "web", "worker", "scheduler", "token", "check")
    )


def test_the_version_is_printed() -> None:
    assert run("--version").exit_code == 0
