"""Whether Redis' user may do all that the service does."""

from service.storage import keys
from service.storage.command import Command, run_script


def find_denied_commands() -> Command[list[str]]:
    """The commands that the user may not run, of those that scripts and calls use."""
    return run_script(list, "storage/probe", [keys.PROBE])
