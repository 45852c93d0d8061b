"""The ``payment-links`` command, run in this process."""

from typing import Any

from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from service.cli.commands import main

SECRET = "correct horse battery staple, 32 bytes"


def run(*args: str, **environ: str) -> Result:
    """Runs ``payment-links`` with ``args``."""
    return CliRunner().invoke(main, args, env=environ)


def run_check(*args: str, **environ: str) -> Result:
    """Runs ``payment-links check``, which exits with 1 exactly where something fails."""
    result = run("check", *args, **{"SECRET_KEY": SECRET, **environ})
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(
        result.exception
    )
    assert result.exit_code == ("FAIL" in {status for status, _ in results_of(result).values()})
    return result


def results_of(result: Result) -> dict[str, tuple[str, str]]:
    """The status and the detail of each component that ``check`` printed."""
    results: dict[str, tuple[str, str]] = {}
    for line in result.stdout.splitlines():
        status, _, rest = line.partition(" ")
        component, _, detail = rest.strip().partition(": ")
        assert status in {"ok", "warn", "FAIL"}
        results[component] = (status, detail)
    return results


def pem(key: Any) -> str:
    """The public key of a private one."""
    public_key = key.public_key()
    return str(public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())
