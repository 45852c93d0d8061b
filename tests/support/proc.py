"""What the kernel says of processes (Linux)."""

from pathlib import Path


def children(pid: int) -> list[int]:
    """The processes that ``pid`` has started."""
    return [int(child) for tasks in Path(f"/proc/{pid}/task").iterdir() for child in (tasks / "children").read_text().split()]


def runs(pid: int) -> bool:
    """Whether the process has not ended, be it that nobody has asked how."""
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
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))
