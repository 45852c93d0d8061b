"""PATCH /payment-links/{link_id}: a link is corrected after it was made."""

from typing import Any

import httpx
import pytest

from tests.links.patches import DAY, changed, events, in_an_hour, pay, settle
from tests.support.api import (
    JANE,
    JOHN,
    JSON,
    Api,
    assert_invalid,
    assert_problem,
    raw_payment_amount,
    stamp,
)
from tests.support.factories import UNKNOWN_LINK_ID, snapshot
from tests.support.redis_client import RedisClient

REMINDERS = [{"after_send": "24h"}, {"before_expiry": "24h"}]
MONEY = {"payment_amount": 10, "currency": "NGN"}


CHANGES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"description": "Office cleaning"}, {"description": "Office cleaning"}),
    ({"metadata": {"invoice": "8"}}, {"metadata": {"invoice": "8"}}),
    ({"locale": "pt-br"}, {"locale": "pt-BR"}),
    ({"reminders": REMINDERS}, {"reminders": REMINDERS}),
    ({"reminders": []}, {"reminders": []}),
    ({"email": "Ann@Example.com"}, {"email": "Ann@Example.com"}),
    ({"payment_amount": 20}, {"payment_amount": 20, "amount_due": 20}),
    ({"currency": "usd"}, {"currency": "USD"}),
    (
        {"payment_amount": 20.125, "currency": "KWD"},
        {"payment_amount": 20.125, "amount_due": 20.125, "currency": "KWD"},
    ),
    ({"otp_required": True}, {"otp_required": True}),
    ({"expires_at": "2027-06-01"}, {"expires_at": "2027-06-01T00:00:00.000Z"}),
    ({"description": None}, {"description": None}),
    ({"metadata": None}, {"metadata": {}}),
    ({"locale": None}, {"locale": None}),
    ({"payment_amount": None}, {"payment_amount": None, "amount_due": None}),
    ({"currency": None}, {"currency": None}),
]


@pytest.mark.parametrize(("body", "fields"), CHANGES, ids=[str(body) for body, _ in CHANGES])
def test_what_is_named_changes_and_nothing_else(
    api: Api, body: dict[str, Any], fields: dict[str, Any]
) -> None:
    link = api.create(
        **MONEY,
        description="Cleaning",
        metadata={"invoice": "7", "floor": "2"},
        locale="de",
        transaction_id="INV-7",
    )
    api.clock.advance(seconds=1)
    response = api.patch(link["id"], api.org(), **body)
    assert changed(response) == link | fields | {"version": 1}
    assert api.get(link["id"], api.internal()).json() == response.json()
    assert [(event["actor"], event["data"]) for event in events(api, link["id"])] == [
        ("ada", {"changed": list(body)})
    ]


@pytest.mark.parametrize(
    "body",
    [{}, {"description": "Cleaning", "payment_amount": 10.00, "scheduled_at": None}],
    ids=str,
)
@pytest.mark.parametrize("state", ["queued", "sent"])
def test_what_changes_nothing_is_no_change(api: Api, body: dict[str, Any], state: str) -> None:
    """So a repeated request succeeds, also once the link's mail is out."""
    link_id = api.create(**MONEY, description="Cleaning")["id"]
    if state == "sent":
        settle(api, link_id, state)
    before = snapshot(RedisClient(api.redis))
    assert changed(api.patch(link_id, **body))["version"] == 0
    assert snapshot(RedisClient(api.redis)) == before


def test_each_change_counts(api: Api) -> None:
    link_id = api.create()["id"]
    for version, description in enumerate(["one", "two", "two", "three"], start=1):
        found = changed(api.patch(link_id, description=description))["version"]
        assert found == (version if version < 3 else version - 1)


def test_an_amount_is_kept_digit_for_digit(api: Api) -> None:
    link_id = api.create(**MONEY)["id"]
    body = '{"payment_amount": 99999999999.90}'
    response = api.client.patch(
        f"/payment-links/{link_id}", content=body, headers=api.internal() | JSON
    )
    assert raw_payment_amount(response) == "99999999999.90"


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{"], ids=str)
def test_a_body_is_required(api: Api, body: bytes) -> None:
    response = api.client.patch(
        f"/payment-links/{api.create()['id']}", content=body, headers=api.internal() | JSON
    )
    assert response.status_code in {400, 422}


WRONG: list[tuple[dict[str, Any], set[str]]] = [
    ({"email": None}, {"email"}),
    ({"expires_at": None}, {"expires_at"}),
    ({"otp_required": None}, {"otp_required"}),
    ({"email": "jane", "locale": "tlh", "currency": "NG"}, {"email", "locale", "currency"}),
    ({"description": " ", "org_id": "globex"}, {"description", "org_id"}),
    ({"metadata": {"a": 1, "b": None}}, {"metadata[a]", "metadata[b]"}),
    ({"metadata": ["a"], "reminders": {}}, {"metadata", "reminders"}),
    ({"reminders": [{"after_send": 72}, {}]}, {"reminders[0].after_send"}),
    ({"reminders": [{"after_send": "1h", "before_expiry": "1h"}]}, {"reminders[0]"}),
    ({"payment_amount": 0}, {"payment_amount"}),
    ({"payment_amount": 10.5, "currency": "JPY"}, {"payment_amount"}),
    ({"payment_amount": 10.125}, {"payment_amount"}),
    ({"currency": "JPY"}, {"payment_amount"}),
    (
        {"expires_at": "2020-01-01", "scheduled_at": "2020-01-01"},
        {"expires_at", "scheduled_at"},
    ),
    ({"expires_at": "2099-01-01", "email": 5}, {"expires_at", "email"}),
]


@pytest.mark.parametrize(("body", "faults"), WRONG, ids=[str(body) for body, _ in WRONG])
def test_all_that_is_wrong_is_told_at_once(
    api: Api, body: dict[str, Any], faults: set[str]
) -> None:
    link_id = api.create(payment_amount=10.5, currency="NGN")["id"]
    before = snapshot(RedisClient(api.redis))
    problem = assert_problem(api.patch(link_id, **body), 422, "validation_failed")
    assert {error["field"] for error in problem["errors"]} == faults
    assert snapshot(RedisClient(api.redis)) == before


def test_a_link_that_may_be_paid_in_parts_keeps_an_amount(api: Api) -> None:
    link_id = api.create(**MONEY, accept_partial=True)["id"]
    assert_invalid(api.patch(link_id, payment_amount=None), "payment_amount")


def test_there_is_no_link_that_nobody_made(api: Api) -> None:
    assert_problem(api.patch(UNKNOWN_LINK_ID, description="x"), 404, "link_not_found")


class TestEnds:
    @pytest.mark.parametrize("end", ["revoked", "paid"])
    @pytest.mark.parametrize("body", [{"description": "x"}, {"payment_amount": 20}], ids=str)
    def test_a_link_that_was_revoked_or_paid_stays_as_it_is(
        self, api: Api, end: str, body: dict[str, Any]
    ) -> None:
        link_id = api.create(**MONEY)["id"]
        if end == "revoked":
            api.revoke(link_id)
        else:
            pay(api, link_id, 10)
        before = snapshot(RedisClient(api.redis))
        assert_problem(api.patch(link_id, **body), 409, "link_ended")
        assert snapshot(RedisClient(api.redis)) == before

    @pytest.mark.parametrize(
        "body", [{"payment_amount": 20}, {"currency": "USD"}, {"payment_amount": None}], ids=str
    )
    def test_what_a_link_asks_for_stays_once_a_part_is_paid(
        self, api: Api, body: dict[str, Any]
    ) -> None:
        link_id = api.create(**MONEY, accept_partial=True)["id"]
        pay(api, link_id, 4)
        assert_problem(api.patch(link_id, **body), 409, "link_paid")
        assert changed(api.patch(link_id, email=JOHN))["amount_due"] == 6

    def test_a_voided_payment_is_none(self, api: Api) -> None:
        link_id = api.create(**MONEY, accept_partial=True)["id"]
        pay(api, link_id, 4)
        api.client.delete(f"/payment-links/{link_id}/payments/ch_4", headers=api.internal())
        assert changed(api.patch(link_id, payment_amount=20))["amount_due"] == 20

    @pytest.mark.parametrize("body", [case for case, _ in CHANGES[:6]], ids=str)
    def test_an_expired_link_can_be_corrected(self, api: Api, body: dict[str, Any]) -> None:
        link_id = api.create()["id"]
        api.clock.advance(hours=72)
        found = changed(api.patch(link_id, **body))
        assert (found["status"], found["version"]) == ("expired", 1)

    def test_a_later_end_makes_an_expired_link_active_again(self, api: Api) -> None:
        link_id = api.create()["id"]
        api.clock.advance(hours=72)
        until = stamp(api.now + DAY)
        found = changed(api.patch(link_id, expires_at=until))
        assert (found["status"], found["expires_at"]) == ("active", until)
        counts = {"active": 1, "expired": 0, "revoked": 0, "paid": 0}
        listed = api.list(status="active").json()
        assert (listed["counts"], [link["id"] for link in listed["links"]]) == (counts, [link_id])
        assert api.list(status="expired").json()["links"] == []
        assert api.verify(link_id).json()["valid"] is True
        assert api.revoke(email=JANE).json()["links"] == [link_id]

    def test_an_earlier_end_is_that_of_all_lists(self, api: Api) -> None:
        link_id = api.create()["id"]
        changed(api.patch(link_id, expires_at=in_an_hour(api)))
        api.clock.advance(hours=1)
        assert api.get(link_id).json()["status"] == "expired"
        assert api.list().json()["counts"]["expired"] == 1
        assert api.revoke(email=JANE).json()["links"] == []


MAIL_BODIES: list[dict[str, Any]] = [
    {"email": JOHN},
    {"payment_amount": 20},
    {"currency": "USD"},
    {"otp_required": True},
    {"scheduled_at": "in an hour"},
]


class TestWhatAMailTells:
    @staticmethod
    def patch(api: Api, link_id: str, body: dict[str, Any]) -> httpx.Response:
        if "scheduled_at" in body:
            body = {"scheduled_at": in_an_hour(api)}
        return api.patch(link_id, **body)

    @pytest.mark.parametrize("body", MAIL_BODIES, ids=str)
    def test_it_stays_once_the_mail_is_out(self, api: Api, body: dict[str, Any]) -> None:
        link_id = api.create(**MONEY)["id"]
        settle(api, link_id, "sent")
        problem = assert_problem(self.patch(api, link_id, body), 409, "link_sent")
        assert "on_conflict: supersede" in problem["detail"]

    @pytest.mark.parametrize("body", MAIL_BODIES, ids=str)
    def test_it_stays_while_the_mail_is_sent_again(self, api: Api, body: dict[str, Any]) -> None:
        link_id = api.create(**MONEY)["id"]
        settle(api, link_id, "sent")
        api.client.post(f"/payment-links/{link_id}/resend", headers=api.internal())
        assert_problem(self.patch(api, link_id, body), 409, "link_sent")

    @pytest.mark.parametrize("body", MAIL_BODIES, ids=str)
    @pytest.mark.parametrize("made", [{}, {"notify": False}, "failed"], ids=str)
    def test_it_changes_while_no_mail_is_out(
        self, api: Api, body: dict[str, Any], made: Any
    ) -> None:
        link_id = api.create(**MONEY, **({} if made == "failed" else made))["id"]
        if made == "failed":
            settle(api, link_id, "failed")
        assert changed(self.patch(api, link_id, body))["version"] == 1

    @pytest.mark.parametrize("body", [case for case, _ in CHANGES[:5]], ids=str)
    def test_all_else_changes_though_the_mail_is_out(self, api: Api, body: dict[str, Any]) -> None:
        link_id = api.create(**MONEY)["id"]
        settle(api, link_id, "sent")
        assert changed(api.patch(link_id, **body))["version"] == 1

    def test_without_reminders_of_its_own_a_link_whose_mail_is_out_has_none(self, api: Api) -> None:
        api.put_profile(reminders=REMINDERS)
        before, after = (api.create(reminders=REMINDERS)["id"] for _ in range(2))
        settle(api, after, "sent")
        assert changed(api.patch(before, reminders=None))["reminders"] is None
        assert changed(api.patch(after, reminders=None))["reminders"] == []


class TestEmail:
    def test_the_new_recipient_owns_the_link(self, api: Api) -> None:
        link_id = api.create(otp_required=True)["id"]
        changed(api.patch(link_id, email="John@Example.com"))
        assert_problem(api.get(link_id, api.customer(JANE)), 403, "forbidden")
        assert api.get(link_id, api.customer(JOHN)).status_code == 200
        assert api.revoke(email=JANE).json()["links"] == []
        assert api.revoke(email=JOHN).json()["links"] == [link_id]

    def test_another_spelling_is_a_change_but_no_other_recipient(self, api: Api) -> None:
        link_id = api.create()["id"]
        assert changed(api.patch(link_id, email="JANE@example.com"))["email"] == "JANE@example.com"
        assert api.revoke(email=JANE).json()["links"] == [link_id]

    def test_no_event_names_an_address(self, api: Api) -> None:
        link_id = api.create()["id"]
        changed(api.patch(link_id, email=JOHN))
        assert "@" not in str(events(api, link_id))
