"""What the kernel says of processes (Linux)."""

import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
"""The kernel's clock ticks in a second."""


def children(pid: int) -> list[int]:
    """The processes that ``pid`` has started."""
    return [
        int(child)
        for tasks in Path(f"/proc/{pid}/task").iterdir()
        for child in (tasks / "children").read_text().split()
    ]


def runs(pid: int) -> bool:
    """Whether the process has not ended. A zombie has."""
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


def descendants(pid: int) -> list[int]:
    """Its children, and theirs."""
    return [found for child in children(pid) for found in (child, *descendants(child))]


def descriptors(pid: int) -> int:
    """How many files and sockets the process has open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def resident(pid: int) -> float:
    """MB of memory that the process holds."""
    return _megabytes(pid, "VmRSS")


def peak_resident(pid: int) -> float:
    """The most MB of memory that the process has held."""
    return _megabytes(pid, "VmHWM")


def _megabytes(pid: int, field: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))


def cpu_seconds(pid: int) -> float:
    """CPU seconds of a process and its descendants, with ended ones that were waited for."""
    return sum(_ticks(one) for one in (pid, *descendants(pid))) / TICKS


def _ticks(pid: int) -> int:
    """User and kernel time of the process and of the children that it has waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15]))


def cpu_clock(pid: int) -> int:
    """The process' CPU-time clock in nanoseconds, for ``time.clock_gettime``."""
    return ~pid << 3 | 2  # clock_getcpuclockid(3)
