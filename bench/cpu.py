"""CPU seconds that the stack's processes have used, from /proc.

A process with children is split where they do other work: the gateway's image workers from the
gateway, PostgreSQL's backends by database from what the server does for all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

import psutil

GATEWAY, GATEWAY_QR, POSTGRES = "gateway", "gateway-qr", "postgres"


class CpuClocks:
    """Reads the CPU clocks of named process trees."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._roots = {}
        for name, pid in pids.items():
            try:
                self._roots[name] = psutil.Process(pid)
            except psutil.NoSuchProcess:
                continue

    def read(self) -> dict[str, float]:
        """Return CPU seconds (user and system) by name; a tree that has ended is left out.

        ``postgres`` is all of it; ``postgres/<database>`` and ``postgres/server`` are its parts.
        """
        seconds: defaultdict[str, float] = defaultdict(float)
        for name, root in self._roots.items():
            try:
                children = root.children(recursive=True)
            except psutil.NoSuchProcess:
                continue
            seconds[name] += _seconds(root)
            if name == POSTGRES:
                seconds[f"{POSTGRES}/server"] += _seconds(root)
            for child in children:
                used_s = _seconds(child)
                seconds[GATEWAY_QR if name == GATEWAY else name] += used_s
                if name == POSTGRES:
                    seconds[f"{POSTGRES}/{_database(child)}"] += used_s
        return dict(seconds)


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


def database_of(title: str) -> str:
    """Return the database in a PostgreSQL process's title, ``server`` for what serves all."""
    words = title.removeprefix("postgres: ").split()
    return words[1] if len(words) > 2 and "(" in words[2] else "server"


def _database(process: psutil.Process) -> str:
    try:
        return database_of(" ".join(process.cmdline()))
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return "server"


def _seconds(process: psutil.Process) -> float:
    # Ended children count through their parent, or a backend's work would vanish with it.
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)
