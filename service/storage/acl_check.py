"""Finds the commands that the ACL of the service's Redis user denies."""

from service.storage.command import Command, run_script


def find_denied_commands(key: str) -> Command[list[str]]:
    """The commands that the service uses and the user may not run, tried on ``key``, a probe."""
    return run_script(list, "storage/check_acl", [key])
