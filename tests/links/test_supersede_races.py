"""A create that supersedes, and whatever else changes the earlier link at the same moment."""

from functools import partial
from typing import Any

import httpx
import pytest

from service.links import mail_store
from service.storage import keys
from tests.payments.requests import indexes, pay, queues, stored, types, void
from tests.support.api import Api, MakeApi, all_at_once, assert_problem
from tests.support.factories import RETENTION
from tests.support.redis_client import RedisClient, create_client
from tests.support.servers import RedisServer

ROUNDS = 20
"""How often two requests that race are sent: either may win."""
INVOICE = "invoice-7"


@pytest.fixture
def processes(make_api: MakeApi, monkeypatch: pytest.MonkeyPatch) -> list[Api]:
    """Two of them on one store, for which they wait long: the machine may be busy."""
    monkeypatch.setattr("service.storage.pipeline.REDIS_TIMEOUT_SECONDS", 60.0)
    return [make_api(), make_api()]


def create(api: Api) -> str:
    """The id of a new link of the transaction."""
    link: dict[str, Any] = api.create(transaction_id=INVOICE, payment_amount=10)
    return str(link["id"])


def supersede(api: Api) -> httpx.Response:
    return api.post_link(transaction_id=INVOICE, payment_amount=10, on_conflict="supersede")


def read(api: Api, link_id: str) -> dict[str, Any]:
    link: dict[str, Any] = api.get(link_id, api.org()).json()
    return link


def assert_superseded(api: Api, earlier_id: str, answer: httpx.Response) -> None:
    assert answer.status_code == 201, answer.text
    link = answer.json()
    earlier = read(api, earlier_id)
    assert (link["supersedes"], earlier["superseded_by"]) == (earlier_id, link["id"])
    assert earlier["revoked_at"] is not None


def test_a_payment_keeps_a_link_or_comes_late(processes: list[Api]) -> None:
    first, second = processes
    for _ in range(ROUNDS):
        first.redis.flushdb()
        earlier_id = create(first)
        answer, paid = all_at_once(partial(supersede, first), partial(pay, second, earlier_id))
        assert paid.status_code == 201
        earlier = read(first, earlier_id)
        assert earlier["status"] == "paid"
        assert indexes(first, earlier_id) == {"org", "paid"}
        assert queues(first, earlier_id) == set()
        if earlier["payments"][0]["late"]:
            assert_superseded(first, earlier_id, answer)
            assert types(first) == ["superseded", "payment_recorded", "paid"]
        else:
            assert_problem(answer, 409, "link_paid")
            assert first.list().json()["total"] == 1
            assert types(first) == ["payment_recorded", "paid"]


def test_a_payment_that_is_voided_keeps_a_link_or_not(processes: list[Api]) -> None:
    first, second = processes
    for _ in range(ROUNDS):
        first.redis.flushdb()
        earlier_id = create(first)
        assert pay(first, earlier_id).status_code == 201
        answer, voided = all_at_once(partial(supersede, first), partial(void, second, earlier_id))
        assert voided.status_code == 200
        if answer.status_code == 201:
            assert_superseded(first, earlier_id, answer)
            assert read(first, earlier_id)["status"] == "revoked"
        else:
            assert_problem(answer, 409, "link_paid")
            assert read(first, earlier_id)["status"] == "active"


def test_a_revocation_ends_a_link_first_or_finds_it_revoked(processes: list[Api]) -> None:
    first, second = processes
    for _ in range(ROUNDS):
        first.redis.flushdb()
        earlier_id = create(first)
        answer, revoked = all_at_once(partial(supersede, first), partial(second.revoke, earlier_id))
        assert (answer.status_code, revoked.status_code) == (201, 200)
        assert read(first, earlier_id)["status"] == "revoked"
        assert indexes(first, earlier_id) == {"org", "revoked"}
        if revoked.json()["revoked"]:
            assert answer.json()["supersedes"] is None
            assert types(first) == ["revoked"]
        else:
            assert_superseded(first, earlier_id, answer)
            assert types(first) == ["superseded"]


@pytest.mark.parametrize(
    ("outcome", "states"),
    [("sent", {"sent"}), ("put off", {"none"}), ("failed", {"none", "failed"})],
)
def test_what_became_of_a_mail_is_recorded_or_the_mail_is_taken_back(
    processes: list[Api], valkey: RedisServer, outcome: str, states: set[str]
) -> None:
    api, worker = processes[0], RedisClient(create_client(valkey.url))
    for _ in range(ROUNDS):
        api.redis.flushdb()
        earlier_id = create(api)
        link = stored(api, earlier_id)
        settle = {
            "sent": mail_store.mark_sent(link, now=api.now, retention=RETENTION),
            "put off": mail_store.retry_later(link, error="451 later", at=api.now),
            "failed": mail_store.mark_failed(
                link, error="550 no", counts_as_attempt=True, now=api.now, retention=RETENTION
            ),
        }[outcome]
        answer: Any
        answer, _ = all_at_once(partial(supersede, api), partial(worker.run, settle))
        assert_superseded(api, earlier_id, answer)
        state = read(api, earlier_id)["delivery"]["state"]
        assert state in states
        assert queues(api, earlier_id) == ({"failed"} if state == "failed" else set())
    worker.close()


def test_links_and_their_successors_that_are_paid_at_once_are_each_paid_once(
    processes: list[Api],
) -> None:
    """Whichever comes first, no money is lost and at most one link stays active."""
    first, second = processes
    for _ in range(ROUNDS):
        first.redis.flushdb()
        ids = [create(first) for _ in range(2)]
        answers = all_at_once(
            partial(supersede, first),
            partial(supersede, second),
            *[partial(pay, second, link_id) for link_id in ids],
        )
        assert [answer.status_code for answer in answers[2:]] == [201, 201]
        assert [read(first, link_id)["amount_paid"] for link_id in ids] == [10, 10]
        assert first.list(limit=1).json()["counts"]["active"] <= 1
        indexed = first.redis.zrange(keys.transaction("acme", INVOICE), 0, -1)
        assert {keys.local_id(link_id) for link_id in ids} <= set(indexed)
