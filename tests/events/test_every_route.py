"""Every route that changes something leaves the events that the contract names, each once.

The table has an entry for each route of the application that may change something. Whatever has
none must be a ``GET``, and leave nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import httpx
import pytest
from litestar.routes import HTTPRoute

from config.settings import load
from service.app import create_app
from service.storage import keys
from tests.support.api import JANE, JOHN, SECRET, Api, Headers, MakeApi, all_at_once, stamp
from tests.support.event_logs import Logged, log_places, logged
from tests.support.page_client import BROWSER, CHECKOUT, Browser
from tests.support.secret_scan import find_secrets

CALLERS = 20
ADA, CUSTOMER = "ada", "customer"
_request_numbers = count(1)


@dataclass(frozen=True)
class Scene:
    """The link that a request is about, another one of its organization, and what is secret."""

    api: Api
    link: dict[str, Any]
    other: dict[str, Any]
    code: str = ""
    headers: Headers | None = None
    """Of a customer's browser; None: an admin makes the request."""

    def path(self, template: str) -> str:
        return template.format(link_id=self.link["id"], org_id="acme", payment_id="pay-1")


@dataclass(frozen=True)
class Route:
    """A request, and the events that it leaves: the type, and whose it is."""

    method: str
    path: str
    events: tuple[tuple[str, str], ...] = ()
    body: dict[str, Any] | None = None
    actor: str = ADA
    link: dict[str, Any] = field(default_factory=dict)
    """Fields of the link."""
    prepare: Callable[[Scene], Scene] = lambda scene: scene
    """What happens before; its events do not count."""
    form: Callable[[Scene], dict[str, str]] | None = None
    is_new_each_time: bool = False
    """Whether only an idempotency key makes a repetition of it the same request."""

    @property
    def key(self) -> Headers:
        return {"Idempotency-Key": "order-42"} if self.is_new_each_time else {}

    def send(
        self, scene: Scene, api: Api | None = None, headers: Headers | None = None
    ) -> httpx.Response:
        """The request, with an id of its own."""
        api, sent = api or scene.api, f"request-{next(_request_numbers)}"
        admin = api.internal() if self.path == "/payment-links/scheduled" else api.org()
        response = api.client.request(
            self.method,
            scene.path(self.path),
            json=self.body,
            data=self.form(scene) if self.form else None,
            headers=(scene.headers or admin) | {"X-Request-ID": sent} | (headers or {}),
            follow_redirects=False,
        )
        api.client.cookies.clear()
        assert response.headers["x-request-id"] == sent
        return response


def sent(scene: Scene) -> Scene:
    """The link's mail is out."""
    _set_state(scene, "sent")
    return scene


def failed(scene: Scene) -> Scene:
    """The mails of both links were given up."""
    _set_state(scene, "failed")
    _set_state(replace(scene, link=scene.other), "failed")
    return scene


def _set_state(scene: Scene, state: str) -> None:
    key, partition = keys.link(scene.link["id"]), keys.partition_of_link(scene.link["id"])
    now = stamp(scene.api.now)
    name, value = ("sent", now) if state == "sent" else ("error", "550")
    scene.api.redis.hset(key, mapping={"state": state, name: value})
    local_id = keys.local_id(scene.link["id"])
    scene.api.redis.zrem(keys.outbox(partition), local_id)
    if state == "failed":
        milliseconds = int(scene.api.now.timestamp() * 1000)
        scene.api.redis.zadd(keys.failed(partition), {local_id: milliseconds})


def with_a_profile(scene: Scene) -> Scene:
    """The organization has an address for answers."""
    scene.api.put_profile(reply_to="help@acme.example")
    return scene


def paid(scene: Scene) -> Scene:
    """The link has a payment."""
    response = scene.api.client.post(
        scene.path("/payment-links/{link_id}/payments"),
        json={"payment_id": "pay-1"},
        headers=scene.api.org(),
    )
    assert response.status_code == 201, response.text
    return scene


def expired(scene: Scene) -> Scene:
    scene.api.clock.advance(hours=73)
    return scene


def asked_for_a_code(scene: Scene) -> Scene:
    """A customer asked for a code on the link's page."""
    browser = Browser(scene.api, scene.link)
    browser.ask()
    cookies = "; ".join(f"{name}={value}" for name, (value, _) in browser.cookies.items())
    return replace(scene, code=scene.api.code(), headers=BROWSER | {"Cookie": cookies})


def in_a_browser(scene: Scene) -> Scene:
    return replace(scene, headers=dict(BROWSER))


PAYMENTS = "/payment-links/{link_id}/payments"
PAY = {"payment_id": "pay-1"}
ROUTES = {
    "create": Route("POST", "/payment-links", body={"email": JANE, "org_id": "acme"}),
    "supersede": Route(
        "POST",
        "/payment-links",
        (("superseded", "link"), ("superseded", "other")),
        {
            "email": JANE,
            "org_id": "acme",
            "transaction_id": "order-1",
            "on_conflict": "supersede",
        },
        link={"transaction_id": "order-1"},
        is_new_each_time=True,
    ),
    "create where there is another": Route(
        "POST",
        "/payment-links",
        body={
            "email": JANE,
            "org_id": "acme",
            "transaction_id": "order-1",
            "on_conflict": "error",
        },
        link={"transaction_id": "order-1"},
    ),
    "change": Route(
        "PATCH",
        "/payment-links/{link_id}",
        (("updated", "link"),),
        {"email": JOHN, "payment_amount": 126, "description": "Office cleaning"},
    ),
    "change a paid link": Route(
        "PATCH", "/payment-links/{link_id}", body={"description": "x"}, prepare=paid
    ),
    "revoke": Route("DELETE", "/payment-links/{link_id}", (("revoked", "link"),)),
    "revoke an expired link": Route("DELETE", "/payment-links/{link_id}", prepare=expired),
    "revoke a recipient's": Route(
        "DELETE", "/payment-links", (("revoked", "link"), ("revoked", "other")), {"email": JANE}
    ),
    "revoke a link and a recipient's": Route(
        "DELETE",
        "/payment-links/{link_id}",
        (("revoked", "link"), ("revoked", "other")),
        {"email": JANE},
    ),
    "resend": Route("POST", "/payment-links/{link_id}/resend", (("resent", "link"),), prepare=sent),
    "resend all": Route(
        "POST",
        "/orgs/{org_id}/resend-failed",
        (("resent", "link"), ("resent", "other")),
        prepare=failed,
    ),
    "send a window": Route("POST", "/payment-links/scheduled", body={}),
    "pay": Route("POST", PAYMENTS, (("payment_recorded", "link"), ("paid", "link")), PAY),
    "pay in part": Route(
        "POST",
        PAYMENTS,
        (("payment_recorded", "link"),),
        PAY | {"amount": 1},
        link={"accept_partial": True},
    ),
    "pay late": Route(
        "POST", PAYMENTS, (("payment_recorded", "link"), ("paid", "link")), PAY, prepare=expired
    ),
    "pay twice": Route(
        "POST",
        PAYMENTS,
        (("payment_recorded", "link"), ("duplicate_payment", "link")),
        {"payment_id": "pay-2", "amount": 125},
        prepare=paid,
    ),
    "void": Route(
        "DELETE", PAYMENTS + "/{payment_id}", (("payment_voided", "link"),), prepare=paid
    ),
    "checkout": Route(
        "GET",
        "/pay/{link_id}/checkout",
        (("checkout_started", "link"),),
        actor=CUSTOMER,
        prepare=in_a_browser,
    ),
    "page code": Route(
        "POST",
        "/pay/{link_id}/code",
        actor=CUSTOMER,
        link={"otp_required": True},
        prepare=in_a_browser,
    ),
    "page token": Route(
        "POST",
        "/pay/{link_id}/token",
        (("code_verified", "link"),),
        actor=CUSTOMER,
        link={"otp_required": True},
        prepare=asked_for_a_code,
        form=lambda scene: {"otp": scene.code},
    ),
    "stop reminders": Route(
        "POST",
        "/pay/{link_id}/reminders",
        (("reminders_stopped", "link"),),
        actor=CUSTOMER,
        prepare=in_a_browser,
    ),
    "verify": Route("POST", "/payment-links/verify", body={"link_id": "x"}),
    "send otp": Route("POST", "/payment-links/otp", body={"email": JANE}),
    "submit otp": Route("PUT", "/payment-links/otp", body={"email": JANE, "otp": "123456"}),
    "preview": Route("POST", "/console/preview/{org_id}", body={"display_name": "Acme"}),
    "send a sample": Route("POST", "/orgs/{org_id}/profile/test", body={}, prepare=with_a_profile),
    "present": Route("PUT", "/orgs/{org_id}/profile", body={"display_name": "Acme"}),
}
CASES = pytest.mark.parametrize("route", ROUTES.values(), ids=ROUTES)


@pytest.fixture
def api(make_api: MakeApi) -> Api:
    return make_api(CHECKOUT_URL=CHECKOUT)


def set_up(api: Api, route: Route) -> tuple[Scene, set[Logged]]:
    """Two links of acme to Jane, and what was logged of them already."""
    fields = {"payment_amount": 125, "currency": "USD"} | route.link
    scene = route.prepare(Scene(api, api.create(**fields), api.create(**fields)))
    return scene, set(map(_hashable, logged(api.redis)))


def new_events(scene: Scene, before: set[Any]) -> list[Logged]:
    return [entry for entry in logged(scene.api.redis) if _hashable(entry) not in before]


def _hashable(entry: Logged) -> Any:
    return entry._replace(data=str(entry.data))


def named(scene: Scene, events: list[Logged]) -> list[tuple[str, str]]:
    """The type of each event, and whose it is; sorted, for links may be changed in any order."""
    names = {keys.local_id(scene.link["id"]): "link", keys.local_id(scene.other["id"]): "other"}
    return sorted((event.type, names.get(event.link, event.link)) for event in events)


def served_routes() -> set[tuple[str, str]]:
    """The method and path of each route; a path as the description writes it."""
    app = create_app(load({"SECRET_KEY": SECRET, "REDIS_URL": "unix:///nobody"}))
    return {
        (method, route.path_format)
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for method in route.methods
        if method not in {"OPTIONS", "HEAD"}
    }


READS = sorted(served_routes() - {(route.method, route.path) for route in ROUTES.values()})


def test_every_route_that_may_change_something_has_an_entry() -> None:
    assert [route for route in READS if route[0] != "GET"] == []
    assert {(route.method, route.path) for route in ROUTES.values()} <= served_routes()


@CASES
def test_a_request_leaves_its_events_with_its_actor_and_id(api: Api, route: Route) -> None:
    scene, before = set_up(api, route)
    response = route.send(scene)
    events = new_events(scene, before)
    assert named(scene, events) == sorted(route.events), response.text
    assert {event.actor for event in events} <= {route.actor}
    assert {event.request for event in events} <= {response.headers["x-request-id"]}


@CASES
def test_a_repeated_request_leaves_no_other_events(api: Api, route: Route) -> None:
    scene, before = set_up(api, route)
    first = route.send(scene, headers=route.key)
    route.send(scene, headers=route.key)
    events = new_events(scene, before)
    assert named(scene, events) == sorted(route.events)
    assert {event.request for event in events} <= {first.headers["x-request-id"]}


@CASES
def test_a_request_repeated_with_its_key_leaves_no_other_events(api: Api, route: Route) -> None:
    scene, before = set_up(api, route)
    for _ in range(3):
        route.send(scene, headers={"Idempotency-Key": "order-42"})
    assert named(scene, new_events(scene, before)) == sorted(route.events)


@CASES
def test_requests_at_once_leave_each_event_once(make_api: MakeApi, route: Route) -> None:
    processes = [make_api(CHECKOUT_URL=CHECKOUT), make_api(CHECKOUT_URL=CHECKOUT)]
    scene, before = set_up(processes[0], route)
    responses = all_at_once(
        *[
            lambda api=processes[number % 2]: route.send(scene, api, route.key)
            for number in range(CALLERS)
        ]
    )
    assert 500 not in {response.status_code for response in responses}
    events = new_events(scene, before)
    assert named(scene, events) == sorted(route.events)
    assert {event.request for event in events} <= {
        response.headers["x-request-id"] for response in responses
    }


@CASES
def test_no_event_names_the_recipient_a_code_or_a_token(api: Api, route: Route) -> None:
    scene, _ = set_up(api, route)
    response = route.send(scene)
    secrets = [JANE, JOHN, JANE.upper(), scene.code, api.org()["Authorization"].split()[1]]
    secrets += [value.partition(";")[0] for value in response.headers.get_list("set-cookie")]
    found = find_secrets([secret.encode() for secret in secrets if secret], log_places(api.redis))
    assert found == []


@CASES
def test_a_request_that_is_not_allowed_leaves_nothing(api: Api, route: Route) -> None:
    if route.actor != ADA or not route.events:
        pytest.skip("anyone may do it, or it leaves nothing")
    scene, before = set_up(api, route)
    for headers in (api.org("globex"), api.customer(), {"Authorization": ""}):
        response = route.send(scene, headers=headers)
        assert response.status_code in {200, 401, 403}
    assert new_events(scene, before) == []


@pytest.mark.parametrize(("method", "path"), READS, ids=" ".join)
def test_a_route_that_reads_leaves_nothing(api: Api, method: str, path: str) -> None:
    scene, before = set_up(api, ROUTES["pay"])
    template = path.replace("{name}", "x").replace("{path}", "x")
    for headers in (api.org(), BROWSER):
        response = api.client.request(
            method, scene.path(template), headers=headers, follow_redirects=False
        )
        assert response.status_code < 500
    assert new_events(scene, before) == []
