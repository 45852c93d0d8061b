"""Idempotent requests: what Redis keeps of them, and for how long."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import msgspec

from service.links import store as links
from service.storage import idempotency, keys
from service.storage.idempotency import IDEMPOTENCY_TTL, IdempotencyRecord, IdempotentRequest
from tests.support.clock import Clock
from tests.support.factories import RETENTION, all_keys, goes_at, make_link, snapshot
from tests.support.redis_client import RedisClient

REQUEST = IdempotentRequest("acme", "0a1b", "2c3d")


def create(
    client: RedisClient,
    clock: Clock,
    request: IdempotentRequest | None = REQUEST,
    *,
    org_id: str = "acme",
    gone: str = "",
) -> tuple[str, object]:
    """The local id of a new link, and the reply to its creation."""
    link = make_link(clock.now, org_id=org_id)
    made = links.create(link, now=clock.now, retention=RETENTION, request=request, gone=gone)
    return keys.local_id(link.id), client.run(made)


def test_an_unknown_request_has_no_record(client: RedisClient) -> None:
    assert client.run(idempotency.find(REQUEST)) is None


def test_what_a_request_created_is_kept_for_24_hours(client: RedisClient, clock: Clock) -> None:
    link, stored = create(client, clock)
    assert stored is True
    assert client.run(idempotency.find(REQUEST)) == IdempotencyRecord(link, "2c3d")
    assert timedelta(hours=24) == IDEMPOTENCY_TTL
    assert goes_at(client, REQUEST.redis_key) == clock.now + IDEMPOTENCY_TTL


def test_a_request_without_a_key_leaves_no_record(client: RedisClient, clock: Clock) -> None:
    create(client, clock, None)
    assert not [key for key in all_keys(client) if "idempotency" in key]


def test_a_repeated_request_changes_nothing_and_gets_the_record(
    client: RedisClient, clock: Clock
) -> None:
    link, _ = create(client, clock)
    before = snapshot(client)
    clock.advance(hours=1)
    again = [
        create(client, clock)[1],
        create(client, clock, msgspec.structs.replace(REQUEST, fingerprint="else"))[1],
    ]
    assert again == [IdempotencyRecord(link, "2c3d")] * 2
    assert snapshot(client) == before


def test_organizations_do_not_share_keys(client: RedisClient, clock: Clock) -> None:
    create(client, clock)
    assert (
        create(client, clock, msgspec.structs.replace(REQUEST, org_id="globex"), org_id="globex")[1]
        is True
    )


def test_a_request_whose_link_has_expired_creates_another(
    client: RedisClient, clock: Clock
) -> None:
    first, _ = create(client, clock)
    second, stored = create(client, clock, gone=first)
    assert stored is True
    assert client.run(idempotency.find(REQUEST)) == IdempotencyRecord(second, "2c3d")
    assert create(client, clock, gone=first)[1] == IdempotencyRecord(second, "2c3d")


def test_ten_racing_requests_with_one_key_create_one_link(
    client: RedisClient, clock: Clock
) -> None:
    with ThreadPoolExecutor(10) as pool:
        found = list(pool.map(lambda _: create(client, clock), range(10)))
    [made] = [link for link, stored in found if stored is True]
    assert [stored for _, stored in found if stored is not True] == [
        IdempotencyRecord(made, "2c3d")
    ] * 9
