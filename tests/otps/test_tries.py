"""Tries of a code in Redis: counted before they are compared, with limits."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from service.otps.store import TriesUsedUp
from service.storage import keys
from tests.otps.store_calls import (
    DAY,
    EMAIL,
    FAILURES,
    NONCE,
    OF_NETWORK,
    OTHER,
    TEN_MINUTES,
    create,
    failures,
    try_code,
)
from tests.support.clock import Clock
from tests.support.factories import (
    MILLISECOND,
    all_keys,
    delete,
    goes_at,
    snapshot,
    ttl,
)
from tests.support.redis_client import RedisClient


class TestTry:
    def test_a_try_gives_what_to_compare_with(self, client: RedisClient, clock: Clock) -> None:
        create(client, clock.now)
        assert try_code(client, clock.now) == NONCE

    def test_a_code_is_tried_five_times(self, client: RedisClient, clock: Clock) -> None:
        create(client, clock.now)
        assert [try_code(client, clock.now) for _ in range(7)] == [NONCE] * 5 + [None] * 2

    def test_a_new_code_has_tries_of_its_own(self, client: RedisClient, clock: Clock) -> None:
        create(client, clock.now)
        for _ in range(5):
            try_code(client, clock.now)
        create(client, clock.now, OTHER)
        assert try_code(client, clock.now) == OTHER

    def test_the_day_has_ten_failures_over_all_codes(
        self, client: RedisClient, clock: Clock
    ) -> None:
        tried = []
        for nonce in (NONCE, OTHER, NONCE):
            create(client, clock.now, nonce)
            tried += [
                try_code(client, clock.now, network=str(number), failures_per_day=10)
                for number in range(4)
            ]
        assert tried[:10] == [NONCE] * 4 + [OTHER] * 4 + [NONCE] * 2
        assert all(isinstance(outcome, TriesUsedUp) for outcome in tried[10:])

    def test_e_mails_that_differ_in_their_tags_share_them(
        self, client: RedisClient, clock: Clock
    ) -> None:
        for number in range(10):
            create(client, clock.now, email=f"jane+{number}@example.com")
            try_code(
                client,
                clock.now,
                email=f"jane+{number}@example.com",
                network=str(number),
                failures_per_day=10,
            )
        create(client, clock.now)
        assert isinstance(try_code(client, clock.now, failures_per_day=10), TriesUsedUp)

    @pytest.mark.parametrize(("failures_per_day", "half"), [(10, 5), (5, 2), (1, 1)])
    def test_one_network_can_use_up_half_of_a_days_tries(
        self, client: RedisClient, clock: Clock, failures_per_day: int, half: int
    ) -> None:
        create(client, clock.now)
        tried = []
        for nonce in (NONCE, OTHER):
            create(client, clock.now, nonce)
            tried += [
                try_code(client, clock.now, failures_per_day=failures_per_day) for _ in range(3)
            ]
        assert tried[:half] == ([NONCE] * 3 + [OTHER] * 2)[:half]
        assert all(isinstance(outcome, TriesUsedUp) for outcome in tried[half:])

    def test_the_other_half_is_left_to_others(self, client: RedisClient, clock: Clock) -> None:
        create(client, clock.now)
        assert [try_code(client, clock.now, failures_per_day=10) for _ in range(20)] == [
            NONCE
        ] * 5 + [None] * 15
        create(client, clock.now, OTHER)
        assert isinstance(try_code(client, clock.now, failures_per_day=10), TriesUsedUp)
        assert try_code(client, clock.now, network="198.51.100.9", failures_per_day=10) == OTHER

    def test_a_network_that_used_up_its_half_does_not_learn_whether_there_is_a_code(
        self, client: RedisClient, clock: Clock
    ) -> None:
        create(client, clock.now)
        for _ in range(5):
            try_code(client, clock.now, failures_per_day=10)
        for prepare in (delete, lambda *_: create(client, clock.now, OTHER)):
            prepare(client, keys.otp(EMAIL))
            assert isinstance(try_code(client, clock.now, failures_per_day=10), TriesUsedUp)

    def test_who_failed_too_often_may_try_again_within_a_day(
        self, client: RedisClient, clock: Clock
    ) -> None:
        create(client, clock.now)
        try_code(client, clock.now)
        refusal = try_code(client, clock.now, failures_per_day=1)
        assert isinstance(refusal, TriesUsedUp)
        assert DAY - timedelta(seconds=10) < refusal.retry_after <= DAY

    def test_the_next_day_begins_anew(self, client: RedisClient, clock: Clock) -> None:
        create(client, clock.now)
        try_code(client, clock.now)
        delete(client, FAILURES)
        delete(client, OF_NETWORK)
        assert try_code(client, clock.now, failures_per_day=1) == NONCE

    def test_a_refused_try_changes_nothing(self, client: RedisClient, clock: Clock) -> None:
        create(client, clock.now)
        try_code(client, clock.now)
        before = snapshot(client)
        try_code(client, clock.now, failures_per_day=1)
        assert snapshot(client) == before

    def test_tries_count_only_while_a_code_is_outstanding(
        self, client: RedisClient, clock: Clock
    ) -> None:
        assert [try_code(client, clock.now, failures_per_day=10) for _ in range(20)] == [None] * 20
        assert all_keys(client) == set()
        create(client, clock.now)
        assert try_code(client, clock.now, failures_per_day=10) == NONCE

    def test_tries_of_a_code_that_has_expired_do_not_count(
        self, client: RedisClient, clock: Clock
    ) -> None:
        create(client, clock.now)
        before = snapshot(client)
        assert try_code(client, clock.now + TEN_MINUTES) is None
        assert snapshot(client) == before

    def test_tries_of_a_code_that_was_tried_too_often_count(
        self, client: RedisClient, clock: Clock
    ) -> None:
        create(client, clock.now)
        for _ in range(7):
            try_code(client, clock.now)
        assert failures(client) == 7

    @pytest.mark.parametrize("key", [FAILURES, OF_NETWORK], ids=["of the e-mail", "of the network"])
    def test_the_day_begins_with_the_first_failure(
        self, client: RedisClient, clock: Clock, key: str
    ) -> None:
        create(client, clock.now)
        try_code(client, clock.now)
        first = goes_at(client, key)
        assert DAY - timedelta(seconds=10) < ttl(client, key) <= DAY
        try_code(client, clock.now)
        assert goes_at(client, key) == first

    @pytest.mark.parametrize(
        ("late", "outcome"),
        [
            pytest.param(-MILLISECOND, NONCE, id="a millisecond before"),
            pytest.param(timedelta(0), None, id="at its end"),
            pytest.param(MILLISECOND, None, id="a millisecond later"),
        ],
    )
    def test_an_expired_code_cannot_be_tried(
        self, client: RedisClient, clock: Clock, late: timedelta, outcome: bytes | None
    ) -> None:
        create(client, clock.now)
        assert try_code(client, clock.now + TEN_MINUTES + late) == outcome

    def test_a_try_does_not_prolong_the_code(self, client: RedisClient, clock: Clock) -> None:
        create(client, clock.now)
        before = goes_at(client, keys.otp(EMAIL))
        try_code(client, clock.now)
        assert goes_at(client, keys.otp(EMAIL)) == before

    def test_of_twenty_who_race_five_may_compare(self, client: RedisClient, clock: Clock) -> None:
        create(client, clock.now)
        with ThreadPoolExecutor(10) as pool:
            tried = list(pool.map(lambda _: try_code(client, clock.now), range(20)))
        assert tried.count(NONCE) == 5
