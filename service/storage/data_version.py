"""The version of the format of stored data. A release reads one version and refuses all others."""

from service.errors import Unreadable
from service.storage import keys
from service.storage.client import RedisClient
from service.storage.command import Command, command

DATA_VERSION = "3"
"""This release's version. Raise it when the format of a key changes so that either release,
this one or the previous one, cannot read the other's data."""
OLDEST = "1"
"""The version assumed where no version key exists: 0.1.0 wrote none."""

UNKNOWN = "unknown"
"""The version of data whose version key holds another type."""


class WrongDataVersionError(Exception):
    def __init__(self, found: str) -> None:
        super().__init__(
            f"holds data of version {found[:20]}, and this release reads"
            f" version {DATA_VERSION} only"
        )


def ensure_version(client: RedisClient) -> None:
    """Checks that the data has this release's version, which it writes to an empty store.

    Raises:
        WrongDataVersionError: it is of another version.
        Unavailable: the store does not answer.
    """
    version = find_version(client)
    if version is None:
        client.run(set_version_if_absent())
        version = client.run(get_version()) or DATA_VERSION
    if version != DATA_VERSION:
        raise WrongDataVersionError(version)


def find_version(client: RedisClient) -> str | None:
    """The version of the data; None if the store is empty.

    Raises:
        Unavailable: the store does not answer.
    """
    try:
        version = client.run(get_version())
    except Unreadable:
        return UNKNOWN
    if version is not None:
        return version
    found = client.run_all([has_links(partition) for partition in keys.ALL_PARTITIONS])
    if not any(found):
        return None
    # Another process may have written the version, and then links, since we read it.
    return client.run(get_version()) or OLDEST


def get_version() -> Command[str | None]:
    """The version key; None if it does not exist."""
    return command(lambda version: version, "GET", keys.DATA_VERSION_KEY)


def set_version_if_absent() -> Command[bool]:
    """Writes this release's version if the store has none."""
    return command(bool, "SET", keys.DATA_VERSION_KEY, DATA_VERSION, "NX")


def has_links(partition: str) -> Command[bool]:
    """Whether an organization in the partition has links."""
    return command(bool, "EXISTS", keys.orgs(partition))
