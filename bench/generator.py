"""The load generator's own process: a plan comes in on standard input, events go out, one a line.

Events (JSON): ``progress`` each second, ``window_opened``, ``window_closed``, then
``step`` with the figures; the parent reads CPU clocks at the window's two ends.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from bench.closed_loop import ClosedLoop, resolve
from bench.http1 import Site
from bench.open_loop import BACKLOG_GROWTH_S, KEEPING_UP, OpenLoop, poisson
from bench.tally import ACTIVATE, READ, RESERVE, Request, Tally
from bench.traffic import Activations, Mixed, Pairs, Reads, Reserves, Traffic
from libs.runtime.supervise import spawn

DRAIN_TIMEOUT_S = 10.0
RUSH_TIMEOUT_S = 90.0
PREPARE_TIMEOUT_S = 300.0
PREPARE_CLIENTS = 128
EVERYTHING = ""
MAIN = {
    "reserve": RESERVE,
    "pairs": ACTIVATE,
    "activate": ACTIVATE,
    "read": READ,
    "mixed": EVERYTHING,
}
Emit = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to send where: one step for each number of clients, or for each of *rates*.

    With *requests* a closed step ends after so many requests and is measured from its first to
    its last; otherwise it lasts *warm_up_s* and then *seconds*. *traffic* is a key of `MAIN`;
    *prepare* holds are reserved before the window. *rates* are arrivals a second, on
    ``clients[0]`` connections. *rush*: all *requests* arrive at once on them, and their clients
    follow Retry-After.
    """

    host: str
    port: int
    api_key: str
    bodies: tuple[dict[str, Any], ...]
    key_prefix: str
    clients: tuple[int, ...]
    warm_up_s: float
    seconds: float
    requests: int | None = None
    path: str = "/api/ota/reserve"
    traffic: str = "reserve"
    images: bool = False
    conditional: bool = False
    prepare: int = 0
    rates: tuple[int, ...] = ()
    rush: bool = False

    @property
    def steps(self) -> int:
        """How many steps there are."""
        return len(self.rates) or len(self.clients)


class Generator:
    """Runs the steps of a plan one after another."""

    def __init__(self, *, plan: Plan, emit: Emit) -> None:
        self._plan = plan
        self._emit = emit
        self._site = Site(host=plan.host, port=plan.port, api_key=plan.api_key)
        self._templates = [
            (
                self._site.post(plan.path, body),
                int(body.get("product_id", 0)),
                int(body.get("quantity", 0)),
            )
            for body in plan.bodies
        ]
        self._number = 0
        self._ids: set[str] = set()
        self._cpu_s = 0.0

    async def run(self) -> None:
        """Run all steps."""
        for index in range(self._plan.steps):
            tally = Tally(main=MAIN[self._plan.traffic], ids=self._ids)
            if self._plan.rush:
                more = await self._rush(tally)
            elif self._plan.rates:
                more = await self._open(tally, rate=self._plan.rates[index], seed=index)
            else:
                more = await self._closed(tally, clients=self._plan.clients[index], seed=index)
            await resolve(site=self._site, tally=tally)
            self._emit({"event": "step", **tally.figures(), **more})

    def reserves(
        self, *, requests_max: int | None = None, held: deque[Request] | None = None
    ) -> Reserves:
        """Return reserves whose keys go on after those that were used before."""
        return Reserves(
            templates=self._templates,
            key_prefix=self._plan.key_prefix,
            first_number=self._number,
            requests_max=requests_max,
            held=held,
        )

    async def _traffic(self, tally: Tally, *, seed: int) -> tuple[Traffic, Reserves]:
        plan = self._plan
        held: deque[Request] = deque()
        activations = Activations(
            site=self._site, key_prefix=plan.key_prefix, images=plan.images, held=held
        )
        if plan.prepare:
            await self._prepare(tally, held=held)
        if plan.traffic == "activate":
            return activations, self.reserves()
        if plan.traffic == "read":
            return Reads(site=self._site, conditional=plan.conditional), self.reserves()
        if plan.traffic == "pairs":
            reserves = self.reserves()
            return Pairs(reserves=reserves, activations=activations), reserves
        if plan.traffic == "mixed":
            reserves = self.reserves(held=held)
            mixed = Mixed(
                site=self._site, reserves=reserves, activations=activations, held=held, seed=seed
            )
            return mixed, reserves
        reserves = self.reserves(requests_max=plan.requests)
        return reserves, reserves

    async def _prepare(self, tally: Tally, *, held: deque[Request]) -> None:
        """Reserve what the step needs; its units count, its latencies do not."""
        reserves = self.reserves(requests_max=self._plan.prepare, held=held)
        loop = ClosedLoop(site=self._site, traffic=reserves, tally=tally)
        await loop.connect(min(PREPARE_CLIENTS, self._plan.prepare))
        loop.start()
        async with asyncio.timeout(PREPARE_TIMEOUT_S):
            while not loop.ended.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(1.0):
                        await loop.ended.wait()
                self._progress(tally, left_s=0)
        await loop.finish(timeout_s=DRAIN_TIMEOUT_S)
        self._number = reserves.number

    async def _closed(self, tally: Tally, *, clients: int, seed: int) -> dict[str, Any]:
        traffic, reserves = await self._traffic(tally, seed=seed)
        loop = ClosedLoop(site=self._site, traffic=traffic, tally=tally)
        await loop.connect(clients)
        if self._plan.requests is None:
            window_s = await self._timed(loop)
        else:
            window_s = await self._counted(loop)
        self._number = reserves.number
        return {"clients": clients, "window_s": round(window_s, 3)}

    async def _timed(self, loop: ClosedLoop) -> float:
        loop.start()
        await self._pass(self._plan.warm_up_s, loop=loop)
        self._open_window()
        loop.open_window()
        await self._pass(self._plan.seconds, loop=loop)
        window_s = loop.close_window()
        self._close_window()
        await loop.finish(timeout_s=DRAIN_TIMEOUT_S)
        return window_s

    async def _counted(self, loop: ClosedLoop) -> float:
        self._open_window()
        loop.open_window()
        loop.start()
        await loop.finish(timeout_s=PREPARE_TIMEOUT_S, stop=False)
        window_s = loop.close_window()
        self._close_window()
        return window_s

    async def _open(self, tally: Tally, *, rate: int, seed: int) -> dict[str, Any]:
        plan, connections = self._plan, self._plan.clients[0]
        reserves = self.reserves()
        whole_s = plan.warm_up_s + plan.seconds
        arrivals = poisson(per_s=rate, seconds=whole_s, seed=seed)
        loop = OpenLoop(site=self._site, traffic=reserves, tally=tally, arrivals=arrivals)
        await loop.connect(connections)
        async with asyncio.TaskGroup() as group:
            keeper = spawn(group, "keep-open", loop.keep_open())
            loop.start(window_from_s=plan.warm_up_s, window_to_s=whole_s)
            await self._pass(plan.warm_up_s, loop=loop)
            self._open_window()
            before = tally.answers
            await self._pass(plan.seconds, loop=loop)
            answered, backlog = tally.answers - before, loop.backlog
            self._close_window()
            unsent = await loop.finish(timeout_s=DRAIN_TIMEOUT_S)
            keeper.cancel()
        self._number = reserves.number
        saturated = (
            backlog > rate * BACKLOG_GROWTH_S or answered < KEEPING_UP * rate * plan.seconds
        ) and backlog > 0
        return {
            "clients": connections,
            "window_s": plan.seconds,
            "open": {
                "offered_per_s": rate,
                "answered_per_s": round(answered / plan.seconds, 1),
                "backlog_at_end": backlog,
                "backlog_max": loop.backlog_max,
                "never_sent": unsent,
                "saturated": saturated,
            },
        }

    async def _rush(self, tally: Tally) -> dict[str, Any]:
        plan, requests = self._plan, self._plan.requests
        assert requests is not None
        reserves = self.reserves(requests_max=requests)
        loop = OpenLoop(
            site=self._site,
            traffic=reserves,
            tally=tally,
            arrivals=[0.0] * requests,
            persistent=True,
        )
        await loop.connect(plan.clients[0])
        clock = asyncio.get_running_loop().time
        async with asyncio.TaskGroup() as group:
            keeper = spawn(group, "keep-open", loop.keep_open())
            self._open_window()
            began = clock()
            loop.start(window_from_s=0, window_to_s=RUSH_TIMEOUT_S)
            unsent = await loop.finish(timeout_s=RUSH_TIMEOUT_S)
            window_s = clock() - began
            self._close_window()
            keeper.cancel()
        more = {"never_sent": unsent, "retries": loop.retries, "reopened": loop.reopened}
        return {"clients": plan.clients[0], "window_s": round(window_s, 3), "open": more}

    def _open_window(self) -> None:
        self._cpu_s = time.process_time()
        self._emit({"event": "window_opened"})

    def _close_window(self) -> None:
        # By itself: when its parent comes to read the clocks it may have ended.
        used_s = time.process_time() - self._cpu_s
        self._emit({"event": "window_closed", "cpu_s": round(used_s, 4)})

    async def _pass(self, seconds: float, *, loop: ClosedLoop | OpenLoop) -> None:
        """Let so many seconds pass, less if all is done; tell each second how far it is."""
        left_s = seconds
        while left_s > 0 and not loop.ended.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(min(1.0, left_s)):
                    await loop.ended.wait()
            left_s -= 1.0
            self._progress(loop.tally, left_s=max(0.0, left_s))

    def _progress(self, tally: Tally, *, left_s: float) -> None:
        self._emit({"event": "progress", "answers": tally.answers, "left_s": left_s})


def main() -> None:
    """Read a plan as JSON from standard input and run it."""
    plan = Plan(**json.loads(sys.stdin.read()))

    def emit(event: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()

    # It lives for seconds and makes no cycles; a pause of its own would be measured as the stack's.
    gc.disable()
    asyncio.run(Generator(plan=plan, emit=emit).run())


if __name__ == "__main__":
    main()
