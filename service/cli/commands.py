"""The ``payment-links`` command."""

import os
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from config.parsers import duration_parser
from config.settings import MissingSettingsError, Settings, SettingsError
from service.auth.tokens import DEFAULT_ADMIN_TOKEN_LIFETIME, Admin, Role, issue_admin_token
from service.errors import Invalid
from service.outbox.queues import QUEUES, MailQueue
from service.process import logs
from service.process.data_dir import LOCK_VARIABLE, data_dir_of
from service.process.embedded import with_embedded_store
from service.process.listen_address import find_address
from service.process.shutdown import exit_on_stop_signals, exit_with_lock
from service.process.startup import (
    DataVersionWatch,
    StartupError,
    limit_lookup_time,
    read_settings,
    wait_for_data,
)
from service.values.email import parse_email
from service.values.ids import parse_org_id

MAX_SUBJECT_LENGTH = 256
QUEUE_NAMES = [queue.name for queue in QUEUES]


class Commands(click.Group):
    """Where a command cannot start, prints why in one line, and exits with 2."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (SettingsError, StartupError) as error:
            click.echo(str(error), err=True)
            sys.exit(2)


@click.group(cls=Commands)
@click.version_option(package_name="payment-links")
def main() -> None:
    """Creates, e-mails, verifies, gates, revokes and lists payment links."""
    limit_lookup_time()


@main.command()
def up() -> None:
    """Run everything in one, on an embedded store unless REDIS_URL is set."""
    from service.cli.up import up as run

    sys.exit(run(os.environ))


@main.command()
def web() -> None:
    """Serve the API."""
    from service.process.server import serve

    settings = _prepare_process()
    address = find_address(settings.host, settings.port, shared=True)
    watch = DataVersionWatch(settings.redis_url)
    serve(
        "service.app:create_app_from_environment",
        host=address,
        port=settings.port,
        processes=settings.web_concurrency,
    )
    if watch.error is not None:
        raise watch.error


@main.command()
@click.option(
    "--queue",
    type=click.Choice(QUEUE_NAMES),
    help="Work for one queue only. Default: a process for each.",
)
def worker(queue: str | None) -> None:
    """Send the e-mails that are owed."""
    from tasks.worker import supervise

    _wait_for_data()
    supervise(_select_queues(queue))


@main.command()
def scheduler() -> None:
    """Look every other second for mail that is due."""
    from tasks.scheduler import run

    _wait_for_data()
    run(os.environ)


@main.command()
@click.option("--role", type=click.Choice([role.value for role in Role]), required=True)
@click.option("--org", help="The organization of an org-admin.")
@click.option("--subject", default="payment-links token", show_default=True, help="Whom it is for.")
@click.option(
    "--life",
    "lifetime",
    default=f"{DEFAULT_ADMIN_TOKEN_LIFETIME // timedelta(hours=1)}h",
    show_default=True,
    help="How long it is good: 10m, 24h, 90d (366d at most).",
)
def token(role: str, org: str | None, subject: str, lifetime: str) -> None:
    """Print an admin token."""
    settings = _token_settings()
    if settings.admin_jwt_public_key or settings.admin_jwks_url:
        raise click.UsageError(
            "admin tokens come from the identity provider that ADMIN_JWT_* names"
        )
    click.echo(
        issue_admin_token(
            settings.secret_key,
            _parse_admin(role, org, subject),
            now=datetime.now(UTC),
            lifetime=_parse_lifetime(lifetime),
            issuer=settings.admin_jwt_issuer,
        )
    )


def _token_settings() -> Settings:
    # A token needs only the secret, not the store.
    try:
        return read_settings({"REDIS_URL": "unix:///", **with_embedded_store(os.environ)})
    except MissingSettingsError as error:
        raise StartupError(
            f"{error}, unless `payment-links up` keeps one in DATA_DIR, "
            f"and {data_dir_of(os.environ)} holds none"
        ) from None


def _parse_admin(role: str, org: str | None, subject: str) -> Admin:
    if (role == Role.ORG_ADMIN) != (org is not None):
        raise click.UsageError("--org belongs to --role org-admin, and must be given with it")
    if not 1 <= len(subject) <= MAX_SUBJECT_LENGTH:
        raise click.UsageError(f"--subject must have 1 to {MAX_SUBJECT_LENGTH} characters")
    try:
        return Admin(subject, Role(role), parse_org_id(org) if org is not None else None)
    except Invalid as error:
        raise click.UsageError(str(error)) from None


def _parse_lifetime(text: str) -> timedelta:
    try:
        return duration_parser("1s", "366d")(text)
    except ValueError as error:
        raise click.UsageError(f"--life: {error}") from None


@main.command()
@click.option(
    "--worker",
    is_flag=True,
    help="Check only whether this machine's workers are alive: for liveness probes.",
)
@click.option(
    "--queue",
    type=click.Choice(QUEUE_NAMES),
    help="With --worker: the one queue that they work for.",
)
@click.option(
    "--to",
    "recipient",
    metavar="ADDRESS",
    help="Also ask the mail server whether it takes mail to this address. None is sent.",
)
def check(worker: bool, queue: str | None, recipient: str | None) -> None:
    """Check the settings, Redis and the mail server. Exits with 1 if something is wrong."""
    if queue and not worker:
        raise click.UsageError("--queue belongs to --worker")
    if recipient is not None:
        if worker:
            raise click.UsageError("--to does not go with --worker")
        _require_email(recipient)
    environ = with_embedded_store(os.environ)
    if worker:
        from service.cli.check_workers import check_workers

        results = check_workers(environ, [each.worker_name for each in _select_queues(queue)])
    else:
        from service.cli.check import check_all

        results = check_all(environ, recipient=recipient)
    failed = False
    for result in results:
        click.echo(f"{result.status:5} {result.component}: {result.detail}")
        failed |= result.status == "FAIL"
    sys.exit(1 if failed else 0)


def _require_email(text: str) -> None:
    try:
        parse_email(text, "--to")
    except Invalid as error:
        raise click.UsageError(f"--to: {error}") from None


def _select_queues(name: str | None) -> list[MailQueue]:
    """The queue called ``name``, or all."""
    return [queue for queue in QUEUES if name in {queue.name, None}]


def _prepare_process(*, listens: bool = True) -> Settings:
    """Reads the settings and configures the logs. A process that ``up`` started ends with it."""
    try:
        settings = read_settings(os.environ, listens=listens)
    except MissingSettingsError as error:
        raise StartupError(
            f"{error}; to try the service without any of them, run `payment-links up`"
        ) from None
    logs.configure(settings.log_format)
    if lock := os.environ.get(LOCK_VARIABLE):
        exit_with_lock(Path(lock))
    return settings


def _wait_for_data() -> None:
    """Returns once the version of the store's data is checked."""
    settings = _prepare_process(listens=False)
    exit_on_stop_signals()
    wait_for_data(settings.redis_url, threading.Event())
