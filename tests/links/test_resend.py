"""POST /payment-links/{link_id}/resend: a link's mail is sent again."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from service.links import mail_store
from service.links import store as links
from service.links.model import Link
from service.links.reminders import counts_from
from service.outbox.doorbell import open_rq_queue
from service.outbox.queues import LINK_QUEUE
from service.storage import keys
from tests.support.api import JSON, Api, all_at_once, assert_invalid, assert_problem
from tests.support.factories import RETENTION, UNKNOWN_LINK_ID, pay, snapshot
from tests.support.redis_client import RedisClient
from tests.support.servers import wait_until

MINUTE = timedelta(minutes=1)


def resend(api: Api, link_id: str, *, key: str | None = None, **body: Any) -> httpx.Response:
    headers = api.internal() | ({"Idempotency-Key": key} if key else {})
    return api.client.post(f"/payment-links/{link_id}/resend", json=body or None, headers=headers)


def stored(api: Api, link_id: str) -> Link:
    link = RedisClient(api.redis).run(links.get(link_id))
    assert link is not None
    return link


def settle(api: Api, link_id: str, state: str) -> None:
    """The link's mail was ``sent``, or ``failed``."""
    client, link = RedisClient(api.redis), stored(api, link_id)
    command = (
        mail_store.mark_sent(link, now=api.now, retention=RETENTION)
        if state == "sent"
        else mail_store.mark_failed(
            link,
            error="550 no such mailbox",
            counts_as_attempt=True,
            now=api.now,
            retention=RETENTION,
        )
    )
    assert client.run(command) is True


def settled(api: Api, state: str = "sent", **fields: Any) -> str:
    """The id of a new link whose mail was ``sent``, or ``failed``."""
    link_id: str = api.create(**fields)["id"]
    settle(api, link_id, state)
    return link_id


def forget_limit(api: Api, link_id: str, limit: str = "resend") -> None:
    """The window of the limit is over: the store's clock, not the tests', counts it."""
    assert api.redis.delete(keys.link_limit(link_id, limit))


def delivery(api: Api, link_id: str) -> dict[str, Any]:
    found: dict[str, Any] = api.get(link_id, api.internal()).json()["delivery"]
    return found


@pytest.mark.parametrize("state", ["sent", "failed"])
def test_a_mail_is_owed_again_whatever_became_of_it(api: Api, state: str) -> None:
    link_id = settled(api, state)
    sent_at = delivery(api, link_id)["sent_at"]
    response = resend(api, link_id)
    assert (response.status_code, response.json()) == (202, {"sends": 2, "resend_after": 60})
    assert delivery(api, link_id) == {
        "state": "queued",
        "attempts": 0,
        "sends": 2,
        "sent_at": sent_at,
        "error": None,
    }
    partition, local_id = keys.partition_of_link(link_id), keys.local_id(link_id)
    assert api.redis.zscore(keys.outbox(partition), local_id) == api.now.timestamp() * 1000
    assert api.redis.zscore(keys.failed(partition), local_id) is None


def test_a_link_without_a_mail_gets_its_first(api: Api) -> None:
    link_id = api.create(notify=False)["id"]
    assert delivery(api, link_id)["sends"] == 0
    assert resend(api, link_id).json()["sends"] == 1
    assert (delivery(api, link_id)["state"], delivery(api, link_id)["sends"]) == ("queued", 1)


def test_the_worker_is_called(make_api: Callable[..., Api]) -> None:
    api = make_api()
    link_id = api.create(notify=False)["id"]
    queue = open_rq_queue(LINK_QUEUE, api.redis)
    assert queue.count == 0
    resend(api, link_id)
    wait_until(lambda: queue.count == 1, "the bell to ring")


@pytest.mark.parametrize("fields", [{}, {"scheduled_at": "later"}], ids=["queued", "scheduled"])
def test_a_mail_that_is_still_owed_is_not_owed_twice(api: Api, fields: dict[str, str]) -> None:
    at = {name: (api.now + timedelta(hours=1)).isoformat() for name in fields}
    link_id = api.create(**at)["id"]
    before = snapshot(RedisClient(api.redis))
    assert_problem(resend(api, link_id), 409, "mail_pending")
    assert snapshot(RedisClient(api.redis)) == before


@pytest.mark.parametrize("end", ["revoked", "expired", "paid"])
def test_the_mail_of_a_link_that_has_ended_is_not_sent_again(api: Api, end: str) -> None:
    link_id = settled(api)
    if end == "revoked":
        api.revoke(link_id)
    elif end == "paid":
        pay(RedisClient(api.redis), link_id, api.now)
    else:
        api.clock.now = stored(api, link_id).expires_at
    before = snapshot(RedisClient(api.redis))
    assert_problem(resend(api, link_id), 409, "link_ended")
    assert snapshot(RedisClient(api.redis)) == before


def test_a_link_is_sent_again_until_the_millisecond_it_expires(api: Api) -> None:
    link_id = settled(api)
    api.clock.now = stored(api, link_id).expires_at - timedelta(milliseconds=1)
    assert resend(api, link_id).status_code == 202


def test_a_link_that_nobody_made_is_not_found(api: Api) -> None:
    assert_problem(resend(api, UNKNOWN_LINK_ID), 404, "link_not_found")
    assert_problem(resend(api, "nothing"), 404, "link_not_found")


def test_a_minute_lies_between_two_resends(api: Api) -> None:
    link_id = settled(api)
    resend(api, link_id)
    settle(api, link_id, "sent")
    response = resend(api, link_id)
    body = assert_problem(response, 429, "limit_reached")
    assert body["detail"] == "the link's mail was sent again a moment ago"
    assert 50 <= int(response.headers["retry-after"]) <= 60
    forget_limit(api, link_id)
    assert resend(api, link_id).json()["sends"] == 3


def test_a_link_is_sent_again_five_times_a_day(api: Api) -> None:
    link_id = settled(api)
    for _ in range(5):
        assert resend(api, link_id).status_code == 202
        settle(api, link_id, "sent")
        forget_limit(api, link_id)
    response = resend(api, link_id)
    body = assert_problem(response, 429, "limit_reached")
    assert body["detail"] == "the mail of a link can be sent again 5 times a day"
    assert 86_000 <= int(response.headers["retry-after"]) <= 86_400
    assert api.redis.ttl(keys.link_limit(link_id, "resends_day")) > 86_000
    forget_limit(api, link_id, "resends_day")
    assert resend(api, link_id).json()["sends"] == 7


def test_each_link_has_limits_of_its_own(api: Api) -> None:
    assert [resend(api, settled(api)).status_code for _ in range(3)] == [202] * 3


def test_a_resend_that_is_refused_uses_none_up(api: Api) -> None:
    link_id = api.create()["id"]
    for _ in range(6):
        assert_problem(resend(api, link_id), 409, "mail_pending")
    settle(api, link_id, "sent")
    assert resend(api, link_id).status_code == 202
    settle(api, link_id, "sent")
    for _ in range(6):
        assert_problem(resend(api, link_id), 429, "limit_reached")
    assert api.redis.get(keys.link_limit(link_id, "resends_day")) == "1"


@pytest.mark.parametrize("state", ["sent", "failed"])
def test_of_fifty_who_resend_at_once_one_does(make_api: Callable[..., Api], state: str) -> None:
    processes = [make_api(), make_api()]
    link_id = settled(processes[0], state)
    calls = [lambda api=processes[number % 2]: resend(api, link_id) for number in range(50)]
    statuses = [response.status_code for response in all_at_once(*calls)]
    assert sorted(statuses) == [202, *[429] * 49]
    assert stored(processes[0], link_id).delivery.sends == 2


def test_what_a_worker_reports_late_settles_no_mail_that_was_asked_for_since(api: Api) -> None:
    """It lost its lease; another sent the first mail, which was then asked for again."""
    link_id, client = settled(api), RedisClient(api.redis)
    first = stored(api, link_id)
    resend(api, link_id)
    second = stored(api, link_id)
    before = snapshot(client)
    assert client.run(mail_store.mark_sent(first, now=api.now, retention=RETENTION)) is False
    assert snapshot(client) == before
    assert client.run(mail_store.mark_sent(second, now=api.now, retention=RETENTION)) is True
    assert delivery(api, link_id)["state"] == "sent"


def test_a_resend_forgets_the_attempts_of_the_mail_before(api: Api) -> None:
    link_id, client = api.create()["id"], RedisClient(api.redis)
    client.run(
        mail_store.retry_later(
            stored(api, link_id), error="the connection broke", at=api.now, unconfirmed=True
        )
    )
    settle(api, link_id, "failed")
    resend(api, link_id)
    found = stored(api, link_id).delivery
    assert (found.attempts, found.unconfirmed, found.error) == (0, 0, None)


def test_a_mail_that_may_have_arrived_still_fixes_the_amount_after_a_resend(api: Api) -> None:
    link_id, client = api.create(payment_amount=10, currency="USD")["id"], RedisClient(api.redis)
    link = stored(api, link_id)
    client.run(mail_store.retry_later(link, error="no answer", at=api.now, unconfirmed=True))
    settle(api, link_id, "failed")
    resend(api, link_id)
    settle(api, link_id, "failed")
    assert_problem(api.patch(link_id, payment_amount=20), 409, "link_sent")


def test_a_mail_that_waited_for_its_next_try_waits_no_more(api: Api) -> None:
    link_id, client = api.create()["id"], RedisClient(api.redis)
    link = stored(api, link_id)
    client.run(mail_store.retry_later(link, error="451", at=api.now + MINUTE))
    settle(api, link_id, "failed")
    api.redis.hset(keys.link(link_id), "retry", "1")
    resend(api, link_id)
    assert api.redis.hget(keys.link(link_id), "retry") is None


def test_reminders_of_a_link_that_was_not_mailed_still_count_from_its_creation(api: Api) -> None:
    link_id = api.create(notify=False)["id"]
    api.clock.advance(hours=1)
    resend(api, link_id)
    created_at = stored(api, link_id).created_at
    assert counts_from(stored(api, link_id)) == created_at
    settle(api, link_id, "sent")
    assert counts_from(stored(api, link_id)) == created_at


def test_each_resend_is_logged_with_its_number_and_who_asked(api: Api) -> None:
    link_id = settled(api)
    for number in (2, 3):
        headers = api.org() | {"X-Request-ID": f"request-{number}"}
        api.client.post(f"/payment-links/{link_id}/resend", headers=headers)
        settle(api, link_id, "sent")
        forget_limit(api, link_id)
    entries: Any = api.redis.xrange(keys.events("acme"))
    resent = [entry for _, entry in entries if entry["type"] == "resent"]
    assert resent == [
        {
            "type": "resent",
            "link": keys.local_id(link_id),
            "actor": "ada",
            "request": f"request-{number}",
            "data": f'{{"sends":{number}}}',
        }
        for number in (2, 3)
    ]


@pytest.mark.parametrize(("notify", "sends"), [(True, 1), (False, 0)])
def test_a_mail_that_was_taken_back_was_asked_for(api: Api, notify: bool, sends: int) -> None:
    link_id = api.create(notify=notify)["id"]
    api.revoke(link_id)
    assert (delivery(api, link_id)["state"], delivery(api, link_id)["sends"]) == ("none", sends)


def test_the_outbox_lasts_as_long_as_the_link(api: Api) -> None:
    link_id = settled(api)
    partition = keys.partition_of_link(link_id)
    api.redis.delete(keys.outbox(partition))
    resend(api, link_id)
    goes_at = api.redis.pexpiretime(keys.link(link_id))
    assert goes_at <= api.redis.pexpiretime(keys.outbox(partition)) <= goes_at + 86_400_000


def test_a_body_has_no_fields(api: Api) -> None:
    link_id = settled(api)
    assert_invalid(resend(api, link_id, email="joe@example.com"), "email")
    assert delivery(api, link_id)["state"] == "sent"
    path, headers = f"/payment-links/{link_id}/resend", api.internal() | JSON
    assert_problem(api.client.post(path, content="[]", headers=headers), 422, "validation_failed")
    assert api.client.post(path, content="{}", headers=headers).status_code == 202


def test_an_org_admin_resends_its_own_organizations_links_only(api: Api) -> None:
    link_id = settled(api)
    path = f"/payment-links/{link_id}/resend"
    assert_problem(api.client.post(path, headers=api.org("globex")), 403, "forbidden")
    assert delivery(api, link_id)["state"] == "sent"
    assert api.client.post(path, headers=api.org("acme")).status_code == 202


class TestIdempotencyKey:
    def test_a_repeated_request_resends_once(self, api: Api) -> None:
        link_id = settled(api)
        first, again = resend(api, link_id, key="again-1"), resend(api, link_id, key="again-1")
        assert (again.status_code, again.json()) == (202, first.json())
        assert again.headers["idempotency-replayed"] == "true"
        assert "idempotency-replayed" not in first.headers
        assert stored(api, link_id).delivery.sends == 2

    def test_a_repeated_request_is_answered_after_the_link_ended(self, api: Api) -> None:
        link_id = settled(api)
        resend(api, link_id, key="again-1")
        api.revoke(link_id)
        assert resend(api, link_id, key="again-1").status_code == 202

    def test_a_request_that_was_refused_may_be_sent_again(self, api: Api) -> None:
        link_id = api.create()["id"]
        assert_problem(resend(api, link_id, key="again-1"), 409, "mail_pending")
        settle(api, link_id, "sent")
        response = resend(api, link_id, key="again-1")
        assert response.status_code == 202
        assert "idempotency-replayed" not in response.headers

    def test_the_same_key_on_another_link_is_another_request(self, api: Api) -> None:
        first, other = settled(api), settled(api)
        resend(api, first, key="again-1")
        assert_problem(resend(api, other, key="again-1"), 409, "idempotency_conflict")
        assert delivery(api, other)["state"] == "sent"

    def test_a_key_of_a_resend_is_no_key_of_a_create_and_the_other_way_round(
        self, api: Api
    ) -> None:
        link_id = settled(api)
        resend(api, link_id, key="order-1")
        headers = api.internal() | {"Idempotency-Key": "order-1"}
        assert_problem(api.post_link(headers), 409, "idempotency_conflict")
        headers = api.internal() | {"Idempotency-Key": "order-2"}
        assert api.post_link(headers).status_code == 201
        forget_limit(api, link_id)
        assert_problem(resend(api, link_id, key="order-2"), 409, "idempotency_conflict")

    def test_of_twenty_at_once_one_resends_and_all_are_answered_alike(
        self, make_api: Callable[..., Api]
    ) -> None:
        processes = [make_api(), make_api()]
        link_id = settled(processes[0])
        calls = [
            lambda api=processes[number % 2]: resend(api, link_id, key="again-1")
            for number in range(20)
        ]
        answers = all_at_once(*calls)
        assert {(answer.status_code, answer.text) for answer in answers} == {
            (202, '{"sends":2,"resend_after":60}')
        }
        assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
