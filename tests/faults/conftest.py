"""Faults on purpose. ``FAULTS=full`` runs them at the length that their figures are stated for; otherwise a shorter form."""

import os
from collections.abc import Callable

import pytest

pytest.register_assert_rewrite("tests.support.both")


@pytest.fixture(scope="session")
def length() -> Callable[[int, int], int]:
    """Chooses between a figure's short and its full length."""
    return lambda short, full: full if os.environ.get("FAULTS") == "full" else short
