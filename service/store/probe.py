"""Whether Redis' user may do all that the service does."""

from service.store import keys
from service.store.call import Call, run_script


def find_refused() -> Call[list[str]]:
    """The commands that the user may not run, of those that scripts and calls use."""
    return run_script(list, "probe", [keys.PROBE])
