"""How much memory is left, to refuse arrays that cannot fit before any work is done for them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .base import DatasetError


def available_memory(root: Path = Path("/")) -> int | None:
    """Return how many bytes this process can still take; None where the system does not say.

    On Linux that is what the system has available, with its swap, and no more than what the limits
    of the process's control groups (containers, Slurm) leave.

    Args:
        root: folder that `proc` and `sys` are in.
    """
    free = [*_of_the_system(root / "proc/meminfo"), *_of_control_groups(root)]
    return max(0, min(free)) if free else None


def check_memory(
    images: int,
    side: int,
    channels: int,
    *,
    advice: str = "try a smaller `resize`, or fewer images",
) -> None:
    """Raise unless the memory has room for images of one size.

    Args:
        images: how many.
        side: height and width of each, in pixels.
        channels: number of channels of each, one byte a pixel.
        advice: the end of the message.

    Raises:
        DatasetError: with the sizes that are needed and available.
    """
    needed, available = images * side * side * channels, available_memory()
    if available is not None and needed > available:
        raise DatasetError(
            f"{images:,} images of {side} x {side} pixels with {channels} channels need "
            f"{needed / 1e9:,.1f} GB of memory, and {available / 1e9:,.1f} GB are available; "
            f"{advice}"
        )


def _of_the_system(meminfo: Path) -> Iterator[int]:
    """Yield the bytes that Linux has available, free swap included."""
    fields = _fields(meminfo)
    if "MemAvailable:" in fields:
        yield 1024 * (fields["MemAvailable:"] + fields.get("SwapFree:", 0))


def _of_control_groups(root: Path) -> Iterator[int]:
    """Yield the bytes that the limit of each control group leaves."""
    for line in _lines(root / "proc/self/cgroup"):
        _, kinds, name = line.split(":", 2)
        if kinds == "":
            top, limit, usage = root / "sys/fs/cgroup", "memory.max", "memory.current"
        elif "memory" in kinds.split(","):
            top = root / "sys/fs/cgroup/memory"
            limit, usage = "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        group = top / name.strip("/")
        for folder in (group, *group.parents):
            if not folder.is_relative_to(top):
                break
            numbers = [*_lines(folder / limit), *_lines(folder / usage)]
            if len(numbers) == 2 and all(number.isdecimal() for number in numbers):
                # Pages of files are given back when they are needed.
                cached = _fields(folder / "memory.stat").get("inactive_file", 0)
                yield int(numbers[0]) - int(numbers[1]) + cached


def _fields(path: Path) -> dict[str, int]:
    """Return the numbers of a file by the word before each; nothing if there is no such file."""
    rows = (line.split() for line in _lines(path))
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdecimal()}


def _lines(path: Path) -> list[str]:
    """Return the lines of a file; none if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []
