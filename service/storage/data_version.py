"""The version of the format of stored data. A release reads one version and refuses all others."""

from collections.abc import Mapping
from contextlib import suppress

from service.errors import Unavailable, Unreadable
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

Versions = Mapping[str, str | Unreadable | Unavailable | None]
"""The values of the version key and of its copies, by key."""


class WrongDataVersionError(Exception):
    def __init__(self, found: str) -> None:
        super().__init__(
            f"holds data of version {found[:20]}, and this release reads"
            f" version {DATA_VERSION} only"
        )


def ensure_version(client: RedisClient) -> None:
    """Checks that the data has this release's version, which it writes to an empty store.

    Copies that are missing are written, too.

    Raises:
        WrongDataVersionError: it is of another version.
        Unavailable: the store does not answer, or the part of it that may have the version.
    """
    versions = _read_versions(client)
    version = _find_version(client, versions)
    if version is None:
        client.run(set_version_if_absent())
        version = client.run(get_version()) or DATA_VERSION
    if version != DATA_VERSION:
        raise WrongDataVersionError(version)
    with suppress(Unavailable):
        client.run_each(
            [set_version_if_absent(key) for key, found in versions.items() if found is None]
        )


def find_version(client: RedisClient) -> str | None:
    """The version of the data; None if the store is empty.

    Raises:
        Unavailable: the store does not answer, or the part of it that may have the version.
    """
    return _find_version(client, _read_versions(client))


def get_version(key: str = keys.DATA_VERSION_KEY) -> Command[str | None]:
    """The version key, or a copy; None if it does not exist."""
    return command(lambda version: version, "GET", key)


def set_version_if_absent(key: str = keys.DATA_VERSION_KEY) -> Command[bool]:
    """Writes this release's version if the store has none, or not this copy."""
    return command(bool, "SET", key, DATA_VERSION, "NX")


def has_links(partition: str) -> Command[bool]:
    """Whether an organization in the partition has links."""
    return command(bool, "EXISTS", keys.orgs(partition))


def _read_versions(client: RedisClient) -> Versions:
    read = (keys.DATA_VERSION_KEY, *keys.DATA_VERSION_COPIES)
    return dict(zip(read, client.run_each([get_version(key) for key in read]), strict=True))


def _find_version(client: RedisClient, versions: Versions) -> str | None:
    """The version, which is that of any copy; if they differ, one that is not this release's."""
    if any(isinstance(version, Unreadable) for version in versions.values()):
        return UNKNOWN
    found = {version for version in versions.values() if isinstance(version, str)}
    if found:
        return next(iter(found - {DATA_VERSION}), DATA_VERSION)
    first = versions[keys.DATA_VERSION_KEY]
    if isinstance(first, Unavailable):
        raise first
    if not any(client.run_all([has_links(partition) for partition in keys.ALL_PARTITIONS])):
        return None
    # Another process may have written the version, and then links, since we read it.
    return client.run(get_version()) or OLDEST
