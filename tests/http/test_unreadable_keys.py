"""A key that holds something that is not ours: it hurts nobody else, and somebody is told."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
import structlog.testing

from service.links import mail_store
from service.storage import keys
from service.values.ids import partition_of
from tests.support.api import Api, assert_problem, stamp
from tests.support.factories import RETENTION, read, snapshot
from tests.support.redis_client import RedisClient

OTHERS = "globex"
BROKEN = partition_of("acme")


@pytest.fixture
def api(make_api: Callable[..., Api]) -> Api:
    """One of its own: a look at the store answers all who ask within a second."""
    return make_api()


def spoil(api: Api, key: str) -> None:
    """Leaves a key of another type there."""
    api.redis.delete(key)
    api.redis.rpush(key, "boom")


def resend(api: Api, link: dict[str, Any]) -> httpx.Response:
    return api.client.post(f"/payment-links/{link['id']}/resend", headers=api.internal())


def get(api: Api, path: str) -> Any:
    response = api.client.get(path, headers=api.internal())
    assert response.status_code == 200, response.text
    return response.json()


def told(logs: list[Any]) -> str:
    """What the log says of keys."""
    return "\n".join(str(line["keys"]) for line in logs if line["event"] == "data_unreadable")


@pytest.mark.parametrize("kind", ["scheduled", "outbox", "otp_outbox", "pending_since"])
def test_a_partitions_queue_hides_no_others(api: Api, kind: str) -> None:
    api.create()
    api.create(org_id=OTHERS)
    spoil(api, getattr(keys, kind)(BROKEN))
    with structlog.testing.capture_logs() as logs:
        ready = get(api, "/readyz")
        outbox = get(api, "/outbox")
    assert ready["status"] == "degraded"
    assert "data_unreadable" in ready["reasons"]
    assert ready["unsent"] == outbox["unsent"] == (1 if kind == "outbox" else 2)
    assert outbox["unreadable_partitions"] == [BROKEN]
    assert getattr(keys, kind)(BROKEN) in told(logs)


def test_what_is_owed_only_by_a_bad_key_is_told_of(api: Api) -> None:
    """As in the field: SET pl:{d4}:scheduled boom."""
    api.redis.set(keys.scheduled("d4"), "boom")
    assert "data_unreadable" in get(api, "/readyz")["reasons"]
    assert get(api, "/outbox")["unreadable_partitions"] == ["d4"]


def test_a_heartbeat_of_another_type_is_told_of_and_hides_nothing(api: Api) -> None:
    spoil(api, keys.heartbeats("scheduler"))
    api.create()
    ready = get(api, "/readyz")
    assert "data_unreadable" in ready["reasons"]
    assert (ready["unsent"], ready["heartbeats"]["scheduler"]) == (1, [])


def test_failures_of_a_partition_hide_no_others(api: Api) -> None:
    spoil(api, keys.failed(BROKEN))
    assert get(api, "/outbox")["unreadable_partitions"] == [BROKEN]


def test_organizations_of_a_partition_hide_no_others(api: Api) -> None:
    api.create(org_id=OTHERS)
    spoil(api, keys.orgs(BROKEN))
    found = get(api, "/orgs")
    assert (found["orgs"], found["unreadable_partitions"]) == ([OTHERS], [BROKEN])


def test_a_window_sends_what_others_owe(api: Api) -> None:
    soon = stamp(api.now + timedelta(hours=1))
    api.create(scheduled_at=soon)
    api.create(scheduled_at=soon, org_id=OTHERS)
    spoil(api, keys.scheduled(BROKEN))
    found = api.dispatch_window().json()
    assert (found["due"], found["queued"], found["unreadable_partitions"]) == (1, 1, [BROKEN])


def test_a_window_tells_of_an_outbox_that_takes_nothing(api: Api) -> None:
    soon = stamp(api.now + timedelta(hours=1))
    api.create(scheduled_at=soon)
    api.create(scheduled_at=soon, org_id=OTHERS)
    spoil(api, keys.outbox(BROKEN))
    found = api.dispatch_window().json()
    assert (found["queued"], found["unreadable_partitions"]) == (1, [BROKEN])


@pytest.fixture(
    params=["another type", "a field is missing", "another state", "a time that never comes"]
)
def spoiled(request: pytest.FixtureRequest, api: Api) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two links of acme's to Jane, of which the second cannot be read."""
    good, bad = api.create(), api.create()
    key = keys.link(bad["id"])
    match request.param:
        case "another type":
            spoil(api, key)
        case "a field is missing":
            api.redis.hdel(key, "email")
        case "another state":
            api.redis.hset(key, "state", "lost")
        case "a time that never comes":
            api.redis.hset(key, "created", "9999999-12-01T09:00:00.000Z")
    return good, bad


def test_a_record_that_cannot_be_read_is_left_out_of_its_list(
    api: Api, spoiled: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    good, bad = spoiled
    with structlog.testing.capture_logs() as logs:
        page = api.list().json()
        lines = api.list(
            headers=api.internal() | {"Accept": "application/x-ndjson"}
        ).text.splitlines()
    assert [link["id"] for link in page["links"]] == [good["id"]]
    assert (page["total"], page["counts"]["active"], len(lines)) == (2, 2, 1)
    assert f"link:{bad['id'][5:11]}…" in told(logs)
    assert bad["id"][5:] not in str(logs)


def test_whoever_asks_for_it_is_told_so(
    api: Api, spoiled: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    _, bad = spoiled
    for response in (
        api.get(bad["id"]),
        api.verify(bad["id"]),
        api.patch(bad["id"], description="x"),
        api.revoke(bad["id"]),
        resend(api, bad),
    ):
        assert_problem(response, 500, "record_unreadable")
    page = api.client.get(f"/pay/{bad['id']}")
    assert (page.status_code, "We cannot show this link right now" in page.text) == (500, True)


def test_revoking_by_e_mail_revokes_the_others_and_says_that_it_is_not_all(
    api: Api, spoiled: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    good, _ = spoiled
    other = api.create(org_id=OTHERS)
    response = api.revoke(email="jane@example.com")
    body = assert_problem(response, 500, "record_unreadable")
    assert body["detail"].startswith("2 links are revoked")
    assert [api.get(link["id"]).json()["status"] for link in (good, other)] == [
        "revoked",
        "revoked",
    ]


def test_revoking_by_e_mail_tells_of_an_index_that_cannot_be_read(api: Api) -> None:
    other = api.create(org_id=OTHERS)
    spoil(api, keys.email(BROKEN, "jane@example.com"))
    with structlog.testing.capture_logs() as logs:
        assert_problem(api.revoke(email="jane@example.com"), 500, "record_unreadable")
    assert api.get(other["id"]).json()["status"] == "revoked"
    assert f"pl:{{{BROKEN}}}:email:…" in told(logs)
    assert "jane" not in str(logs)


def test_a_mail_is_sent_again_although_its_failure_cannot_be_forgotten(api: Api) -> None:
    link = api.create(notify=False)
    spoil(api, keys.failed(BROKEN))
    assert resend(api, link).status_code == 202


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(lambda _: keys.outbox(BROKEN), id="outbox"),
        pytest.param(lambda link_id: keys.link_limit(link_id, "resend"), id="counter"),
    ],
)
def test_a_mail_that_cannot_be_sent_again_changes_nothing(
    api: Api, key: Callable[[str], str]
) -> None:
    link, client = api.create(notify=False), RedisClient(api.redis)
    before = snapshot(client)
    spoil(api, key(link["id"]))
    assert_problem(resend(api, link), 500, "record_unreadable")
    api.redis.delete(key(link["id"]))
    assert snapshot(client) == before


@pytest.mark.parametrize("kind", ["failed", "outbox"])
def test_failed_mails_that_cannot_be_sent_again_are_told_of(api: Api, kind: str) -> None:
    link = api.create()
    client = RedisClient(api.redis)
    client.run(
        mail_store.mark_failed(
            read(client, link["id"]),
            error="550",
            counts_as_attempt=True,
            now=api.now,
            retention=RETENTION,
        )
    )
    spoil(api, getattr(keys, kind)(BROKEN))
    response = api.client.post("/orgs/acme/resend-failed", headers=api.internal())
    assert_problem(response, 500, "record_unreadable")
    assert api.get(link["id"]).json()["delivery"]["state"] == "failed"


def test_a_profile_that_cannot_be_read_keeps_nobody_from_paying(api: Api) -> None:
    link = api.create()
    spoil(api, keys.profile("acme"))
    assert api.client.get(f"/pay/{link['id']}").status_code == 200
    assert_problem(api.get_profile(), 500, "record_unreadable")
    assert api.put_profile(display_name="Acme").status_code == 200
    assert api.get_profile().json()["display_name"] == "Acme"


def test_a_new_code_takes_the_place_of_one_that_cannot_be_read(api: Api) -> None:
    api.redis.set(keys.otp("jane@example.com"), "boom")
    assert_problem(api.submit_otp("123456"), 500, "record_unreadable")
    assert api.submit_otp(api.new_code()).status_code == 200


def test_codes_are_sent_where_the_counter_of_all_codes_together_is_broken(api: Api) -> None:
    spoil(api, keys.OTP_SENDS)
    with structlog.testing.capture_logs() as logs:
        assert api.send_otp().status_code == 202
    assert keys.OTP_SENDS in told(logs)
    assert "data_unreadable" in get(api, "/readyz")["reasons"]
