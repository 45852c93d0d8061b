"""Requests while the store or the queue does not answer."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import redis
from litestar.testing import TestClient

from service.app import create_app
from service.storage import keys
from tests.http.test_problems import MakeApi
from tests.support.api import (
    JANE,
    Api,
    FromPeer,
    assert_problem,
    bearer,
    settings_of,
)
from tests.support.clock import Clock
from tests.support.factories import UNKNOWN_LINK_ID
from tests.support.servers import RedisServer


@pytest.fixture(scope="module")
def storeless(valkey: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A service whose store listens nowhere."""
    away = f"unix://{tmp_path_factory.mktemp('store')}/nobody"
    clock = Clock()
    app = create_app(settings_of(valkey, REDIS_URL=away), clock)
    with TestClient(FromPeer(app)) as client:
        yield Api(client, clock, redis.Redis.from_url(away))


READS = {"read", "pay", "verify", "list", "stream", "readyz"}


REQUESTS: dict[str, Callable[[Api], httpx.Response]] = {
    "create": lambda api: api.post_link(),
    "create with a key": lambda api: api.post_link(api.internal() | {"Idempotency-Key": "x"}),
    "create with an otp": lambda api: api.post_link(otp="123456"),
    "read": lambda api: api.get(UNKNOWN_LINK_ID),
    "pay": lambda api: api.client.get(
        f"/pay/{UNKNOWN_LINK_ID}", headers={"Accept": "application/json"}
    ),
    "verify": lambda api: api.verify(UNKNOWN_LINK_ID),
    "change": lambda api: api.patch(UNKNOWN_LINK_ID, description="x"),
    "revoke": lambda api: api.revoke(UNKNOWN_LINK_ID),
    "revoke by e-mail": lambda api: api.revoke(email=JANE),
    "list": lambda api: api.list(),
    "stream": lambda api: api.list(api.internal() | {"Accept": "application/x-ndjson"}),
    "dispatch": lambda api: api.dispatch_window(),
    "send otp": lambda api: api.send_otp(),
    "submit otp": lambda api: api.submit_otp("123456"),
    "readyz": lambda api: api.client.get("/readyz"),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_without_its_store_the_service_is_unavailable(storeless: Api, name: str) -> None:
    response = REQUESTS[name](storeless)
    body = assert_problem(response, 503, "unavailable")
    assert int(response.headers["retry-after"]) >= 1
    assert "nobody" not in body["detail"]
    assert ("may have been carried out" in body["detail"]) == (name not in READS)


def test_without_its_store_the_process_still_lives(storeless: Api) -> None:
    assert storeless.client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        pytest.param(lambda api: api.list(bearer("x")), 401, id="401"),
        pytest.param(lambda api: api.list(api.org("globex")), 403, id="403"),
        pytest.param(lambda api: api.get("x"), 404, id="404"),
        pytest.param(lambda api: api.post_link(payment_amount=-1), 422, id="422"),
    ],
)
def test_what_needs_no_store_is_answered_without_it(
    storeless: Api, request_: Callable[[Api], httpx.Response], status: int
) -> None:
    assert request_(storeless).status_code == status


def test_a_store_that_does_not_answer_is_waited_for_2_seconds(
    make_api: MakeApi, tmp_path: Path
) -> None:
    path = str(tmp_path / "silent")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(path)
        silent.listen()
        api = make_api(REDIS_URL=f"unix://{path}")
        response = api.get(UNKNOWN_LINK_ID)
    assert_problem(response, 503, "unavailable")
    assert response.elapsed.total_seconds() < 4


def test_a_queue_that_is_away_holds_no_link_back(make_api: MakeApi, tmp_path: Path) -> None:
    """The mail is owed in the store; the queue only says so sooner."""
    api = make_api(QUEUE_REDIS_URL=f"unix://{tmp_path / 'nobody'}")
    link = api.create()
    assert api.redis.zrange(keys.outbox(keys.partition_of_link(link["id"])), 0, -1) == [
        keys.local_id(link["id"])
    ]


def test_a_queue_that_does_not_answer_holds_no_answer_back(
    make_api: MakeApi, tmp_path: Path
) -> None:
    path = str(tmp_path / "silent")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(path)
        silent.listen()
        api = make_api(QUEUE_REDIS_URL=f"unix://{path}")
        responses = [api.post_link(), api.post_link(), api.send_otp()]
    assert [response.status_code for response in responses] == [201, 201, 202]
    assert sum(response.elapsed.total_seconds() for response in responses) < 1


def test_a_store_that_refuses_for_now_is_unavailable(api: Api) -> None:
    """Out of memory: reads go on, writes are refused."""
    link = api.create()
    api.redis.config_set("maxmemory", "1")
    try:
        response = api.post_link()
        read = api.get(link["id"])
    finally:
        api.redis.config_set("maxmemory", "0")
    assert_problem(response, 503, "unavailable")
    assert "retry-after" in response.headers
    assert read.status_code == 200
