"""One-time passwords in Redis: the same on every backend."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import count

import pytest

from service.domain.link import partition_of
from service.store import keys, otps, outbox
from service.store.client import Client
from service.store.otps import Limit, Otp, Refusal
from tests.store.samples import MILLISECOND, all_keys, delete, exists, goes_at, members, score, snapshot, ttl
from tests.support.clock import Clock

EMAIL = "jane@example.com"
NONCE, OTHER = b"\x00n" * 8, b"\xffo" * 8
TEN_MINUTES, MINUTE, HOUR, DAY = timedelta(minutes=10), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
AT_ONCE = timedelta(0)
"""No wait between two codes."""
LEASE = timedelta(seconds=20)
CLIENT = "2001:db8::1"


def create(
    client: Client,
    now: datetime,
    nonce: bytes = NONCE,
    *,
    email: str = EMAIL,
    resend_after: timedelta = AT_ONCE,
    sends_per_hour: int = 5,
    sends_per_day: int = 10,
) -> Refusal | None:
    return client.run(
        otps.create(
            email,
            nonce,
            now=now,
            ttl=TEN_MINUTES,
            resend_after=resend_after,
            sends_per_hour=sends_per_hour,
            sends_per_day=sends_per_day,
        )
    )


def try_code(client: Client, now: datetime, *, email: str = EMAIL, failures_per_day: int = 10) -> bytes | Refusal | None:
    return client.run(otps.start_try(email, now=now, max_tries=5, failures_per_day=failures_per_day))


def redeem(client: Client, now: datetime, nonce: bytes = NONCE, *, email: str = EMAIL) -> bool:
    return client.run(otps.redeem(email, nonce, now=now, verified_for=DAY))


def verified(client: Client, now: datetime, *, email: str = EMAIL) -> list[bytes]:
    return client.run(otps.verified(email, now=now))


def claim(client: Client, now: datetime) -> list[str]:
    return client.run(outbox.claim_codes(partition_of(EMAIL), now=now, deadline=now + LEASE, limit=10))


def open_code(client: Client, email: str = EMAIL) -> Otp | None:
    (opened,) = client.run(otps.open_codes(partition_of(email), [email]))
    return opened


def settle(client: Client, deadline: datetime, retry_at: datetime | None = None) -> bool:
    return client.run(otps.settle(EMAIL, deadline=deadline, retry_at=retry_at))


def is_owed(client: Client) -> datetime | None:
    """When the code's mail must be looked at again, if it is owed."""
    return score(client, keys.otp_outbox(partition_of(EMAIL)), EMAIL)


def failures(client: Client) -> int:
    """How many tries count as failed today; to ask is to try once more."""
    return next(most for most in count() if not isinstance(try_code(client, Clock().now, failures_per_day=most + 1), Refusal))


class TestCreate:
    def test_a_code_has_these_keys_and_no_others(self, client: Client, clock: Clock) -> None:
        assert create(client, clock.now, resend_after=MINUTE) is None
        limits = {keys.otp_limit(EMAIL, limit) for limit in ("resend", "sends_hour", "sends_day")}
        assert all_keys(client) == {keys.otp(EMAIL), keys.otp_outbox(partition_of(EMAIL))} | limits

    @pytest.mark.parametrize(
        ("key", "life"),
        [
            pytest.param(keys.otp(EMAIL), TEN_MINUTES, id="the code"),
            pytest.param(keys.otp_limit(EMAIL, "resend"), MINUTE, id="the wait"),
            pytest.param(keys.otp_limit(EMAIL, "sends_hour"), HOUR, id="the hour's count"),
            pytest.param(keys.otp_limit(EMAIL, "sends_day"), DAY, id="the day's count"),
            pytest.param(keys.otp_outbox(partition_of(EMAIL)), TEN_MINUTES, id="the outbox"),
        ],
    )
    def test_every_key_of_it_goes_by_itself(self, client: Client, clock: Clock, key: str, life: timedelta) -> None:
        create(client, clock.now, resend_after=MINUTE)
        assert life - timedelta(seconds=10) < ttl(client, key) <= life

    def test_the_outbox_lives_as_long_as_its_last_code(self, client: Client, clock: Clock) -> None:
        create(client, clock.now)
        clock.advance(minutes=3)
        create(client, clock.now)
        create(client, clock.now - timedelta(minutes=3))
        assert goes_at(client, keys.otp_outbox(partition_of(EMAIL))) == clock.now + TEN_MINUTES

    def test_its_mail_is_owed_at_once(self, client: Client, clock: Clock) -> None:
        create(client, clock.now)
        assert claim(client, clock.now) == [EMAIL]

    def test_a_code_is_what_it_was_made_of(self, client: Client, clock: Clock) -> None:
        create(client, clock.now)
        assert open_code(client) == Otp(EMAIL, NONCE, clock.now + TEN_MINUTES, 0)

    def test_a_new_code_voids_the_one_before(self, client: Client, clock: Clock) -> None:
        create(client, clock.now)
        create(client, clock.now, OTHER)
        assert try_code(client, clock.now) == OTHER
        assert redeem(client, clock.now, NONCE) is False
        assert redeem(client, clock.now, OTHER) is True

    def test_another_e_mail_has_limits_of_its_own(self, client: Client, clock: Clock) -> None:
        create(client, clock.now, resend_after=MINUTE)
        assert create(client, clock.now, email="john@example.com", resend_after=MINUTE) is None


class TestCreateLimits:
    def refused(self, client: Client, clock: Clock, *, hour: int = 5, day: int = 10, resend: timedelta = AT_ONCE) -> Refusal:
        refusal = create(client, clock.now, OTHER, resend_after=resend, sends_per_hour=hour, sends_per_day=day)
        assert refusal is not None
        return refusal

    def test_a_code_is_not_sent_again_at_once(self, client: Client, clock: Clock) -> None:
        create(client, clock.now, resend_after=MINUTE)
        refusal = self.refused(client, clock, resend=MINUTE)
        assert refusal.limit is Limit.RESEND
        assert timedelta(seconds=50) < refusal.retry_after <= MINUTE

    def test_a_code_is_sent_again_after_the_wait(self, client: Client, clock: Clock) -> None:
        create(client, clock.now, resend_after=MINUTE)
        delete(client, keys.otp_limit(EMAIL, "resend"))
        assert create(client, clock.now, resend_after=MINUTE) is None

    def test_five_codes_are_sent_in_an_hour(self, client: Client, clock: Clock) -> None:
        assert [create(client, clock.now) for _ in range(5)] == [None] * 5
        refusal = self.refused(client, clock)
        assert refusal.limit is Limit.HOUR
        assert HOUR - timedelta(seconds=10) < refusal.retry_after <= HOUR

    def test_ten_codes_are_sent_in_a_day(self, client: Client, clock: Clock) -> None:
        assert [create(client, clock.now, sends_per_hour=99) for _ in range(10)] == [None] * 10
        refusal = self.refused(client, clock, hour=99)
        assert refusal.limit is Limit.DAY
        assert DAY - timedelta(seconds=10) < refusal.retry_after <= DAY

    def test_the_next_hour_begins_anew(self, client: Client, clock: Clock) -> None:
        create(client, clock.now)
        delete(client, keys.otp_limit(EMAIL, "sends_hour"))
        assert create(client, clock.now, sends_per_hour=1) is None

    def test_the_next_hour_does_not_reset_the_day(self, client: Client, clock: Clock) -> None:
        create(client, clock.now)
        delete(client, keys.otp_limit(EMAIL, "sends_hour"))
        assert self.refused(client, clock, day=1).limit is Limit.DAY

    def test_of_several_limits_the_longest_is_told(self, client: Client, clock: Clock) -> None:
        create(client, clock.now, resend_after=MINUTE)
        assert self.refused(client, clock, resend=MINUTE, hour=1).limit is Limit.HOUR
        assert self.refused(client, clock, resend=MINUTE, hour=1, day=1).limit is Limit.DAY

    def test_a_window_begins_with_its_first_code(self, client: Client, clock: Clock) -> None:
        create(client, clock.now)
        key = keys.otp_limit(EMAIL, "sends_hour")
        first = goes_at(client, key)
        create(client, clock.now)
        assert goes_at(client, key) == first

    @pytest.mark.parametrize(
        "limits",
        [
            pytest.param({"resend": MINUTE}, id="too soon"),
            pytest.param({"hour": 1}, id="too many in the hour"),
            pytest.param({"day": 1}, id="too many in the day"),
        ],
    )
    def test_a_refused_code_changes_nothing(self, client: Client, clock: Clock, limits: dict[str, int | timedelta]) -> None:
        create(client, clock.now, resend_after=MINUTE)
        before = snapshot(client)
        self.refused(client, clock, **{"resend": MINUTE} | limits)  # type: ignore[arg-type]
        assert snapshot(client) == before

    def test_of_ten_who_race_one_gets_a_code(self, client: Client, clock: Clock) -> None:
        with ThreadPoolExecutor(10) as pool:
            made = list(pool.map(lambda _: create(client, clock.now, resend_after=MINUTE), range(10)))
        assert made.count(None) == 1


class TestTry:
    def test_a_try_gives_what_to_compare_with(self, client: Client, clock: Clock) -> None:
        create(client, clock.now)
        assert try_code(client, clock.now) == NONCE

    def test_a_code_is_tried_five_times(self, client: Client, clock: Clock) -> None:
        create(client, clock.now)
        assert [try_code(client, clock.now) for _ in range(7)] == [NONCE] * 5 + [None] * 2

    def test_a_new_code_has_tries_of_its_own(self, client: Client, clock: Clock) -> None:
        create(client, clock.now)
        for _ in range(5):
            try_code(client, clock.now)
        create(client, clock.now, OTHER)
        assert try_code(client, clock.now) == OTHER

    def test_the_day_has_ten_failures_over_all_codes(self, client: Client, clock: Clock) -> None:
        tried = []
        for nonce in (NONCE, OTHER, NONCE):
            create(client, clock.now, nonce)
            tried += [try_code(client, clock.now) for _ in range(4)]
        assert tried[:10] == [NONCE] * 4 + [OTHER] * 4 + [NONCE] * 2
        assert all(isinstance(outcome, Refusal) for outcome in tried[10:])

    def test_who_failed_too_often_may_try_again_within_a_day(self, client: Client, clock: Clock) -> None:
        try_code(client, clock.now)
        refusal = try_code(client, clock.now, failures_per_day=1)
        assert isinstance(refusal, Refusal)
        assert DAY - timedelta(seconds=10) < refusal.retry_after <= DAY

    def test_the_next_day_begins_anew(self, client: Client, clock: Clock) -> None:
        try_code(client, clock.now)
        create(client, clock.now)
        delete(client, keys.otp_limit(EMAIL, "failures_day"))
        assert try_code(client, clock.now, failures_per_day=1) == NONCE

    def test_a_refused_try_changes_nothing(self, client: Client, clock: Clock) -> None:
        create(client, clock.now)
        try_code(client, clock.now)
        before = snapshot(client)
        try_code(client, clock.now, failures_per_day=1)
        assert snapshot(client) == before

    def test_an_e_mail_without_a_code_has_nothing_to_try(self, client: Client, clock: Clock) -> None:
        assert try_code(client, clock.now) is None

    def test_tries_of_an_unknown_e_mail_are_limited_too(self, client: Client, clock: Clock) -> None:
        assert [try_code(client, clock.now) for _ in range(10)] == [None] * 10
        assert isinstance(try_code(client, clock.now), Refusal)

    def test_an_unknown_e_mail_leaves_only_a_count_that_goes_by_itself(self, client: Client, clock: Clock) -> None:
        try_code(client, clock.now)
        (key,) = all_keys(client)
        assert DAY - timedelta(seconds=10) < ttl(client, key) <= DAY

    def test_the_day_begins_with_the_first_failure(self, client: Client, clock: Clock) -> None:
        try_code(client, clock.now)
        first = goes_at(client, keys.otp_limit(EMAIL, "failures_day"))
        try_code(client, clock.now)
        assert goes_at(client, keys.otp_limit(EMAIL, "failures_day")) == first

    @pytest.mark.parametrize(
        ("late", "outcome"),
        [
            pytest.param(-MILLISECOND, NONCE, id="a millisecond before"),
            pytest.param(timedelta(0), None, id="at its end"),
            pytest.param(MILLISECOND, None, id="a millisecond later"),
        ],
    )
    def test_an_expired_code_cannot_be_tried(self, client: Client, clock: Clock, late: timedelta, outcome: bytes | None) -> None:
        create(client, clock.now)
        assert try_code(client, clock.now + TEN_MINUTES + late) == outcome

    def test_a_try_does_not_prolong_the_code(self, client: Client, clock: Clock) -> None:
        create(client, clock.now)
        before = goes_at(client, keys.otp(EMAIL))
        try_code(client, clock.now)
        assert goes_at(client, keys.otp(EMAIL)) == before

    def test_of_twenty_who_race_five_may_compare(self, client: Client, clock: Clock) -> None:
        create(client, clock.now)
        with ThreadPoolExecutor(10) as pool:
            tried = list(pool.map(lambda _: try_code(client, clock.now, failures_per_day=99), range(20)))
        assert tried.count(NONCE) == 5


class TestRedeem:
    def test_a_code_is_used_once(self, client: Client, clock: Clock) -> None:
        create(client, clock.now)
        assert [redeem(client, clock.now), redeem(client, clock.now)] == [True, False]
        assert try_code(client, clock.now) is None

    def test_of_ten_who_race_one_uses_it(self, client: Client, clock: Clock) -> None:
        create(client, clock.now)
        with ThreadPoolExecutor(10) as pool:
            assert sorted(pool.map(lambda _: redeem(client, clock.now), range(10))) == [False] * 9 + [True]

    def test_a_used_code_is_verified(self, client: Client, clock: Clock) -> None:
        create(client, clock.now)
        redeem(client, clock.now)
        assert verified(client, clock.now) == [NONCE]

    def test_a_code_that_is_void_is_not_verified(self, client: Client, clock: Clock) -> None:
        create(client, clock.now)
        create(client, clock.now, OTHER)
        redeem(client, clock.now, NONCE)
        assert verified(client, clock.now) == []

    def test_a_used_code_is_not_mailed_any_more(self, client: Client, clock: Clock) -> None:
        create(client, clock.now)
        redeem(client, clock.now)
        assert is_owed(client) is None

    def test_a_right_code_is_no_failure(self, client: Client, clock: Clock) -> None:
        for number in range(12):
            nonce = bytes([number]) * 16
            create(client, clock.now, nonce, sends_per_hour=99, sends_per_day=99)
            assert try_code(client, clock.now) == nonce
            assert redeem(client, clock.now, nonce)
        assert not exists(client, keys.otp_limit(EMAIL, "failures_day"))

    def test_failures_before_a_right_code_still_count(self, client: Client, clock: Clock) -> None:
        create(client, clock.now)
        for _ in range(3):
            try_code(client, clock.now)
        redeem(client, clock.now)
        assert failures(client) == 2
        assert ttl(client, keys.otp_limit(EMAIL, "failures_day")) <= DAY

    def test_a_count_that_went_meanwhile_does_not_come_back(self, client: Client, clock: Clock) -> None:
        create(client, clock.now)
        try_code(client, clock.now)
        delete(client, keys.otp_limit(EMAIL, "failures_day"))
        redeem(client, clock.now)
        assert not exists(client, keys.otp_limit(EMAIL, "failures_day"))

    def test_a_code_that_is_used_late_takes_no_failure_back(self, client: Client, clock: Clock) -> None:
        create(client, clock.now)
        try_code(client, clock.now)
        try_code(client, clock.now)
        redeem(client, clock.now)
        redeem(client, clock.now)
        assert failures(client) == 1


class TestVerified:
    def test_an_e_mail_that_used_no_code_has_none(self, client: Client, clock: Clock) -> None:
        create(client, clock.now)
        assert verified(client, clock.now) == []

    @pytest.mark.parametrize(
        ("late", "counts"),
        [pytest.param(-MILLISECOND, True, id="a millisecond before"), pytest.param(timedelta(0), False, id="at its end")],
    )
    def test_a_used_code_counts_for_a_day(self, client: Client, clock: Clock, late: timedelta, counts: bool) -> None:
        create(client, clock.now)
        redeem(client, clock.now)
        assert verified(client, clock.now + DAY + late) == ([NONCE] if counts else [])

    def test_every_code_of_the_day_counts(self, client: Client, clock: Clock) -> None:
        for nonce in (NONCE, OTHER):
            create(client, clock.now, nonce)
            redeem(client, clock.now, nonce)
            clock.advance(hours=1)
        assert verified(client, clock.now) == [NONCE, OTHER]

    def test_they_are_kept_a_day_after_the_last(self, client: Client, clock: Clock) -> None:
        create(client, clock.now)
        redeem(client, clock.now)
        create(client, clock.now, OTHER)
        redeem(client, clock.now + HOUR, OTHER)
        assert goes_at(client, keys.otp_verified(EMAIL)) == clock.now + HOUR + DAY

    def test_a_code_of_yesterday_is_forgotten_with_the_next(self, client: Client, clock: Clock) -> None:
        create(client, clock.now)
        redeem(client, clock.now)
        create(client, clock.now, OTHER)
        redeem(client, clock.now + DAY, OTHER)
        assert members(client, keys.otp_verified(EMAIL)) == [OTHER.hex()]

    def test_another_e_mails_codes_do_not_count(self, client: Client, clock: Clock) -> None:
        create(client, clock.now, email="john@example.com")
        redeem(client, clock.now, email="john@example.com")
        assert verified(client, clock.now) == []


class TestOpen:
    def test_an_e_mail_whose_code_is_gone_is_owed_none(self, client: Client, clock: Clock) -> None:
        create(client, clock.now)
        delete(client, keys.otp(EMAIL))
        assert open_code(client) is None
        assert is_owed(client) is None

    def test_codes_come_in_the_order_of_their_e_mails(self, client: Client, clock: Clock) -> None:
        partition = partition_of(EMAIL)
        same = [address for address in (f"{n}@example.com" for n in range(3000)) if partition_of(address) == partition][:2]
        create(client, clock.now, OTHER, email=same[0])
        create(client, clock.now)
        opened = client.run(otps.open_codes(partition, [EMAIL, *same]))
        assert [code and code.nonce for code in opened] == [NONCE, OTHER, None]


class TestSettle:
    @pytest.fixture
    def deadline(self, client: Client, clock: Clock) -> datetime:
        """When the lease on a claimed code ends."""
        create(client, clock.now)
        assert claim(client, clock.now) == [EMAIL]
        return clock.now + LEASE

    def test_what_is_out_is_owed_no_more(self, client: Client, deadline: datetime) -> None:
        assert settle(client, deadline) is True
        assert is_owed(client) is None

    def test_what_is_out_can_be_used(self, client: Client, clock: Clock, deadline: datetime) -> None:
        settle(client, deadline)
        assert redeem(client, clock.now) is True

    def test_what_is_put_off_is_claimed_when_its_next_try_comes(self, client: Client, clock: Clock, deadline: datetime) -> None:
        assert settle(client, deadline, retry_at=clock.now + MINUTE) is True
        assert [claim(client, clock.now + MINUTE - MILLISECOND), claim(client, clock.now + MINUTE)] == [[], [EMAIL]]

    def test_every_try_counts(self, client: Client, clock: Clock, deadline: datetime) -> None:
        settle(client, deadline, retry_at=clock.now + MINUTE)
        settle(client, clock.now + MINUTE, retry_at=clock.now + HOUR)
        assert open_code(client) == Otp(EMAIL, NONCE, clock.now + TEN_MINUTES, 2)

    def test_what_is_put_off_untried_counts_no_try(self, client: Client, clock: Clock, deadline: datetime) -> None:
        client.run(otps.settle(EMAIL, deadline=deadline, retry_at=clock.now + MINUTE, attempts=0))
        assert open_code(client) == Otp(EMAIL, NONCE, clock.now + TEN_MINUTES, 0)

    @pytest.mark.parametrize("retry", [pytest.param(None, id="out"), pytest.param(HOUR, id="put off")])
    def test_a_lease_that_another_took_over_settles_nothing(
        self, client: Client, clock: Clock, deadline: datetime, retry: timedelta | None
    ) -> None:
        assert claim(client, deadline) == [EMAIL]
        before = snapshot(client)
        assert settle(client, deadline, None if retry is None else clock.now + retry) is False
        assert snapshot(client) == before

    @pytest.mark.parametrize("retry", [pytest.param(None, id="out"), pytest.param(HOUR, id="put off")])
    def test_a_code_asked_for_meanwhile_is_still_owed(
        self, client: Client, clock: Clock, deadline: datetime, retry: timedelta | None
    ) -> None:
        create(client, clock.now, OTHER)
        assert settle(client, deadline, None if retry is None else clock.now + retry) is False
        assert claim(client, clock.now) == [EMAIL]
        assert open_code(client) == Otp(EMAIL, OTHER, clock.now + TEN_MINUTES, 0)

    def test_a_code_used_meanwhile_is_not_owed_again(self, client: Client, clock: Clock, deadline: datetime) -> None:
        redeem(client, clock.now)
        assert settle(client, deadline, clock.now + MINUTE) is False
        assert is_owed(client) is None

    def test_a_code_that_is_gone_does_not_come_back(self, client: Client, deadline: datetime) -> None:
        delete(client, keys.otp(EMAIL))
        settle(client, deadline)
        assert all_keys(client) <= {keys.otp_limit(EMAIL, "sends_hour"), keys.otp_limit(EMAIL, "sends_day")}


class TestClientLimits:
    def counted(self, client: Client, most: int = 3, *, limit: str = "otp_sends", who: str = CLIENT) -> Refusal | None:
        return client.run(otps.count_client(who, limit, most=most))

    def test_a_client_may_do_as_much_as_its_limit_says(self, client: Client) -> None:
        assert [self.counted(client) for _ in range(3)] == [None] * 3
        refusal = self.counted(client)
        assert refusal is not None
        assert HOUR - timedelta(seconds=10) < refusal.retry_after <= HOUR

    def test_a_refused_doing_changes_nothing(self, client: Client) -> None:
        self.counted(client)
        before = snapshot(client)
        self.counted(client, most=1)
        assert snapshot(client) == before

    def test_the_hour_begins_with_the_first(self, client: Client) -> None:
        self.counted(client)
        key = keys.client_limit(CLIENT, "otp_sends")
        first = goes_at(client, key)
        self.counted(client)
        assert goes_at(client, key) == first

    def test_one_that_is_taken_back_may_be_done_again(self, client: Client) -> None:
        for _ in range(3):
            self.counted(client)
        client.run(otps.uncount_client(CLIENT, "otp_sends"))
        assert [self.counted(client) is None for _ in range(2)] == [True, False]

    def test_nothing_is_taken_back_from_nothing(self, client: Client) -> None:
        client.run(otps.uncount_client(CLIENT, "otp_sends"))
        assert all_keys(client) == set()

    def test_a_count_that_was_taken_back_is_gone(self, client: Client) -> None:
        self.counted(client)
        client.run(otps.uncount_client(CLIENT, "otp_sends"))
        assert all_keys(client) == set()

    @pytest.mark.parametrize(
        "other",
        [pytest.param({"limit": "otp_failures"}, id="another limit"), pytest.param({"who": "192.0.2.1"}, id="another client")],
    )
    def test_another_has_a_count_of_its_own(self, client: Client, other: dict[str, str]) -> None:
        self.counted(client, most=1)
        assert self.counted(client, most=1, **other) is None

    def test_of_twenty_who_race_no_more_than_the_limit_pass(self, client: Client) -> None:
        with ThreadPoolExecutor(10) as pool:
            assert list(pool.map(lambda _: self.counted(client, most=7), range(20))).count(None) == 7
