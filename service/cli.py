"""The ``payment-links`` command."""

import multiprocessing
import os
import resource
import signal
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import click

from config.settings import Settings, SettingsError, parse_duration
from service import embedded, logs
from service.domain.errors import Invalid
from service.domain.link import parse_org_id
from service.domain.tokens import LONGEST_ADMIN_LIFE, Admin, Role, issue_admin_token
from service.startup import read_settings

STOP_WITHIN = 9
"""Seconds from SIGTERM on after which ``web`` cuts off what is still under way."""
CONNECTIONS = 4096
"""How many a process serves at once, idle ones included, and how many more wait."""
HEADERS_WITHIN = 10_000
"""Milliseconds in which a client has to send a request's headers."""


@click.group()
@click.version_option(package_name="payment-links")
def main() -> None:
    """Creates, e-mails, verifies, gates, revokes and lists payment links."""


@main.command()
def up() -> None:
    """Run everything in one, on an embedded store unless REDIS_URL is set."""
    from service.up import up as run

    try:
        sys.exit(run(os.environ))
    except (SettingsError, embedded.EmbeddedError) as error:
        _refuse(error)


@main.command()
def web() -> None:
    """Serve the API."""
    from granian import Granian
    from granian.constants import HTTPModes, Interfaces, Loops
    from granian.http import HTTP1Settings

    settings = _settings()
    _allow_descriptors(2 * CONNECTIONS)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until Granian listens itself
    server = Granian(
        "service.app:from_environment",
        factory=True,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,  # the others wait for a client's first byte for ever
        loop=Loops.uvloop,
        workers=settings.web_concurrency,
        backlog=CONNECTIONS,
        backpressure=CONNECTIONS,
        websockets=False,
        http1_settings=HTTP1Settings(header_read_timeout=HEADERS_WITHIN),
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_WITHIN,
        log_dictconfig={"version": 1, "disable_existing_loggers": False, "loggers": {"_granian": {"propagate": True}}},
    )
    server.on_startup(_take_signals)
    server.serve()


@main.command()
@click.option("--queue", type=click.Choice(["links", "otps"]), help="Work for one queue only. Default: a process for each.")
def worker(queue: str | None) -> None:
    """Send the e-mails that are owed."""
    from service.jobs import Bell
    from tasks.worker import supervise

    _settings()
    supervise([Bell(queue)] if queue else list(Bell))


@main.command()
def scheduler() -> None:
    """Have what is due found, every other second."""
    from tasks.scheduler import run

    _settings()
    run(os.environ)


@main.command()
@click.option("--role", type=click.Choice([role.value for role in Role]), required=True)
@click.option("--org", help="The organization of an org-admin.")
@click.option("--subject", default="payment-links token", show_default=True, help="Whom it is for.")
@click.option("--life", default="24h", show_default=True, help="How long it is good: 10m, 24h, 90d (366d at most).")
def token(role: str, org: str | None, subject: str, life: str) -> None:
    """Print an admin token."""
    # Only the secret matters here, so nobody has to say where Redis is.
    environ = {"REDIS_URL": "unix:///", **embedded.environment(os.environ)}
    try:
        settings = read_settings(environ)
        if settings.admin_jwt_public_key or settings.admin_jwks_url:
            raise click.UsageError("admin tokens come from the identity provider that ADMIN_JWT_* names")
        if (role == Role.ORG_ADMIN) != (org is not None):
            raise click.UsageError("--org belongs to --role org-admin, and must be given with it")
        admin = Admin(subject, Role(role), parse_org_id(org) if org is not None else None)
        if not 1 <= len(subject) <= 256:
            raise click.UsageError("--subject must have 1 to 256 characters")
        lasting = parse_duration(life)
        if not timedelta(0) < lasting <= LONGEST_ADMIN_LIFE:
            raise click.UsageError("--life must lie between 1s and 366d")
    except SettingsError as error:
        _refuse(error)
    except (Invalid, ValueError) as error:
        raise click.UsageError(str(error)) from None
    click.echo(issue_admin_token(settings.secret_key, admin, now=datetime.now(UTC), life=lasting, issuer=settings.admin_jwt_issuer))


@main.command()
def check() -> None:
    """Say what is wrong with the configuration, Redis and the mail server. Exits with 1 if something is."""
    from service.check import Verdict
    from service.check import check as look

    failed = False
    for verdict, what, found in look(embedded.environment(os.environ)):
        click.echo(f"{verdict.value:5} {what}: {found}")
        failed |= verdict is Verdict.FAILURE
    sys.exit(1 if failed else 0)


def _settings() -> Settings:
    """The settings of a process of its own, which ends with the ``up`` that started it."""
    try:
        settings = read_settings(os.environ)
    except SettingsError as error:
        _refuse(error)
    logs.configure(settings.log_format)
    if lock := os.environ.get(embedded.LOCK_VARIABLE):
        threading.Thread(target=_follow, args=(Path(lock),), daemon=True).start()
    return settings


def _allow_descriptors(wanted: int) -> None:
    """Has as many files and sockets open as are wanted, or as the platform lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def _take_signals() -> None:
    """SIGTERM has the server's workers drain. SIGINT, or a second SIGTERM, has them finish what is under way, and end."""
    parent = os.getpid()
    interrupt: Any = signal.getsignal(signal.SIGTERM)
    stopping = False

    def stop(number: int, frame: object) -> None:
        nonlocal stopping
        if os.getpid() != parent:
            os._exit(0)  # a worker forked a moment ago, which serves nobody yet, nor minds signals by itself
        if stopping or number == signal.SIGINT:
            for pid in [worker.pid for worker in multiprocessing.active_children() if worker.pid]:
                os.kill(pid, signal.SIGINT)
        stopping = True
        interrupt(number, frame)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


def _follow(lock: Path) -> None:
    embedded.wait_for_release(lock)
    os.kill(os.getpid(), signal.SIGTERM)


def _refuse(error: Exception) -> NoReturn:
    click.echo(str(error), err=True)
    sys.exit(2)
