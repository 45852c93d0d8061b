"""``payment-links check --worker``: whether this machine's own workers are alive, for probes that ask every few seconds."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from config.settings import SettingsError, load
from service.cli.finding import Finding, Verdict
from service.errors import Unavailable
from service.health import store as heartbeats
from service.health.heartbeat import host_name
from service.health.model import ProcessHealth
from service.storage.client import Client, connect
from service.storage.failure import describe_failure


def check_workers(environ: Mapping[str, str], kinds: Sequence[str]) -> Iterator[Finding]:
    """Looks at the heartbeats of this machine's workers of ``kinds``.

    While Redis is away nobody knows of any, and that is no reason to start them again.
    """
    try:
        settings = load(environ, listens=False)
    except SettingsError as error:
        yield Finding(Verdict.FAILURE, "settings", str(error))
        return
    client = Client(partial(connect, settings.redis_url))
    try:
        seen = client.run_each([heartbeats.read(kind) for kind in kinds])
    except Unavailable as error:
        yield Finding(
            Verdict.WARNING,
            "redis",
            f"does not answer, so nothing is known of workers: {describe_failure(error)}",
        )
        return
    finally:
        client.close()
    for kind, found in zip(kinds, seen, strict=True):
        own = (
            [one for one in found if one.name.startswith(f"{host_name()}:")]
            if isinstance(found, list)
            else []
        )
        yield _finding(kind, own)


def _finding(kind: str, own: Sequence[ProcessHealth]) -> Finding:
    if not own:
        return Finding(
            Verdict.FAILURE, kind, "none of this machine's has been alive in the last 2 minutes"
        )
    oldest = own[-1]
    verdict = Verdict.FAILURE if oldest.is_stalled else Verdict.OK
    return Finding(verdict, kind, f"last alive {oldest.heartbeat_age.total_seconds():.1f} s ago")
