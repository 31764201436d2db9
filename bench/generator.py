"""The load generator's own process: a plan comes in on standard input, events go out, one a line.

Events (JSON): ``progress`` each second, ``window_opened``, ``window_closed``, then
``step`` with the figures; the parent reads CPU clocks at the window's two ends.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from bench.closed_loop import ClosedLoop, Target
from bench.http1 import RequestTemplate
from bench.percentiles import summarise

DRAIN_TIMEOUT_S = 10.0
Emit = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to send where: one step for each number of clients.

    With *requests* a step ends after so many requests and is measured from its
    first to its last; otherwise it lasts *warm_up_s* and then *seconds*.
    """

    host: str
    port: int
    path: str
    api_key: str
    bodies: tuple[dict[str, Any], ...]
    key_prefix: str
    clients: tuple[int, ...]
    warm_up_s: float
    seconds: float
    requests: int | None = None


def target_of(plan: Plan) -> Target:
    """Prepare the requests of a plan."""
    return Target(
        host=plan.host,
        port=plan.port,
        key_prefix=plan.key_prefix,
        templates=tuple(
            RequestTemplate.post(
                host=plan.host, port=plan.port, path=plan.path, api_key=plan.api_key, body=body
            )
            for body in plan.bodies
        ),
    )


async def run(*, plan: Plan, emit: Emit) -> None:
    """Run the steps of *plan* one after another."""
    target = target_of(plan)
    ids: set[str] = set()
    number = 0
    for clients in plan.clients:
        loop = ClosedLoop(target=target, ids=ids, first_number=number, requests_max=plan.requests)
        await loop.connect(clients)
        if plan.requests is None:
            window_s = await _timed(loop, plan=plan, emit=emit)
        else:
            window_s = await _counted(loop, emit=emit)
        await loop.resolve()
        number = loop.next_number
        tally = loop.tally
        latency = summarise(tally.samples)
        emit(
            {
                "event": "step",
                "clients": clients,
                "window_s": round(window_s, 3),
                "answers_in_window": len(tally.samples),
                "latency": None if latency is None else asdict(latency),
                "outcomes": dict(tally.outcomes),
                "accepted": tally.accepted,
                "unresolved": len(tally.unresolved),
            }
        )


async def _timed(loop: ClosedLoop, *, plan: Plan, emit: Emit) -> float:
    loop.start()
    await _pass(plan.warm_up_s, loop=loop, emit=emit)
    emit({"event": "window_opened"})
    loop.open_window()
    await _pass(plan.seconds, loop=loop, emit=emit)
    window_s = loop.close_window()
    emit({"event": "window_closed"})
    await loop.finish(timeout_s=DRAIN_TIMEOUT_S)
    return window_s


async def _pass(seconds: float, *, loop: ClosedLoop, emit: Emit) -> None:
    """Let so many seconds pass and tell each second how far the step is."""
    left_s = seconds
    while left_s > 0:
        await asyncio.sleep(min(1.0, left_s))
        left_s -= 1.0
        answers = sum(loop.tally.outcomes.values())
        emit({"event": "progress", "answers": answers, "left_s": max(0.0, left_s)})


async def _counted(loop: ClosedLoop, *, emit: Emit) -> float:
    emit({"event": "window_opened"})
    loop.open_window()
    loop.start()
    await loop.finish(timeout_s=DRAIN_TIMEOUT_S, stop=False)
    window_s = loop.close_window()
    emit({"event": "window_closed"})
    return window_s


def main() -> None:
    """Read a plan as JSON from standard input and run it."""
    plan = Plan(**json.loads(sys.stdin.read()))

    def emit(event: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()

    asyncio.run(run(plan=plan, emit=emit))


if __name__ == "__main__":
    main()
