"""Rolling restarts of every service in turn, under load."""

from __future__ import annotations

import asyncio
import math
import time
from pathlib import Path
from typing import Any

from bench.settings import PARTNER_KEY
from tests.rolling.load import Load, under_load
from tests.rolling.platform import HOST, running_platform
from tests.rolling.report import summary

ORDER = ("inventory", "reservation", "fulfillment", "gateway")
WARM_S = 2.0
PROCESSES = {1: "one process", 2: "two processes"}


async def roll_rounds(
    *,
    folder: Path,
    rounds: int,
    per_s: float,
    seed: int,
    limit_s: float = math.inf,
    instances: int = 1,
) -> dict[str, Any]:
    """Roll all services so many times; return what was seen. No round begins after *limit_s*."""
    doing, done = "nothing", 0
    rolls_s: dict[str, list[float]] = {service: [] for service in ORDER}
    async with running_platform(folder=folder, instances=instances) as platform:
        load = Load(
            host=HOST,
            port=platform.port,
            api_key=PARTNER_KEY,
            per_s=per_s,
            seed=seed,
            during=lambda: doing,
        )
        began = time.monotonic()
        async with under_load(load) as found:
            await asyncio.sleep(WARM_S)
            for number in range(1, rounds + 1):
                if time.monotonic() - began > limit_s:
                    break
                done = number
                for service in ORDER:
                    doing = f"round {number}, {service}"
                    started = time.monotonic()
                    await platform.roll(service)
                    rolls_s[service].append(time.monotonic() - started)
                print(
                    f"round {number}: {sum(found.answers.values())} requests,"
                    f" {len(found.failures)} failed",
                    flush=True,
                )
            doing = "the end"
            await asyncio.sleep(WARM_S)
    return {
        "what": f"{done} rounds of rolling restarts, {PROCESSES[instances]} of each service",
        "instances": instances,
        "rounds": done,
        "seed": seed,
        "passed": not found.failures,
        **summary(found, seconds=time.monotonic() - began, per_s=per_s),
        "roll_s_mean": {name: round(sum(took) / len(took), 2) for name, took in rolls_s.items()},
    }
