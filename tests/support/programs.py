"""Programs that the package index does not have."""

import os
import shutil

import pytest


def require_program(name: str) -> str:
    """Where ``name`` is. Without it its tests are skipped here, and fail in CI."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{name} is not on PATH")
    return found
