"""GET /healthz and GET /readyz."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import structlog.testing

from service.health import store as heartbeats
from service.health.model import Pause
from service.storage import keys
from tests.support.api import Api, all_at_once, stamp
from tests.support.redis_client import RedisClient

PROCESSES = ["worker-links", "worker-otps", "worker-notices", "scheduler"]
SKEW = timedelta(0)
PAUSE = Pause("535 5.7.8", datetime(2026, 11, 30, 11, 58, tzinfo=UTC))


@pytest.fixture
def api(make_api: Callable[..., Api]) -> Api:
    """A new application, since a readiness check is cached for a second."""
    return make_api()


def beat(
    api: Api,
    *process_types: str,
    process: str = "host:1",
    skew: timedelta = SKEW,
    pause: Pause | None = None,
) -> None:
    RedisClient(api.redis).run_all(
        [
            heartbeats.record(process_type, process, skew=skew, pause=pause)
            for process_type in process_types
        ]
    )


def stop(api: Api, process_type: str, process: str, *, seconds: float, state: str = "0") -> None:
    """Sets the age of the last heartbeat of ``process``."""
    seconds_now, _ = api.redis.time()
    api.redis.hset(
        keys.heartbeats(process_type), process, f"{(seconds_now - seconds) * 1000:.0f} {state}"
    )


def reasons(api: Api) -> list[str]:
    response = api.client.get("/readyz")
    assert response.status_code == 200
    found: list[str] = response.json()["reasons"]
    assert response.json()["status"] == ("degraded" if found else "ok")
    return found


def test_the_process_lives(api: Api) -> None:
    response = api.client.get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_everything_is_ready(api: Api) -> None:
    beat(api, *PROCESSES)
    body = api.client.get("/readyz").json()
    ages = body.pop("heartbeats")
    assert body == {
        "status": "ok",
        "redis": "ok",
        "partition_availability": 1,
        "reasons": [],
        "unsent": 0,
        "oldest_unsent_seconds": None,
    }
    assert list(ages) == ["web", *PROCESSES]
    assert all(0 <= age < 5 for process_type in PROCESSES for age in ages[process_type])


def test_a_store_that_takes_no_writes_is_the_reason_and_not_its_processes(api: Api) -> None:
    for process_type in PROCESSES:
        stop(api, process_type, "host:1", seconds=60)
    api.redis.config_set("min-replicas-to-write", 1)
    try:
        body = api.client.get("/readyz").json()
        outbox = api.client.get("/outbox", headers=api.internal()).json()
    finally:
        api.redis.config_set("min-replicas-to-write", 0)
    assert (body["reasons"], body["partition_availability"]) == (["writes_refused"], 1)
    assert set(body["heartbeats"].values()) == {None}
    assert outbox["unavailable"] == ["heartbeats"]


@pytest.mark.parametrize("away", PROCESSES)
def test_a_process_that_is_away_degrades_the_service(api: Api, away: str) -> None:
    beat(api, *(process for process in PROCESSES if process != away))
    assert reasons(api) == [f"{away.replace('-', '_')}_away"]


def test_the_only_process_of_its_kind_is_away_once_it_has_stopped(api: Api) -> None:
    beat(api, *PROCESSES[:-1])
    stop(api, "scheduler", "host:1", seconds=25)
    assert reasons(api) == ["scheduler_away"]


@pytest.mark.parametrize("process_type", ["web", *PROCESSES])
def test_one_of_two_that_has_stopped_is_seen(api: Api, process_type: str) -> None:
    beat(api, *PROCESSES)
    beat(api, process_type, process="host:2")
    stop(api, process_type, "host:3", seconds=25)
    assert reasons(api) == ["process_stalled"]
    assert max(api.client.get("/readyz").json()["heartbeats"][process_type]) == pytest.approx(
        25, abs=3
    )


@pytest.mark.parametrize("queue", ["links", "otps", "notices"])
def test_one_worker_that_holds_its_mail_back_degrades_the_service_until_it_sends_again(
    api: Api, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.health.operations.CACHE_SECONDS", -1.0)
    beat(api, *PROCESSES)
    beat(api, f"worker-{queue}", process="host:2", pause=PAUSE)
    with structlog.testing.capture_logs() as logs:
        assert reasons(api) == [f"mail_{queue}_paused"]
    [line] = [line for line in logs if line["event"] == "readiness_changed"]
    assert line["processes"] == [f"worker-{queue} host:2 (paused: 535 5.7.8)"]
    beat(api, f"worker-{queue}", process="host:2")
    assert reasons(api) == []


def test_a_stalled_worker_does_not_hold_mail_back(api: Api) -> None:
    beat(api, *PROCESSES)
    stop(api, "worker-links", "host:2", seconds=25, state="0 1796040000000 535 5.7.8")
    assert reasons(api) == ["process_stalled"]


def test_anybody_may_read_that_mail_is_held_back_but_not_why(api: Api) -> None:
    beat(api, *PROCESSES)
    beat(api, "worker-links", pause=PAUSE)
    assert "535" not in api.client.get("/readyz").text


def test_the_log_names_it_once(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    beat(api, *PROCESSES)
    stop(api, "scheduler", "host:3", seconds=25)
    monkeypatch.setattr("service.health.operations.CACHE_SECONDS", -1.0)
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            reasons(api)
        api.redis.hdel(keys.heartbeats("scheduler"), "host:3")
        reasons(api)
    told = [
        (line["reasons"], line["processes"])
        for line in logs
        if line["event"] == "readiness_changed"
    ]
    assert told == [(["process_stalled"], ["scheduler host:3"]), ([], [])]


def test_one_that_stopped_long_ago_is_forgotten(api: Api) -> None:
    stop(api, "scheduler", "host:2", seconds=130)
    beat(api, *PROCESSES)
    assert reasons(api) == []
    assert len(api.client.get("/readyz").json()["heartbeats"]["scheduler"]) == 1


@pytest.mark.parametrize(
    ("seconds", "told"), [(1.9, False), (2, True), (-2, True), (288_000, True)]
)
def test_a_process_whose_clock_is_wrong_degrades_the_service(
    api: Api, seconds: float, *, told: bool
) -> None:
    beat(api, *PROCESSES)
    beat(api, "worker-links", process="host:2", skew=timedelta(seconds=seconds))
    assert reasons(api) == ["clock_skew"] * told


def test_a_reached_ceiling_of_codes_degrades_the_service_until_the_minute_is_over(
    make_api: Callable[..., Api],
) -> None:
    api, later = (make_api(OTP_SENDS_PER_MINUTE="1") for _ in range(2))
    beat(api, *PROCESSES)
    api.send_otp()
    assert reasons(api) == ["otp_sends_limited"]
    api.redis.delete(keys.OTP_SENDS)
    assert reasons(later) == []


def test_a_disk_that_is_almost_full_degrades_the_service(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder of the mails that become files."""
    beat(api, *PROCESSES)
    monkeypatch.setattr("service.process.disk.shutil.disk_usage", lambda _: (10**12, 0, 10**8))
    assert reasons(api) == ["disk_almost_full"]


def test_a_disk_that_nothing_is_written_to_does_not_matter(
    make_api: Callable[..., Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    api = make_api(SMTP_URL="smtp://127.0.0.1", MAIL_FROM="pay@shop.example")
    beat(api, *PROCESSES)
    monkeypatch.setattr("service.process.disk.shutil.disk_usage", lambda _: (10**12, 0, 10**8))
    assert reasons(api) == []


def test_the_oldest_unsent_mail_is_aged(api: Api) -> None:
    api.create()
    api.clock.advance(seconds=90)
    api.create(org_id="globex")
    api.clock.advance(seconds=30)
    body = api.client.get("/readyz").json()
    assert (body["unsent"], body["oldest_unsent_seconds"]) == (2, 120.0)


def test_a_mail_that_is_not_due_yet_is_not_unsent(api: Api) -> None:
    api.create(scheduled_at=stamp(api.now + timedelta(hours=1)))
    assert api.client.get("/readyz").json()["unsent"] == 0


def test_a_revoked_links_mail_is_not_unsent(api: Api) -> None:
    api.revoke(api.create()["id"])
    assert api.client.get("/readyz").json()["unsent"] == 0


def test_a_crowd_of_probes_looks_once(api: Api) -> None:
    """A check reads every partition, so a hundred checks at once would slow the store down."""
    api.clock.advance(seconds=1)
    api.redis.config_resetstat()
    answers = all_at_once(*[lambda: api.client.get("/readyz").status_code] * 30)
    looked = api.redis.info("commandstats")["cmdstat_exists"]["calls"]
    assert (set(answers), 0 < looked <= 2 * 256) == ({200}, True)
