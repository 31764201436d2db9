"""Entry point of `python -m tests.campaign.neighbours`: what one client notices of others.

Good clients are timed alone, beside a partner that asks ten times what it may, and beside hostile
clients, in turns. Then it is asked how late another gateway shows what was reserved, and whether
the time of a 404 tells an id of somebody else's from one that nobody has.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp

from bench import facts
from bench.percentiles import percentile
from bench.settings import PARTNER_KEY
from chaos.hostile import hostile
from deploy import version
from tests.campaign.bounded import EVIDENCE, PRODUCT, open_partner
from tests.campaign.platform import GATEWAY, platform
from tests.campaign.report import write_neighbours
from tests.support.deciders import Deciders

PER_S: Final = 100.0
RESERVES: Final = 0.2
LIMIT: Final = 600
TIMES: Final = 10
IDLE: Final = 400
ASKED: Final = 1_500
SEEN: Final = 300
STALE_MS_MAX: Final = 100.0
"""By so much may another gateway's figures lag behind, p99, while all is well."""
PATIENCE_S: Final = 5.0
SLOWER_MAX: Final = 1.2
"""By so much may the p99 of the good ones rise."""
TELLING_MAX: Final = 0.05
"""So far from one half may be the chance that the foreign id takes longer than the unknown one."""
GREEDY_KEY: Final = "ota_greedy_key_00001"
CURIOUS_KEY: Final = "ota_curious_key_0001"
PARTNERS: Final = f"""
[[partners]]
partner_id = "greedy"
name = "Greedy partner"
channel = "bench"
calls_per_minute = {LIMIT}
keys = ["{GREEDY_KEY}"]
permissions = ["inventory:read"]

[[partners]]
partner_id = "curious"
name = "Curious partner"
channel = "bench"
calls_per_minute = 10_000_000
keys = ["{CURIOUS_KEY}"]
permissions = ["inventory:read", "reserve:create", "reserve:activate", "orders:read"]
"""
API: Final = "/api/ota"


class Neighbourhood:
    """One gateway, and all who call it."""

    def __init__(self, session: aiohttp.ClientSession, url: str, dice: random.Random) -> None:
        self._session, self._url, self._dice = session, url, dice

    async def ask(self, method: str, path: str, key: str, body: Any = None) -> tuple[int, float]:
        """Return the status of a call, and what it took."""
        headers = {"X-API-Key": key}
        if body is not None:
            headers["Idempotency-Key"] = uuid.uuid4().hex
        began = time.perf_counter()
        async with self._session.request(
            method, self._url + path, json=body, headers=headers
        ) as answer:
            await answer.read()
            return answer.status, time.perf_counter() - began

    async def good(self, seconds: float) -> list[float]:
        """Read and reserve as they come, for so long; return what each call took."""
        took: list[float] = []

        async def one(*what: Any) -> None:
            status, seconds = await self.ask(*what)
            assert status in (200, 201), status
            took.append(seconds)

        reserve = ("POST", f"{API}/reserve", PARTNER_KEY, {"product_id": PRODUCT, "quantity": 1})
        async with asyncio.TaskGroup() as group:
            async for _ in self._arrivals(seconds, PER_S):
                read = self._dice.random() >= RESERVES
                what = ("GET", f"{API}/inventory", PARTNER_KEY) if read else reserve
                group.create_task(one(*what))
        return took

    async def greedy(self, seconds: float) -> Counter[int]:
        """Ask ten times as often as the limit has it; return the answers by status."""
        statuses: Counter[int] = Counter()

        async def one() -> None:
            statuses[(await self.ask("GET", f"{API}/inventory", GREEDY_KEY))[0]] += 1

        async with asyncio.TaskGroup() as group:
            async for _ in self._arrivals(seconds, LIMIT / 60 * TIMES):
                group.create_task(one())
        return statuses

    async def rude(self, seconds: float) -> Counter[int]:
        """Be hostile for so long."""
        dice = random.Random(self._dice.random())
        await hostile(urls=[self._url], key=GREEDY_KEY, seconds=seconds, idle=IDLE, dice=dice)
        return Counter()

    async def _arrivals(self, seconds: float, per_s: float) -> AsyncIterator[None]:
        next_s = began = time.monotonic()
        while (next_s := next_s + self._dice.expovariate(per_s)) < began + seconds:
            await asyncio.sleep(max(0.0, next_s - time.monotonic()))
            yield

    async def in_turns(self, *, rounds: int, seconds: float) -> dict[str, Any]:
        """Time the good ones alone, and beside each kind of others."""
        took: dict[str, list[float]] = {}
        ratios: dict[str, list[float]] = {}
        statuses: Counter[int] = Counter()
        await self.good(seconds / 2)
        for _ in range(rounds):
            for others in (self.greedy, self.rude):
                quiet = await self.good(seconds)
                async with asyncio.TaskGroup() as group:
                    beside = group.create_task(others(seconds))
                    loud = await self.good(seconds)
                statuses += beside.result()
                took.setdefault(f"alone, before {others.__name__}", []).extend(quiet)
                took.setdefault(f"beside {others.__name__}", []).extend(loud)
                ratios.setdefault(others.__name__, []).append(_p99(loud) / _p99(quiet))
        return {
            "latencies": {
                name: {
                    "calls": len(each),
                    "p50_ms": round(statistics.median(each) * 1000, 1),
                    "p99_ms": round(_p99(each) * 1000, 1),
                }
                for name, each in took.items()
            },
            "greedy_answers": {str(status): count for status, count in statuses.items()},
            "p99_ratios": {name: [round(x, 2) for x in each] for name, each in ratios.items()},
            "p99_ratio": {name: round(statistics.median(x), 2) for name, x in ratios.items()},
        }

    async def seen_elsewhere(self, other: str) -> dict[str, Any]:
        """Reserve at our gateway; return how long until *other* shows it to whoever just reads."""
        took = []
        expected = await self._available(other)
        body = {"product_id": PRODUCT, "quantity": 1}
        for _ in range(SEEN):
            status, _ = await self.ask("POST", f"{API}/reserve", PARTNER_KEY, body)
            assert status == 201, status
            told, expected = time.perf_counter(), expected - 1
            async with asyncio.timeout(PATIENCE_S):
                while await self._available(other) != expected:
                    pass
            took.append(time.perf_counter() - told)
        return {
            "reserves": SEEN,
            "p50_ms": round(statistics.median(took) * 1000, 1),
            "p99_ms": round(_p99(took) * 1000, 1),
            "max_ms": round(max(took) * 1000, 1),
        }

    async def _available(self, url: str) -> int:
        headers = {"X-API-Key": CURIOUS_KEY}
        async with self._session.get(f"{url}{API}/inventory", headers=headers) as answer:
            rows = (await answer.json())["inventory"]
        return next(int(row["available"]) for row in rows if row["product_id"] == PRODUCT)

    async def told_by_time(self, foreign: dict[str, str]) -> dict[str, Any]:
        """Ask for ids of another partner's and for ids that nobody has, in turns."""
        found = {}
        for what, id in foreign.items():
            unknown = id[:-1] + ("0" if id[-1] != "0" else "1")
            took: dict[str, list[float]] = {id: [], unknown: []}
            for _ in range(ASKED):
                for asked in self._dice.sample((id, unknown), 2):
                    path = f"{API}/{what}/{asked}"
                    status, seconds = await self.ask("GET", path, CURIOUS_KEY)
                    assert status == 404, status
                    took[asked].append(seconds)
            found[what] = {
                "asked": ASKED,
                "foreign_p50_us": round(statistics.median(took[id]) * 1e6),
                "unknown_p50_us": round(statistics.median(took[unknown]) * 1e6),
                "foreign_longer": round(longer(took[id], took[unknown]), 3),
            }
        return found


def _p99(took: Sequence[float]) -> float:
    return percentile(sorted(took), percent=99)


def longer(some: Sequence[float], others: Sequence[float]) -> float:
    """Return the chance that one of *some* is above one of *others* (0.5: nothing is told)."""
    ranked = sorted([(each, 1) for each in some] + [(each, 0) for each in others])
    ranks = sum(rank for rank, (_, mine) in enumerate(ranked, start=1) if mine)
    return (ranks - len(some) * (len(some) + 1) / 2) / (len(some) * len(others))


@asynccontextmanager
async def _neighbourhood(url: str, seed: int) -> AsyncIterator[Neighbourhood]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield Neighbourhood(session, url, random.Random(seed))


async def measure(deciders: Deciders, *, rounds: int, seconds: float, seed: int) -> dict[str, Any]:
    """Return what the good ones noticed, how late another gateway was, and what time told."""
    url = deciders.processes["gateway"].url
    second = deciders.stack.service("gateway", env={**GATEWAY, "OTA_GATEWAY_INSTANCE": "1"})
    second.start()
    await asyncio.to_thread(second.wait_ready)
    async with open_partner(url) as partner:
        await partner.recovered()
        await partner.prepare()
        foreign = {"reservations": partner.holds[0], "orders": partner.order_id}
    async with _neighbourhood(url, seed) as neighbours:
        return {
            **await neighbours.in_turns(rounds=rounds, seconds=seconds),
            "seen_elsewhere": await neighbours.seen_elsewhere(second.url),
            "told_by_time": await neighbours.told_by_time(foreign),
        }


def wrong(found: Mapping[str, Any]) -> list[str]:
    """Return what is not as it must be."""
    late_ms = found["seen_elsewhere"]["p99_ms"]
    return [
        *([f"another gateway shows it {late_ms} ms later"] if late_ms > STALE_MS_MAX else []),
        *(
            f"p99 of the good ones rises to {ratio:g} times beside the {name}"
            for name, ratio in found["p99_ratio"].items()
            if ratio >= SLOWER_MAX
        ),
        *(
            f"the time of a 404 tells whose {what} it is ({each['foreign_longer']:.3f})"
            for what, each in found["told_by_time"].items()
            if abs(each["foreign_longer"] - 0.5) > TELLING_MAX
        ),
    ]


def main() -> int:
    """Run it; return 1 if anything was not as it must be."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign.neighbours")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each stretch")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", help="name of the report in docs/evidence/ that is written")
    asked = parser.parse_args()
    commit = version.commit()
    with platform() as deciders, tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "partners.toml"
        file.write_text(PARTNERS, encoding="utf-8")
        deciders.stack.run_command("gateway", "load-partners", str(file))
        found = asyncio.run(
            measure(deciders, rounds=asked.rounds, seconds=asked.seconds, seed=asked.seed)
        )
    result = {
        "command": (
            f"python -m tests.campaign.neighbours --rounds {asked.rounds}"
            f" --seconds {asked.seconds:g} --seed {asked.seed}"
        ),
        "machine": facts.machine(),
        "commit": commit,
        **found,
        "broken": wrong(found),
    }
    if asked.report:
        write_neighbours(EVIDENCE, name=asked.report, result=result)
    print(result)
    return 1 if result["broken"] else 0


if __name__ == "__main__":
    sys.exit(main())
