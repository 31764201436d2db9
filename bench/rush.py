"""The rush: 400 clients at once want 10 units each of a pool of 2000. Exactly 200 may win."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from bench.closed_loop import CREATED
from bench.generator import Plan
from bench.load import RESERVE_PATH
from bench.progress import Screen
from bench.seed import Inventory
from bench.settings import (
    PARTNER_KEY,
    RUSH_POOL_UNITS,
    RUSH_PRODUCT,
    RUSH_QUANTITY,
    RUSH_REQUESTS,
)
from bench.stack import Stack, StackMissing
from bench.workload import Step, run

SOLD_OUT = "409 SOLD_OUT"
WINNERS = RUSH_POOL_UNITS // RUSH_QUANTITY


@dataclass(frozen=True, slots=True, kw_only=True)
class RushResult:
    """What came of the rush."""

    step: Step
    left: int

    def checks(self) -> list[tuple[str, bool]]:
        """Return what must be true, and whether it is."""
        refused = self.step.outcomes.get(SOLD_OUT, 0)
        unexpected = self.step.unexpected(expected=frozenset({CREATED, SOLD_OUT}))
        losers = RUSH_REQUESTS - WINNERS
        return [
            (f"{WINNERS} reserves accepted (was {self.step.accepted})", self._accepted_right()),
            (f"{losers} refused with {SOLD_OUT} (was {refused})", refused == losers),
            (f"no other answer (was {unexpected or 'none'})", not unexpected),
            (f"0 units left (was {self.left})", self.left == 0),
        ]

    @property
    def passed(self) -> bool:
        """Say whether all checks hold."""
        return all(passed for _, passed in self.checks())

    def _accepted_right(self) -> bool:
        return self.step.accepted == WINNERS and not self.step.unresolved


async def measure(*, stack: Stack, inventory: Inventory, screen: Screen, run_id: str) -> RushResult:
    """Run the rush once; raises StackMissing when the pool is not full, WorkloadError."""
    available = (await inventory.available())[RUSH_PRODUCT]
    if available != RUSH_POOL_UNITS:
        raise StackMissing(
            f"product {RUSH_PRODUCT} has {available} units left instead of {RUSH_POOL_UNITS}: "
            "a rush can be run once, `make reset` makes it possible again"
        )
    plan = Plan(
        host=stack.partner.connect_host,
        port=stack.partner.port,
        path=RESERVE_PATH,
        api_key=PARTNER_KEY,
        bodies=({"product_id": RUSH_PRODUCT, "quantity": RUSH_QUANTITY},),
        key_prefix=f"rush-{run_id}",
        clients=(RUSH_REQUESTS,),
        warm_up_s=0,
        seconds=0,
        requests=RUSH_REQUESTS,
    )
    steps = await run(plan=plan, pids=stack.pids, progress=screen.progress)
    return RushResult(step=steps[0], left=(await inventory.available())[RUSH_PRODUCT])


def as_json(result: RushResult) -> dict[str, Any]:
    """Return the result for the JSON file."""
    return {
        "passed": result.passed,
        "settings": {
            "requests": RUSH_REQUESTS,
            "quantity": RUSH_QUANTITY,
            "pool_units": RUSH_POOL_UNITS,
        },
        "checks": [{"check": text, "passed": passed} for text, passed in result.checks()],
        "rush": asdict(result.step),
        "left": result.left,
    }
