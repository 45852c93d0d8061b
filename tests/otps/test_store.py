"""One-time passwords in Redis: the same on every backend."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest

from service.otps import store as otps
from service.otps.store import Otp
from service.storage import keys
from service.values.ids import partition_of
from tests.otps.store_calls import (
    DAY,
    EMAIL,
    FAILURES,
    HOUR,
    LEASE,
    MINUTE,
    NONCE,
    OF_NETWORK,
    OTHER,
    TAGGED,
    TEN_MINUTES,
    claim,
    create,
    failures,
    is_owed,
    open_code,
    redeem,
    settle,
    try_code,
    verified,
)
from tests.support.clock import Clock
from tests.support.factories import (
    MILLISECOND,
    all_keys,
    delete,
    exists,
    goes_at,
    members,
    snapshot,
    ttl,
)
from tests.support.redis_client import RedisClient


class TestCreate:
    def test_a_code_has_these_keys_and_no_others(self, client: RedisClient, clock: Clock) -> None:
        create(client, clock.now)
        assert all_keys(client) == {keys.otp(EMAIL), keys.otp_outbox(partition_of(EMAIL))}

    @pytest.mark.parametrize(
        ("key", "life"),
        [
            pytest.param(keys.otp(EMAIL), TEN_MINUTES, id="the code"),
            pytest.param(keys.otp_outbox(partition_of(EMAIL)), TEN_MINUTES, id="the outbox"),
        ],
    )
    def test_every_key_of_it_goes_by_itself(
        self, client: RedisClient, clock: Clock, key: str, life: timedelta
    ) -> None:
        create(client, clock.now)
        assert life - timedelta(seconds=10) < ttl(client, key) <= life

    def test_the_outbox_lives_as_long_as_its_last_code(
        self, client: RedisClient, clock: Clock
    ) -> None:
        create(client, clock.now)
        clock.advance(minutes=3)
        create(client, clock.now)
        create(client, clock.now - timedelta(minutes=3))
        assert goes_at(client, keys.otp_outbox(partition_of(EMAIL))) == clock.now + TEN_MINUTES

    def test_its_mail_is_owed_at_once(self, client: RedisClient, clock: Clock) -> None:
        create(client, clock.now)
        assert claim(client, clock.now) == [EMAIL]

    def test_a_code_is_what_it_was_made_of(self, client: RedisClient, clock: Clock) -> None:
        create(client, clock.now)
        assert open_code(client) == Otp(EMAIL, NONCE, clock.now + TEN_MINUTES, 0)

    def test_a_new_code_voids_the_one_before(self, client: RedisClient, clock: Clock) -> None:
        create(client, clock.now)
        create(client, clock.now, OTHER)
        assert try_code(client, clock.now) == OTHER
        assert redeem(client, clock.now, NONCE) is False
        assert redeem(client, clock.now, OTHER) is True

    def test_a_tagged_e_mail_has_a_code_of_its_own(self, client: RedisClient, clock: Clock) -> None:
        create(client, clock.now)
        create(client, clock.now, OTHER, email=TAGGED)
        assert [try_code(client, clock.now), try_code(client, clock.now, email=TAGGED)] == [
            NONCE,
            OTHER,
        ]
        assert sorted(claim(client, clock.now)) == [TAGGED, EMAIL]


class TestRedeem:
    def test_a_code_is_used_once(self, client: RedisClient, clock: Clock) -> None:
        create(client, clock.now)
        assert [redeem(client, clock.now), redeem(client, clock.now)] == [True, False]
        assert try_code(client, clock.now) is None

    def test_of_ten_who_race_one_uses_it(self, client: RedisClient, clock: Clock) -> None:
        create(client, clock.now)
        with ThreadPoolExecutor(10) as pool:
            assert sorted(pool.map(lambda _: redeem(client, clock.now), range(10))) == [
                False
            ] * 9 + [True]

    def test_a_used_code_is_verified(self, client: RedisClient, clock: Clock) -> None:
        create(client, clock.now)
        redeem(client, clock.now)
        assert verified(client, clock.now) == [NONCE]

    def test_a_code_that_is_void_is_not_verified(self, client: RedisClient, clock: Clock) -> None:
        create(client, clock.now)
        create(client, clock.now, OTHER)
        redeem(client, clock.now, NONCE)
        assert verified(client, clock.now) == []

    def test_a_used_code_is_not_mailed_any_more(self, client: RedisClient, clock: Clock) -> None:
        create(client, clock.now)
        redeem(client, clock.now)
        assert is_owed(client) is None

    def test_a_right_code_is_no_failure(self, client: RedisClient, clock: Clock) -> None:
        for number in range(12):
            nonce = bytes([number]) * 16
            create(client, clock.now, nonce)
            assert try_code(client, clock.now) == nonce
            assert redeem(client, clock.now, nonce)
        assert not exists(client, FAILURES)
        assert not exists(client, OF_NETWORK)

    def test_failures_before_a_right_code_still_count(
        self, client: RedisClient, clock: Clock
    ) -> None:
        create(client, clock.now)
        for _ in range(3):
            try_code(client, clock.now)
        redeem(client, clock.now)
        assert [failures(client), failures(client, OF_NETWORK)] == [2, 2]

    def test_a_count_that_went_meanwhile_does_not_come_back(
        self, client: RedisClient, clock: Clock
    ) -> None:
        create(client, clock.now)
        try_code(client, clock.now)
        delete(client, FAILURES)
        redeem(client, clock.now)
        assert not exists(client, FAILURES)

    def test_a_code_that_is_used_late_takes_no_failure_back(
        self, client: RedisClient, clock: Clock
    ) -> None:
        create(client, clock.now)
        try_code(client, clock.now)
        try_code(client, clock.now)
        redeem(client, clock.now)
        redeem(client, clock.now)
        assert failures(client) == 1


class TestVerified:
    def test_an_e_mail_that_used_no_code_has_none(self, client: RedisClient, clock: Clock) -> None:
        create(client, clock.now)
        assert verified(client, clock.now) == []

    @pytest.mark.parametrize(
        ("late", "counts"),
        [
            pytest.param(-MILLISECOND, True, id="a millisecond before"),
            pytest.param(timedelta(0), False, id="at its end"),
        ],
    )
    def test_a_used_code_counts_for_a_day(
        self, client: RedisClient, clock: Clock, late: timedelta, counts: bool
    ) -> None:
        create(client, clock.now)
        redeem(client, clock.now)
        assert verified(client, clock.now + DAY + late) == ([NONCE] if counts else [])

    def test_every_code_of_the_day_counts(self, client: RedisClient, clock: Clock) -> None:
        for nonce in (NONCE, OTHER):
            create(client, clock.now, nonce)
            redeem(client, clock.now, nonce)
            clock.advance(hours=1)
        assert verified(client, clock.now) == [NONCE, OTHER]

    def test_they_are_kept_a_day_after_the_last(self, client: RedisClient, clock: Clock) -> None:
        create(client, clock.now)
        redeem(client, clock.now)
        create(client, clock.now, OTHER)
        redeem(client, clock.now + HOUR, OTHER)
        assert goes_at(client, keys.otp_verified_nonces(EMAIL)) == clock.now + HOUR + DAY

    def test_a_code_of_yesterday_is_forgotten_with_the_next(
        self, client: RedisClient, clock: Clock
    ) -> None:
        create(client, clock.now)
        redeem(client, clock.now)
        create(client, clock.now, OTHER)
        redeem(client, clock.now + DAY, OTHER)
        assert members(client, keys.otp_verified_nonces(EMAIL)) == [OTHER.hex()]

    def test_another_e_mails_codes_do_not_count(self, client: RedisClient, clock: Clock) -> None:
        create(client, clock.now, email="john@example.com")
        redeem(client, clock.now, email="john@example.com")
        assert verified(client, clock.now) == []


class TestOpen:
    def test_an_e_mail_whose_code_is_gone_is_owed_none(
        self, client: RedisClient, clock: Clock
    ) -> None:
        create(client, clock.now)
        delete(client, keys.otp(EMAIL))
        assert open_code(client) is None
        assert is_owed(client) is None

    def test_codes_come_in_the_order_of_their_e_mails(
        self, client: RedisClient, clock: Clock
    ) -> None:
        partition = partition_of(EMAIL)
        same = [
            address
            for address in (f"{n}@example.com" for n in range(3000))
            if partition_of(address) == partition
        ][:2]
        create(client, clock.now, OTHER, email=same[0])
        create(client, clock.now)
        opened = client.run(otps.load_claimed(partition, [EMAIL, *same]))
        assert [code.nonce if isinstance(code, Otp) else code for code in opened] == [
            NONCE,
            OTHER,
            None,
        ]


class TestSettle:
    @pytest.fixture
    def deadline(self, client: RedisClient, clock: Clock) -> datetime:
        """When the lease on a claimed code ends."""
        create(client, clock.now)
        assert claim(client, clock.now) == [EMAIL]
        return clock.now + LEASE

    def test_what_is_out_is_owed_no_more(self, client: RedisClient, deadline: datetime) -> None:
        assert settle(client, deadline) is True
        assert is_owed(client) is None

    def test_what_is_out_can_be_used(
        self, client: RedisClient, clock: Clock, deadline: datetime
    ) -> None:
        settle(client, deadline)
        assert redeem(client, clock.now) is True

    def test_what_is_put_off_is_claimed_when_its_next_try_comes(
        self, client: RedisClient, clock: Clock, deadline: datetime
    ) -> None:
        assert settle(client, deadline, retry_at=clock.now + MINUTE) is True
        assert [
            claim(client, clock.now + MINUTE - MILLISECOND),
            claim(client, clock.now + MINUTE),
        ] == [[], [EMAIL]]

    def test_every_try_counts(self, client: RedisClient, clock: Clock, deadline: datetime) -> None:
        settle(client, deadline, retry_at=clock.now + MINUTE)
        settle(client, clock.now + MINUTE, retry_at=clock.now + HOUR)
        assert open_code(client) == Otp(EMAIL, NONCE, clock.now + TEN_MINUTES, 2)

    def test_what_is_put_off_untried_counts_no_try(
        self, client: RedisClient, clock: Clock, deadline: datetime
    ) -> None:
        client.run(
            otps.settle(
                EMAIL,
                NONCE,
                lease_deadline=deadline,
                retry_at=clock.now + MINUTE,
                counts_as_attempt=False,
            )
        )
        assert open_code(client) == Otp(EMAIL, NONCE, clock.now + TEN_MINUTES, 0)

    def test_tries_without_an_answer_are_counted(
        self, client: RedisClient, clock: Clock, deadline: datetime
    ) -> None:
        for at, unconfirmed in ((MINUTE, True), (2 * MINUTE, False), (3 * MINUTE, True)):
            retry_at = clock.now + at
            assert client.run(
                otps.settle(
                    EMAIL,
                    NONCE,
                    lease_deadline=deadline,
                    retry_at=retry_at,
                    unconfirmed=unconfirmed,
                )
            )
            deadline = retry_at
        assert open_code(client) == Otp(
            EMAIL, NONCE, clock.now + TEN_MINUTES, attempts=3, unconfirmed=2
        )

    @pytest.mark.parametrize(
        "retry", [pytest.param(None, id="out"), pytest.param(HOUR, id="put off")]
    )
    def test_a_lease_that_another_took_over_settles_nothing(
        self, client: RedisClient, clock: Clock, deadline: datetime, retry: timedelta | None
    ) -> None:
        assert claim(client, deadline) == [EMAIL]
        before = snapshot(client)
        assert settle(client, deadline, None if retry is None else clock.now + retry) is False
        assert snapshot(client) == before

    def test_what_is_out_is_owed_no_more_whoever_holds_the_lease(
        self, client: RedisClient, deadline: datetime
    ) -> None:
        assert claim(client, deadline) == [EMAIL]
        assert settle(client, None) is True
        assert is_owed(client) is None

    def test_what_is_out_does_not_settle_a_code_asked_for_meanwhile(
        self, client: RedisClient, clock: Clock, deadline: datetime
    ) -> None:
        create(client, clock.now, OTHER)
        assert settle(client, None) is False
        assert is_owed(client) == clock.now

    @pytest.mark.parametrize(
        "retry", [pytest.param(None, id="out"), pytest.param(HOUR, id="put off")]
    )
    def test_a_code_asked_for_meanwhile_is_still_owed(
        self, client: RedisClient, clock: Clock, deadline: datetime, retry: timedelta | None
    ) -> None:
        create(client, clock.now, OTHER)
        assert settle(client, deadline, None if retry is None else clock.now + retry) is False
        assert claim(client, clock.now) == [EMAIL]
        assert open_code(client) == Otp(EMAIL, OTHER, clock.now + TEN_MINUTES, 0)

    def test_a_code_used_meanwhile_is_not_owed_again(
        self, client: RedisClient, clock: Clock, deadline: datetime
    ) -> None:
        redeem(client, clock.now)
        assert settle(client, deadline, clock.now + MINUTE) is False
        assert is_owed(client) is None

    def test_a_code_that_is_gone_does_not_come_back(
        self, client: RedisClient, deadline: datetime
    ) -> None:
        delete(client, keys.otp(EMAIL))
        settle(client, deadline)
        assert all_keys(client) == set()


class TestRequeue:
    @pytest.fixture(autouse=True)
    def _given_up(self, client: RedisClient, clock: Clock) -> None:
        """A code whose mail was given up."""
        create(client, clock.now)
        claim(client, clock.now)
        settle(client, clock.now + LEASE)

    def test_a_mail_that_was_given_up_is_owed_again(
        self, client: RedisClient, clock: Clock
    ) -> None:
        assert client.run(otps.requeue(EMAIL, NONCE, at=clock.now + MINUTE)) is True
        assert is_owed(client) == clock.now + MINUTE
        assert goes_at(client, keys.otp_outbox(partition_of(EMAIL))) >= goes_at(
            client, keys.otp(EMAIL)
        )

    def test_one_that_is_under_a_lease_stays_so(self, client: RedisClient, clock: Clock) -> None:
        client.run(otps.requeue(EMAIL, NONCE, at=clock.now))
        assert claim(client, clock.now) == [EMAIL]
        assert client.run(otps.requeue(EMAIL, NONCE, at=clock.now)) is True
        assert is_owed(client) == clock.now + LEASE

    @pytest.mark.parametrize("meanwhile", ["used", "voided", "expired"])
    def test_one_that_need_not_go_out_is_not_owed_again(
        self, client: RedisClient, clock: Clock, meanwhile: str
    ) -> None:
        match meanwhile:
            case "used":
                redeem(client, clock.now)
            case "voided":
                create(client, clock.now, OTHER)
                claim(client, clock.now)
                settle(client, clock.now + LEASE)
            case "expired":
                delete(client, keys.otp(EMAIL))
        before = snapshot(client)
        assert client.run(otps.requeue(EMAIL, NONCE, at=clock.now)) is False
        assert snapshot(client) == before
