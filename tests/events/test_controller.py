"""GET /payment-links/{id}/events and /orgs/{org}/events: what happened, when, and who did it."""

from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from typing import Any

import httpx
import pytest
import structlog.testing

from service.events import store as events
from service.storage import keys
from service.storage.event_log import Actor, Event, EventType
from tests.support.api import Api, MakeApi, assert_invalid, assert_problem, stamp
from tests.support.factories import MILLISECOND, RETENTION, UNKNOWN_LINK_ID, read, store_links
from tests.support.factories import make_link as new_link
from tests.support.redis_client import RedisClient

ADA = Actor("ada", "req-1")


def log(
    api: Api,
    link: dict[str, Any],
    kind: EventType = EventType.UPDATED,
    actor: Actor = ADA,
    **data: Any,
) -> None:
    """Logs an event of ``link`` now."""
    event = Event(kind, actor, data)
    command = events.append(link["org_id"], link["id"], event, now=api.now, retention=RETENTION)
    RedisClient(api.redis).run(command)


def get_events(api: Api, path: str = "/orgs/acme", **params: Any) -> httpx.Response:
    return api.client.get(f"{path}/events", params=params, headers=api.internal())


def of_link(api: Api, link: dict[str, Any], **params: Any) -> Any:
    response = get_events(api, f"/payment-links/{link['id']}", **params)
    assert response.status_code == 200, response.text
    return response.json()


def of_org(api: Api, org_id: str = "acme", **params: Any) -> Any:
    response = get_events(api, f"/orgs/{org_id}", **params)
    assert response.status_code == 200, response.text
    return response.json()


def read_all(read_page: Callable[..., Any], **params: Any) -> list[Any]:
    """The events of all pages."""
    found, cursor = [], None
    while True:
        page = read_page(**params, **({"cursor": cursor} if cursor else {}))
        found += page["events"]
        assert len(page["events"]) <= params.get("limit", 100)
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def types(found: list[Any]) -> list[str]:
    return [event["type"] for event in found]


def test_an_event_is_told_with_its_time_actor_and_request(api: Api) -> None:
    link = api.create()
    api.clock.advance(minutes=1)
    log(api, link, EventType.UPDATED, fields=["locale"])
    milliseconds = int(api.now.timestamp() * 1000)
    updated, created = of_link(api, link)["events"]
    assert updated == {
        "id": f"{milliseconds}-0",
        "type": "updated",
        "at": stamp(api.now),
        "link_id": link["id"],
        "actor": "ada",
        "request_id": "req-1",
        "data": {"fields": ["locale"]},
    }
    assert created == {
        "id": f"{link['id']}-created",
        "type": "created",
        "at": link["created_at"],
        "link_id": link["id"],
        "actor": "root",
        "request_id": None,
        "data": {},
    }


def test_an_expired_link_tells_so_until_it_is_something_else(api: Api) -> None:
    link = api.create()
    api.clock.advance(hours=72)
    for found in (of_link(api, link), of_org(api)):
        [expired, _] = found["events"]
        assert (expired["type"], expired["at"], expired["actor"], expired["request_id"]) == (
            "expired",
            link["expires_at"],
            "system",
            None,
        )
        assert expired["id"] == f"{link['id']}-expired"


def test_a_link_of_an_earlier_version_tells_no_actor_of_its_creation(api: Api) -> None:
    link = api.create()
    api.redis.hdel(keys.link(link["id"]), "by")
    assert of_link(api, link)["events"][0]["actor"] is None
    assert of_org(api)["events"][0]["actor"] is None


def test_a_link_tells_nothing_of_others(api: Api) -> None:
    one, other = api.create(), api.create()
    log(api, one)
    log(api, other, EventType.REVOKED)
    assert types(of_link(api, one)["events"]) == ["updated", "created"]


def test_an_organization_tells_of_all_its_links_and_of_no_others(api: Api) -> None:
    links = [api.create(), api.create(), api.create(org_id="globex")]
    for link in links:
        api.clock.advance(seconds=1)
        log(api, link)
    found = of_org(api)["events"]
    assert types(found) == ["updated", "updated", "created", "created"]
    assert {event["link_id"] for event in found} == {links[0]["id"], links[1]["id"]}


@pytest.mark.parametrize("kind", ["created", "expired", "updated", "revoked", "paid"])
def test_one_type_can_be_asked_for(api: Api, kind: str) -> None:
    link = api.create()
    log(api, link)
    log(api, link, EventType.REVOKED)
    api.clock.advance(hours=72)
    expected = [kind] if kind != "paid" else []
    assert types(of_org(api, type=kind)["events"]) == expected
    assert types(of_link(api, link, type=kind)["events"]) == expected


def fill(api: Api) -> dict[str, Any]:
    """All kinds of events, many in one millisecond. Returns one of the links."""
    clock, links = api.clock, []
    for round_ in range(4):
        made = [
            new_link(clock.now, expires_at=clock.now + timedelta(minutes=5 + round_))
            for _ in range(6)
        ]
        store_links(RedisClient(api.redis), made)
        links += [{"id": link.id, "org_id": "acme"} for link in made]
        for link in links:
            log(api, link)
        clock.advance(minutes=1)
    for link in links:
        log(api, link, EventType.REMINDED)
    clock.advance(minutes=3)
    return links[0]


@pytest.mark.parametrize("limit", [1, 2, 7, 100])
def test_pages_tell_everything_once_in_order(api: Api, limit: int) -> None:
    """Links were created, changed and expired in the same milliseconds."""
    fill(api)
    found = read_all(lambda **params: of_org(api, **params), limit=limit)
    ids = [event["id"] for event in found]
    assert len(ids) == len(set(ids)) == 24 + 60 + 24 + 12
    assert all(one["at"] >= other["at"] for one, other in pairwise(found))
    assert found == read_all(lambda **params: of_org(api, **params), limit=1000)


@pytest.mark.parametrize("kind", ["created", "expired", "updated"])
def test_pages_of_a_type_tell_all_of_it_once(api: Api, kind: str) -> None:
    fill(api)
    everything = of_org(api, limit=1000)["events"]
    wanted = [event for event in everything if event["type"] == kind]
    assert read_all(lambda **params: of_org(api, **params), limit=5, type=kind) == wanted


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_pages_of_a_link_tell_all_of_it_once(api: Api, limit: int) -> None:
    link = fill(api)
    everything = of_org(api, limit=1000)["events"]
    wanted = [event for event in everything if event["link_id"] == link["id"]]
    assert len(wanted) == 7
    assert read_all(lambda **params: of_link(api, link, **params), limit=limit) == wanted


def test_what_happens_while_pages_are_read_moves_nothing(api: Api) -> None:
    """New events, links whose records are gone, and links that leave the index of active ones."""
    fill(api)
    before = of_org(api, limit=1000)["events"]
    gone: set[str] = set()

    def read_page(**params: Any) -> Any:
        page = of_org(api, **params)
        log(api, api.create())
        link_id = page["events"][-1]["link_id"]
        gone.add(link_id)
        api.redis.zrem(keys.org("acme"), keys.local_id(link_id))
        api.redis.zrem(keys.active("acme"), keys.local_id(link_id))
        return page

    found = read_all(read_page, limit=11)
    ids = [event["id"] for event in found]
    assert len(ids) == len(set(ids))
    left = {event["id"] for event in before if event["link_id"] not in gone}
    assert left <= set(ids) <= {event["id"] for event in before}


def test_events_older_than_the_retention_are_left_out(make_api: MakeApi) -> None:
    api = make_api(RETENTION="1d")
    link = api.create(expires_at=stamp(api.now + timedelta(days=30)))
    log(api, link)
    api.clock.advance(days=1)
    assert types(of_link(api, link)["events"]) == ["updated", "created"]
    api.clock.advance(milliseconds=1)
    assert types(of_link(api, link)["events"]) == types(of_org(api)["events"]) == ["created"]


def test_a_link_whose_record_is_gone_is_not_created(api: Api) -> None:
    link = api.create()
    api.redis.delete(keys.link(link["id"]))
    assert of_org(api) == {"events": [], "next_cursor": None}


def test_a_link_is_found_among_many_others(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page may be short where too many entries had to be looked at, and says where it goes on."""
    monkeypatch.setattr("service.events.operations.SCANNED_ENTRIES", 3)
    monkeypatch.setattr("service.events.operations.MAX_SCANS", 2)
    link, other = api.create(), api.create()
    log(api, link, EventType.REVOKED)
    for _ in range(20):
        log(api, other)
    log(api, link)
    first = of_link(api, link)
    assert types(first["events"]) == ["updated"]
    assert first["next_cursor"]
    found = read_all(lambda **params: of_link(api, link, **params))
    assert types(found) == ["updated", "revoked", "created"]


@pytest.mark.parametrize("params", [{}, {"type": "updated"}, {"limit": 1}])
def test_an_entry_that_cannot_be_read_is_left_out_and_logged(
    api: Api, params: dict[str, Any]
) -> None:
    link = api.create()
    log(api, link)
    local_id = keys.local_id(link["id"])
    entries: list[dict[Any, Any]] = [
        {"type": "unheard of", "link": local_id, "actor": "a", "request": "", "data": ""},
        {"type": "updated", "link": local_id, "actor": "a", "request": "", "data": "{"},
        {"type": "updated", "link": local_id, "actor": "a", "request": "", "data": "[1]"},
        {"type": "updated", "link": local_id},
        {"type": "updated", "link": "x", "actor": "a", "request": "", "data": ""},
        {"boom": "boom"},
    ]
    for entry in entries:
        api.redis.xadd(keys.events("acme"), entry)
    with structlog.testing.capture_logs() as logs:
        found = read_all(lambda **given: of_org(api, **given), **params)
        assert read_all(lambda **given: of_link(api, link, **given), **params) == found
    assert types(found) == (["updated"] if "type" in params else ["updated", "created"])
    unreadable = [line["keys"] for line in logs if line["event"] == "data_unreadable"]
    assert unreadable
    assert all(names == [keys.events("acme")] for names in unreadable)


def test_a_link_that_cannot_be_read_is_left_out_and_logged(api: Api) -> None:
    links = [api.create(), api.create()]
    api.redis.delete(keys.link(links[0]["id"]))
    api.redis.set(keys.link(links[0]["id"]), "boom")
    with structlog.testing.capture_logs() as logs:
        found = of_org(api)["events"]
    assert [event["link_id"] for event in found] == [links[1]["id"]]
    assert [line["event"] for line in logs if "keys" in line] == ["data_unreadable"]


@pytest.mark.parametrize("kind", ["events", "org", "active"])
def test_a_key_of_another_type_is_a_problem(api: Api, kind: str) -> None:
    api.create()
    key = getattr(keys, kind)("acme")
    api.redis.delete(key)
    api.redis.set(key, "boom")
    assert_problem(get_events(api), 500, "record_unreadable")
    assert of_org(api, "globex") == {"events": [], "next_cursor": None}


@pytest.mark.parametrize("path", ["/orgs/acme", "/payment-links/{id}"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cursor", ""),
        ("cursor", "x"),
        ("cursor", "MS0xLTA!"),
        ("cursor", "x" * 200),
        ("limit", "0"),
        ("limit", "1001"),
        ("limit", "x"),
        ("type", "x"),
        ("type", "null"),
        ("before", "1"),
    ],
)
def test_a_parameter_that_breaks_its_rule_is_named(
    api: Api, path: str, name: str, value: str
) -> None:
    link = api.create()
    assert_invalid(get_events(api, path.format(**link), **{name: value}), name)


def test_the_cursor_of_a_list_of_links_is_refused(api: Api) -> None:
    api.create(), api.create()
    cursor = api.list(limit=1).json()["next_cursor"]
    assert_invalid(get_events(api, cursor=cursor), "cursor")


def test_an_unknown_link_has_no_events(api: Api) -> None:
    assert_problem(get_events(api, f"/payment-links/{UNKNOWN_LINK_ID}"), 404, "link_not_found")
    assert_problem(get_events(api, "/payment-links/x"), 404, "link_not_found")


def test_an_organization_id_that_breaks_its_rule_is_named(api: Api) -> None:
    assert_invalid(get_events(api, "/orgs/a b"), "org_id")


def test_the_log_of_a_slower_clock_keeps_its_order(api: Api) -> None:
    """Processes use the time of Redis, which they may know some milliseconds late."""
    link = api.create()
    log(api, link)
    api.clock.advance(milliseconds=-1)
    log(api, link, EventType.REVOKED)
    assert types(of_org(api)["events"]) == ["revoked", "updated", "created"]
    assert read(RedisClient(api.redis), link["id"]).created_at == api.now + MILLISECOND
