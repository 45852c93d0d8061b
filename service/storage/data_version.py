"""The version of the format that data is stored in. A release reads one, and refuses to work on any other."""

from service.errors import Unreadable
from service.storage import keys
from service.storage.client import Client
from service.storage.command import Command, command

VERSION = "3"
"""This release's. It is raised with each change of a key's format that the release before could not read, or we of its."""
OLDEST = "1"
"""That of data without a version: 0.1.0 wrote none."""

UNKNOWN = "unknown"
"""That of data where the key of the version holds something else."""


class WrongDataVersionError(Exception):
    """The store holds data of another version."""

    def __init__(self, found: str) -> None:
        super().__init__(
            f"holds data of version {found[:20]}, and this release reads version {VERSION} only"
        )


def claim(client: Client) -> None:
    """Makes sure that the data is ours; a store without any becomes so.

    Raises:
        WrongDataVersionError: it is of another version.
        Unavailable: the store does not answer.
    """
    version = find(client)
    if version is None:
        client.run(write())
        version = client.run(read()) or VERSION
    if version != VERSION:
        raise WrongDataVersionError(version)


def find(client: Client) -> str | None:
    """The version of the data; None where there is none.

    Raises:
        Unavailable: the store does not answer.
    """
    try:
        version = client.run(read())
    except Unreadable:
        return UNKNOWN
    if version is not None:
        return version
    found = client.run_all([has_links(partition) for partition in keys.PARTITIONS])
    if not any(found):
        return None
    return (
        client.run(read()) or OLDEST
    )  # the links may be of a process that wrote the version since we looked for it


def read() -> Command[str | None]:
    """The version that was written."""
    return command(lambda version: version, "GET", keys.DATA_VERSION)


def write() -> Command[bool]:
    """Writes ours, unless there is one."""
    return command(bool, "SET", keys.DATA_VERSION, VERSION, "NX")


def has_links(partition: str) -> Command[bool]:
    """Whether organizations of the partition have links."""
    return command(bool, "EXISTS", keys.orgs(partition))
