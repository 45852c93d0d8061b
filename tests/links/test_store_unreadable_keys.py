"""Keys of the wrong type: a link is stored as a whole or not at all."""

import pytest

from service.errors import Unreadable
from service.links import store as links
from service.links.store import PRUNE_EVERY
from service.orgs import store as orgs
from service.storage import keys
from service.storage.command import command
from tests.support.clock import Clock
from tests.support.factories import MILLISECOND, RETENTION, all_keys, make_link, read, store_links
from tests.support.redis_client import RedisClient


@pytest.mark.parametrize("kind", ["org", "active", "email", "outbox", "scheduled"])
def test_a_link_that_cannot_be_indexed_is_not_stored(
    client: RedisClient, clock: Clock, kind: str
) -> None:
    link = make_link(clock.now, scheduled_at=clock.now if kind == "scheduled" else None)
    partition = keys.partition_of_link(link.id)
    key = {
        "org": keys.org("acme"),
        "active": keys.active("acme"),
        "email": keys.email(partition, link.recipient),
        "outbox": keys.outbox(partition),
        "scheduled": keys.scheduled(partition),
    }[kind]
    client.run(command(int, "RPUSH", key, "boom"))
    with pytest.raises(Unreadable):
        client.run(links.create(link, now=clock.now, retention=RETENTION))
    assert all_keys(client) <= {key, keys.orgs(partition)}


def test_a_link_is_stored_without_the_index_of_organizations(
    client: RedisClient, clock: Clock
) -> None:
    link = make_link(clock.now)
    key = keys.orgs(keys.partition_of_link(link.id))
    client.run(command(int, "RPUSH", key, "boom"))
    assert client.run(links.create(link, now=clock.now, retention=RETENTION))
    assert read(client, link.id) == link
    with pytest.raises(Unreadable):
        client.run(
            orgs.list_ids(keys.partition_of_link(link.id), now=clock.now, retention=RETENTION)
        )


def test_a_link_is_stored_without_the_index_of_revoked_links(
    client: RedisClient, clock: Clock
) -> None:
    client.run(command(int, "RPUSH", keys.revoked("acme"), "boom"))
    made = [make_link(clock.now + number * MILLISECOND) for number in range(PRUNE_EVERY)]
    assert store_links(client, made) == made
