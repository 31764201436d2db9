"""A campaign from beginning to end: load and faults at once, then healing, quiet, and judgement."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
import tomllib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from chaos.caller import Partner
from chaos.counters import Sums, collect
from chaos.faults.catalogue import chosen
from chaos.faults.fault import Fault
from chaos.ground import Ground, Skipped
from chaos.layout import SEEDS
from chaos.options import Options
from chaos.schedule import Planned, deal
from chaos.watched import NotReady
from deploy.local.settings import CHECKOUT

AT_ONCE = 3
AGAIN_AFTER_S = (0.0, 4.0, 8.0)
"""When a fault is tried that cannot be had at the moment, as poison while Kafka is away."""
REFILL_PAUSE_S = 6.0
REFILL_UNITS = {106: (60, 300), 107: (40, 150), 108: (20, 60)}
LOAD_END_S = 90.0
HEAL_LIMIT_S = 150.0
Say = Callable[[Mapping[str, Any]], None]


@dataclass(slots=True, kw_only=True)
class Done:
    """A fault that was injected, is being injected, or was left out."""

    planned: Planned
    title: str
    name: str
    what: str = ""
    targets: tuple[str, ...] = ()
    holds: str = ""
    at_ns: int = 0
    healed_ns: int = 0
    skipped: str = ""
    failed: str = ""

    def plain(self) -> dict[str, Any]:
        """Return what the checkers read."""
        return {
            "fault": self.name,
            "what": self.what,
            "targets": list(self.targets),
            "holds": self.holds,
            "at_ns": self.at_ns,
            "healed_ns": self.healed_ns,
            "seed": self.planned.seed,
        }


@dataclass(slots=True)
class Campaign:
    """The running part; what it has seen is in its fields."""

    options: Options
    ground: Ground
    say: Say
    partners: list[Partner] = field(default_factory=list)
    faults: list[Done] = field(default_factory=list)
    seconds: list[dict[str, Any]] = field(default_factory=list)
    sums: Sums = field(default_factory=Sums)
    began_ns: int = 0
    _load: asyncio.subprocess.Process | None = None

    @property
    def injected(self) -> list[Done]:
        """Return the faults that were really injected."""
        return [each for each in self.faults if each.at_ns and not each.skipped]

    @property
    def current(self) -> list[Done]:
        """Return the faults that have not healed yet."""
        return [each for each in self.faults if each.at_ns and not each.healed_ns]

    async def suffer(self) -> None:
        """Load the stack and inject what was dealt; returns when everything has healed."""
        options = self.options
        cards = chosen(options.faults, root=self.ground.root)
        deck = [title for title, fault in cards.items() for _ in range(fault.cards)]
        planned = deal(
            faults=deck,
            seed=options.seed,
            seconds=options.minutes * 60,
            gap_mean_s=options.gap_mean_s,
        )
        self.began_ns = began = time.monotonic_ns()
        gate = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for each in planned:
                await asyncio.sleep(max(0.0, each.at_s - (time.monotonic_ns() - began) / 1e9))
                group.create_task(self._inject(cards[each.fault], each, gate))
            await asyncio.sleep(
                max(0.0, options.minutes * 60 - (time.monotonic_ns() - began) / 1e9)
            )

    async def _inject(self, fault: Fault, planned: Planned, gate: asyncio.Semaphore) -> None:
        done = Done(planned=planned, title=fault.title, name=fault.name)
        self.faults.append(done)
        async with gate:
            for pause_s in AGAIN_AFTER_S:
                await asyncio.sleep(pause_s)
                await self._once(fault, done)
                if done.at_ns or not done.skipped:
                    break
            done.healed_ns = time.monotonic_ns()

    async def _once(self, fault: Fault, done: Done) -> None:
        dice, length_s, done.skipped = random.Random(done.planned.seed), done.planned.length_s, ""
        try:
            async with (
                asyncio.timeout(HEAL_LIMIT_S),
                fault.inject(self.ground, dice, length_s) as hurt,
            ):
                done.what, done.targets, done.holds = hurt.what, hurt.targets, hurt.holds
                done.at_ns = time.monotonic_ns()
                await asyncio.sleep(length_s)
        except* Skipped as skipped:
            done.skipped = "; ".join(map(str, skipped.exceptions))
        except* Exception as failure:  # whatever it is, the campaign goes on and tells
            done.failed = "; ".join(map(repr, failure.exceptions))[:2_000]

    async def load(self, group: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        """Start the load, and everything that goes on beside it; returns what is to be ended."""
        folder = self.options.folder
        seeds = tomllib.loads((SEEDS / "partners.toml").read_text(encoding="utf-8"))["partners"]
        self.partners = [
            Partner(name=each["partner_id"], key=each["keys"][0], channel=each["channel"])
            for each in seeds
        ]
        (folder / "export" / "partners.json").write_text(
            json.dumps(
                {
                    each["partner_id"]: {
                        "channel": each["channel"],
                        "calls_per_minute": each["calls_per_minute"],
                    }
                    for each in seeds
                }
            ),
            encoding="utf-8",
        )
        plan = {
            "seed": self.options.seed,
            "rate": self.options.rate,
            "folder": str(folder / "export"),
            "urls": self.urls,
            "partners": [
                {"name": each.name, "key": each.key, "channel": each.channel}
                for each in self.partners
            ],
        }
        file = folder / "load.json"
        file.write_text(json.dumps(plan), encoding="utf-8")
        with (folder / "load.log").open("wb") as log:
            self._load = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "chaos.load", str(file)),
                cwd=CHECKOUT,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        assert self._load.stdout is not None
        group.create_task(self._hear(self._load.stdout))
        return [
            group.create_task(self._hand_on()),
            group.create_task(self._refill()),
            group.create_task(collect(self.ground, self.sums)),
        ]

    @property
    def urls(self) -> list[str]:
        """Return where partners call: the gateways, through the proxy."""
        return [
            f"http://127.0.0.1:{each.partner_port}" for each in self.ground.instances("gateway")
        ]

    async def end_load(self) -> None:
        """Let the load settle what is open, and wait until it has written down what it is owed."""
        assert self._load is not None
        await self._write({"op": "stop"})
        with suppress(TimeoutError):
            async with asyncio.timeout(LOAD_END_S):
                await self._load.wait()
        if self._load.returncode is None:
            self._load.kill()
            await self._load.wait()
        if self._load.returncode != 0:
            words = (self.options.folder / "load.log").read_text(encoding="utf-8")[-2_000:]
            raise NotReady(f"the load ended with {self._load.returncode}\n{words}")

    async def _write(self, order: Mapping[str, Any]) -> None:
        assert self._load is not None
        assert self._load.stdin is not None
        with suppress(ConnectionError):
            self._load.stdin.write(json.dumps(order).encode() + b"\n")
            await self._load.stdin.drain()

    async def _hand_on(self) -> None:
        while True:
            await self._write(await self.ground.orders.get())

    async def _hear(self, lines: asyncio.StreamReader) -> None:
        while line := await lines.readline():
            event = json.loads(line)
            if event["event"] == "second":
                self.seconds.append(event)
                self.say(event)

    async def _refill(self) -> None:
        """An operator allots more now and then, so that there is something to be sold out of."""
        dice = random.Random(self.options.seed)
        while True:
            await asyncio.sleep(REFILL_PAUSE_S)
            product = dice.choice(sorted(REFILL_UNITS))
            with suppress(Skipped, OSError, TimeoutError, asyncpg.PostgresError):
                async with self.ground.database("inventory") as database:
                    out = await database.fetchval(
                        "SELECT held + sold FROM pool WHERE product_id = $1 AND channel = 'ota'",
                        product,
                    )
                units = out + dice.randint(*REFILL_UNITS[product])
                await self.ground.admin("stock", "allot", str(product), "ota", str(units))
