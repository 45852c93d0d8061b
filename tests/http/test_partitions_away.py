"""Requests while a part of the store is away: they are answered, and name what is left out."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
import redis
import structlog.testing
from litestar import Litestar
from litestar.testing import TestClient

from service.app import create_app
from service.health import store as heartbeats
from service.health.model import PROCESS_TYPES
from service.storage import keys
from service.values.ids import partition_of
from tests.support.api import JANE, Api, FromPeer, assert_problem, settings_of, stamp
from tests.support.clock import Clock
from tests.support.partial_store import PartialTransport, intercept
from tests.support.redis_client import RedisClient
from tests.support.servers import RedisServer

ACME, GLOBEX = partition_of("acme"), partition_of("globex")
ALL = {*keys.ALL_PARTITIONS}
SHARD = {*keys.ALL_PARTITIONS[::3]}
"""A third of the partitions."""
SKEW = timedelta(0)


@pytest.fixture
def app(valkey: RedisServer, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Litestar:
    """A new application, whose readiness is checked each time."""
    monkeypatch.setattr("service.health.operations.CACHE_SECONDS", -1.0)
    return create_app(settings_of(valkey), clock)


@pytest.fixture
def api(app: Litestar, redis_db: redis.Redis, clock: Clock) -> Iterator[Api]:
    RedisClient(redis_db).run_all(
        [heartbeats.record(each, "host:1", skew=SKEW) for each in PROCESS_TYPES]
    )
    with TestClient(FromPeer(app)) as client:
        yield Api(client, clock, redis_db)


@pytest.fixture
def store(app: Litestar, api: Api) -> PartialTransport:  # noqa: ARG001 - it starts the application
    return intercept(app.state.context.pipeline)


def get(api: Api, path: str) -> Any:
    response = api.client.get(path, headers=api.internal())
    assert response.status_code == 200, response.text
    return response.json()


def answer(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


class TestReadiness:
    @pytest.mark.parametrize(
        ("away", "availability"),
        [({"7f"}, 0.996), (SHARD, 0.664), (ALL - {"7f"}, 0.003)],
        ids=["one partition", "a third", "all but one"],
    )
    def test_it_is_degraded_while_any_partition_answers(
        self, api: Api, store: PartialTransport, away: set[str], availability: float
    ) -> None:
        store.away = away
        found = get(api, "/readyz")
        assert (found["status"], found["reasons"]) == ("degraded", ["partitions_unavailable"])
        assert (found["redis"], found["partition_availability"]) == ("partial", availability)

    def test_it_is_unavailable_where_none_answers(self, api: Api, store: PartialTransport) -> None:
        store.away = ALL
        assert_problem(api.client.get("/readyz"), 503, "unavailable")

    def test_it_is_ok_again_once_all_answer(self, api: Api, store: PartialTransport) -> None:
        store.away = SHARD
        with structlog.testing.capture_logs() as logs:
            for _ in range(3):
                get(api, "/readyz")
            store.away = set()
            found = get(api, "/readyz")
        assert (found["status"], found["redis"], found["partition_availability"]) == ("ok", "ok", 1)
        lines = [line["reasons"] for line in logs if line["event"] == "readiness_changed"]
        assert lines == [["partitions_unavailable"], []]

    def test_unsent_counts_what_could_be_asked(self, api: Api, store: PartialTransport) -> None:
        api.create()
        api.create(org_id="globex")
        store.away = {ACME}
        assert get(api, "/readyz")["unsent"] == 1

    def test_a_partition_that_goes_away_meanwhile_is_not_counted(
        self, api: Api, store: PartialTransport
    ) -> None:
        api.create()
        store.before = lambda command: (
            store.away.add(ACME) if command.name == "outbox/read_due" else None
        )
        found = get(api, "/readyz")
        assert (found["unsent"], found["redis"]) == (0, "partial")

    def test_nobody_is_reported_away_whose_heartbeats_could_not_be_read(
        self, api: Api, store: PartialTransport
    ) -> None:
        store.away = SHARD | {"heartbeats"}
        found = get(api, "/readyz")
        assert found["reasons"] == ["partitions_unavailable"]
        assert found["heartbeats"] == dict.fromkeys(PROCESS_TYPES)

    def test_a_limit_that_could_not_be_read_is_no_reason(
        self, api: Api, store: PartialTransport
    ) -> None:
        store.away = {"00"}
        assert get(api, "/readyz")["reasons"] == ["partitions_unavailable"]


class TestOutbox:
    def test_it_is_that_of_the_others(self, api: Api, store: PartialTransport) -> None:
        later = stamp(api.now + timedelta(hours=1))
        for org_id in ("acme", "globex"):
            api.create(org_id=org_id)
            api.create(org_id=org_id, scheduled_at=later)
        store.away = {ACME}
        found = get(api, "/outbox")
        assert (found["unsent"], found["scheduled"], found["unavailable"]) == (1, 1, [ACME])

    def test_what_is_not_known_of_workers_is_named(self, api: Api, store: PartialTransport) -> None:
        store.away = {"heartbeats"}
        assert get(api, "/outbox")["unavailable"] == ["heartbeats"]

    def test_a_failure_whose_link_cannot_be_asked_any_more_is_named(
        self, api: Api, store: PartialTransport
    ) -> None:
        link = api.create()
        api.redis.zadd(
            keys.failed(ACME), {keys.local_id(link["id"]): int(api.now.timestamp() * 1000)}
        )
        store.before = lambda command: store.away.add(ACME) if command.name == "HGETALL" else None
        found = get(api, "/outbox")
        assert (found["failures"], found["unavailable"]) == ([], [ACME])

    def test_it_is_unavailable_where_no_partition_answers(
        self, api: Api, store: PartialTransport
    ) -> None:
        store.away = ALL
        response = api.client.get("/outbox", headers=api.internal())
        assert_problem(response, 503, "unavailable")


class TestOrganizations:
    def test_those_of_other_partitions_are_listed(self, api: Api, store: PartialTransport) -> None:
        api.create()
        api.create(org_id="globex")
        store.away = {ACME, "ff"}
        found = get(api, "/orgs")
        assert (found["total"], found["orgs"]) == (1, ["globex"])
        assert found["unavailable"] == sorted([ACME, "ff"])

    def test_they_are_unavailable_where_no_partition_answers(
        self, api: Api, store: PartialTransport
    ) -> None:
        store.away = ALL
        assert_problem(api.client.get("/orgs", headers=api.internal()), 503, "unavailable")


class TestCodes:
    def test_the_limit_of_all_together_stops_none_while_it_cannot_be_read(
        self, api: Api, store: PartialTransport
    ) -> None:
        store.away = {"00"}
        assert api.send_otp().status_code == 202
        assert api.submit_otp(api.code()).status_code == 200

    def test_those_of_a_recipient_do(self, api: Api, store: PartialTransport) -> None:
        store.away = {partition_of(JANE)}
        assert_problem(api.send_otp(), 503, "unavailable")


class TestWindow:
    @pytest.fixture(autouse=True)
    def _scheduled(self, api: Api) -> None:
        """A link of each of two organizations, of which nothing is sent yet."""
        for org_id in ("acme", "globex"):
            api.create(org_id=org_id, scheduled_at=stamp(api.now + timedelta(hours=1)))

    def test_a_repetition_sends_what_was_unavailable(
        self, api: Api, store: PartialTransport
    ) -> None:
        headers = api.internal() | {"Idempotency-Key": "window-1"}
        store.away = {ACME}
        first = answer(api.dispatch_window(headers))
        assert (first["due"], first["queued"], first["unavailable"]) == (1, 1, [ACME])
        store.away = set()
        api.clock.advance(minutes=30)
        again = answer(api.dispatch_window(headers))
        assert (again["due"], again["queued"], again["unavailable"]) == (1, 1, [])
        assert (again["from"], again["to"]) == (first["from"], first["to"])
        assert answer(api.dispatch_window(headers))["due"] == 0

    def test_those_that_go_away_meanwhile_are_named_and_the_others_sent(
        self, api: Api, store: PartialTransport
    ) -> None:
        api.create(org_id="initech", scheduled_at=stamp(api.now + timedelta(hours=1)))
        first, second, third = sorted([ACME, GLOBEX, partition_of("initech")])
        store.go_away_after("outbox/claim", {first, second})
        found = answer(api.dispatch_window())
        assert (found["queued"], found["unavailable"]) == (1, sorted([first, second]))
        assert api.redis.zcard(keys.outbox(third)) == 1

    def test_it_is_unavailable_where_no_partition_answers_any_more(
        self, api: Api, store: PartialTransport
    ) -> None:
        store.go_away_after("outbox/claim", ALL)
        assert_problem(api.dispatch_window(), 503, "unavailable")

    def test_without_the_partition_of_its_key_it_sends_nothing(
        self, api: Api, store: PartialTransport
    ) -> None:
        """Otherwise a repetition would be of another window."""
        store.before = lambda command: (
            store.away.add(partition_of("")) if command.name == "storage/begin_request" else None
        )
        headers = api.internal() | {"Idempotency-Key": "window-1"}
        assert_problem(api.dispatch_window(headers), 503, "unavailable")
        assert api.redis.zcard(keys.outbox(GLOBEX)) == 0


class TestRevokingByEmail:
    @pytest.fixture(autouse=True)
    def _links(self, api: Api) -> None:
        self.acmes = [api.create()["id"] for _ in range(3)]
        self.globexs = api.create(org_id="globex")["id"]

    def test_a_repetition_revokes_what_was_unavailable(
        self, api: Api, store: PartialTransport
    ) -> None:
        store.away = {ACME, "ff"}
        found = answer(api.revoke(email=JANE))
        assert (found["links"], found["unavailable"]) == ([self.globexs], sorted([ACME, "ff"]))
        store.away = set()
        found = answer(api.revoke(email=JANE))
        assert ({*found["links"]}, found["unavailable"]) == ({*self.acmes}, [])

    def test_beside_a_link_it_is_named_too(self, api: Api, store: PartialTransport) -> None:
        store.away = {ACME}
        found = answer(api.revoke(self.globexs, email=JANE))
        assert (found["links"], found["unavailable"]) == ([self.globexs], [ACME])

    def test_a_partition_that_goes_away_meanwhile_is_named(
        self, api: Api, store: PartialTransport
    ) -> None:
        store.go_away_after("links/revoke", {ACME})
        found = answer(api.revoke(email=JANE))
        assert found["unavailable"] == [ACME]
        assert self.globexs in found["links"]
        active = [link for link in self.acmes if api.redis.hget(keys.link(link), "revoked") is None]
        assert {*found["links"]} == {self.globexs, *self.acmes} - {*active}

    def test_the_only_partition_of_an_org_admin_is_unavailable(
        self, api: Api, store: PartialTransport
    ) -> None:
        store.away = {ACME}
        assert_problem(api.revoke(headers=api.org(), email=JANE), 503, "unavailable")

    def test_an_unreadable_link_does_not_hide_that_others_could_not_be_asked(
        self, api: Api, store: PartialTransport
    ) -> None:
        api.redis.set(keys.link(self.globexs), "boom")
        store.away = {ACME}
        body = assert_problem(api.revoke(email=JANE), 500, "record_unreadable")
        assert "1 partitions do not answer" in body["detail"]
