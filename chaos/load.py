"""The load, a process of its own: calls arrive when they arrive, whether or not the ones before
were answered (``python -m chaos.load PLAN``: orders come by standard input, and it tells of itself
each second).
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

import aiohttp

from chaos.agency import Agency
from chaos.caller import TIMEOUT_S, Caller, Partner
from chaos.history import History
from chaos.hostile import hostile
from chaos.model import Model

TASKS_MAX = 3_000
SETTLE_S = 40.0
LAG_PAUSE_S = 0.05


class Load:
    """One run of the load."""

    def __init__(self, plan: Mapping[str, Any]) -> None:
        self._plan = plan
        self._dice = random.Random(plan["seed"])
        folder = Path(plan["folder"])
        self._history = History(folder / "history.jsonl.gz")
        self._folder = folder
        self._caller = Caller(
            urls=plan["urls"], history=self._history, dice=random.Random(plan["seed"] + 1)
        )
        self._agency = Agency(
            caller=self._caller,
            model=Model(),
            partners=[Partner(**each) for each in plan["partners"]],
            seed=plan["seed"],
        )
        self._rate = float(plan["rate"])
        self._factor_until_s = 0.0
        self._factor = 1.0
        self._stop = asyncio.Event()
        self._lag_s = 0.0
        self._left_out = 0
        self._failed: Counter[str] = Counter()
        self._tasks = 0

    async def run(self) -> None:
        """Load until told to stop; then settle what is open and write down what is owed."""
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=15)
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            self._caller.session = session
            async with asyncio.TaskGroup() as beside:
                told = beside.create_task(self._hear())
                lag = beside.create_task(self._watch_lag())
                news = beside.create_task(self._tell())
                await self._arrivals()
                for task in (told, lag, news):
                    task.cancel()
        self._history.close()
        found = self._agency.model.plain()
        found["counts"] |= dict(self._caller.counts)
        found |= {"slow": self._caller.slow, "failed": dict(self._failed)}
        found["left_out"] = self._left_out
        (self._folder / "model.json").write_text(json.dumps(found), encoding="utf-8")
        (self._folder / "canaries.json").write_text(
            json.dumps(self._agency.canaries), encoding="utf-8"
        )
        _say({"event": "end"})

    async def _arrivals(self) -> None:
        async with asyncio.TaskGroup() as group:
            self._group = group
            next_s = time.monotonic()
            while not self._stop.is_set():
                rate = self._rate
                if time.monotonic() < self._factor_until_s:
                    rate *= self._factor
                next_s += self._dice.expovariate(rate)
                wait_s = next_s - time.monotonic()
                if wait_s > 0:
                    await asyncio.sleep(wait_s)
                elif wait_s < -1.0:
                    next_s = time.monotonic()  # we were stopped ourselves: no flood afterwards
                self._begin(self._agency.arrive())
            self._caller.give_up_at = time.monotonic() + SETTLE_S

    def _begin(self, deed: Coroutine[Any, Any, object]) -> None:
        if self._tasks >= TASKS_MAX:
            self._left_out += 1
            deed.close()
            return
        self._tasks += 1
        self._group.create_task(self._guarded(deed))

    async def _guarded(self, deed: Coroutine[Any, Any, object]) -> None:
        try:
            await deed
        except (KeyError, TypeError, ValueError, AttributeError, ExceptionGroup) as error:
            # An answer of a shape that no answer has: that is a finding, not an end.
            self._failed[repr(error)[:300]] += 1
        finally:
            self._tasks -= 1

    def _obey(self, order: Mapping[str, Any]) -> None:
        op = order["op"]
        if op == "stop":
            self._stop.set()
        elif op == "rate":
            self._factor = order["factor"]
            self._factor_until_s = time.monotonic() + order["seconds"]
        elif op == "race":
            for _ in range(order["count"]):
                self._begin(self._agency.race())
        elif op == "hot":
            self._begin(self._agency.hot(clients=order["clients"]))
        elif op == "mass":
            self._begin(self._agency.mass(holds=order["holds"], due_in_s=order["due_in_s"]))
        elif op == "hostile":
            self._begin(
                hostile(
                    urls=self._plan["urls"],
                    key=self._plan["partners"][0]["key"],
                    seconds=order["seconds"],
                    idle=order["idle"],
                    dice=random.Random(order["seed"]),
                )
            )

    async def _hear(self) -> None:
        lines = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        while line := await lines.readline():
            self._obey(json.loads(line))
        self._stop.set()

    async def _watch_lag(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(LAG_PAUSE_S)
            self._lag_s = max(self._lag_s, time.monotonic() - before - LAG_PAUSE_S)

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            caller, model = self._caller, self._agency.model
            _say(
                {
                    "event": "second",
                    "at_ns": time.monotonic_ns(),
                    "sent": caller.sent,
                    "open": caller.open,
                    "tasks": self._tasks,
                    "statuses": dict(caller.statuses),
                    "lag_s": round(self._lag_s, 3),
                    "complaints": model.counts["complaints"],
                    "slow": len(caller.slow),
                }
            )
            self._lag_s = 0.0


def _say(event: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Read the plan and load."""
    plan = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    gc.set_threshold(50_000, 20, 100)

    async def run() -> None:
        await Load(plan).run()

    asyncio.run(run())


if __name__ == "__main__":
    main()
