"""What a link may be made of, when it is good, and what its id says."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from service.errors import Invalid
from service.links.link_request import LinkRequest, validate_request
from service.links.model import DeliveryState, Link, Status
from service.values.ids import parse_org_id
from service.values.time import to_utc_ms
from tests.support.factories import create_link

NOW = datetime(2026, 3, 1, 12, 0, 0, 123_000, tzinfo=UTC)


TTL = timedelta(hours=72)


MILLISECOND = timedelta(milliseconds=1)


def make(**fields: Any) -> Link:
    defaults: dict[str, Any] = {
        "entropy": bytes(range(24)),
        "now": NOW,
        "ttl": TTL,
        "org_id": "acme",
        "email": "jane@example.com",
    }
    return create_link(**{**defaults, **fields})


class TestMeaning:
    def test_a_request_means_the_same_in_any_spelling(self) -> None:
        said: list[dict[str, Any]] = [
            {
                "email": "Jane@Example.com",
                "payment_amount": Decimal("10.0"),
                "currency": "usd",
                "locale": "pt-br",
            },
            {
                "email": "jane@example.com",
                "payment_amount": Decimal("1e1"),
                "currency": "USD",
                "locale": "pt-BR",
                "notify": True,
            },
        ]
        one, other = (
            validate_request(LinkRequest(org_id="acme", **fields), now=NOW).normalized
            for fields in said
        )
        assert msgspec.json.encode(one) == msgspec.json.encode(other)

    def test_what_is_left_out_is_not_written_down(self) -> None:
        """Else a release with a new field would refuse repeats of requests from before it."""
        meaning = validate_request(
            LinkRequest(org_id="acme", email="jane@example.com"), now=NOW
        ).normalized
        assert msgspec.json.decode(msgspec.json.encode(meaning)) == {
            "org_id": "acme",
            "email": "jane@example.com",
        }


class TestFields:
    def test_a_link_needs_no_more_than_an_organization_and_an_email(self) -> None:
        link = make()
        assert (link.org_id, link.email) == ("acme", "jane@example.com")
        assert (link.transaction_id, link.payment_amount, link.currency) == (None, None, None)
        assert (link.scheduled_at, link.revoked_at, link.otp_required) == (None, None, False)

    @pytest.mark.parametrize(
        "org_id",
        ["a", "A" * 64, "Shop.1_2:3-4", "0"],
        ids=["shortest", "longest", "all marks", "digit"],
    )
    def test_an_organization_is_1_to_64_plain_characters(self, org_id: str) -> None:
        assert make(org_id=org_id).org_id == org_id
        assert parse_org_id(org_id) == org_id

    @pytest.mark.parametrize(
        "org_id",
        ["", ".", "..", "a" * 65, "a b", "a/b", "a\n", "\na", "é", "a{b}", "a\x00", "\u0661"],
        ids=[
            "empty",
            "dot",
            "two dots",
            "65",
            "space",
            "slash",
            "newline after",
            "newline before",
            "accent",
            "braces",
            "nul",
            "arabic digit",
        ],
    )
    def test_another_organization_is_refused_by_name_of_the_field(self, org_id: str) -> None:
        with pytest.raises(Invalid, match="1 to 64") as refusal:
            make(org_id=org_id)
        assert refusal.value.field == "org_id"

    @pytest.mark.parametrize(
        "transaction_id",
        ["1", "x" * 128, "Rechnung Nº 5", "<b>&", "😀" * 128],
        ids=["one", "128", "accents", "markup", "emoji"],
    )
    def test_a_transaction_is_1_to_128_characters_of_one_line(self, transaction_id: str) -> None:
        assert make(transaction_id=transaction_id).transaction_id == transaction_id

    @pytest.mark.parametrize(
        "transaction_id",
        [
            "",
            " ",
            "x" * 129,
            "a\r\nBcc: x@example.com",
            "a\x00",
            "a\x7f",
            "a\u2028b",
            "a\u202eb",
            "a\ud800",
            "a\tb",
        ],
        ids=[
            "empty",
            "blank",
            "129",
            "header",
            "nul",
            "delete",
            "line separator",
            "right-to-left override",
            "surrogate",
            "tab",
        ],
    )
    def test_another_transaction_is_refused_by_name_of_the_field(self, transaction_id: str) -> None:
        with pytest.raises(Invalid, match=r"must not|at most 128") as refusal:
            make(transaction_id=transaction_id)
        assert refusal.value.field == "transaction_id"

    def test_a_bad_email_is_refused_by_name_of_the_field(self) -> None:
        with pytest.raises(Invalid) as refusal:
            make(email="jane")
        assert refusal.value.field == "email"

    def test_the_email_stays_as_sent_and_is_compared_in_lower_case(self) -> None:
        link = make(email="Jane@Example.COM")
        assert (link.email, link.recipient) == ("Jane@Example.COM", "jane@example.com")

    def test_a_currency_is_kept_in_capitals(self) -> None:
        assert make(currency="ngn").currency == "NGN"

    def test_an_unknown_currency_is_refused_by_name_of_the_field(self) -> None:
        with pytest.raises(Invalid) as refusal:
            make(currency="ZZZ")
        assert refusal.value.field == "currency"

    def test_an_amount_is_kept_exactly(self) -> None:
        assert (
            str(make(payment_amount=Decimal("125000.50"), currency="NGN").payment_amount)
            == "125000.50"
        )

    def test_an_amount_finer_than_its_currency_is_refused(self) -> None:
        with pytest.raises(Invalid) as refusal:
            make(payment_amount=Decimal("1.5"), currency="JPY")
        assert refusal.value.field == "payment_amount"

    def test_it_can_ask_for_a_code(self) -> None:
        assert make(otp_required=True).otp_required


class TestDelivery:
    @pytest.mark.parametrize(
        ("fields", "state"),
        [
            ({}, DeliveryState.QUEUED),
            ({"scheduled_at": NOW + timedelta(hours=1)}, DeliveryState.SCHEDULED),
            ({"scheduled_at": NOW}, DeliveryState.SCHEDULED),
            ({"notify": False}, DeliveryState.NONE),
            ({"notify": False, "scheduled_at": NOW + timedelta(hours=1)}, DeliveryState.NONE),
        ],
        ids=["now", "later", "scheduled for now", "never", "never, though scheduled"],
    )
    def test_a_new_link_owes_the_email_that_was_asked_for(
        self, fields: dict[str, Any], state: DeliveryState
    ) -> None:
        delivery = make(**fields).delivery
        assert (delivery.state, delivery.attempts, delivery.sent_at, delivery.error) == (
            state,
            0,
            None,
            None,
        )

    def test_an_email_without_schedule_is_due_when_the_link_is_made(self) -> None:
        assert make().due_at == NOW

    def test_a_scheduled_email_is_due_at_its_schedule(self) -> None:
        assert make(scheduled_at=NOW + timedelta(days=3)).due_at == NOW + timedelta(days=3)


class TestSchedule:
    @pytest.mark.parametrize(
        "offset",
        [timedelta(seconds=-60), timedelta(0), timedelta(days=365)],
        ids=["60 s ago", "now", "a year ahead"],
    )
    def test_a_schedule_may_lie_60_s_back_to_a_year_ahead(self, offset: timedelta) -> None:
        assert make(scheduled_at=NOW + offset).scheduled_at == NOW + offset

    @pytest.mark.parametrize(
        "offset",
        [
            timedelta(seconds=-60) - MILLISECOND,
            timedelta(days=-1),
            timedelta(days=365) + MILLISECOND,
            timedelta(days=3650),
        ],
        ids=["a little over 60 s ago", "yesterday", "a little over a year", "ten years"],
    )
    def test_another_schedule_is_refused_by_name_of_the_field(self, offset: timedelta) -> None:
        with pytest.raises(Invalid) as refusal:
            make(scheduled_at=NOW + offset)
        assert refusal.value.field == "scheduled_at"

    def test_a_schedule_is_kept_in_utc_to_the_millisecond(self) -> None:
        lagos = timezone(timedelta(hours=1))
        scheduled = make(
            scheduled_at=datetime(2026, 3, 2, 10, 0, 0, 1999, tzinfo=lagos)
        ).scheduled_at
        assert scheduled is not None
        assert scheduled.isoformat() == "2026-03-02T09:00:00.001000+00:00"


class TestExpiry:
    def test_a_link_is_good_for_its_ttl_after_it_is_made(self) -> None:
        assert make().expires_at == NOW + TTL

    def test_a_scheduled_link_is_good_for_its_ttl_after_it_is_sent(self) -> None:
        assert (
            make(scheduled_at=NOW + timedelta(days=10)).expires_at == NOW + timedelta(days=10) + TTL
        )

    def test_a_schedule_in_the_grace_period_does_not_shorten_the_link(self) -> None:
        assert make(scheduled_at=NOW - timedelta(seconds=60)).expires_at == NOW + TTL

    @pytest.mark.parametrize(
        "send_in", [timedelta(0), timedelta(days=365)], ids=["sent now", "sent in a year"]
    )
    @pytest.mark.parametrize(
        "life", [timedelta(minutes=5), timedelta(days=365)], ids=["5 minutes", "365 days"]
    )
    def test_a_link_may_be_good_for_5_minutes_to_365_days_after_it_is_sent(
        self, send_in: timedelta, life: timedelta
    ) -> None:
        scheduled = {"scheduled_at": NOW + send_in} if send_in else {}
        assert make(**scheduled, expires_at=NOW + send_in + life).expires_at == NOW + send_in + life

    @pytest.mark.parametrize(
        "send_in", [timedelta(0), timedelta(days=365)], ids=["sent now", "sent in a year"]
    )
    @pytest.mark.parametrize(
        "life",
        [
            timedelta(minutes=5) - MILLISECOND,
            timedelta(0),
            timedelta(days=-1),
            timedelta(days=365) + MILLISECOND,
        ],
        ids=["a little under 5 minutes", "none", "negative", "a little over 365 days"],
    )
    def test_another_life_is_refused_by_name_of_the_field(
        self, send_in: timedelta, life: timedelta
    ) -> None:
        scheduled = {"scheduled_at": NOW + send_in} if send_in else {}
        with pytest.raises(Invalid) as refusal:
            make(**scheduled, expires_at=NOW + send_in + life)
        assert refusal.value.field == "expires_at"

    @pytest.mark.parametrize(
        ("expires_in", "fields"),
        [
            (timedelta(days=-1), ["scheduled_at", "expires_at"]),
            (timedelta(days=1), ["scheduled_at"]),
            (timedelta(days=800), ["scheduled_at", "expires_at"]),
        ],
        ids=["past", "possible", "too late for any"],
    )
    def test_an_expiry_that_fits_no_schedule_is_told_with_a_bad_one(
        self, expires_in: timedelta, fields: list[str]
    ) -> None:
        with pytest.raises(Invalid) as refusal:
            make(scheduled_at=NOW - timedelta(days=9), expires_at=NOW + expires_in)
        assert [fault.field for fault in refusal.value.faults] == fields

    def test_an_expiry_is_measured_from_now_where_the_schedule_lies_in_the_grace_period(
        self,
    ) -> None:
        with pytest.raises(Invalid):
            make(
                scheduled_at=NOW - timedelta(seconds=60),
                expires_at=NOW + timedelta(minutes=4, seconds=30),
            )

    def test_all_times_are_in_utc_to_the_millisecond(self) -> None:
        tokyo = timezone(timedelta(hours=9))
        link = make(
            now=datetime(2026, 3, 1, 9, 0, 0, 1999, tzinfo=tokyo),
            expires_at=datetime(2026, 3, 3, 9, 0, 0, 5999, tzinfo=tokyo),
        )
        assert link.created_at.isoformat() == "2026-03-01T00:00:00.001000+00:00"
        assert link.expires_at.isoformat() == "2026-03-03T00:00:00.005000+00:00"


class TestStatus:
    @pytest.mark.parametrize(
        ("offset", "status"),
        [
            (-MILLISECOND, Status.ACTIVE),
            (timedelta(0), Status.EXPIRED),
            (MILLISECOND, Status.EXPIRED),
        ],
        ids=["a millisecond before", "at that moment", "a millisecond after"],
    )
    def test_a_link_expires_at_the_very_millisecond(
        self, offset: timedelta, status: Status
    ) -> None:
        link = make()
        assert link.status(link.expires_at + offset) is status

    @pytest.mark.parametrize(
        "offset",
        [timedelta(0), timedelta(days=400)],
        ids=["while it would be good", "after its expiry"],
    )
    def test_a_revoked_link_stays_revoked(self, offset: timedelta) -> None:
        link = msgspec.structs.replace(make(), revoked_at=NOW)
        assert link.status(NOW + offset) is Status.REVOKED

    def test_a_link_is_active_before_its_email_goes_out(self) -> None:
        assert make(scheduled_at=NOW + timedelta(days=1)).status(NOW) is Status.ACTIVE

    def test_a_link_ends_when_it_expires(self) -> None:
        assert make().ended_at == NOW + TTL

    def test_a_revoked_link_ended_when_it_was_revoked(self) -> None:
        link = msgspec.structs.replace(make(), revoked_at=NOW + timedelta(hours=1))
        assert link.ended_at == NOW + timedelta(hours=1)


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (datetime(2026, 1, 1, 0, 0, 0, 999, tzinfo=UTC), "2026-01-01T00:00:00+00:00"),
        (datetime(2026, 1, 1, 0, 0, 0, 999_999, tzinfo=UTC), "2026-01-01T00:00:00.999000+00:00"),
        (
            datetime(2026, 1, 1, 5, 30, tzinfo=timezone(timedelta(hours=5, minutes=30))),
            "2026-01-01T00:00:00+00:00",
        ),
    ],
    ids=["microseconds", "not rounded up", "another zone"],
)
def test_a_moment_is_cut_to_the_millisecond_in_utc(moment: datetime, expected: str) -> None:
    assert to_utc_ms(moment).isoformat() == expected
