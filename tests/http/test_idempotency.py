"""Every request with an admin's token that may be repeated takes an ``Idempotency-Key``."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

import httpx
import pytest
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from config.settings import load
from service.app import create_app
from service.auth.guards import require_admin, require_internal_admin
from service.auth.tokens import Admin, Role
from service.http.problems import READ_ONLY_OPT
from service.storage import keys
from service.storage.idempotency import IDEMPOTENCY_TTL
from service.values.ids import partition_of
from tests.support.api import (
    JANE,
    JOHN,
    SECRET,
    Api,
    MakeApi,
    all_at_once,
    assert_invalid,
    assert_problem,
    stamp,
)


class Post(NamedTuple):
    """A request, its success, and another for the same route."""

    path: str
    body: dict[str, Any]
    other: dict[str, Any]
    status: int
    repeated: int | None = None
    """The status of its repetition, if it is another."""
    prepare: Callable[[Api, str], object] | None = None
    """Makes happen to the link what must have happened before."""


def have_sent(api: Api, link_id: str) -> None:
    """The link's mail is out."""
    key, partition = keys.link(link_id), keys.partition_of_link(link_id)
    api.redis.hset(key, mapping={"state": "sent", "sent": stamp(api.now)})
    api.redis.zrem(keys.outbox(partition), keys.local_id(link_id))


def have_reply_to(api: Api, _: str) -> None:
    api.put_profile(reply_to="help@acme.example")


POSTS = {
    "/payment-links": Post(
        "/payment-links",
        {"email": JANE, "org_id": "acme"},
        {"email": JOHN, "org_id": "acme"},
        201,
    ),
    "/payment-links/{link_id:str}/resend": Post(
        "/payment-links/{link_id}/resend", {}, {}, 202, prepare=have_sent
    ),
    "/payment-links/{link_id:str}/payments": Post(
        "/payment-links/{link_id}/payments",
        {"payment_id": "pay-1", "amount": 10},
        {"payment_id": "pay-2", "amount": 10},
        201,
        200,
    ),
    "/orgs/{org_id:str}/resend-failed": Post(
        "/orgs/acme/resend-failed", {}, {"since": "2026-12-01"}, 202
    ),
    "/orgs/{org_id:str}/profile/test": Post(
        "/orgs/acme/profile/test", {}, {}, 202, prepare=have_reply_to
    ),
    "/payment-links/scheduled": Post("/payment-links/scheduled", {}, {"period": 48}, 200),
}
CASES = pytest.mark.parametrize("post", POSTS.values(), ids=POSTS)


def send(
    api: Api, post: Post, link_id: str, key: str | None = "order-42", *, other: bool = False
) -> httpx.Response:
    headers = api.internal() | ({"Idempotency-Key": key} if key else {})
    body = post.other if other else post.body
    return api.client.post(post.path.format(link_id=link_id), json=body, headers=headers)


def prepare(api: Api, post: Post) -> str:
    """A link for the request."""
    link_id: str = api.create(payment_amount=10, currency="USD")["id"]
    if post.prepare:
        post.prepare(api, link_id)
    return link_id


def is_replayed(response: httpx.Response) -> bool:
    return "idempotency-replayed" in response.headers


def handlers() -> dict[str, HTTPRouteHandler]:
    """The handlers of all routes that POST, need an admin's token, and change something."""
    app = create_app(load({"SECRET_KEY": SECRET, "REDIS_URL": "unix:///nobody"}))
    return {
        route.path: handler
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        if "POST" in handler.http_methods
        and READ_ONLY_OPT not in handler.opt
        and handler.resolve_before_request() in {require_admin, require_internal_admin}
    }


def test_every_authenticated_post_takes_a_key() -> None:
    found = handlers()
    assert set(found) == set(POSTS)
    assert [
        path
        for path, handler in found.items()
        if "idempotency_key" not in handler.parsed_fn_signature.parameters
    ] == []


@CASES
def test_a_repeated_request_says_so_and_answers_as_before(api: Api, post: Post) -> None:
    link_id = prepare(api, post)
    first = send(api, post, link_id)
    api.clock.advance(seconds=7)
    again = send(api, post, link_id)
    assert first.status_code == post.status
    assert again.status_code == (post.repeated or post.status)
    assert (is_replayed(first), is_replayed(again)) == (False, True)
    assert again.json() == first.json()


@CASES
def test_another_request_with_the_key_is_a_conflict(api: Api, post: Post) -> None:
    link_id = prepare(api, post)
    send(api, post, link_id)
    if post.other == post.body:
        if "{link_id}" not in post.path:
            pytest.skip("there is no other request on this route")
        link_id = prepare(api, post)
    assert_problem(send(api, post, link_id, other=True), 409, "idempotency_conflict")


@CASES
def test_without_a_key_a_request_is_never_repeated(api: Api, post: Post) -> None:
    link_id = prepare(api, post)
    assert not is_replayed(send(api, post, link_id, None))
    assert not is_replayed(send(api, post, link_id, None))


@CASES
def test_a_key_is_forgotten_after_24_hours(api: Api, post: Post) -> None:
    api.clock.advance(hours=-25)
    send(api, post, prepare(api, post))
    api.clock.advance(hours=25)
    again = send(api, post, prepare(api, post), other=True)
    assert (again.status_code, is_replayed(again)) == (post.status, False)


@CASES
def test_a_key_of_another_type_is_a_problem(api: Api, post: Post) -> None:
    link_id = prepare(api, post)
    send(api, post, link_id)
    [key] = [name for name in api.redis.scan_iter() if ":idempotency:" in name]
    api.redis.delete(key)
    api.redis.rpush(key, "boom")
    assert_problem(send(api, post, link_id), 500, "record_unreadable")


@CASES
def test_two_keys_are_refused(api: Api, post: Post) -> None:
    path = post.path.format(link_id=prepare(api, post))
    pairs = [*api.internal().items(), ("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    assert_invalid(api.client.post(path, json=post.body, headers=pairs), "Idempotency-Key")


@CASES
def test_of_twenty_requests_at_once_one_is_first(make_api: MakeApi, post: Post) -> None:
    processes = [make_api(), make_api()]
    link_id = prepare(processes[0], post)
    responses = all_at_once(
        *[lambda api=processes[number % 2]: send(api, post, link_id) for number in range(20)]
    )
    assert {response.status_code for response in responses} <= {post.status, post.repeated}
    assert [is_replayed(response) for response in responses].count(False) == 1


@pytest.mark.parametrize("post", POSTS.values(), ids=POSTS)
@pytest.mark.parametrize("first", POSTS.values(), ids=POSTS)
def test_a_key_of_one_route_is_a_conflict_on_another(api: Api, first: Post, post: Post) -> None:
    """But requests about all organizations have keys of their own."""
    send(api, first, prepare(api, first))
    again = send(api, post, prepare(api, post))
    whole = POSTS["/payment-links/scheduled"]
    if first is post and "link_id" not in post.path:
        assert is_replayed(again)
    elif (first is whole) is not (post is whole):
        assert (again.status_code, is_replayed(again)) == (post.status, False)
    else:
        assert_problem(again, 409, "idempotency_conflict")


def test_a_repeated_window_begins_when_the_first_one_did(api: Api) -> None:
    window = POSTS["/payment-links/scheduled"]
    first = send(api, window, "").json()
    api.create(scheduled_at=stamp(api.now + timedelta(minutes=30)))
    api.clock.advance(hours=1)
    again = send(api, window, "").json()
    assert (again["from"], again["to"]) == (first["from"], first["to"])
    assert (first["queued"], again["queued"]) == (0, 1)
    assert send(api, window, "").json()["queued"] == 0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"period": 24}, {}),
        ({"period": 24.0}, {"period": None, "scheduled_at": None}),
        ({"scheduled_at": "2026-12-01"}, {"scheduled_at": "2026-12-01T01:00:00.0004+01:00"}),
    ],
)
def test_the_same_window_in_other_words_is_the_same(
    api: Api, one: dict[str, Any], other: dict[str, Any]
) -> None:
    headers = api.internal() | {"Idempotency-Key": "order-42"}
    assert api.dispatch_window(headers, **one).status_code == 200
    assert is_replayed(api.dispatch_window(headers, **other))


def test_a_window_that_was_refused_leaves_its_key_free(api: Api) -> None:
    headers = api.internal() | {"Idempotency-Key": "order-42"}
    assert_invalid(api.dispatch_window(headers, period=0), "period")
    assert not is_replayed(api.dispatch_window(headers))


def test_a_key_of_no_organization_is_kept_for_24_hours_under_a_name_that_none_can_have(
    api: Api,
) -> None:
    api.dispatch_window(api.internal() | {"Idempotency-Key": "order-42"})
    [key] = [name for name in api.redis.scan_iter() if ":idempotency:" in name]
    assert key.startswith(f"pl:{{{partition_of('')}}}:idempotency::")
    assert api.redis.pexpiretime(key) == int((api.now + IDEMPOTENCY_TTL).timestamp() * 1000)


def test_admins_of_one_organization_share_its_keys(api: Api) -> None:
    first = api.post_link(api.org("acme") | {"Idempotency-Key": "order-42"})
    other = api.admin_headers(Admin("grace", Role.ORG_ADMIN, "acme"))
    again = api.post_link(other | {"Idempotency-Key": "order-42"})
    assert (again.json(), is_replayed(again)) == (first.json(), True)
