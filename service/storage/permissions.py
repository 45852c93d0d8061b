"""Checks the permissions of the Redis user that the service connects as."""

from service.storage import keys
from service.storage.command import Command, run_script


def find_denied_commands() -> Command[list[str]]:
    """The commands that the service uses and the user may not run."""
    return run_script(list, "storage/check_permissions", [keys.PROBE])
