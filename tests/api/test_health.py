"""GET /healthz and GET /readyz."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from service.store import outbox
from service.store.client import Client
from tests.api.helpers import Api, all_at_once, stamp

PROCESSES = ["worker-links", "worker-otps", "scheduler"]


@pytest.fixture
def api(make_api: Callable[..., Api]) -> Api:
    """One of its own: a look at the store answers all who ask within a second."""
    return make_api()


def beat(api: Api, *processes: str) -> None:
    Client(api.redis).run_all([outbox.beat(process, now=api.now) for process in processes])


def test_the_process_lives(api: Api) -> None:
    response = api.client.get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_everything_is_ready(api: Api) -> None:
    beat(api, *PROCESSES)
    api.clock.advance(seconds=3)
    response = api.client.get("/readyz")
    assert response.status_code == 200
    assert response.json() == {
        "status": "ok",
        "redis": "ok",
        "reasons": [],
        "heartbeats": dict.fromkeys(PROCESSES, 3.0),
        "unsent": 0,
        "oldest_unsent_seconds": None,
    }


@pytest.mark.parametrize("away", PROCESSES)
def test_a_process_that_is_away_degrades_the_service(api: Api, away: str) -> None:
    beat(api, *(process for process in PROCESSES if process != away))
    response = api.client.get("/readyz")
    assert (response.status_code, response.json()["status"]) == (200, "degraded")
    assert {process for process, age in response.json()["heartbeats"].items() if age is None} == {away}
    assert response.json()["reasons"] == [f"{away.replace('-', '_')}_away"]


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
    """One look asks every partition: a hundred would leave the store no time for anybody else."""
    api.clock.advance(seconds=1)
    api.redis.config_resetstat()
    answers = all_at_once(*[lambda: api.client.get("/readyz").status_code] * 30)
    looked = api.redis.info("commandstats")["cmdstat_exists"]["calls"]
    assert (set(answers), 0 < looked <= 2 * 256) == ({200}, True)
