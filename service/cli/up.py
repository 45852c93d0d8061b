"""``payment-links up``: everything in one, on the embedded store unless ``REDIS_URL`` is set."""

import email
import email.policy
import os
import re
import signal
import stat
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack, closing, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import click
import honcho.manager
from honcho.environ import parse_procfile

from config.settings import Settings, own_url
from service.auth.tokens import Admin, Role, issue_admin_token
from service.errors import Unavailable
from service.process import embedded
from service.process.listen_address import find_address
from service.process.startup import OWNER_ONLY, StartupError, claim_data, read_settings
from service.storage.client import Client, connect
from service.values.email import mask
from service.values.ids import ID_PATTERN
from tasks.mail.mime import KIND

STOP_TIMEOUT_SECONDS = 20
"""Seconds in which processes that were asked to stop have to; honcho's own 5 would cut off a mail being sent."""
TAKEOVER_TIMEOUT_SECONDS = 10.0
"""Seconds in which the processes of an ``up`` that was killed give up its port."""
STORE_ENDED = 1
"""The exit code where the embedded store ended by itself."""
TOKEN_LIFE = timedelta(hours=24)
DIGIT = re.compile(r"\d")
LINK = re.compile(rf"^https?://\S+/pay/{ID_PATTERN}$", re.MULTILINE)
"""A link's address, which has a line of its own."""


def up(environ: Mapping[str, str]) -> int:
    """Runs store, web, worker and scheduler until interrupted; gives the exit code.

    Raises:
        SettingsError, StartupError, EmbeddedError: it cannot start.
    """
    data_dir = embedded.data_dir_of(environ)
    os.umask(OWNER_ONLY)
    taken_over = embedded.names_holder(data_dir)
    with ExitStack() as stack:
        lock = stack.enter_context(embedded.hold(data_dir))
        if (mode := stat.S_IMODE(data_dir.stat().st_mode)) & OWNER_ONLY:
            click.echo(
                f"DATA_DIR: {data_dir} is open to others (mode {mode:04o}); close it: chmod 700 {data_dir}",
                err=True,
            )
        own = {**environ, "DATA_DIR": str(data_dir), embedded.LOCK_VARIABLE: str(lock)}
        if not environ.get("REDIS_URL"):
            own["SECRET_KEY"] = environ.get("SECRET_KEY") or embedded.load_or_create_secret(
                data_dir
            )
            own["REDIS_URL"] = embedded.url_of(embedded.socket_path(data_dir))
        settings = read_settings(own)
        _require_free(settings, TAKEOVER_TIMEOUT_SECONDS if taken_over else 0)
        store = None
        if not environ.get("REDIS_URL"):
            store = stack.enter_context(embedded.serve(data_dir))
            stopping = threading.Event()
            threading.Thread(target=_stop_with, args=(store, stopping), daemon=True).start()
            stack.callback(stopping.set)
        with suppress(Unavailable):  # each process looks at the data too, once the store answers
            _claim_data(settings.redis_url)
        threading.Thread(target=_welcome, args=(settings,), daemon=True).start()
        if settings.smtp is None:
            threading.Thread(target=_show_mails, args=(data_dir / "outbox",), daemon=True).start()
        code = _run_procfile(own)
        if (
            store is not None and store.poll() is not None
        ):  # while it runs, only leaving this context ends it
            click.echo(embedded.last_words(store, data_dir), err=True)
            return STORE_ENDED
        return code


def _claim_data(redis_url: str) -> None:
    with closing(Client(partial(connect, redis_url))) as client:
        claim_data(client)


def _run_procfile(environ: Mapping[str, str]) -> int:
    """Runs the Procfile's lines until one ends or we are asked to stop."""
    beside = Path(sys.executable).parent
    env = {
        **environ,
        "PATH": f"{beside}{os.pathsep}{environ.get('PATH', '')}",
        "PYTHONUNBUFFERED": "1",
    }
    honcho.manager.KILL_WAIT = STOP_TIMEOUT_SECONDS
    manager = honcho.manager.Manager()
    for name, command in parse_procfile(_procfile().read_text()).processes.items():
        manager.add_process(name, command, env=env)
    manager.loop()
    interrupted = manager.returncode in {128 + signal.SIGINT, 128 + signal.SIGTERM}
    return 0 if interrupted else int(manager.returncode or 0)


def _procfile() -> Path:
    """The Procfile: in a checkout at its top, in an installed package inside it."""
    service = Path(__file__).parent.parent
    return next(
        path for path in (service.parent / "Procfile", service / "Procfile") if path.exists()
    )


def _require_free(settings: Settings, within: float) -> None:
    """Returns once nobody listens where ``web`` is to: servers share ports, so nothing else would notice.

    Raises:
        StartupError: somebody still does after ``within`` seconds.
    """
    deadline = time.monotonic() + within
    while True:
        try:
            find_address(settings.host, settings.port, shared=False)
            return
        except StartupError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(0.2)


def _stop_with(store: "subprocess.Popen[bytes]", stopping: threading.Event) -> None:
    """Stops everything should the store end on its own."""
    store.wait()
    if not stopping.is_set():
        click.echo("The embedded store ended; stopping.", err=True)
        os.kill(os.getpid(), signal.SIGTERM)


def _welcome(settings: Settings) -> None:
    """Says where everything is, once it is there."""
    url = own_url(settings.host, settings.port)
    while not _answers(f"{url}/healthz"):
        time.sleep(0.1)
    lines = [
        "",
        "Payment Link Service is up. Ctrl-C stops it.",
        f"  API      {url}",
        f"  Console  {url}/console",
        f"  Schema   {url}/schema",
        f"  Mails    {_mails(settings)}",
    ]
    if not (settings.admin_jwt_public_key or settings.admin_jwks_url):
        admin = Admin("payment-links up", Role.INTERNAL_ADMIN)
        token = issue_admin_token(
            settings.secret_key,
            admin,
            now=datetime.now(UTC),
            life=TOKEN_LIFE,
            issuer=settings.admin_jwt_issuer,
        )
        body = '{"email": "jane@example.com", "org_id": "acme", "payment_amount": 125000.50, "currency": "NGN"}'
        lines += [
            f"  Token    {token}",
            "           (internal-admin, 24 hours; `payment-links token` makes others)",
            "  Try",
            f"curl -s {url}/payment-links -H 'Authorization: Bearer {token}' -H 'Content-Type: application/json' -d '{body}'",
        ]
    click.echo("\n".join([*lines, ""]))


def _mails(settings: Settings) -> str:
    if settings.smtp is not None:
        return f"to {settings.smtp.host}:{settings.smtp.port}"
    return f"files in {settings.data_dir / 'outbox'} (SMTP_URL is not set)"


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310 - our own http URL
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _show_mails(outbox: Path) -> None:
    """Prints each mail that is written from now on."""
    shown = set(outbox.glob("*.eml"))
    while True:
        for path in sorted(set(outbox.glob("*.eml")) - shown):
            shown.add(path)
            click.echo(describe_mail(path))
        time.sleep(0.3)


def describe_mail(path: Path) -> str:
    """One line: to whom, the subject, the link in it if there is one, and the file."""
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    recipient, subject = mask(str(message["To"])), str(message["Subject"])
    if message[KIND] != "link":  # so it holds a code
        return f"mail to {recipient}: {DIGIT.sub('•', subject)} ({path})"
    body = message.get_body(("plain",))
    link = LINK.search(body.get_content() if body else "")
    return f"mail to {recipient}: {subject}" + (f" - {link[0]}" if link else "") + f" ({path})"
