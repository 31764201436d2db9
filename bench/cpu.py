"""CPU seconds that the stack's processes have used, each with its children, from /proc."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import psutil


class CpuClocks:
    """Reads the CPU clocks of named process trees, such as a database server with its backends."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._roots = {}
        for name, pid in pids.items():
            try:
                self._roots[name] = psutil.Process(pid)
            except psutil.NoSuchProcess:
                continue

    def read(self) -> dict[str, float]:
        """Return CPU seconds (user and system) by name; a tree that has ended is left out."""
        seconds = {}
        for name, root in self._roots.items():
            try:
                tree = [root, *root.children(recursive=True)]
            except psutil.NoSuchProcess:
                continue
            seconds[name] = sum(map(_seconds, tree))
        return seconds


def used(*, before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Return the seconds used between two readings, by name."""
    return {name: after[name] - before[name] for name in before if name in after}


def per_answer_us(
    *, seconds: Mapping[str, float], answers: int, names: Iterable[str]
) -> dict[str, float | None]:
    """Return microseconds of CPU per answer for each of *names*, None where nothing was read."""
    return {
        name: round(seconds[name] / answers * 1e6, 1) if name in seconds and answers else None
        for name in names
    }


def _seconds(process: psutil.Process) -> float:
    # Ended children count through their parent, or a backend's work would vanish with it.
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)
