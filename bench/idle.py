"""Idle: what each process uses while nobody asks for anything, in CPU and memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

from bench.cpu import CpuClocks, used
from bench.ground import Ground
from bench.row import Row

SETTLE_S = 3


@dataclass(frozen=True, slots=True)
class Idle:
    """Watches the stack do nothing: a minute in full, 15 s in quick."""

    name: str = "idle"
    about: str = "Nobody asks for anything."
    once: bool = True

    async def measure(self, ground: Ground) -> list[Row]:
        """See `bench.ground.Scenario`."""
        seconds = 60 if ground.settings.full else 15
        ground.screen.progress(f"idle, {SETTLE_S + seconds} s")
        await asyncio.sleep(SETTLE_S)
        clocks = CpuClocks(ground.stack.pids)
        before, began = clocks.read(), time.perf_counter()
        for left in range(seconds, 0, -1):
            ground.screen.progress(f"idle, {left} s left")
            await asyncio.sleep(1)
        window_s = time.perf_counter() - began
        percent = {
            name: round(100 * seconds / window_s, 2)
            for name, seconds in used(before=before, after=clocks.read()).items()
        }
        whole = sum(value for name, value in percent.items() if "/" not in name)
        figures = {
            "all % of a core": round(whole, 2),
            **{f"{name} % of a core": value for name, value in percent.items()},
            **{f"{name} MiB": mib for name, mib in memory_mib(ground.stack.pids).items()},
        }
        return [Row(scenario=self.name, label=f"{seconds} s", counted="", figures=figures)]


def memory_mib(pids: Mapping[str, int]) -> dict[str, float]:
    """Return the proportional set size of each process tree in MiB."""
    found = {}
    for name, pid in pids.items():
        try:
            root = psutil.Process(pid)
            tree = [root, *root.children(recursive=True)]
            found[name] = round(sum(each.memory_full_info().pss for each in tree) / 2**20, 1)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found
