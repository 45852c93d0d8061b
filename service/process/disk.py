"""The disk of ``DATA_DIR``: a store that cannot write its append-only file stops."""

import shutil
from pathlib import Path

from service.process import embedded

MIN_FREE_SHARE = 0.05
MIN_FREE_BYTES = 256 * 1024 * 1024


def is_data_dir_used(data_dir: Path, redis_url: str, *, has_smtp: bool) -> bool:
    """Whether the embedded store, or mails as files, are kept in ``data_dir``."""
    return not has_smtp or redis_url == embedded.store_url(data_dir.absolute())


def describe_shortage(directory: Path) -> str | None:
    """How little of the directory's disk is free; None where it is enough."""
    directory = directory.absolute()
    existing = next(path for path in (directory, *directory.parents) if path.exists())
    total, _, free = shutil.disk_usage(existing)
    if free >= MIN_FREE_BYTES and free >= MIN_FREE_SHARE * total:
        return None
    return f"{free // 1024**2} MB ({100 * free / total:.1f} %) are free on the disk of {directory}"
