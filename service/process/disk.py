"""Whether ``DATA_DIR``'s disk is almost full: a store that cannot write its append-only file stops."""

import shutil
from pathlib import Path

from config.settings import Settings
from service.process import embedded

MIN_FREE_SHARE = 0.05
MIN_FREE_BYTES = 256 * 1024 * 1024


def folder_in_use(settings: Settings) -> Path | None:
    """``DATA_DIR``, where the embedded store or mails as files are kept in it."""
    data_dir = settings.data_dir.absolute()
    has_store = settings.redis_url == embedded.url_of(embedded.socket_path(data_dir))
    return data_dir if has_store or settings.smtp is None else None


def describe_shortage(folder: Path) -> str | None:
    """How little of the folder's disk is free, where that is too little."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    total, _, free = shutil.disk_usage(there)
    if free >= MIN_FREE_BYTES and free >= MIN_FREE_SHARE * total:
        return None
    return f"{free // 1024**2} MB ({100 * free / total:.1f} %) are free on the disk of {folder}"
