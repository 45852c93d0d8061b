"""The ``payment-links`` command."""

import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

import click

from config.settings import MissingSettingsError, Settings, SettingsError, parse_duration
from service.auth.tokens import MAX_ADMIN_TOKEN_LIFETIME, Admin, Role, issue_admin_token
from service.cli.finding import Finding, Verdict
from service.errors import Invalid
from service.process import embedded, logs
from service.process.listen_address import find_address
from service.process.startup import DataWatch, StartupError, read_settings, wait_for_data
from service.values.ids import parse_org_id


@click.group()
@click.version_option(package_name="payment-links")
def main() -> None:
    """Creates, e-mails, verifies, gates, revokes and lists payment links."""


@main.command()
def up() -> None:
    """Run everything in one, on an embedded store unless REDIS_URL is set."""
    from service.cli.up import up as run

    try:
        sys.exit(run(os.environ))
    except (SettingsError, StartupError, embedded.EmbeddedError) as error:
        _refuse(error)


@main.command()
def web() -> None:
    """Serve the API."""
    from service.process.server import serve

    settings = _settings()
    try:
        address = find_address(settings.host, settings.port, shared=True)
        watch = DataWatch(settings.redis_url)
    except StartupError as error:
        _refuse(error)
    serve(
        "service.app:from_environment",
        host=address,
        port=settings.port,
        processes=settings.web_concurrency,
    )
    if watch.error is not None:
        _refuse(watch.error)


@main.command()
@click.option(
    "--queue",
    type=click.Choice(["links", "otps"]),
    help="Work for one queue only. Default: a process for each.",
)
def worker(queue: str | None) -> None:
    """Send the e-mails that are owed."""
    from service.outbox.doorbell import QueueName
    from tasks.worker import supervise

    _await_data(_settings(listens=False))
    supervise([QueueName(queue)] if queue else list(QueueName))


@main.command()
def scheduler() -> None:
    """Have what is due found, every other second."""
    from tasks.scheduler import run

    _await_data(_settings(listens=False))
    run(os.environ)


@main.command()
@click.option("--role", type=click.Choice([role.value for role in Role]), required=True)
@click.option("--org", help="The organization of an org-admin.")
@click.option("--subject", default="payment-links token", show_default=True, help="Whom it is for.")
@click.option(
    "--life",
    default="24h",
    show_default=True,
    help="How long it is good: 10m, 24h, 90d (366d at most).",
)
def token(role: str, org: str | None, subject: str, life: str) -> None:
    """Print an admin token."""
    # Only the secret matters here, so nobody has to say where Redis is.
    environ = {"REDIS_URL": "unix:///", **_environment()}
    try:
        settings = read_settings(environ)
        if settings.admin_jwt_public_key or settings.admin_jwks_url:
            raise click.UsageError(
                "admin tokens come from the identity provider that ADMIN_JWT_* names"
            )
        if (role == Role.ORG_ADMIN) != (org is not None):
            raise click.UsageError("--org belongs to --role org-admin, and must be given with it")
        admin = Admin(subject, Role(role), parse_org_id(org) if org is not None else None)
        if not 1 <= len(subject) <= 256:
            raise click.UsageError("--subject must have 1 to 256 characters")
        lasting = parse_duration(life)
        if not timedelta(0) < lasting <= MAX_ADMIN_TOKEN_LIFETIME:
            raise click.UsageError("--life must lie between 1s and 366d")
    except MissingSettingsError as error:
        _refuse(
            f"{error}, unless `payment-links up` keeps one in DATA_DIR, and {embedded.data_dir_of(os.environ)} holds none"
        )
    except SettingsError as error:
        _refuse(error)
    except (Invalid, ValueError) as error:
        raise click.UsageError(str(error)) from None
    click.echo(
        issue_admin_token(
            settings.secret_key,
            admin,
            now=datetime.now(UTC),
            life=lasting,
            issuer=settings.admin_jwt_issuer,
        )
    )


@main.command()
@click.option(
    "--worker",
    is_flag=True,
    help="Say only whether this machine's workers are alive: for liveness probes.",
)
@click.option(
    "--queue",
    type=click.Choice(["links", "otps"]),
    help="With --worker: the one queue that they work for.",
)
def check(worker: bool, queue: str | None) -> None:
    """Say what is wrong with the configuration, Redis and the mail server. Exits with 1 if something is."""
    environ = _environment()
    if queue and not worker:
        raise click.UsageError("--queue belongs to --worker")
    failed = False
    for verdict, what, found in _check_workers(environ, queue) if worker else _check_all(environ):
        click.echo(f"{verdict.value:5} {what}: {found}")
        failed |= verdict is Verdict.FAILURE
    sys.exit(1 if failed else 0)


def _environment() -> dict[str, str]:
    """Ours, and what ``up`` keeps in ``DATA_DIR``."""
    try:
        return embedded.environment(os.environ)
    except embedded.EmbeddedError as error:
        _refuse(error)


def _check_all(environ: Mapping[str, str]) -> Iterator[Finding]:
    from service.cli.check import check

    return check(environ)


def _check_workers(environ: Mapping[str, str], queue: str | None) -> Iterator[Finding]:
    from service.cli.check_workers import check_workers

    return check_workers(
        environ, [f"worker-{each}" for each in ([queue] if queue else ["links", "otps"])]
    )


def _settings(*, listens: bool = True) -> Settings:
    """The settings of a process of its own, which ends with the ``up`` that started it."""
    try:
        settings = read_settings(os.environ, listens=listens)
    except MissingSettingsError as error:
        _refuse(f"{error}; to try the service without any of them, run `payment-links up`")
    except SettingsError as error:
        _refuse(error)
    logs.configure(settings.log_format)
    if lock := os.environ.get(embedded.LOCK_VARIABLE):
        threading.Thread(target=_follow, args=(Path(lock),), daemon=True).start()
    return settings


def _await_data(settings: Settings) -> None:
    """Returns once the store's data was looked at: these processes can do nothing before."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        wait_for_data(settings.redis_url, threading.Event())
    except StartupError as error:
        _refuse(error)


def _follow(lock: Path) -> None:
    embedded.wait_for_release(lock)
    os.kill(os.getpid(), signal.SIGTERM)


def _refuse(error: Exception | str) -> NoReturn:
    click.echo(str(error), err=True)
    sys.exit(2)
