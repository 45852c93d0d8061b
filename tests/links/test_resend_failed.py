"""POST /orgs/{org_id}/resend-failed: all failed mails of an organization are sent again."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from service.links import mail_store
from service.outbox.doorbell import open_rq_queue
from service.outbox.queues import LINK_QUEUE
from service.storage import keys
from service.values.ids import partition_of
from tests.support.api import JSON, Api, all_at_once, assert_invalid, assert_problem, stamp
from tests.support.factories import ADMIN, RETENTION, all_keys, goes_at, pay, read, snapshot
from tests.support.redis_client import RedisClient
from tests.support.servers import wait_until

NEIGHBOR = next(
    name for name in map(str, range(10_000)) if partition_of(name) == partition_of("acme")
)
"""An organization whose links lie in the same partition."""


def resend_failed(
    api: Api, org_id: str = "acme", *, key: str | None = None, **body: Any
) -> httpx.Response:
    headers = api.internal() | ({"Idempotency-Key": key} if key else {})
    return api.client.post(f"/orgs/{org_id}/resend-failed", json=body or None, headers=headers)


def fail(api: Api, link_id: str) -> None:
    client = RedisClient(api.redis)
    assert client.run(
        mail_store.mark_failed(
            read(client, link_id),
            error="550 no such mailbox",
            counts_as_attempt=True,
            now=api.now,
            retention=RETENTION,
        )
    )


def failed(api: Api, **fields: Any) -> str:
    """The id of a new link whose mail failed."""
    link_id: str = api.create(**fields)["id"]
    fail(api, link_id)
    return link_id


def states(api: Api, *link_ids: str) -> list[str]:
    return [api.get(link_id, api.internal()).json()["delivery"]["state"] for link_id in link_ids]


def test_every_failed_mail_is_owed_again(api: Api) -> None:
    ids = [failed(api) for _ in range(3)]
    response = resend_failed(api)
    assert (response.status_code, response.json()) == (202, {"queued": 3})
    for link_id in ids:
        delivery = api.get(link_id, api.internal()).json()["delivery"]
        assert delivery == {
            "state": "queued",
            "attempts": 0,
            "sends": 2,
            "sent_at": None,
            "error": None,
        }
    partition = partition_of("acme")
    assert sorted(api.redis.zrange(keys.outbox(partition), 0, -1)) == sorted(
        map(keys.local_id, ids)
    )
    assert not api.redis.exists(keys.failed(partition))


def test_without_failures_nothing_is_queued(api: Api) -> None:
    api.create()
    assert resend_failed(api).json() == {"queued": 0}
    failed(api)
    assert [resend_failed(api).json()["queued"] for _ in range(2)] == [1, 0]


def test_the_worker_is_called(make_api: Callable[..., Api]) -> None:
    api = make_api()
    client = RedisClient(api.redis)
    link = read(client, api.create(notify=False)["id"])
    client.run(mail_store.resend(link, now=api.now, retention=RETENTION, actor=ADMIN))
    fail(api, link.id)
    queue = open_rq_queue(LINK_QUEUE, api.redis)
    assert queue.count == 0
    resend_failed(api)
    wait_until(lambda: queue.count == 1, "the bell to ring")


def test_a_link_that_has_ended_stays_failed(api: Api) -> None:
    revoked, expired, paid, active = (failed(api) for _ in range(4))
    api.redis.hset(keys.link(expired), "expires", stamp(api.now))
    api.revoke(revoked)
    pay(RedisClient(api.redis), paid, api.now)
    assert resend_failed(api).json() == {"queued": 1}
    assert states(api, revoked, expired, paid, active) == ["failed", "failed", "failed", "queued"]


def test_other_organizations_mails_stay_failed(api: Api) -> None:
    theirs, elsewhere, ours = (failed(api, org_id=org) for org in (NEIGHBOR, "globex", "acme"))
    assert resend_failed(api).json() == {"queued": 1}
    assert states(api, theirs, elsewhere, ours) == ["failed", "failed", "queued"]


def test_an_org_admin_resends_its_own_organizations_mails_only(api: Api) -> None:
    ours = failed(api)
    path = "/orgs/acme/resend-failed"
    assert_problem(api.client.post(path, headers=api.org("globex")), 403, "forbidden")
    assert states(api, ours) == ["failed"]
    assert api.client.post(path, headers=api.org("acme")).json() == {"queued": 1}


def test_more_than_one_batch_is_queued_beside_failures_that_stay(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many at the same millisecond, in turn with a neighbor's and with links that ended."""
    monkeypatch.setattr("service.links.mail_operations.RESEND_BATCH", 3)
    ours = [failed(api) for _ in range(7)]
    theirs = [failed(api, org_id=NEIGHBOR) for _ in range(5)]
    revoked = [failed(api) for _ in range(4)]
    for link_id in revoked:
        api.revoke(link_id)
    api.clock.advance(milliseconds=1)
    ours += [failed(api) for _ in range(4)]
    assert resend_failed(api).json() == {"queued": 11}
    assert set(states(api, *ours)) == {"queued"}
    assert set(states(api, *theirs, *revoked)) == {"failed"}


def test_two_who_resend_at_once_queue_each_once(
    make_api: Callable[..., Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a neighbor's request, which takes failures out of the same index meanwhile."""
    monkeypatch.setattr("service.links.mail_operations.RESEND_BATCH", 3)
    processes = [make_api(), make_api()]
    ours, theirs = (
        [failed(processes[0], org_id=org_id) for _ in range(60)] for org_id in ("acme", NEIGHBOR)
    )
    answers = all_at_once(
        *(
            lambda api=api, org_id=org_id: resend_failed(api, org_id)
            for org_id in ("acme", NEIGHBOR)
            for api in processes * 2
        )
    )
    queued = [answer.json()["queued"] for answer in answers]
    assert (sum(queued[:4]), sum(queued[4:])) == (60, 60)
    for link_id in ours + theirs:
        link = processes[0].get(link_id, processes[0].internal()).json()
        assert (link["delivery"]["state"], link["delivery"]["sends"]) == ("queued", 2)


def test_no_limit_of_single_links_holds(api: Api) -> None:
    link_id = failed(api)
    for sends in range(2, 9):
        assert resend_failed(api).json() == {"queued": 1}
        assert api.get(link_id, api.internal()).json()["delivery"]["sends"] == sends
        fail(api, link_id)


@pytest.mark.parametrize(
    ("late", "queued"),
    [
        pytest.param(timedelta(milliseconds=-1), 2, id="before"),
        pytest.param(timedelta(0), 2, id="at that moment"),
        pytest.param(timedelta(milliseconds=1), 1, id="after"),
    ],
)
def test_failures_before_a_moment_are_left_out(api: Api, late: timedelta, queued: int) -> None:
    failed(api)
    first = api.now
    api.clock.advance(hours=1)
    failed(api)
    assert resend_failed(api, since=stamp(first + late)).json() == {"queued": queued}


def test_a_failure_counts_for_the_retention(api: Api) -> None:
    """As in the outbox, where nobody sees it any more afterwards."""
    ids = [failed(api, expires_at=stamp(api.now + timedelta(days=365))) for _ in range(2)]
    api.clock.advance(days=90, milliseconds=-1)
    assert resend_failed(api, since=stamp(api.now - timedelta(days=365))).json() == {"queued": 2}
    for link_id in ids:
        fail(api, link_id)
    api.clock.advance(days=90)
    assert resend_failed(api).json() == {"queued": 0}


def test_since_is_any_time_of_iso_8601(api: Api) -> None:
    failed(api)
    tomorrow = (api.now + timedelta(days=1)).date()
    assert resend_failed(api, since=tomorrow.isoformat()).json() == {"queued": 0}
    assert resend_failed(api, since="0001-01-01T00:00:00").json() == {"queued": 1}
    assert_invalid(resend_failed(api, since="0001-01-01T00:00:00+01:00"), "since")
    assert_invalid(resend_failed(api, since="yesterday"), "since")


@pytest.mark.parametrize("body", ["", "{}", '{"since":null}'])
def test_since_may_be_left_out(api: Api, body: str) -> None:
    failed(api)
    response = api.client.post(
        "/orgs/acme/resend-failed", content=body, headers=api.internal() | JSON
    )
    assert response.json() == {"queued": 1}


def test_unknown_fields_are_refused(api: Api) -> None:
    failed(api)
    assert_invalid(resend_failed(api, until=stamp(api.now)), "until")
    assert_invalid(
        api.client.post("/orgs/-/resend-failed?since=x", headers=api.internal()), "since"
    )


def test_a_failure_that_is_no_link_any_more_is_passed_over(api: Api) -> None:
    gone, broken, ours = (failed(api) for _ in range(3))
    api.redis.delete(keys.link(gone), keys.link(broken))
    api.redis.set(keys.link(broken), "boom")
    assert resend_failed(api).json() == {"queued": 1}
    assert states(api, ours) == ["queued"]


class TestIdempotencyKey:
    def test_a_repeated_request_is_answered_alike_and_queues_nothing(self, api: Api) -> None:
        link_id = failed(api)
        first = resend_failed(api, key="again-1")
        api.clock.advance(seconds=1)
        fail(api, link_id)
        again = resend_failed(api, key="again-1")
        assert (again.status_code, again.json()) == (202, first.json()) == (202, {"queued": 1})
        assert again.headers["idempotency-replayed"] == "true"
        assert "idempotency-replayed" not in first.headers
        assert states(api, link_id) == ["failed"]

    def test_a_request_of_several_batches_is_new(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("service.links.mail_operations.RESEND_BATCH", 2)
        for _ in range(5):
            failed(api)
        response = resend_failed(api, key="again-1")
        assert response.json() == {"queued": 5}
        assert "idempotency-replayed" not in response.headers

    def test_the_same_key_with_another_moment_is_another_request(self, api: Api) -> None:
        resend_failed(api, key="again-1")
        failed(api)
        before = snapshot(RedisClient(api.redis))
        response = resend_failed(api, key="again-1", since=stamp(api.now))
        assert_problem(response, 409, "idempotency_conflict")
        assert snapshot(RedisClient(api.redis)) == before

    def test_the_same_moment_in_other_words_is_the_same_request(self, api: Api) -> None:
        resend_failed(api, key="again-1", since="2026-12-01T10:00:00Z")
        again = resend_failed(api, key="again-1", since="20261201T110000.000+01")
        assert again.headers["idempotency-replayed"] == "true"

    def test_its_key_is_no_key_of_a_create(self, api: Api) -> None:
        resend_failed(api, key="order-1")
        headers = api.internal() | {"Idempotency-Key": "order-1"}
        assert_problem(api.post_link(headers), 409, "idempotency_conflict")

    def test_a_repeated_request_goes_on_where_the_first_one_died(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And counts what both queued, but no mail that failed again since."""
        monkeypatch.setattr("service.links.mail_operations.RESEND_BATCH", 2)
        ids = [failed(api) for _ in range(5)]
        run = mail_store.resend_failed

        def die(*args: Any, **kwargs: Any) -> Any:
            monkeypatch.setattr(mail_store, "resend_failed", unavailable)
            return run(*args, **kwargs)

        def unavailable(*_: Any, **__: Any) -> Any:
            raise RuntimeError("killed")

        monkeypatch.setattr(mail_store, "resend_failed", die)
        assert resend_failed(api, key="again-1").status_code == 500
        assert sorted(states(api, *ids)) == ["failed"] * 3 + ["queued"] * 2
        monkeypatch.setattr(mail_store, "resend_failed", run)
        api.clock.advance(seconds=1)
        again = next(link_id for link_id in ids if states(api, link_id) == ["queued"])
        fail(api, again)
        response = resend_failed(api, key="again-1")
        assert (response.json(), response.headers["idempotency-replayed"]) == (
            {"queued": 5},
            "true",
        )
        assert sorted(states(api, *ids)) == ["failed"] + ["queued"] * 4
        assert states(api, again) == ["failed"]

    def test_of_ten_at_once_each_answers_how_many_all_queued(
        self, make_api: Callable[..., Api], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("service.links.mail_operations.RESEND_BATCH", 3)
        processes = [make_api(), make_api()]
        for _ in range(40):
            failed(processes[0])
        answers = all_at_once(
            *(
                lambda api=processes[number % 2]: resend_failed(api, key="again-1")
                for number in range(10)
            )
        )
        assert [answer.json() for answer in answers] == [{"queued": 40}] * 10

    def test_it_is_forgotten_after_24_hours(self, api: Api) -> None:
        resend_failed(api, key="again-1")
        client = RedisClient(api.redis)
        [key] = [key for key in all_keys(client) if ":idempotency:" in key]
        assert goes_at(client, key) == api.now + timedelta(hours=24)
