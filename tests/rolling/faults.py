"""Owners of partitions that are killed or frozen beside a standby, under load."""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from bench.settings import PARTNER_KEY
from tests.rolling.load import Found, Load, under_load
from tests.rolling.platform import HOST, Platform, running_platform
from tests.rolling.report import FAILURES_SHOWN, summary

SERVICES = ("inventory", "reservation", "fulfillment")
PARTITIONS = 4
QUIET_S = 3.0
FROZEN_S = 4.0
SERVED_S_MAX = {"SIGKILL": 1.0, "SIGSTOP": 3.5}
PATIENCE_S = 20.0
POLL_S = 0.01


async def strike(
    *, folder: Path, rounds: int, per_s: float, seed: int, limit_s: float = math.inf
) -> dict[str, Any]:
    """Kill and freeze one of two processes of each deciding service, *rounds* times each.

    No round begins after *limit_s*.
    """
    chance, doing = random.Random(seed), "nothing"
    strikes: list[dict[str, Any]] = []
    async with running_platform(folder=folder, instances=2) as platform:
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
            for number in range(rounds):
                if time.monotonic() - began > limit_s:
                    break
                for service in SERVICES:
                    for how in ("SIGKILL", "SIGSTOP"):
                        addresses = await spread_out(platform, service)
                        await asyncio.sleep(QUIET_S)
                        victim = chance.choice(sorted(addresses))
                        doing = f"{number + 1}: {how} of {victim}"
                        seen = await struck(platform, service, victim, how, found)
                        strikes.append({"how": how, "of": victim, **seen})
                        print(strikes[-1], flush=True)
                        doing = "nothing"
            for service in SERVICES:
                await spread_out(platform, service)
            await asyncio.sleep(QUIET_S)
    killed = [each for each in found.failures if "SIGSTOP" not in str(each["during"])]
    late = [each for each in strikes if each["served_ms"] > SERVED_S_MAX[each["how"]] * 1000]
    unfenced = [each for each in strikes if each["how"] == "SIGSTOP" and not each["fenced"]]
    return {
        "what": f"{len(strikes)} owners killed and frozen, two processes of each service",
        "seed": seed,
        "passed": not killed and not late and not unfenced,
        **summary(found, seconds=time.monotonic() - began, per_s=per_s),
        "strikes": strikes,
        # A frozen owner answers nobody until its partitions have moved: those are 504, in time.
        "failures": killed[:FAILURES_SHOWN],
    }


async def struck(
    platform: Platform, service: str, victim: str, how: str, found: Found
) -> dict[str, Any]:
    """Strike one process; return how long its partitions were served by nobody, and the harm."""
    addresses = await ops_of(platform, service)
    pid = (await platform.pids(service))[victim]
    others = [address for name, address in addresses.items() if name != victim]
    fenced_before = await fenced(addresses[victim])
    answers, failures = len(found.latencies_s), len(found.failures)
    struck_at = time.monotonic()
    os.kill(pid, signal.Signals[how])
    try:
        while len({n for each in others for n in await serving(each)}) < PARTITIONS:
            if time.monotonic() - struck_at > PATIENCE_S:
                raise TimeoutError(f"{victim}: its partitions are not served by others")
            await asyncio.sleep(POLL_S)
        served_s = time.monotonic() - struck_at
        if how == "SIGSTOP":
            await asyncio.sleep(max(0.0, FROZEN_S - served_s))
    finally:
        if how == "SIGSTOP":
            os.kill(pid, signal.SIGCONT)
    await asyncio.sleep(QUIET_S)
    after = await fenced(addresses[victim]) if how == "SIGSTOP" else fenced_before
    return {
        "served_ms": round(served_s * 1000),
        "slowest_ms": round(max(found.latencies_s[answers:], default=0.0) * 1000),
        "failed": len(found.failures) - failures,
        "fenced": round(after - fenced_before),
    }


async def spread_out(platform: Platform, service: str) -> dict[str, str]:
    """Wait until two processes of a service have two partitions each; return their addresses."""
    deadline = time.monotonic() + PATIENCE_S * 2
    while True:
        addresses = await ops_of(platform, service)
        served = [len(await serving(each)) for each in addresses.values()]
        if served == [2, 2]:
            return addresses
        if time.monotonic() > deadline:
            raise TimeoutError(f"the partitions of {service} are spread {served}")
        await asyncio.sleep(0.2)


async def ops_of(platform: Platform, service: str) -> dict[str, str]:
    """Return the ops addresses of a service's processes, by name."""
    status = json.loads(await platform.launch("status", FORMAT="json"))
    return {
        each["name"]: each["address"]
        for each in status["processes"]
        if each["name"].partition("-")[0] == service and each["state"] == "ready"
    }


async def serving(address: str) -> list[int]:
    """Return the partitions that a process serves, none if it does not say."""
    try:
        return list(json.loads(await page(f"http://{address}/readyz"))["partitions"]["serving"])
    except (OSError, ValueError, KeyError):
        return []


async def fenced(address: str) -> float:
    """Return how many fenced attempts a process counts."""
    text = await page(f"http://{address}/metrics")
    return next(
        float(line.split()[-1])
        for line in text.splitlines()
        if line.startswith("ota_fenced_writes_total ")
    )


async def page(url: str) -> str:
    """Return a page, whatever its status."""

    def read() -> str:
        try:
            with urllib.request.urlopen(url, timeout=1) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as refused:
            return refused.read().decode()

    return await asyncio.to_thread(read)
