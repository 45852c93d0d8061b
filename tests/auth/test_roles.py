"""Who may do what: every principal at every endpoint, with the exact answer."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

import httpx
import pytest
from litestar.routes import HTTPRoute

from config.settings import load
from service.app import create_app
from service.auth.tokens import Admin, Role
from tests.support.api import JANE, JOHN, PROBLEM, SECRET, Api, Headers, assert_problem, bearer


def expired_admin(api: Api) -> Headers:
    return api.admin_headers(Admin("root", Role.INTERNAL_ADMIN), lifetime=timedelta(seconds=-1))


def expired_customer(api: Api) -> Headers:
    api.clock.advance(hours=-25)
    headers = api.customer()
    api.clock.advance(hours=25)
    return headers


PRINCIPALS: dict[str, Callable[[Api], Headers]] = {
    "public": lambda _: {},
    "customer": lambda api: api.customer(JANE),
    "other customer": lambda api: api.customer(JOHN),
    "org-admin": lambda api: api.org("acme"),
    "other org-admin": lambda api: api.org("globex"),
    "internal-admin": Api.internal,
    "expired admin": expired_admin,
    "expired customer": expired_customer,
    "garbage": lambda _: bearer("not.a.token"),
    "other scheme": lambda _: {"Authorization": "Basic YWRhOnB3"},
}


class Answer(NamedTuple):
    """A status, and the ``code`` of the problem if it is one."""

    status: int
    code: str | None = None


NOBODY, UNBELIEVED, FORBIDDEN = (
    Answer(401, "token_required"),
    Answer(401, "token_invalid"),
    Answer(403, "forbidden"),
)


def for_all(answer: Answer, **others: Answer) -> dict[str, Answer]:
    """``answer`` for every principal but ``others``."""
    return dict.fromkeys(PRINCIPALS, answer) | {
        name.replace("_", "-"): other for name, other in others.items()
    }


def for_admins(
    answer: Answer, other_org: Answer = FORBIDDEN, own_org: Answer | None = None
) -> dict[str, Answer]:
    """``answer`` for admins; everybody else is refused."""
    return for_all(UNBELIEVED) | {
        "public": NOBODY,
        "org-admin": own_org or answer,
        "other org-admin": other_org,
        "internal-admin": answer,
    }


def for_readers_of_a_gated_link(answer: Answer) -> dict[str, Answer]:
    """``answer`` for the link's customer and its organization's admins."""
    return for_all(answer) | {
        "public": Answer(401, "otp_required"),
        "other customer": FORBIDDEN,
        "other org-admin": FORBIDDEN,
        "expired admin": UNBELIEVED,
        "expired customer": UNBELIEVED,
        "garbage": UNBELIEVED,
        "other scheme": UNBELIEVED,
    }


class Endpoint(NamedTuple):
    """A request, and the answer to each principal, with a direct and a gated link of acme to Jane.

    ``path`` is the route's template. ``{link_id}`` in it and in ``body`` is replaced by the id.
    """

    method: str
    path: str
    answers: dict[str, Answer]
    body: dict[str, Any] | None = None
    gated: bool = False

    def request(
        self, api: Api, direct: dict[str, Any], gated: dict[str, Any], headers: Headers
    ) -> httpx.Response:
        link_id = (gated if self.gated else direct)["id"]
        path = self.path.format(
            link_id=link_id,
            org_id="acme",
            payment_id="ch_1",
            name=ASSETS.get(self.path.split("/")[1], ""),
        )
        json = self.body and {
            name: link_id if value == "{link_id}" else value for name, value in self.body.items()
        }
        return api.client.request(
            self.method, path, json=json, headers={"Accept": "application/json"} | headers
        )


OK = Answer(200)
ASSETS = {"assets": "home.css", "pay": "pay.js", "schema": "reference.js", "console": "console.js"}
READERS, NEW, LINK = (
    for_readers_of_a_gated_link(OK),
    {"email": JANE, "org_id": "acme"},
    {"link_id": "{link_id}"},
)
ENDPOINTS = {
    "create": Endpoint("POST", "/payment-links", for_admins(Answer(201)), NEW),
    "read": Endpoint("GET", "/payment-links/{link_id}", for_all(OK)),
    "read gated": Endpoint("GET", "/payment-links/{link_id}", READERS, gated=True),
    "pay": Endpoint("GET", "/pay/{link_id}", for_all(OK)),
    "pay gated": Endpoint("GET", "/pay/{link_id}", READERS, gated=True),
    "verify": Endpoint("POST", "/payment-links/verify", for_all(OK), LINK),
    "verify gated": Endpoint("POST", "/payment-links/verify", for_all(OK), LINK, gated=True),
    "change": Endpoint(
        "PATCH", "/payment-links/{link_id}", for_admins(OK), {"description": "Cleaning"}
    ),
    "change gated": Endpoint(
        "PATCH",
        "/payment-links/{link_id}",
        for_admins(OK),
        {"description": "Cleaning"},
        gated=True,
    ),
    "revoke": Endpoint("DELETE", "/payment-links/{link_id}", for_admins(OK)),
    "revoke gated": Endpoint("DELETE", "/payment-links/{link_id}", for_admins(OK), gated=True),
    "revoke with the recipient's": Endpoint(
        "DELETE", "/payment-links/{link_id}", for_admins(OK), {"email": JANE}
    ),
    "revoke by e-mail": Endpoint(
        "DELETE", "/payment-links", for_admins(OK, other_org=OK), {"email": JANE}
    ),
    "list": Endpoint("GET", "/orgs/{org_id}/payment-links", for_admins(OK)),
    "events": Endpoint("GET", "/payment-links/{link_id}/events", for_admins(OK)),
    "events of all": Endpoint("GET", "/orgs/{org_id}/events", for_admins(OK)),
    "dispatch": Endpoint("POST", "/payment-links/scheduled", for_admins(OK, own_org=FORBIDDEN), {}),
    "resend": Endpoint(
        "POST", "/payment-links/{link_id}/resend", for_admins(Answer(409, "mail_pending"))
    ),
    "resend gated": Endpoint(
        "POST",
        "/payment-links/{link_id}/resend",
        for_admins(Answer(409, "mail_pending")),
        gated=True,
    ),
    "resend failed": Endpoint("POST", "/orgs/{org_id}/resend-failed", for_admins(Answer(202)), {}),
    "record payment": Endpoint(
        "POST",
        "/payment-links/{link_id}/payments",
        for_admins(Answer(201)),
        {"payment_id": "ch_1", "amount": 10},
    ),
    "void payment": Endpoint(
        "DELETE",
        "/payment-links/{link_id}/payments/{payment_id}",
        for_admins(Answer(404, "payment_not_found")),
    ),
    "send otp": Endpoint("POST", "/payment-links/otp", for_all(Answer(202)), {"email": JANE}),
    "submit otp": Endpoint(
        "PUT",
        "/payment-links/otp",
        for_all(Answer(401, "otp_invalid")),
        {"email": JANE, "otp": "123456"},
    ),
    "qr": Endpoint("GET", "/payment-links/{link_id}/qr", for_all(OK), gated=True),
    "page code": Endpoint("POST", "/pay/{link_id}/code", for_all(OK), gated=True),
    "page token": Endpoint("POST", "/pay/{link_id}/token", for_all(OK), gated=True),
    "page code anew": Endpoint("GET", "/pay/{link_id}/code", for_all(OK)),
    "page token anew": Endpoint("GET", "/pay/{link_id}/token", for_all(OK)),
    "checkout": Endpoint("GET", "/pay/{link_id}/checkout", for_all(OK)),
    "page reminders": Endpoint("GET", "/pay/{link_id}/reminders", for_all(OK), gated=True),
    "stop reminders": Endpoint("POST", "/pay/{link_id}/reminders", for_all(OK), gated=True),
    "page logo": Endpoint("GET", "/pay/{link_id}/logo", for_all(Answer(404, "not_found"))),
    "page asset": Endpoint("GET", "/pay/assets/{name}", for_all(OK)),
    "profile": Endpoint("GET", "/orgs/{org_id}/profile", for_admins(OK)),
    "present": Endpoint("PUT", "/orgs/{org_id}/profile", for_admins(OK), {"display_name": "Acme"}),
    "sample mail": Endpoint(
        "POST", "/orgs/{org_id}/profile/test", for_admins(Answer(422, "validation_failed"))
    ),
    "organizations": Endpoint("GET", "/orgs", for_admins(OK, own_org=FORBIDDEN)),
    "outbox": Endpoint("GET", "/outbox", for_admins(OK, own_org=FORBIDDEN)),
    "console": Endpoint("GET", "/console", for_all(OK)),
    "console preview": Endpoint("GET", "/console/preview", for_all(OK)),
    "preview of a profile": Endpoint(
        "POST", "/console/preview/{org_id}", for_admins(OK), {"display_name": "Acme"}
    ),
    "console asset": Endpoint("GET", "/console/assets/{name}", for_all(OK)),
    "home": Endpoint("GET", "/", for_all(OK)),
    "home asset": Endpoint("GET", "/assets/{name}", for_all(OK)),
    "icon": Endpoint("GET", "/favicon.svg", for_all(OK)),
    "icon of no page": Endpoint("GET", "/favicon.ico", for_all(OK)),
    "robots": Endpoint("GET", "/robots.txt", for_all(OK)),
    "healthz": Endpoint("GET", "/healthz", for_all(OK)),
    "readyz": Endpoint("GET", "/readyz", for_all(OK)),
    "schema": Endpoint("GET", "/schema", for_all(OK)),
    "openapi": Endpoint("GET", "/schema/openapi.json", for_all(OK)),
    "asset": Endpoint("GET", "/schema/assets/{name}", for_all(OK)),
}
MATRIX = [
    pytest.param(endpoint, principal, endpoint.answers[principal], id=f"{name}-{principal}")
    for name, endpoint in ENDPOINTS.items()
    for principal in PRINCIPALS
]


def test_every_route_is_in_the_matrix() -> None:
    """Every route answers ``OPTIONS``, with its methods only."""
    app = create_app(load({"SECRET_KEY": SECRET, "REDIS_URL": "unix:///nobody"}))
    routes = [route for route in app.routes if isinstance(route, HTTPRoute)]
    assert len(routes) == len(app.routes)
    served = {
        (method, route.path_format)
        for route in routes
        for method in route.methods
        if method != "OPTIONS"
    } - {("GET", "/schema/{path}")}  # Litestar's own
    assert served == {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS.values()}


@pytest.mark.parametrize(("endpoint", "principal", "answer"), MATRIX)
def test_a_principal_may_do_what_its_role_allows(
    api: Api, endpoint: Endpoint, principal: str, answer: Answer
) -> None:
    direct, gated = api.create(), api.create(otp_required=True)
    response = endpoint.request(api, direct, gated, PRINCIPALS[principal](api))
    if answer.code is None:
        assert response.status_code == answer.status, response.text
    else:
        assert_problem(response, answer.status, answer.code)


@pytest.mark.parametrize("principal", PRINCIPALS)
def test_a_gated_link_is_verified_in_full_for_whoever_may_read_it(api: Api, principal: str) -> None:
    direct, gated = api.create(), api.create(otp_required=True)
    verified = (
        ENDPOINTS["verify gated"].request(api, direct, gated, PRINCIPALS[principal](api)).json()
    )
    assert (verified["link"]["email"] == JANE) == (READERS[principal] == OK)


@pytest.mark.parametrize("principal", ["public", "customer", "expired admin", "garbage"])
@pytest.mark.parametrize(
    "name",
    [
        "create",
        "read gated",
        "revoke",
        "resend",
        "resend failed",
        "record payment",
        "list",
        "dispatch",
    ],
)
def test_whoever_is_not_believed_is_told_how_to_prove_it(
    api: Api, name: str, principal: str
) -> None:
    direct, gated = api.create(), api.create(otp_required=True)
    response = ENDPOINTS[name].request(api, direct, gated, PRINCIPALS[principal](api))
    assert ("www-authenticate" in response.headers) == (response.status_code == 401)
    if response.status_code == 401:
        assert response.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("name", ["create", "revoke", "record payment", "list", "dispatch"])
def test_a_refused_request_changes_nothing(api: Api, name: str) -> None:
    direct, gated = api.create(), api.create(otp_required=True)
    before = api.list().json()
    for principal in set(PRINCIPALS) - {"org-admin", "internal-admin"}:
        ENDPOINTS[name].request(api, direct, gated, PRINCIPALS[principal](api))
    assert api.list().json() == before


def test_a_refused_profile_changes_nothing(api: Api) -> None:
    for principal in set(PRINCIPALS) - {"org-admin", "internal-admin"}:
        api.put_profile(PRINCIPALS[principal](api), display_name="Eve")
    assert api.get_profile().json()["display_name"] is None


def test_an_org_admin_creates_for_its_own_organization_only(api: Api) -> None:
    assert_problem(api.post_link(api.org("acme"), org_id="globex"), 403, "forbidden")


def test_an_internal_admin_creates_for_every_organization(api: Api) -> None:
    assert [
        api.post_link(api.internal(), org_id=org_id).status_code for org_id in ("acme", "globex")
    ] == [201, 201]


def test_an_org_id_is_compared_in_its_case(api: Api) -> None:
    assert_problem(api.post_link(api.org("acme"), org_id="Acme"), 403, "forbidden")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/payment-links"),
        ("DELETE", "/payment-links"),
        ("DELETE", "/payment-links/x"),
        ("POST", "/payment-links/x/resend"),
        ("POST", "/payment-links/x/payments"),
        ("POST", "/orgs/acme/resend-failed"),
        ("POST", "/orgs/acme/profile/test"),
        ("POST", "/payment-links/scheduled"),
    ],
)
def test_strangers_are_refused_before_their_body_is_read(api: Api, method: str, path: str) -> None:
    response = api.client.request(
        method, path, content=b"{", headers={"Content-Type": "text/plain"}
    )
    assert_problem(response, 401, "token_required")


def test_a_problem_is_of_one_media_type(api: Api) -> None:
    assert (
        api.list({"Authorization": "Bearer x", "Accept": "text/html"}).headers["content-type"]
        == PROBLEM
    )
