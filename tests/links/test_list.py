"""GET /orgs/{org_id}/payment-links."""

import json
from datetime import timedelta
from typing import Any

import httpx
import pytest

from service.links import mail_store
from tests.support.api import JOHN, Api, assert_invalid, assert_problem, stamp
from tests.support.factories import RETENTION, pay, read
from tests.support.redis_client import RedisClient

NDJSON = "application/x-ndjson"
COUNTS = {"active": 0, "expired": 0, "revoked": 0, "paid": 0}
STATUSES = list(COUNTS)


def create_many(api: Api, number: int, **fields: Any) -> list[str]:
    """Ids of ``number`` new links, newest first; each is a second younger than the one before."""
    ids = []
    for _ in range(number):
        ids.append(api.create(**fields)["id"])
        api.clock.advance(seconds=1)
    return ids[::-1]


def ids_of(response: httpx.Response) -> list[str]:
    assert response.status_code == 200, response.text
    return [link["id"] for link in response.json()["links"]]


def pages(api: Api, **params: Any) -> list[list[str]]:
    """The ids on every page, by following the cursor."""
    found: list[list[str]] = []
    cursor: dict[str, Any] = {}
    while True:
        response = api.list(**params, **cursor)
        found.append(ids_of(response))
        if response.json()["next_cursor"] is None:
            return found
        cursor = {"cursor": response.json()["next_cursor"]}


def lines(response: httpx.Response) -> list[dict[str, Any]]:
    assert response.status_code == 200
    assert response.headers["content-type"].partition(";")[0] == NDJSON
    assert not response.text or response.text.endswith("\n")
    return [json.loads(line) for line in response.text.splitlines()]


def one_of_each(api: Api) -> dict[str, str]:
    """Ids by status."""
    expired = api.create(expires_at=stamp(api.now + timedelta(minutes=5)))["id"]
    revoked, paid = api.create()["id"], api.create()["id"]
    api.revoke(revoked)
    pay(RedisClient(api.redis), paid, api.now)
    api.clock.advance(minutes=5)
    return {"active": api.create()["id"], "expired": expired, "revoked": revoked, "paid": paid}


def test_an_organization_without_links_has_an_empty_list(api: Api) -> None:
    response = api.list()
    assert response.status_code == 200
    assert response.json() == {"total": 0, "counts": COUNTS, "links": [], "next_cursor": None}


def test_links_are_listed_as_they_are_read(api: Api) -> None:
    link = api.create(payment_amount=10.5, transaction_id="x")
    assert api.list().json() == {
        "total": 1,
        "counts": COUNTS | {"active": 1},
        "links": [link],
        "next_cursor": None,
    }


def test_a_list_that_is_asked_for_again_tells_what_became_of_its_links(api: Api) -> None:
    ends = stamp(api.now + timedelta(minutes=5))
    [expiring] = create_many(api, 1, expires_at=ends)
    mailed, revoked = create_many(api, 2)
    seen = [api.list().json()["links"]]
    api.revoke(revoked)
    client = RedisClient(api.redis)
    client.run(mail_store.mark_sent(read(client, mailed), now=api.now, retention=RETENTION))
    seen.append(api.list().json()["links"])
    api.clock.advance(minutes=5)
    for _ in range(2):
        seen.append(api.list().json()["links"])
        assert seen[-1] == [
            api.get(link_id, api.internal()).json() for link_id in (mailed, revoked, expiring)
        ]
    assert [[link["status"] for link in links] for links in seen] == [
        ["active", "active", "active"],
        ["active", "revoked", "active"],
        ["active", "revoked", "expired"],
        ["active", "revoked", "expired"],
    ]
    assert [links[0]["delivery"]["state"] for links in seen] == ["queued", "sent", "sent", "sent"]


def test_admins_see_gated_links_in_full(api: Api) -> None:
    link = api.create(otp_required=True)
    assert api.list(api.org()).json()["links"] == [link]


def test_the_newest_link_comes_first(api: Api) -> None:
    ids = create_many(api, 5)
    assert ids_of(api.list()) == ids


def test_an_organization_sees_its_own_links_only(api: Api) -> None:
    api.create(org_id="globex")
    link = api.create()
    assert ids_of(api.list()) == [link["id"]]


def test_links_are_counted_by_status(api: Api) -> None:
    one_of_each(api)
    api.create(email=JOHN)
    body = api.list().json()
    assert (body["total"], body["counts"]) == (
        5,
        {"active": 2, "expired": 1, "revoked": 1, "paid": 1},
    )


def test_each_link_is_listed_with_its_status(api: Api) -> None:
    by_status = one_of_each(api)
    assert {link["status"]: link["id"] for link in api.list().json()["links"]} == by_status


@pytest.mark.parametrize("status", STATUSES)
def test_links_of_one_status_are_listed(api: Api, status: str) -> None:
    by_status = one_of_each(api)
    assert ids_of(api.list(status=status)) == [by_status[status]]


@pytest.mark.parametrize("status", STATUSES)
def test_a_status_changes_no_counts(api: Api, status: str) -> None:
    one_of_each(api)
    body = api.list(status=status).json()
    assert (body["total"], body["counts"]) == (
        4,
        {"active": 1, "expired": 1, "revoked": 1, "paid": 1},
    )


@pytest.mark.parametrize("status", STATUSES)
def test_links_of_one_status_come_newest_first(api: Api, status: str) -> None:
    """The newest ends first, so that the order of creation is not the order of the ends."""
    ids = []
    for minutes in (30, 20, 10):
        ids.append(api.create(expires_at=stamp(api.now + timedelta(minutes=minutes)))["id"])
        api.clock.advance(seconds=1)
    if status == "revoked":
        for link_id in ids[::-1]:
            api.revoke(link_id)
            api.clock.advance(seconds=1)
    if status == "paid":
        for link_id in ids[::-1]:
            pay(RedisClient(api.redis), link_id, api.now)
            api.clock.advance(seconds=1)
    if status == "expired":
        api.clock.advance(minutes=30)
    assert ids_of(api.list(status=status)) == ids[::-1]


def test_pages_hold_limit_links_each(api: Api) -> None:
    ids = create_many(api, 7)
    assert pages(api, limit=3) == [ids[:3], ids[3:6], ids[6:]]


def test_a_full_last_page_has_no_cursor(api: Api) -> None:
    ids = create_many(api, 6)
    assert pages(api, limit=3) == [ids[:3], ids[3:]]


def test_links_of_the_same_moment_are_all_paged(api: Api) -> None:
    ids = {api.create()["id"] for _ in range(7)}
    found = [link_id for page in pages(api, limit=2) for link_id in page]
    assert (len(found), set(found)) == (7, ids)


@pytest.mark.parametrize("status", STATUSES)
def test_links_of_one_status_are_paged(api: Api, status: str) -> None:
    ids = set(create_many(api, 5))
    api.clock.advance(hours=1)
    if status == "revoked":
        api.revoke(email="jane@example.com")
    if status == "paid":
        for link_id in ids:
            pay(RedisClient(api.redis), link_id, api.now)
    if status == "expired":
        api.clock.advance(hours=72)
        api.create()
    found = [link_id for page in pages(api, limit=2, status=status) for link_id in page]
    assert (len(found), set(found)) == (5, ids)


def test_a_link_made_meanwhile_moves_no_page(api: Api) -> None:
    ids = create_many(api, 4)
    cursor = api.list(limit=2).json()["next_cursor"]
    create_many(api, 3)
    assert ids_of(api.list(limit=2, cursor=cursor)) == ids[2:]


def test_a_link_that_ends_meanwhile_moves_no_page(api: Api) -> None:
    ids = create_many(api, 4)
    cursor = api.list(limit=2).json()["next_cursor"]
    api.revoke(ids[1])
    assert ids_of(api.list(limit=2, cursor=cursor)) == ids[2:]


def test_a_status_is_paged_on_though_the_last_link_left_it(api: Api) -> None:
    ids = create_many(api, 4)
    cursor = api.list(limit=2, status="active").json()["next_cursor"]
    api.revoke(ids[1])
    assert ids_of(api.list(limit=2, status="active", cursor=cursor)) == ids[2:]


def test_a_page_has_100_links_where_nothing_is_said(api: Api) -> None:
    create_many(api, 101)
    response = api.list()
    assert (len(ids_of(response)), response.json()["total"]) == (100, 101)
    assert response.json()["next_cursor"] is not None


@pytest.mark.parametrize("limit", [1, 1000])
def test_a_limit_is_1_to_1000(api: Api, limit: int) -> None:
    assert api.list(limit=limit).status_code == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("limit", "0", id="limit 0"),
        pytest.param("limit", "-1", id="limit -1"),
        pytest.param("limit", "1001", id="limit 1001"),
        pytest.param("limit", "many", id="limit in words"),
        pytest.param("limit", "9" * 5000, id="limit of 5000 digits"),
        pytest.param("status", "superseded", id="status that is none"),
        pytest.param("status", "ACTIVE", id="status in capitals"),
        pytest.param("cursor", "x", id="cursor"),
        pytest.param("cursor", "MTIzOnBsXw", id="cursor without an id"),
        pytest.param("cursor", "é", id="cursor outside ascii"),
        pytest.param("cursor", "x" * 200, id="long cursor"),
    ],
)
def test_a_parameter_out_of_bounds_is_refused(api: Api, name: str, value: Any) -> None:
    assert_invalid(api.list(**{name: value}), name)


@pytest.mark.parametrize("org_id", ["a b", "a" * 65, "é"], ids=["space", "65", "outside ascii"])
def test_what_is_no_organization_is_refused(api: Api, org_id: str) -> None:
    assert_invalid(api.list(org_id=org_id), "org_id")


def test_another_organizations_list_is_forbidden(api: Api) -> None:
    assert_problem(api.list(api.org("globex")), 403, "forbidden")


def test_an_ended_link_leaves_the_list_with_its_retention(api: Api) -> None:
    api.create()
    api.clock.advance(days=94)
    assert api.list().json() == {"total": 0, "counts": COUNTS, "links": [], "next_cursor": None}


# NDJSON.


def test_all_links_are_streamed_one_a_line(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.links.operations.STREAM_PAGE_SIZE", 3)
    ids = create_many(api, 8)
    assert [link["id"] for link in lines(api.list(api.internal() | {"Accept": NDJSON}))] == ids


def test_a_streamed_link_is_the_link(api: Api) -> None:
    link = api.create(payment_amount=10.5)
    assert lines(api.list(api.internal() | {"Accept": NDJSON})) == [link]


def test_a_streamed_amount_is_exact(api: Api) -> None:
    api.client.post(
        "/payment-links",
        content='{"email":"jane@example.com","org_id":"acme","payment_amount":10.50}',
        headers=api.internal() | {"Content-Type": "application/json"},
    )
    assert '"payment_amount":10.50,' in api.list(api.internal() | {"Accept": NDJSON}).text


def test_a_stream_of_nothing_is_empty(api: Api) -> None:
    assert lines(api.list(api.internal() | {"Accept": NDJSON})) == []


def test_links_of_one_status_are_streamed(api: Api) -> None:
    by_status = one_of_each(api)
    found = lines(api.list(api.internal() | {"Accept": NDJSON}, status="revoked"))
    assert [link["id"] for link in found] == [by_status["revoked"]]


@pytest.mark.parametrize(
    "accept", ["application/json", "*/*", "text/html", f"{NDJSON};q=0.1, application/json"]
)
def test_whoever_does_not_prefer_ndjson_gets_json(api: Api, accept: str) -> None:
    response = api.list(api.internal() | {"Accept": accept})
    assert response.headers["content-type"] == "application/json"


def test_a_streams_cursor_is_checked_before_it_begins(api: Api) -> None:
    assert_invalid(api.list(api.internal() | {"Accept": NDJSON}, cursor="x"), "cursor")


def test_a_stream_is_forbidden_as_the_list_is(api: Api) -> None:
    assert_problem(api.list(api.org("globex") | {"Accept": NDJSON}), 403, "forbidden")
