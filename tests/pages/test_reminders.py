"""The page that stops the reminders of a link, for customers and for their mail programs."""

from typing import Any

import pytest

from service.storage import keys
from tests.support.api import Api, all_at_once
from tests.support.factories import UNKNOWN_LINK_ID, read, snapshot
from tests.support.redis_client import RedisClient

ONE_CLICK: dict[str, Any] = {
    "content": "List-Unsubscribe=One-Click",
    "headers": {
        "Content-Type": "application/x-www-form-urlencoded",
        "Origin": "https://mail.example",
        "Sec-Fetch-Site": "cross-site",
    },
}


def path(link_id: str) -> str:
    return f"/pay/{link_id}/reminders"


def create(api: Api, **fields: Any) -> str:
    """The id of a link whose first reminder is due in a day."""
    fields = {"notify": False, "reminders": [{"after_send": "24h"}], **fields}
    link_id: str = api.create(**fields)["id"]
    assert reminders_owed(api) == 1
    return link_id


def reminders_owed(api: Api) -> int:
    return int(api.redis.zcard(keys.notices("d4")))


def events(api: Api) -> list[tuple[str, str]]:
    entries: Any = api.redis.xrange(keys.events("acme"))
    return [(entry["type"], entry["actor"]) for _, entry in entries]


def test_opening_it_changes_nothing_and_shows_a_button(api: Api) -> None:
    link_id = create(api)
    before = snapshot(RedisClient(api.redis))
    page = api.client.get(path(link_id))
    assert page.status_code == 200
    assert f'<form method="post" action="{path(link_id)}">' in page.text
    assert "This button stops all reminders of this payment." in page.text
    assert "We will not remind you" not in page.text
    assert snapshot(RedisClient(api.redis)) == before


@pytest.mark.parametrize("gated", [False, True], ids=["direct", "gated"])
def test_a_mail_program_stops_them_with_one_click_from_elsewhere(api: Api, *, gated: bool) -> None:
    link_id = create(api, otp_required=gated)
    page = api.client.post(path(link_id), **ONE_CLICK)
    assert page.status_code == 200
    assert "No more reminders" in page.text
    assert read(RedisClient(api.redis), link_id).reminders_stopped_at == api.now
    assert (reminders_owed(api), events(api)) == (0, [("reminders_stopped", "customer")])


def test_ten_clicks_at_once_are_one(api: Api) -> None:
    link_id = create(api)
    answers = all_at_once(*[lambda: api.client.post(path(link_id))] * 10)
    assert [answer.status_code for answer in answers] == [200] * 10
    assert len(events(api)) == 1
    assert "No more reminders" in api.client.get(path(link_id)).text


def test_the_page_of_a_gated_link_shows_nobody_whose_it_is(api: Api) -> None:
    api.put_profile(display_name="Acme Cleaning")
    link_id = create(api, otp_required=True)
    for page in (api.client.get(path(link_id)), api.client.post(path(link_id))):
        assert "Acme" not in page.text


@pytest.mark.parametrize("link_id", [UNKNOWN_LINK_ID, "x"])
def test_an_unknown_link_has_no_such_page(api: Api, link_id: str) -> None:
    assert api.client.get(path(link_id)).status_code == 404
    assert api.client.post(path(link_id)).status_code == 404


def test_it_speaks_the_customers_language(api: Api) -> None:
    link_id = create(api, locale="de")
    assert "Keine Erinnerungen mehr senden" in api.client.get(path(link_id)).text
