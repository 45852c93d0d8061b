"""``payment-links token`` prints admin tokens that the API takes."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import pytest
from click.testing import Result
from cryptography.hazmat.primitives.asymmetric import ec

from service.auth.tokens import Admin, Role, own_admin_key, verify_admin
from service.process.data_dir import load_or_create_secret
from tests.support.cli_runner import SECRET, pem, run

OTHERS = "an other secret of thirty-two bytes"


def holder(
    result: Result, *, secret: str = SECRET, now: datetime | None = None, issuer: str | None = None
) -> Admin:
    """The admin that the API takes the printed token for."""
    assert result.exit_code == 0, result.output
    return verify_admin(
        result.stdout.strip(),
        own_admin_key(secret.encode()),
        now=now or datetime.now(UTC),
        issuer=issuer,
    )


def test_an_internal_admins_token_is_valid() -> None:
    result = run("token", "--role", "internal-admin", SECRET_KEY=SECRET)
    assert holder(result) == Admin("payment-links token", Role.INTERNAL_ADMIN)


def test_an_org_admins_token_is_valid_for_its_organization() -> None:
    result = run("token", "--role", "org-admin", "--org", "acme", SECRET_KEY=SECRET)
    assert holder(result) == Admin("payment-links token", Role.ORG_ADMIN, "acme")


def test_only_the_token_is_printed() -> None:
    result = run("token", "--role", "internal-admin", SECRET_KEY=SECRET)
    assert len(result.stdout.splitlines()) == 1
    assert result.stdout.count(".") == 2
    assert result.stderr == ""


def test_a_token_names_its_subject() -> None:
    assert (
        holder(
            run("token", "--role", "internal-admin", "--subject", "ann", SECRET_KEY=SECRET)
        ).subject
        == "ann"
    )


@pytest.mark.parametrize(
    ("lifetime", "lasts"),
    [
        ("10m", timedelta(minutes=10)),
        ("24h", timedelta(hours=24)),
        ("366d", timedelta(days=366)),
        ("1s", timedelta(seconds=1)),
    ],
)
def test_a_token_is_valid_for_its_lifetime(lifetime: str, lasts: timedelta) -> None:
    result = run("token", "--role", "internal-admin", "--life", lifetime, SECRET_KEY=SECRET)
    claims = jwt.decode(result.stdout.strip(), options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == lasts.total_seconds()
    assert holder(result, now=datetime.fromtimestamp(claims["iat"], UTC))


def test_the_default_life_is_a_day() -> None:
    result = run("token", "--role", "internal-admin", SECRET_KEY=SECRET)
    claims = jwt.decode(result.stdout.strip(), options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 24 * 3600


def test_no_redis_is_needed() -> None:
    assert run("token", "--role", "internal-admin", SECRET_KEY=SECRET).exit_code == 0


def test_the_secret_of_up_is_used(tmp_path: Path) -> None:
    secret = load_or_create_secret(tmp_path)
    assert holder(run("token", "--role", "internal-admin"), secret=secret)


def test_secret_key_takes_precedence_over_the_secret_of_up(tmp_path: Path) -> None:
    load_or_create_secret(tmp_path)
    assert holder(run("token", "--role", "internal-admin", SECRET_KEY=SECRET), secret=SECRET)


def test_a_token_has_the_issuer_that_admin_tokens_must_have() -> None:
    """Otherwise the service would refuse it."""
    result = run(
        "token",
        "--role",
        "internal-admin",
        SECRET_KEY=SECRET,
        ADMIN_JWT_ISSUER="https://id.example",
    )
    assert result.exit_code == 2 or holder(result, issuer="https://id.example")


@pytest.mark.parametrize("subject", ["", "x" * 10_000], ids=["empty", "longer than a token may be"])
def test_a_subject_that_the_service_would_refuse_is_refused(subject: str) -> None:
    assert (
        run("token", "--role", "internal-admin", "--subject", subject, SECRET_KEY=SECRET).exit_code
        == 2
    )


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["--role", "customer"],
        ["--role", "org-admin"],
        ["--role", "internal-admin", "--org", "acme"],
        ["--role", "org-admin", "--org", ""],
        ["--role", "org-admin", "--org", "a b"],
        ["--role", "org-admin", "--org", ".."],
        ["--role", "org-admin", "--org", "a" * 65],
        ["--role", "internal-admin", "--life", "0s"],
        ["--role", "internal-admin", "--life", "367d"],
        ["--role", "internal-admin", "--life", "tomorrow"],
        ["--role", "internal-admin", "--life", "-1h"],
        ["--role", "internal-admin", "extra"],
    ],
    ids=[
        "no role",
        "no such role",
        "org-admin of none",
        "internal-admin of one",
        "empty organization",
        "bad organization",
        "organization that is a path",
        "long organization",
        "no lifetime",
        "too long a lifetime",
        "no duration",
        "negative lifetime",
        "more than is asked for",
    ],
)
def test_a_bad_combination_is_refused_and_prints_no_token(args: list[str]) -> None:
    result = run("token", *args, SECRET_KEY=SECRET)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Error: " in result.stderr


@pytest.mark.parametrize(
    "environ",
    [
        {"ADMIN_JWT_PUBLIC_KEY": pem(ec.generate_private_key(ec.SECP256R1()))},
        {"ADMIN_JWKS_URL": "https://id.example/keys"},
    ],
    ids=["key", "key set"],
)
def test_no_token_is_made_where_an_identity_provider_issues_them(environ: dict[str, str]) -> None:
    result = run("token", "--role", "internal-admin", SECRET_KEY=SECRET, **environ)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "identity provider" in result.stderr


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        ({"SECRET_KEY": "short"}, "SECRET_KEY: must be 32 bytes or more, not 5"),
        (
            {"SECRET_KEY": SECRET, "PORT": "http"},
            "PORT: must be a whole number from 1 to 65535",
        ),
    ],
    ids=["short", "another setting"],
)
def test_wrong_settings_are_refused_in_one_line(environ: dict[str, str], line: str) -> None:
    result = run("token", "--role", "internal-admin", **environ)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"{line}\n")


def test_without_a_secret_the_error_names_data_dir(tmp_path: Path) -> None:
    result = run("token", "--role", "internal-admin")
    line = (
        "SECRET_KEY: required, unless `payment-links up` keeps one in DATA_DIR, "
        f"and {tmp_path} holds none\n"
    )
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", line)
