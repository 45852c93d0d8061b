"""``payment-links check --worker``: a liveness probe for the workers of this machine."""

from collections.abc import Iterator, Mapping, Sequence

from config.settings import SettingsError, load
from service.cli.check_result import CheckResult, failure, ok, warning
from service.errors import Unavailable
from service.health import store as heartbeats
from service.health.heartbeat import host_name
from service.health.model import ProcessHealth
from service.storage import keys
from service.storage.client import open_client
from service.storage.error_descriptions import describe_failure


def check_workers(
    environ: Mapping[str, str], process_types: Sequence[str]
) -> Iterator[CheckResult]:
    """Checks the heartbeats of this machine's workers of ``process_types``.

    Where Redis does not answer, or takes no heartbeats, it fails none: nothing is known of them,
    and a restart would not help.
    """
    try:
        settings = load(environ, listens=False)
    except SettingsError as error:
        yield failure("settings", str(error))
        return
    reads = [heartbeats.read(process_type) for process_type in process_types]
    try:
        with open_client(settings.redis_url) as client:
            client.run(heartbeats.probe_writes(keys.HEARTBEATS_TAG))
            replies = client.run_each(reads)
    except Unavailable as error:
        reason = describe_failure(error)
        yield warning("redis", f"takes no heartbeats, so nothing is known of workers: {reason}")
        return
    here = f"{host_name()}:"
    for process_type, reply in zip(process_types, replies, strict=True):
        if isinstance(reply, Unavailable):
            yield warning(process_type, f"nothing is known of it: {describe_failure(reply)}")
            continue
        processes = reply if isinstance(reply, list) else []
        yield _check_type(process_type, [each for each in processes if each.name.startswith(here)])


def _check_type(process_type: str, processes: Sequence[ProcessHealth]) -> CheckResult:
    if not processes:
        return failure(process_type, "none of this machine's has been alive in the last 2 minutes")
    oldest = processes[-1]
    result = failure if oldest.is_stalled else ok
    return result(process_type, f"last alive {oldest.heartbeat_age.total_seconds():.1f} s ago")
