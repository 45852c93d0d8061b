"""``delivery.error`` names the recipient: only admins of the link's organization see it."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from service.auth.tokens import Admin, Role
from service.links import mail_store
from tests.support.api import JANE, JOHN, Api, Headers, bearer
from tests.support.factories import RETENTION, read
from tests.support.redis_client import RedisClient

WORDS = f"550 5.1.1 <{JANE}> no such mailbox"
ADMINS: dict[str, Callable[[Api], Headers]] = {"org-admin": Api.org, "internal-admin": Api.internal}
OTHERS: dict[str, Callable[[Api], Headers]] = {
    "public": lambda _: {},
    "customer": Api.customer,
    "other customer": lambda api: api.customer(JOHN),
    "other org-admin": lambda api: api.org("globex"),
    "expired admin": lambda api: api.admin_headers(
        Admin("root", Role.INTERNAL_ADMIN), lifetime=-RETENTION
    ),
    "garbage": lambda _: bearer("not.a.token"),
    "other scheme": lambda _: {"Authorization": "Basic YWRhOnB3"},
}
VIEWS: dict[str, Callable[[Api, str, Headers], dict[str, Any]]] = {
    "read": lambda api, link_id, headers: api.get(link_id, headers).json(),
    "verify": lambda api, link_id, headers: api.verify(link_id, headers).json()["link"],
    "pay": lambda api, link_id, headers: api.client.get(
        f"/pay/{link_id}", headers=headers | {"Accept": "application/json"}
    ).json(),
}


def failed(api: Api, **fields: Any) -> str:
    """The id of a link whose mail was refused."""
    link_id: str = api.create(**fields)["id"]
    client = RedisClient(api.redis)
    client.run(
        mail_store.mark_failed(
            read(client, link_id),
            error=WORDS,
            counts_as_attempt=True,
            now=api.now,
            retention=RETENTION,
        )
    )
    return link_id


@pytest.mark.parametrize("gated", [False, True], ids=["direct", "gated"])
@pytest.mark.parametrize("who", ADMINS)
@pytest.mark.parametrize("view", VIEWS)
def test_admins_see_why_a_mail_failed(api: Api, view: str, who: str, *, gated: bool) -> None:
    link = VIEWS[view](api, failed(api, otp_required=gated), ADMINS[who](api))
    assert link["delivery"]["error"] == WORDS


@pytest.mark.parametrize("who", OTHERS)
@pytest.mark.parametrize("view", VIEWS)
def test_a_public_link_stays_open_to_others_without_it(api: Api, view: str, who: str) -> None:
    link = VIEWS[view](api, failed(api), OTHERS[who](api))
    assert link["delivery"] == {"state": "failed", "attempts": 1, "sends": 1, "sent_at": None}


@pytest.mark.parametrize("view", VIEWS)
def test_the_customer_of_a_gated_link_does_not_see_it(api: Api, view: str) -> None:
    assert (
        "error" not in VIEWS[view](api, failed(api, otp_required=True), api.customer())["delivery"]
    )


def test_create_and_lists_show_it(api: Api) -> None:
    assert api.create()["delivery"]["error"] is None
    failed(api)
    listed = api.list(api.org()).json()["links"]
    lines = api.list(api.org() | {"Accept": "application/x-ndjson"}).text.splitlines()
    for links in (listed, [msgspec.json.decode(line) for line in lines]):
        assert {link["delivery"]["error"] for link in links} == {None, WORDS}
