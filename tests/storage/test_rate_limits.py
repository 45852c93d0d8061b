"""Rate limits, on every backend."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from service.otps import store as otps
from service.storage import keys
from service.storage import rate_limits as limits
from service.storage.rate_limits import RateLimit, ReachedLimit
from tests.support.factories import all_keys, delete, goes_at, snapshot, ttl
from tests.support.redis_client import RedisClient

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
A_FEW_SECONDS = timedelta(seconds=10)
NETWORKS = {"2001:db8:1:2::/64": 1, "2001:db8:1::/56": 5, "2001:db8:1::/48": 20}
HOURLY = RateLimit("hourly", "pl:{00}:hourly", 3, HOUR)
DAILY = RateLimit("daily", "pl:{00}:daily", 4, DAY)


def count(client: RedisClient, *counted: RateLimit) -> ReachedLimit | None:
    return client.run(limits.count(counted))


def check(client: RedisClient, *checked: RateLimit) -> ReachedLimit | None:
    return client.run(limits.check(checked))


def uncount(client: RedisClient, *counted: RateLimit) -> None:
    client.run(limits.uncount(counted))


class TestCount:
    def test_as_many_pass_as_the_limit_allows(self, client: RedisClient) -> None:
        assert [count(client, HOURLY) for _ in range(3)] == [None] * 3
        reached = count(client, HOURLY)
        assert reached is not None
        assert reached.limit is HOURLY
        assert HOUR - A_FEW_SECONDS < reached.retry_after <= HOUR

    def test_a_counter_expires(self, client: RedisClient) -> None:
        count(client, HOURLY, DAILY)
        for limit in (HOURLY, DAILY):
            assert limit.window - A_FEW_SECONDS < ttl(client, limit.key) <= limit.window

    def test_a_window_begins_with_the_first(self, client: RedisClient) -> None:
        count(client, HOURLY)
        first = goes_at(client, HOURLY.key)
        count(client, HOURLY)
        assert goes_at(client, HOURLY.key) == first

    def test_the_next_window_begins_at_zero(self, client: RedisClient) -> None:
        for _ in range(3):
            count(client, HOURLY, DAILY)
        delete(client, HOURLY.key)
        assert [
            reached and reached.limit
            for reached in (count(client, HOURLY, DAILY) for _ in range(2))
        ] == [None, DAILY]

    def test_of_several_limits_the_longest_is_reported(self, client: RedisClient) -> None:
        once = [limit._replace(maximum=1) for limit in (HOURLY, DAILY)]
        count(client, *once)
        for order in (once, once[::-1]):
            reached = count(client, *order)
            assert reached is not None
            assert reached.limit.name == "daily"

    def test_nothing_is_counted_where_one_limit_is_reached(self, client: RedisClient) -> None:
        count(client, HOURLY)
        before = snapshot(client)
        assert count(client, DAILY, HOURLY._replace(maximum=1)) is not None
        assert snapshot(client) == before

    def test_no_more_of_twenty_racing_requests_pass_than_the_limit_allows(
        self, client: RedisClient
    ) -> None:
        with ThreadPoolExecutor(10) as pool:
            assert (
                list(
                    pool.map(lambda _: count(client, HOURLY._replace(maximum=7), DAILY), range(20))
                ).count(None)
                == 4
            )


class TestCheck:
    def test_it_reports_a_limit_that_is_reached(self, client: RedisClient) -> None:
        assert check(client, HOURLY) is None
        for _ in range(3):
            count(client, HOURLY)
        reached = check(client, HOURLY)
        assert reached is not None
        assert reached.limit is HOURLY
        assert HOUR - A_FEW_SECONDS < reached.retry_after <= HOUR

    def test_it_counts_nothing(self, client: RedisClient) -> None:
        check(client, HOURLY)
        assert all_keys(client) == set()


class TestUncount:
    def test_an_uncounted_request_may_be_repeated(self, client: RedisClient) -> None:
        for _ in range(3):
            count(client, HOURLY)
        uncount(client, HOURLY)
        assert [count(client, HOURLY) is None for _ in range(2)] == [True, False]

    def test_a_missing_counter_stays_missing(self, client: RedisClient) -> None:
        uncount(client, HOURLY, DAILY)
        assert all_keys(client) == set()

    def test_a_counter_of_zero_is_deleted(self, client: RedisClient) -> None:
        count(client, HOURLY, DAILY)
        uncount(client, HOURLY, DAILY)
        assert all_keys(client) == set()


class TestLimitsOfCodes:
    @pytest.mark.parametrize(
        ("tagged", "mailbox"),
        [
            ("jane+shop@example.com", "jane@example.com"),
            ("jane+a+b@example.com", "jane@example.com"),
            ("jane+@example.com", "jane@example.com"),
        ],
    )
    def test_addresses_with_tags_share_a_mailbox(
        self, client: RedisClient, tagged: str, mailbox: str
    ) -> None:
        first, second = (
            otps.mailbox_limits(email, resend_after=MINUTE, sends_per_hour=5, sends_per_day=10)
            for email in (tagged, mailbox)
        )
        assert count(client, *first) is None
        reached = count(client, *second)
        assert reached is not None
        assert reached.limit.name == "resend"

    @pytest.mark.parametrize("other", ["john@example.com", "jane@example.org", "+jane@example.com"])
    def test_mailboxes_do_not_share_limits(self, client: RedisClient, other: str) -> None:
        for email in ("jane@example.com", other):
            made = otps.mailbox_limits(
                email, resend_after=MINUTE, sends_per_hour=5, sends_per_day=10
            )
            assert count(client, *made) is None

    def test_wider_networks_have_higher_limits(self) -> None:
        made = otps.client_limits(NETWORKS, "otp_sends", 30)
        assert [limit.maximum for limit in made] == [30, 150, 600]
        assert {limit.window for limit in made} == {HOUR}

    def test_an_organization_has_its_own_limit_of_unverified_codes_for_a_mailbox(
        self, client: RedisClient
    ) -> None:
        def counted(email: str, org_id: str) -> bool:
            return count(client, *otps.unverified_limit(email, org_id, 1)) is None

        assert counted("jane+shop@example.com", "acme")
        assert not counted("jane@example.com", "acme")
        assert counted("jane@example.com", "globex")
        assert counted("john@example.com", "acme")

    def test_all_codes_together_have_a_limit_a_minute(self, client: RedisClient) -> None:
        (ceiling,) = otps.ceiling(2)
        assert [count(client, ceiling) is None for _ in range(3)] == [True, True, False]
        assert ceiling.window == MINUTE
        assert ceiling.key == keys.OTP_SENDS
