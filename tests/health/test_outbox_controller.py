"""GET /outbox."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.health import store as heartbeats
from service.health.model import Pause
from service.links import mail_store
from service.outbox import store as outbox
from service.outbox.doorbell import ring
from service.outbox.queues import LINK_QUEUE, OTP_QUEUE
from service.storage import keys
from service.storage.connect import create_queue_client
from service.values.ids import partition_of
from tests.support.api import Api, assert_invalid, stamp
from tests.support.factories import RETENTION, read
from tests.support.redis_client import RedisClient
from tests.support.servers import RedisServer, free_port

NOTHING: dict[str, Any] = {
    "unsent": 0,
    "oldest_unsent_seconds": None,
    "scheduled": 0,
    "jobs_waiting": {"links": 0, "otps": 0, "notices": 0},
    "paused": [],
    "failed": 0,
    "failures": [],
    "unreadable_partitions": [],
    "unavailable": [],
}


def look(api: Api, **params: Any) -> dict[str, Any]:
    response = api.client.get("/outbox", params=params, headers=api.internal())
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def fail(api: Api, link: dict[str, Any], error: str = "550 5.1.1 no such user") -> None:
    client = RedisClient(api.redis)
    now, partition = api.now, partition_of(link["org_id"])
    client.run(
        outbox.claim(
            LINK_QUEUE, partition, now=now, lease_deadline=now + timedelta(seconds=20), limit=100
        )
    )
    assert client.run(
        mail_store.mark_failed(
            read(client, link["id"]),
            error=error,
            counts_as_attempt=True,
            now=now,
            retention=RETENTION,
        )
    )


@pytest.fixture
def api(make_api: Any, valkey: RedisServer) -> Api:
    """An application with empty queues of its own."""
    with create_queue_client(f"{valkey.url}?db=2") as queue:
        queue.flushdb()
    api: Api = make_api(QUEUE_REDIS_URL=f"{valkey.url}?db=2")
    return api


def test_nothing_is_owed(api: Api) -> None:
    assert look(api) == NOTHING


def test_what_is_owed_is_told(api: Api) -> None:
    api.clock.advance(seconds=-90)
    api.create()
    api.clock.advance(seconds=90)
    api.create(org_id="globex")
    api.create(scheduled_at=stamp(api.now + timedelta(hours=1)))
    found = look(api)
    assert (found["unsent"], found["oldest_unsent_seconds"], found["scheduled"]) == (2, 90.0, 1)


def test_the_queues_depth_is_told(api: Api, valkey: RedisServer) -> None:
    with create_queue_client(f"{valkey.url}?db=2") as queue:
        ring(OTP_QUEUE, ["00"], queue)
        assert look(api)["jobs_waiting"] == {"links": 0, "otps": 1, "notices": 0}


def test_a_queue_that_is_away_hides_nothing_else(make_api: Any) -> None:
    api = make_api(QUEUE_REDIS_URL=f"redis://127.0.0.1:{free_port()}")
    api.create()
    assert (look(api)["unsent"], look(api)["jobs_waiting"]) == (
        1,
        dict.fromkeys(["links", "otps", "notices"]),
    )


def test_workers_that_hold_their_mail_back_are_told_with_their_reasons(api: Api) -> None:
    pause = Pause("535 5.7.8", datetime(2026, 11, 30, 11, 58, tzinfo=UTC))
    for process_type, process, paused in (
        ("worker-links", "host:1", None),
        ("worker-links", "host:2", pause),
        ("worker-otps", "host:3", Pause("ConnectionRefusedError", pause.since)),
    ):
        RedisClient(api.redis).run(
            heartbeats.record(process_type, process, skew=timedelta(0), pause=paused)
        )
    since = "2026-11-30T11:58:00.000Z"
    assert look(api)["paused"] == [
        {"queue": "links", "process": "host:2", "reason": "535 5.7.8", "since": since},
        {
            "queue": "otps",
            "process": "host:3",
            "reason": "ConnectionRefusedError",
            "since": since,
        },
    ]


def test_unreadable_heartbeats_hide_nothing_else(api: Api) -> None:
    api.redis.set(keys.heartbeats("worker-links"), "boom")
    api.create()
    assert (look(api)["unsent"], look(api)["paused"]) == (1, [])


def test_the_latest_failures_are_told_with_their_reasons(api: Api) -> None:
    first, second = (
        api.create(),
        api.create(org_id="globex", email="john@example.com", transaction_id="order-7"),
    )
    fail(api, first)
    api.clock.advance(seconds=5)
    fail(api, second, "554 policy")
    found = look(api)
    assert found["failed"] == 2
    assert found["failures"][0] == {
        "id": second["id"],
        "org_id": "globex",
        "email": "john@example.com",
        "transaction_id": "order-7",
        "error": "554 policy",
        "failed_at": stamp(api.now),
    }
    assert [failure["id"] for failure in look(api, limit=1)["failures"]] == [second["id"]]
    assert look(api, limit=1)["failed"] == 2


def test_a_revoked_link_still_failed(api: Api) -> None:
    link = api.create()
    fail(api, link)
    api.revoke(link["id"])
    assert [failure["id"] for failure in look(api)["failures"]] == [link["id"]]


@pytest.mark.parametrize(("field", "value"), [("limit", "0"), ("limit", "101"), ("org_id", "acme")])
def test_a_parameter_that_breaks_its_rule_is_named(api: Api, field: str, value: str) -> None:
    assert_invalid(api.client.get("/outbox", params={field: value}, headers=api.internal()), field)
