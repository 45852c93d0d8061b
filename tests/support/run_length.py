"""How long tests of faults are."""

from collections.abc import Callable

RunLength = Callable[[int, int], int]
"""Chooses between a figure's short and its full length."""
