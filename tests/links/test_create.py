"""POST /payment-links."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from service.values.ids import partition_of
from tests.support.api import (
    JANE,
    PUBLIC_URL,
    Api,
    assert_invalid,
    assert_problem,
    stamp,
)


def test_a_minimal_link_has_every_field(api: Api) -> None:
    link = api.create()
    assert link == {
        "id": link["id"],
        "url": f"{PUBLIC_URL}/pay/{link['id']}",
        "org_id": "acme",
        "email": JANE,
        "transaction_id": None,
        "description": None,
        "payment_amount": None,
        "currency": None,
        "accept_partial": False,
        "amount_paid": 0,
        "amount_due": None,
        "status": "active",
        "otp_required": False,
        "locale": None,
        "scheduled_at": None,
        "created_at": stamp(api.now),
        "expires_at": stamp(api.now + timedelta(hours=72)),
        "revoked_at": None,
        "paid_at": None,
        "checkout_started_at": None,
        "supersedes": None,
        "superseded_by": None,
        "version": 0,
        "metadata": {},
        "payments": [],
        "reminders": None,
        "delivery": {"state": "queued", "attempts": 0, "sends": 1, "sent_at": None, "error": None},
    }


def test_a_full_link_comes_back_as_it_was_asked_for(api: Api) -> None:
    at, until = api.now + timedelta(days=1), api.now + timedelta(days=3)
    link = api.create(
        email="Jane.Doe@Example.com",
        org_id="a.B_c:9-z",
        transaction_id="order 42",
        payment_amount=12.34,
        currency="ngn",
        scheduled_at=stamp(at),
        expires_at=stamp(until),
        otp_required=True,
        notify=True,
        locale="pt-BR",
        description="Büroreinigung, November",
        metadata={"invoice": "7", "note": "a\nb"},
        accept_partial=True,
        reminders=[{"after_send": "24h"}, {"before_expiry": "90m", "after_send": None}],
    )
    assert link == {
        "id": link["id"],
        "url": f"{PUBLIC_URL}/pay/{link['id']}",
        "org_id": "a.B_c:9-z",
        "email": "Jane.Doe@Example.com",
        "transaction_id": "order 42",
        "description": "Büroreinigung, November",
        "payment_amount": 12.34,
        "currency": "NGN",
        "accept_partial": True,
        "amount_paid": 0,
        "amount_due": 12.34,
        "status": "active",
        "otp_required": True,
        "locale": "pt-BR",
        "scheduled_at": stamp(at),
        "created_at": stamp(api.now),
        "expires_at": stamp(until),
        "revoked_at": None,
        "paid_at": None,
        "checkout_started_at": None,
        "supersedes": None,
        "superseded_by": None,
        "version": 0,
        "metadata": {"invoice": "7", "note": "a\nb"},
        "payments": [],
        "reminders": [{"after_send": "24h"}, {"before_expiry": "90m"}],
        "delivery": {
            "state": "scheduled",
            "attempts": 0,
            "sends": 1,
            "sent_at": None,
            "error": None,
        },
    }


def test_the_answer_is_json(api: Api) -> None:
    assert api.post_link().headers["content-type"] == "application/json"


def test_the_id_names_the_organizations_partition_and_131_random_bits(api: Api) -> None:
    assert re.fullmatch(f"pl_{partition_of('acme')}[0-9A-Za-z]{{22}}", api.create()["id"])


def test_two_links_have_two_ids(api: Api) -> None:
    assert api.create()["id"] != api.create()["id"]


def test_location_leads_to_the_link(api: Api) -> None:
    response = api.post_link()
    assert response.headers["location"] == f"/payment-links/{response.json()['id']}"
    assert (
        api.client.get(response.headers["location"], headers=api.internal()).json()
        == response.json()
    )


@pytest.mark.parametrize(
    "email",
    [
        "Jane@Example.COM",
        "jane+tag@example.com",
        "o'brien@sub.example.co.uk",
        "jane@bücher.example",
        "jane@xn--bcher-kva.example",
        "a" * 64 + "@example.com",
        "jane@printer.local",
        "jane@shop.test",
        "jane@intranet",
    ],
    ids=[
        "capitals",
        "tag",
        "quote",
        "idn",
        "punycode",
        "longest mailbox",
        "local",
        "test",
        "single private domain",
    ],
)
def test_an_email_is_kept_as_sent(api: Api, email: str) -> None:
    assert api.create(email=email)["email"] == email


@pytest.mark.parametrize(
    "email",
    ["", "jäne@example.com", "jane@example.com\r\nBcc: john@example.com", 42, None],
    ids=["empty", "mailbox outside ascii", "header injection", "number", "null"],
)
def test_what_is_no_email_is_refused(api: Api, email: Any) -> None:
    assert_invalid(api.post_link(email=email), "email")


@pytest.mark.parametrize(
    "org_id",
    ["a", "a" * 64, "A.b_c:9-Z", "...", "0"],
    ids=["1", "64", "all kinds", "dots", "digit"],
)
def test_an_org_id_is_1_to_64_of_its_characters(api: Api, org_id: str) -> None:
    assert api.create(org_id=org_id)["org_id"] == org_id


@pytest.mark.parametrize(
    "org_id",
    ["", ".", "..", "a" * 65, "a b", "a/b", "a{b}", "a\n", "é", "a\u0000", 7, None],
    ids=[
        "empty",
        "dot",
        "two dots",
        "65",
        "space",
        "slash",
        "braces",
        "newline",
        "outside ascii",
        "nul",
        "number",
        "null",
    ],
)
def test_another_org_id_is_refused(api: Api, org_id: Any) -> None:
    assert_invalid(api.post_link(org_id=org_id), "org_id")


@pytest.mark.parametrize(
    "transaction_id",
    ["x", "x" * 128, "order 42/é☕", "ශ්‍රී ලංකා", "می‌خواهم", "👩‍🍳", "n°\u00a012", "田中\u3000太郎"],
    ids=[
        "1",
        "128",
        "outside ascii",
        "joiner",
        "non-joiner",
        "emoji sequence",
        "no-break space",
        "wide space",
    ],
)
def test_a_transaction_id_is_1_to_128_characters_of_one_line(api: Api, transaction_id: str) -> None:
    assert api.create(transaction_id=transaction_id)["transaction_id"] == transaction_id


@pytest.mark.parametrize(
    "transaction_id",
    ["", " ", "x" * 129, "a\nb", "a\tb", "a\u0000b", "a\u007fb", "a\u202eb", "\u200b", 42, ["x"]],
    ids=[
        "empty",
        "blank",
        "129",
        "newline",
        "tab",
        "nul",
        "delete",
        "right-to-left override",
        "zero width",
        "number",
        "array",
    ],
)
def test_another_transaction_id_is_refused(api: Api, transaction_id: Any) -> None:
    assert_invalid(api.post_link(transaction_id=transaction_id), "transaction_id")


def test_a_refusal_names_the_character_at_fault(api: Api) -> None:
    problem = assert_problem(api.post_link(transaction_id="a\u202eb"), 422, "validation_failed")
    assert problem["errors"] == [
        {"field": "transaction_id", "message": "must not contain U+202E RIGHT-TO-LEFT OVERRIDE"}
    ]


@pytest.mark.parametrize(
    "offset",
    [
        timedelta(seconds=-60),
        timedelta(seconds=-59),
        timedelta(0),
        timedelta(days=1),
        timedelta(days=365),
    ],
    ids=["60 s ago", "59 s ago", "now", "tomorrow", "in a year"],
)
def test_a_link_may_be_scheduled_from_a_minute_ago_to_a_year_ahead(
    api: Api, offset: timedelta
) -> None:
    link = api.create(scheduled_at=stamp(api.now + offset))
    assert link["scheduled_at"] == stamp(api.now + offset)
    assert link["delivery"]["state"] == "scheduled"


@pytest.mark.parametrize(
    "offset",
    [
        timedelta(seconds=-61),
        timedelta(days=-1),
        timedelta(days=365, seconds=1),
        timedelta(days=3650),
    ],
    ids=["61 s ago", "yesterday", "a second over a year", "in ten years"],
)
def test_a_link_is_not_scheduled_in_the_past_nor_over_a_year_ahead(
    api: Api, offset: timedelta
) -> None:
    assert_invalid(api.post_link(scheduled_at=stamp(api.now + offset)), "scheduled_at")


@pytest.mark.parametrize(
    "life",
    [timedelta(minutes=5), timedelta(hours=1), timedelta(days=365)],
    ids=["5 minutes", "an hour", "365 days"],
)
def test_a_link_may_end_5_minutes_to_365_days_after_it_is_sent(api: Api, life: timedelta) -> None:
    assert api.create(expires_at=stamp(api.now + life))["expires_at"] == stamp(api.now + life)


@pytest.mark.parametrize(
    "life",
    [
        timedelta(minutes=5, seconds=-1),
        timedelta(0),
        timedelta(days=-1),
        timedelta(days=365, seconds=1),
    ],
    ids=["a second short of 5 minutes", "at once", "yesterday", "a second over 365 days"],
)
def test_a_link_does_not_end_sooner_nor_later(api: Api, life: timedelta) -> None:
    assert_invalid(api.post_link(expires_at=stamp(api.now + life)), "expires_at")


@pytest.mark.parametrize(
    ("life", "status"),
    [
        pytest.param(timedelta(minutes=5), 201, id="5 minutes"),
        pytest.param(timedelta(minutes=5, seconds=-1), 422, id="a second short"),
        pytest.param(timedelta(days=365), 201, id="365 days"),
        pytest.param(timedelta(days=365, seconds=1), 422, id="a second over"),
    ],
)
def test_the_end_of_a_scheduled_link_is_measured_from_its_schedule(
    api: Api, life: timedelta, status: int
) -> None:
    at = api.now + timedelta(days=30)
    assert api.post_link(scheduled_at=stamp(at), expires_at=stamp(at + life)).status_code == status


def test_a_scheduled_link_ends_72_hours_after_its_schedule(api: Api) -> None:
    at = api.now + timedelta(days=30)
    assert api.create(scheduled_at=stamp(at))["expires_at"] == stamp(at + timedelta(hours=72))


def test_link_ttl_is_settable(make_api: Callable[..., Api]) -> None:
    api = make_api(LINK_TTL="90m")
    assert api.create()["expires_at"] == stamp(api.now + timedelta(minutes=90))


@pytest.mark.parametrize("field", ["scheduled_at", "expires_at"])
def test_a_time_without_an_offset_is_utc(api: Api, field: str) -> None:
    moment = api.now + timedelta(days=2)
    assert api.create(**{field: moment.replace(tzinfo=None).isoformat()})[field] == stamp(moment)


@pytest.mark.parametrize("field", ["scheduled_at", "expires_at"])
def test_a_time_with_an_offset_comes_back_in_utc(api: Api, field: str) -> None:
    moment = api.now + timedelta(days=2)
    elsewhere = moment.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert api.create(**{field: elsewhere.isoformat()})[field] == stamp(moment)


def test_a_time_is_kept_to_the_millisecond(api: Api) -> None:
    moment = api.now + timedelta(days=1, microseconds=123_456)
    link = api.create(scheduled_at=moment.isoformat())
    assert datetime.fromisoformat(link["scheduled_at"]) == api.now + timedelta(
        days=1, microseconds=123_000
    )


@pytest.mark.parametrize("field", ["scheduled_at", "expires_at"])
@pytest.mark.parametrize(
    "value",
    [
        "tomorrow",
        "",
        "2026-13-01T00:00:00Z",
        "2026-12-01T00:00:00+99:00",
        "0001-01-01T00:00:00+14:00",
        1800000000,
        True,
    ],
    ids=["words", "empty", "month 13", "offset", "year 1", "number", "bool"],
)
def test_what_is_no_time_within_reach_is_refused(api: Api, field: str, value: Any) -> None:
    assert_invalid(api.post_link(**{field: value}), field)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("otp_required", "yes", id="otp_required"),
        pytest.param("notify", 1, id="notify"),
        pytest.param("otp", 123456, id="otp as number"),
        pytest.param("otp", "12345", id="otp of five"),
        pytest.param("otp", "1234567", id="otp of seven"),
        pytest.param("otp", "12345a", id="otp with a letter"),
        pytest.param("otp", "\uff11\uff12\uff13\uff14\uff15\uff16", id="otp in wide digits"),
    ],
)
def test_a_value_of_another_kind_is_refused(api: Api, field: str, value: Any) -> None:
    assert_invalid(api.post_link(**{field: value}), field)


@pytest.mark.parametrize("field", ["amount", "Email", "status", "id", "payment_amount ", "orgId"])
def test_an_unknown_field_is_refused(api: Api, field: str) -> None:
    unknown: dict[str, Any] = {field: "x"}
    assert_invalid(api.post_link(**unknown), field)


@pytest.mark.parametrize("field", ["email", "org_id"])
def test_a_required_field_is_missed(api: Api, field: str) -> None:
    body = {"email": JANE, "org_id": "acme"}
    del body[field]
    assert_invalid(api.client.post("/payment-links", json=body, headers=api.internal()), field)


@pytest.mark.parametrize(
    "field",
    [
        "transaction_id",
        "payment_amount",
        "currency",
        "scheduled_at",
        "otp",
        "expires_at",
        "otp_required",
        "notify",
        "locale",
    ],
)
def test_null_is_the_same_as_leaving_an_optional_field_out(api: Api, field: str) -> None:
    link = api.create(**{field: None})
    assert link | {"id": "", "url": ""} == api.create() | {"id": "", "url": ""}


def test_a_refused_link_leaves_nothing_behind(api: Api) -> None:
    api.post_link(payment_amount=-1)
    assert list(api.redis.scan_iter("pl:{[0-9a-f][0-9a-f]}:*")) == []


@pytest.mark.parametrize("scheduled", [False, True], ids=["now", "scheduled"])
def test_a_link_that_is_not_to_be_mailed_owes_no_mail(api: Api, *, scheduled: bool) -> None:
    at = {"scheduled_at": stamp(api.now + timedelta(hours=1))} if scheduled else {}
    assert api.create(notify=False, **at)["delivery"]["state"] == "none"
