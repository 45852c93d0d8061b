"""Links in Redis: the same on every backend."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from service.links import store as links
from service.links.redis_hash import by_name, decode, encode
from service.storage import keys
from service.storage.command import TTL_MARGIN, command
from tests.links.delivery_cases import DELIVERIES, MAKES, SOON, Make
from tests.links.test_page import put_newest_last
from tests.support.clock import Clock
from tests.support.factories import (
    RETENTION,
    UNKNOWN_LINK_ID,
    all_keys,
    exists,
    goes_at,
    make_link,
    members,
    owed,
    queues_of,
    read,
    revoke,
    score,
    snapshot,
    store_link,
    store_links,
)
from tests.support.redis_client import RedisClient


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("org", None),
        ("state", "lost"),
        ("attempts", "-1"),
        ("attempts", "many"),
        ("created", "2026-12-01"),
        ("expires", "2026-12-01T09:00:00.000"),
        ("amount", "ten"),
        ("gated", "maybe"),
    ],
)
def test_a_record_with_a_value_of_another_kind_cannot_be_read(
    field: str, value: str | None
) -> None:
    fields = by_name(encode(make_link(datetime.now(UTC))))
    fields.pop(field, None)
    with pytest.raises(msgspec.ValidationError):
        decode(UNKNOWN_LINK_ID, fields if value is None else fields | {field: value})


def test_a_link_is_a_hash_with_named_fields(client: RedisClient) -> None:
    now = datetime(2026, 12, 1, 9, tzinfo=UTC)
    link = make_link(
        now,
        org_id="acme",
        transaction_id="INV-1",
        payment_amount=Decimal("10.50"),
        currency="EUR",
        otp_required=True,
        scheduled_at=now + timedelta(hours=1),
        locale="de",
    )
    client.run(links.create(link, now=now, retention=RETENTION))
    assert client.run(command(dict, "HGETALL", keys.link(link.id))) == {
        "org": "acme",
        "email": "jane@example.com",
        "created": "2026-12-01T09:00:00.000Z",
        "expires": "2026-12-04T10:00:00.000Z",
        "state": "scheduled",
        "attempts": "0",
        "reference": "INV-1",
        "amount": "10.50",
        "currency": "EUR",
        "gated": "1",
        "scheduled": "2026-12-01T10:00:00.000Z",
        "locale": "de",
        "by": "clerk@acme.example.com",
    }


class TestCreate:
    @pytest.mark.parametrize(
        "fields",
        [
            pytest.param({}, id="bare"),
            pytest.param(
                {
                    "email": "Jane.Doe@Example.COM",
                    "transaction_id": "order 42: tea & Käse",
                    "payment_amount": Decimal("999999999999.10"),
                    "currency": "NGN",
                    "otp_required": True,
                },
                id="full",
            ),
            pytest.param(
                {"org_id": "null", "transaction_id": "null", "otp_required": True},
                id="what looks like nothing",
            ),
            pytest.param({"transaction_id": '"\\/] 💶, 1e5'}, id="what looks like a record"),
            pytest.param(
                {"payment_amount": Decimal("1.234"), "currency": "KWD"}, id="three decimals"
            ),
            pytest.param({"payment_amount": Decimal("0.10")}, id="a zero at the end"),
            pytest.param({"notify": False}, id="not e-mailed"),
        ],
    )
    def test_a_link_reads_as_it_was_written(
        self, client: RedisClient, clock: Clock, fields: dict[str, Any]
    ) -> None:
        clock.advance(milliseconds=7)
        link = store_link(client, make_link(clock.now, **fields))
        assert client.run(links.get(link.id)) == link
        assert str(read(client, link.id).payment_amount) == str(link.payment_amount)

    @pytest.mark.parametrize(
        "wait",
        [timedelta(days=3, milliseconds=1), timedelta(seconds=-59, milliseconds=-999)],
        ids=["later", "just passed"],
    )
    def test_a_scheduled_link_reads_as_it_was_written(
        self, client: RedisClient, clock: Clock, wait: timedelta
    ) -> None:
        at = clock.now + wait
        link = store_link(
            client, make_link(clock.now, scheduled_at=at, expires_at=max(at, clock.now) + SOON)
        )
        assert client.run(links.get(link.id)) == link

    def test_there_is_no_link_that_nobody_made(self, client: RedisClient) -> None:
        assert client.run(links.get(UNKNOWN_LINK_ID)) is None

    def test_an_id_with_another_partition_is_another_id(
        self, client: RedisClient, clock: Clock
    ) -> None:
        link = store_link(client, make_link(clock.now))
        elsewhere = UNKNOWN_LINK_ID[:5] + keys.local_id(link.id)
        assert client.run(links.get(elsewhere)) is None
        assert not revoke(client, msgspec.structs.replace(link, id=elsewhere), clock.now)
        assert client.run(links.get(link.id)) == link

    @pytest.mark.parametrize(("make", "queues"), DELIVERIES)
    def test_a_link_has_these_keys_and_no_others(
        self, client: RedisClient, clock: Clock, make: Make, queues: set[str]
    ) -> None:
        link = store_link(client, make(clock.now))
        partition = keys.partition_of_link(link.id)
        indexes = {
            keys.org("acme"),
            keys.active("acme"),
            keys.email(partition, "jane@example.com"),
            keys.orgs(partition),
        }
        assert all_keys(client) == {keys.link(link.id)} | indexes | {
            queues_of(link)[queue] for queue in queues
        }

    @pytest.mark.parametrize(("make", "queues"), DELIVERIES)
    def test_the_e_mail_is_owed_when_it_is_due(
        self, client: RedisClient, clock: Clock, make: Make, queues: set[str]
    ) -> None:
        link = store_link(client, make(clock.now))
        assert owed(client, link) == dict.fromkeys(queues, link.due_at)

    @pytest.mark.parametrize(("make", "queues"), DELIVERIES)
    def test_the_record_goes_when_its_retention_ends(
        self, client: RedisClient, clock: Clock, make: Make, queues: set[str]
    ) -> None:
        link = store_link(client, make(clock.now))
        assert goes_at(client, keys.link(link.id)) == link.expires_at + RETENTION

    @pytest.mark.parametrize("make", MAKES)
    @pytest.mark.parametrize(
        "days", [pytest.param((1, 2), id="longer"), pytest.param((2, 1), id="shorter")]
    )
    def test_an_index_lives_as_long_as_its_longest_link(
        self, client: RedisClient, clock: Clock, make: Make, days: tuple[int, int]
    ) -> None:
        ends = [clock.now + timedelta(days=number) for number in days]
        made = store_links(
            client, [msgspec.structs.replace(make(clock.now), expires_at=end) for end in ends]
        )
        indexes = all_keys(client) - {keys.link(link.id) for link in made}
        least = max(ends) + RETENTION
        assert all(least <= goes_at(client, key) <= least + TTL_MARGIN for key in indexes)

    def test_indexes_sort_a_link_by_its_times(self, client: RedisClient, clock: Clock) -> None:
        link = store_link(client, make_link(clock.now))
        email = keys.email(keys.partition_of_link(link.id), "jane@example.com")
        assert score(client, keys.org("acme"), keys.local_id(link.id)) == link.created_at
        assert score(client, keys.active("acme"), keys.local_id(link.id)) == link.expires_at
        assert score(client, email, keys.local_id(link.id)) == link.expires_at

    def test_a_second_link_of_the_same_id_changes_nothing(
        self, client: RedisClient, clock: Clock
    ) -> None:
        link = store_link(client, make_link(clock.now))
        before = snapshot(client)
        other = msgspec.structs.replace(
            make_link(
                clock.now,
                email="else@example.com",
                expires_at=clock.now + SOON,
                transaction_id="other",
            ),
            id=link.id,
        )
        assert client.run(links.create(other, now=clock.now, retention=RETENTION * 2)) is False
        assert snapshot(client) == before

    def test_a_revoked_link_is_not_made_again(self, client: RedisClient, clock: Clock) -> None:
        link = store_link(client, make_link(clock.now))
        revoke(client, link, clock.now)
        assert client.run(links.create(link, now=clock.now, retention=RETENTION)) is False
        assert read(client, link.id).revoked_at == clock.now

    def test_of_ten_racing_for_one_id_one_makes_the_link(
        self, client: RedisClient, clock: Clock
    ) -> None:
        create = links.create(make_link(clock.now), now=clock.now, retention=RETENTION)
        with ThreadPoolExecutor(10) as pool:
            assert sorted(pool.map(client.run, [create] * 10)) == [False] * 9 + [True]

    def test_one_new_link_in_a_few_makes_its_indexes_forget_old_ones(
        self, client: RedisClient, clock: Clock
    ) -> None:
        old = store_link(client, make_link(clock.now))
        revoked = store_link(client, make_link(clock.now))
        revoke(client, revoked, clock.now)
        clock.now = old.expires_at + RETENTION
        new = put_newest_last(client, clock, links.PRUNE_EVERY)
        email = keys.email(keys.partition_of_link(old.id), "jane@example.com")
        for index in (keys.org("acme"), keys.active("acme"), email):
            assert members(client, index) == [*map(keys.local_id, new)]
        assert not exists(client, keys.revoked("acme"))
